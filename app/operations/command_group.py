"""What all Keyturn's `flask` commands have in common: `CommandGroup` and `@operator_command`.

They refuse to run with settings at fault, print one JSON document with --json, and end with one
sentence and exit code 1 when something is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import SQLAlchemyError

from app.settings import current_settings
from app.storage.failures import cause, meaning

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


class CommandGroup(AppGroup):
    """A group of commands; `refusals` are the exceptions whose text is meant for the operator."""

    def __init__(self, name: str, *, help: str, refusals: tuple[type[Exception], ...]) -> None:  # noqa: A002
        super().__init__(name, help=help)
        self.refusals = refusals

    def command(self, *args: Any, **kwargs: Any) -> Callable[[Callable[..., None]], click.Command]:  # type: ignore[override]
        add = super().command(*args, **kwargs)

        def decorator(function: Callable[..., None]) -> click.Command:
            return add(checked(function, self.refusals))

        return decorator


def operator_command(
    name: str, *, refusals: tuple[type[Exception], ...] = ()
) -> Callable[[Callable[..., None]], click.Command]:
    """A command directly under `flask`, in the same way: `@operator_command("explain")`."""

    def decorator(function: Callable[..., None]) -> click.Command:
        return click.command(name)(with_appcontext(checked(function, refusals)))

    return decorator


def checked(function: Callable[..., None], refusals: tuple[type[Exception], ...]) -> Callable[..., None]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        refuse_faults()
        try:
            function(*args, **kwargs)
        except refusals as error:
            raise click.ClickException(str(error)) from error
        except SQLAlchemyError as error:
            raise click.ClickException(f"the database failed: {cause(error)}. {meaning(error)}".rstrip()) from error
        except OSError as error:
            raise click.ClickException(str(error)) from error

    return run


def refuse_faults() -> None:
    """Stop a command that would otherwise use defaults in place of settings at fault."""
    if faults := current_settings().faults:
        raise click.ClickException("the configuration is wrong:\n" + "\n".join(faults))


def print_json(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document))


def moment(at: int) -> str:
    """Seconds since the epoch as text, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
