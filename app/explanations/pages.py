"""This file is `/errors/` and `/errors/<code>`: the pages that every `error_uri` leads to (RFC 6749, section 5.2).

Plain HTML without scripts, the only answers of this server that are not JSON. docs/errors.md is made
from the same table.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from flask import Blueprint, Response, abort, make_response, render_template
from markupsafe import Markup, escape

import config
from app.explanations.codes import CODES

PATH = "/errors/"
MAX_AGE_SECONDS = 3_600
STYLE = (Path(__file__).parent / "templates" / "style.css").read_text()
# Nothing is loaded and nothing runs; the one style sheet is named by its digest.
STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_DIGEST}'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}",
}

blueprint = Blueprint("explanations", __name__, template_folder="templates")


@blueprint.get(PATH, strict_slashes=False)  # otherwise Flask redirects, with a page of its own
def index() -> Response:
    return page("errors.html", codes=CODES)


@blueprint.get(PATH + "<code>")
def show(code: str) -> Response:
    if code not in CODES:
        abort(404)
    return page("error.html", name=code, code=CODES[code])


def page(template: str, **values: object) -> Response:
    text = render_template(template, issuer=config.current().issuer, style=Markup(STYLE), **values)  # noqa: S704, ours
    answer = make_response(text)
    answer.headers.update(HEADERS)
    return answer


def markdown() -> str:
    """docs/errors.md: the same table as one page."""
    return render_template("errors.md", codes=CODES) + "\n"


@blueprint.app_template_filter("code")
def with_code(text: str) -> Markup:
    """What stands in backticks, as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704, escaped above


@blueprint.app_template_filter("statuses")
def statuses(code: object) -> str:
    """The statuses that a code is answered with, the usual one first."""
    return ", ".join(map(str, (code.status, *code.other_statuses)))  # type: ignore[attr-defined]
