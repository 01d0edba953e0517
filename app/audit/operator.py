"""Who runs a command: KEYTURN_OPERATOR, otherwise the system's user.

It is a name and no proof: anyone who may run a command may also set the variable.
"""

from __future__ import annotations

import os
import pwd

import click
from flask import has_request_context

from app.logs import one_line
from app.settings import current_settings


def current_operator() -> str | None:
    """The operator of the current command; None in a request, and in what a server does by itself."""
    if has_request_context() or not click.get_current_context(silent=True):
        return None
    return one_line(current_settings().operator or system_user())


def system_user() -> str:
    """The user's name, and whom `sudo` changed it from; a user without a name, as in a container, by number."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    before = os.environ.get("SUDO_USER")
    return f"{before} as {name}" if before and before != name else name
