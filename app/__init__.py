"""Keyturn: a small OAuth 2.0 authorization server for machines.

Read five files, in this order, and you have read what the guide shows:

1. `config.py`                    define the credentials and the settings
2. `app/oauth/server.py`          initialize the authorization server
3. `app/oauth/token_endpoint.py`  the token endpoint
4. `app/api/guard.py`             the guard
5. `app/api/routes.py`            the guarded routes

The other files are details. Each package has one subject: `oauth` (the protocol's endpoints), `api` (the sample
API), `authentication` (client authentication and limits), `remote_keys` (keys that are elsewhere), `clients`
(clients, their credentials and scopes), `tokens` (how a token is issued, stored and checked), `keys` (signing
keys), `discovery` (metadata and error pages), `refusals` (error codes and responses), `audit` (the audit trail),
`settings` (how they are read), `storage` (the database), `upkeep` (what the workers do by themselves), `health`
(probes, and what can be watched), `metrics` (what is counted), `copying` (backups, and the move to another database),
`doctor` (what is wrong with an installation), `operations` (the commands), `serving` (gunicorn's worker), and in
development `journal` (what each request sent), `lesson` (the tutorial's steps), `faults` (what goes wrong on purpose)
and `playground` (the page at `/`). The lines `making.now.check = …` say which check is made: `app/checks.py`.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from urllib.parse import urlsplit

from flask import Flask

import config
from app import access_log, logs, request_body
from app.api import hourly_report, routes
from app.audit import trail
from app.authentication import limits
from app.clients import scope
from app.discovery import error_pages, jwks, openapi, resource_metadata, server_metadata
from app.health import probes, readiness
from app.journal import recording
from app.keys import keystore
from app.lesson import lesson_command
from app.metrics import notes
from app.oauth import introspection, revocation, server, token_endpoint
from app.operations import all_commands
from app.refusals import rendering
from app.remote_keys import key_sets
from app.settings import current_settings, read_settings
from app.storage import database
from app.tokens import jwt_check
from app.trusted_proxies import TrustedProxies
from app.upkeep import removals

# What only a development server has: each room with its module that has `init_app`. To remove one, delete its folder.
DEVELOPMENT_ROOMS = {"app.faults": "fault_layer", "app.playground": "pages"}


def create_app(settings: config.Settings | None = None, *, instance_path: str | None = None) -> Flask:
    """Build an app from its parts; the database's schema stays as it is.

    Args:
        settings: Its settings; None to read them from the environment.
        instance_path: The folder for its files; None for `instance/`.
    """
    settings = settings or read_settings(os.environ)
    app = Flask(__name__, static_folder=None, instance_path=instance_path)
    current_settings.set(app, settings)
    app.url_map.merge_slashes = False  # its redirects are HTML
    app.json.sort_keys = False  # type: ignore[attr-defined]
    # Flask would add OPTIONS to every route and every Allow header.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # Only the configured number of proxies is trusted, and never for the host.
    if settings.trusted_proxies:
        app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]

    logs.init_app(app, settings.trusted_proxies)
    access_log.init_app(app)
    notes.init_app(app)
    request_body.init_app(app)
    database.init_app(app, settings.database_url)
    trail.init_app(app)
    rendering.init_app(app, {scope.ScopeError: "invalid_scope", keystore.NoSigningKeyError: "temporarily_unavailable"})
    limits.init_app(app, settings)
    key_sets.init_app(app)
    hourly_report.init_app(app)
    scope.init_app(app, settings)
    keystore.init_app(app)
    jwt_check.init_app(app)
    removals.init_app(app)
    server.init_app(app)
    introspection.init_app(app)
    revocation.init_app(app)
    readiness.init_app(app)

    # Every endpoint that the metadata names is below the issuer's path.
    path = urlsplit(settings.issuer).path
    for room in (token_endpoint, jwks, error_pages, openapi):
        app.register_blueprint(room.blueprint, url_prefix=path)
    server_metadata.init_app(app, settings.issuer)
    app.register_blueprint(probes.blueprint)  # a probe is sent to this process, whatever the issuer
    if settings.has_sample_api:
        app.register_blueprint(routes.blueprint, url_prefix=path)
        resource_metadata.init_app(app, settings.audience)

    all_commands.init_app(app)
    app.cli.add_command(lesson_command.lesson)
    if not settings.is_production:
        add_development_rooms(app)
        recording.init_app(app)  # the outermost: it records what a client sent, and what it received
    return app


def add_development_rooms(app: Flask) -> None:
    for package, module in DEVELOPMENT_ROOMS.items():
        if find_spec(package):
            import_module(f"{package}.{module}").init_app(app)
