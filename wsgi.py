"""This file is what a server starts: `gunicorn wsgi:app`. The `flask` command finds the app here too."""

from __future__ import annotations

import logging
import sys

import click

from app import create_app
from app.logs import log
from app.prepare import faults_at_start

app = create_app()

command = click.get_current_context(silent=True)
is_server = command is None or command.info_name == "run"
if not is_server:
    log.setLevel(logging.WARNING)  # a command says itself what it did

# The server refuses to start on a fault. The commands do not: they are what mends it.
if is_server and (faults := faults_at_start(app)):
    sys.stderr.write("\n  ".join(["Keyturn does not start:", *faults]) + "\n")
    sys.exit(3)  # what gunicorn reads as "failed to boot": after any other code it would try again, for ever
