"""`/errors/` and `/errors/<code>`: the pages that every `error_uri` leads to (RFC 6749, section 5.2).

Plain HTML without scripts, the only responses of this server that are not JSON. docs/errors.md is
generated from the same table.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from flask import Blueprint, Response, abort, current_app, make_response, render_template
from markupsafe import Markup, escape

import config
from app.operations.demo_clients import usable_demos
from app.refusals.codes import CODES
from app.refusals.error_code import Code
from app.settings import current_settings

PATH = "/errors/"
MAX_AGE_SECONDS = 3_600
STYLE = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
# Nothing is loaded and nothing runs; the one style sheet is allowed by its digest.
STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_DIGEST}'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}",
}

METADATA = "METADATA"  # the address of the server's metadata, in `app.config`
# The commands' variables and placeholders for their values; in development those of a demo client, ready to paste.
VARIABLES = {
    "ISSUER": "{issuer}",
    "METADATA": "{metadata}",
    "CLIENT_ID": "ktc_…",
    "CLIENT_SECRET": "kts_…",
    "API_ID": "ktc_…",
    "API_SECRET": "kts_…",
    "SCOPE": "…",
    "TOKEN": "…",
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
    issuer, metadata = current_settings().issuer, current_app.config[METADATA]
    ours = {"issuer": issuer, "metadata": metadata, "style": Markup(STYLE)}  # noqa: S704, our own style
    text = render_template(template, **ours, **values)
    response = make_response(text)
    response.headers.update(HEADERS)
    return response


def markdown() -> str:
    """docs/errors.md: the same table as one page."""
    return render_template("errors.md", codes=CODES) + "\n"


@blueprint.app_template_filter("code")
def with_code(text: str) -> Markup:
    """Escape the text, and make `<code>` of what is in backticks."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704, escaped above


@blueprint.app_template_filter("statuses")
def statuses(code: Code) -> str:
    """The statuses of a code, the usual one first."""
    return ", ".join(map(str, (code.status, *code.other_statuses)))


@blueprint.app_template_filter("variables")
def variables(command: str) -> list[str]:
    """The lines that set the variables of a command."""
    known = {"issuer": current_settings().issuer, "metadata": current_app.config[METADATA]}
    values = VARIABLES | demo_values(current_settings())
    used = [name for name in values if re.search(rf"\${name}\b", command)]
    return [f"{name}={values[name].format(**known)}" for name in used]


def demo_values(settings: config.Settings) -> dict[str, str]:
    """Two demo clients of a development server, one that requests tokens and one that introspects them."""
    demos = [] if settings.is_production else usable_demos(settings)
    client = next((demo for demo in demos if demo.secret and demo.scope), None)
    api = next((demo for demo in demos if demo.secret and demo.resource_server), None)
    values: dict[str, str] = {}
    if client:
        values |= {"CLIENT_ID": client.client_id, "CLIENT_SECRET": client.secret, "SCOPE": client.scope.split()[0]}
    if api:
        values |= {"API_ID": api.client_id, "API_SECRET": api.secret}
    return values
