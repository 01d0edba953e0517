"""Where the time of an ES256 token goes: the share of each package, by Python's own profiler."""

from __future__ import annotations

import cProfile
import logging
import os
import pstats
import sysconfig
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from werkzeug.test import EnvironBuilder, run_wsgi_app

from app import create_app
from app.audit import trail
from app.settings import read_settings
from benchmarks import register
from benchmarks.server import ROOT

TOKENS = 2_000
SITE, LIBRARY = sysconfig.get_path("purelib"), sysconfig.get_path("stdlib")
KNOWN = {
    "app": "Keyturn itself",
    "config.py": "Keyturn itself",
    "flask": "Flask",
    "flask_sqlalchemy": "Flask",
    "werkzeug": "Werkzeug",
    "authlib": "Authlib",
    "joserfc": "joserfc",
    "limits": "limits",
    "sign": "the signature",
    "execute": "SQLite",
    "fetchall": "SQLite",
}


def shares(environment: Mapping[str, str], client_id: str) -> dict[str, float]:
    """The share of the time of each package, the largest first."""
    app = create_app(read_settings(environment))
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        logging.getLogger("keyturn").handlers[0].setStream(nowhere)  # type: ignore[attr-defined]
        profiler = cProfile.Profile()
        for number in range(TOKENS + 100):
            environ = request(client_id)
            if number >= 100:  # the first ones parse the key and fill the caches
                profiler.enable()
            _, status, _ = run_wsgi_app(app, environ)
            profiler.disable()
            assert status == "200 OK", status
        with app.app_context():
            trail.current_batch().close()
    found: dict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        found[owner(file, name)] += own
    total = sum(found.values())
    return {name: own / total for name, own in sorted(found.items(), key=lambda each: -each[1])}


def request(client_id: str) -> dict[str, object]:
    form = {"grant_type": "client_credentials", "scope": "read:logs"}
    headers = {"Authorization": register.basic(client_id), "X-Forwarded-Proto": "https"}
    builder = EnvironBuilder("/oauth/token", register.AUDIENCE, method="POST", data=form, headers=headers)
    return builder.get_environ()


def owner(file: str, name: str) -> str:
    if file == "~":  # a function in C: <method 'sign' of …>
        return KNOWN.get(name.partition("'")[2].partition("'")[0], "Python itself")
    for root in (str(SITE), str(ROOT)):
        if file.startswith(root):
            package = Path(file).relative_to(root).parts[0]
            return KNOWN.get(package, "other packages")
    return "Python's library: json, logging, urllib" if file.startswith(str(LIBRARY)) else "Python itself"
