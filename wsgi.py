"""The WSGI app, for servers (`gunicorn wsgi:app`) and for the `flask` command."""

from __future__ import annotations

import click
from flask.cli import FlaskGroup

from app import create_app
from app.operations import database_commands
from app.operations.startup import check_hosts, refuse_to_start
from app.settings import current_settings

app = create_app()
# Your own routes: app.register_blueprint(…), as docs/protect-your-api.md shows.

# Other servers use click too, so a click context alone does not mean a command of Flask's.
context = click.get_current_context(silent=True)
is_command = context and isinstance(context.find_root().command, FlaskGroup) and context.info_name != "run"

# A server refuses to start on a fault. The commands do not: they fix it.
if is_command:
    database_commands.register(app)
else:
    refuse_to_start(app)
    if context and "host" in context.params:  # `flask run --host`; gunicorn.conf.py checks gunicorn's addresses
        check_hosts(current_settings.of(app), [context.params["host"]])
