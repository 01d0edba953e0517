"""The routes of the playground: the page at `/`, its files, its data, and the one POST that it sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, make_response, render_template, request, send_from_directory, url_for

from app.discovery.error_pages import STYLE
from app.lesson.progress import progress
from app.playground import checks_header, key_changes, page_data
from app.settings import current_settings

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FILES = Path(__file__).parent / "static"
blueprint = Blueprint("playground", __name__, template_folder="templates")


def init_app(app: Flask) -> None:
    checks_header.init_app(app)
    app.register_blueprint(blueprint, url_prefix=urlsplit(current_settings.of(app).issuer).path)


@blueprint.get("/", strict_slashes=False)  # otherwise Flask redirects, with a page of its own
def page() -> Response:
    if not request.path.endswith("/"):  # the page names its files relative to itself
        return Response(status=308, headers={"Location": url_for("playground.page")})
    return make_response(render_template("playground.html", issuer=current_settings().issuer))


@blueprint.get("/playground/<file>")
def static(file: str) -> Response:
    return send_from_directory(FILES, file)


@blueprint.get("/playground/style.css")
def style() -> Response:
    return Response(STYLE, mimetype="text/css")  # that of the error pages


@blueprint.get("/playground/data.json")
def data() -> dict[str, Any]:
    return page_data.page_data()


@blueprint.get("/playground/progress.json")
def lesson() -> list[dict[str, Any]]:
    return progress()


@blueprint.post("/playground/keys")
def keys() -> dict[str, Any]:
    return key_changes.change_keys()


@blueprint.after_request
def add_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-cache")  # the browser looks each time whether it has changed
    return response
