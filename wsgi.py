"""The app that a server serves, as in `gunicorn wsgi:app`; the `flask` command finds it here too."""

from __future__ import annotations

import click
from flask.cli import FlaskGroup

from app import create_app
from app.operations.prepare import know_migrations
from app.operations.startup import check_hosts, refuse_to_start
from app.settings import current_settings

app = create_app()
# Your own routes: app.register_blueprint(…), as the README shows under "Guard a route".

# Other servers use click too: only a command of Flask's own is none of them.
context = click.get_current_context(silent=True)
is_command = context and isinstance(context.find_root().command, FlaskGroup) and context.info_name != "run"

# A server refuses to start on a fault. The commands do not: they are what mends it.
if is_command:
    know_migrations(app)
else:
    refuse_to_start(app)
    if context and "host" in context.params:  # `flask run --host`; of gunicorn's addresses only gunicorn knows
        check_hosts(current_settings.of(app), [context.params["host"]])
