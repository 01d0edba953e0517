"""Keyturn: a small OAuth 2.0 authorization server for machines.

Read five files, in this order, and you have read what the guide shows:

1. `config.py`                   define the credentials and the settings
2. `app/tokens/server.py`        initialize the authorization server
3. `app/tokens/endpoints.py`     the token endpoint
4. `app/resources/protector.py`  the guard
5. `app/resources/samples.py`    the guarded routes

Every other file is a room that these five do not know. The folders are named for the question that
they answer: `clients` (who may ask), `keys` (what we sign with), `tokens` (how a token is issued),
`resources` (how it is checked, and what it opens), `audit` (what happened), `commands` (what an
operator types).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter

import config
from app import answers, database, limits, logs
from app.audit import trail
from app.clients import scope
from app.commands import client_commands, explain_command, key_commands, token_commands
from app.explanations import pages
from app.keys import jwks, keystore
from app.operations import openapi
from app.operations.upkeep import command as cleanup
from app.parameters import WholeRequest
from app.prepare import command as prepare
from app.resources import resource_metadata, samples
from app.tokens import access_token, endpoints, introspection, metadata, revocation, server


class Keyturn(Flask):
    request_class = WholeRequest

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        # Flask reads the host for each request; here no host decides anything, and no address is made from one.
        return self.url_map.bind("", path_info=request.path, default_method=request.method) if request else None

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func  # all functions here are plain ones: Flask would look at each of them for every request


def create_app(settings: config.Settings | None = None) -> Flask:
    """Put an app together: the table of contents. It never touches the database's schema."""
    settings = settings or config.load(os.environ)
    app = Keyturn(__name__, static_folder=None)
    app.config["KEYTURN"] = settings
    app.url_map.merge_slashes = False  # its redirects are HTML
    app.json.sort_keys = False  # type: ignore[attr-defined]
    # An OPTIONS that Flask adds by itself would stand in every Allow header.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # Only the configured number of proxies is believed, and never about the host.
    if settings.trusted_proxies:
        n = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=n, x_proto=n, x_host=0, x_port=0, x_prefix=0)  # type: ignore[method-assign]

    logs.init_app(app, settings.trusted_proxies)
    database.init_app(app, settings.database_url)
    trail.init_app(app)
    answers.init_app(app, trail.note_refusal)
    limits.init_app(app, settings)
    scope.init_app(app, settings.resources)
    keystore.init_app(app)
    access_token.init_app(app)
    server.init_app(app)
    introspection.init_app(app)
    revocation.init_app(app)

    # Every address that the metadata names lies below the issuer's path.
    path = urlsplit(settings.issuer).path
    for room in (endpoints, jwks, samples, pages, openapi):
        app.register_blueprint(room.blueprint, url_prefix=path)
    metadata.init_app(app, settings.issuer)
    resource_metadata.init_app(app, settings.audience)

    for group in (client_commands.clients, key_commands.keys, token_commands.tokens):
        app.cli.add_command(group)
    for command in (prepare, cleanup, explain_command.explain):
        app.cli.add_command(command)
    return app
