"""The apps under the benchmark: a bare Flask route, and Keyturn with a guarded constant."""

from __future__ import annotations

from flask import Flask

from app import create_app
from app.api.guard import require_oauth

bare = Flask("bare")


@bare.route("/", methods=["GET", "POST"])
def hello() -> dict[str, bool]:
    return {"ok": True}


floor = bare.wsgi_app  # not a Flask app, for which gunicorn.conf.py would start Keyturn's upkeep
app = create_app()


@app.get("/constant")
@require_oauth("read:logs")
def constant() -> dict[str, bool]:
    return {"ok": True}
