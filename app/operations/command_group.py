"""What all Keyturn's `flask` commands have in common: `CommandGroup` and `@operator_command`.

They refuse to run with settings at fault. With --json they print one JSON document, for an error too. Their exit
codes: 0 done, 1 refused, 2 usage, 3 failed, and with --detailed-exit-code 4 for done and changed.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import SQLAlchemyError

from app.settings import current_settings
from app.storage.failures import cause, meaning

REFUSED, USAGE, FAILED, CHANGED = 1, 2, 3, 4
KINDS = {REFUSED: "refused", USAGE: "usage", FAILED: "failed"}
NOT_CONFIRMED = "It was not confirmed: nothing was changed."
ARGUMENTS, IS_JSON, IS_DETAILED = "keyturn.arguments", "keyturn.json", "keyturn.detailed-exit-code"

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the function of a command with `@changes` returns.

    Attributes:
        document: What --json prints; `changed` is added to it.
        text: What is printed without --json; empty for nothing.
        changed: Whether anything was changed.
    """

    document: Mapping[str, Any]
    text: str = ""
    changed: bool = True


class Change(str):
    """A sentence about something that a command has changed."""

    __slots__ = ()


class FailedError(click.ClickException):
    """The database, the disk or the network failed: nothing is known to be wrong with the input."""

    exit_code = FAILED


def changes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --json and --detailed-exit-code to a command that may change something; it returns an `Outcome`."""
    of_json = click.option("--json", is_flag=True, expose_value=False, callback=noted, help="Print one JSON document.")
    of_code = click.option(
        "--detailed-exit-code",
        is_flag=True,
        expose_value=False,
        callback=noted,
        help=f"End with {CHANGED} if anything was changed, and with 0 if not.",
    )
    return of_json(of_code(function))


def noted(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    ctx.meta[IS_JSON if option.name == "json" else IS_DETAILED] = value


def wants_json() -> bool:
    """Whether the command that runs was typed with --json."""
    return bool(click.get_current_context().meta.get(IS_JSON))


class OperatorCommand(click.Command):
    """A command that prints the `Outcome` of its function, and errors as JSON with --json."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        given = tuple(args)  # parsing empties the list
        with errors_as_wanted(given):
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[ARGUMENTS] = given
        return context

    def invoke(self, ctx: click.Context) -> None:
        with errors_as_wanted(ctx.meta[ARGUMENTS]):
            outcome = super().invoke(ctx)
        if isinstance(outcome, Outcome):
            end_with(outcome, ctx)


def end_with(outcome: Outcome, ctx: click.Context) -> None:
    if ctx.meta[IS_JSON]:
        print_json({**outcome.document, "changed": outcome.changed})
    elif outcome.text:
        click.echo(outcome.text)
    if outcome.changed and ctx.meta[IS_DETAILED]:
        ctx.exit(CHANGED)


@contextmanager
def errors_as_wanted(arguments: Sequence[str]) -> Iterator[None]:
    """Print an error as JSON if --json is among the arguments, even if they cannot be parsed."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    try:
        yield
    except (click.ClickException, click.Abort) as error:
        said = error if isinstance(error, click.ClickException) else click.ClickException(NOT_CONFIRMED)
        if "--json" not in options:
            raise said from error
        print_json({"error": {"kind": KINDS[said.exit_code], "message": said.format_message()}})
        raise click.exceptions.Exit(said.exit_code) from error


class CommandGroup(AppGroup):
    """A group of commands; `refusals` are the exceptions whose text is meant for the operator."""

    command_class = OperatorCommand

    def __init__(self, name: str, *, help: str, refusals: tuple[type[Exception], ...]) -> None:  # noqa: A002
        super().__init__(name, help=help)
        self.refusals = refusals

    def command(self, *args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], click.Command]:  # type: ignore[override]
        add = super().command(*args, **kwargs)

        def decorator(function: Callable[..., Any]) -> click.Command:
            return add(checked(function, self.refusals))

        return decorator

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        with errors_as_wanted(args):
            return super().resolve_command(ctx, args)


def operator_command(
    name: str, *, refusals: tuple[type[Exception], ...] = ()
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command directly under `flask`, in the same way: `@operator_command("explain")`."""

    def decorator(function: Callable[..., Any]) -> click.Command:
        return click.command(name, cls=OperatorCommand)(with_appcontext(checked(function, refusals)))

    return decorator


def checked(function: Callable[..., Any], refusals: tuple[type[Exception], ...]) -> Callable[..., Any]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        refuse_faults()
        with exit_codes(refusals):
            return function(*args, **kwargs)

    return run


@contextmanager
def exit_codes(refusals: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn any exception into a sentence with its exit code."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except refusals as error:
        raise click.ClickException(str(error)) from error
    except SQLAlchemyError as error:
        raise FailedError(f"the database failed: {cause(error)}. {meaning(error)}".rstrip()) from error
    except OSError as error:
        raise FailedError(as_sentence(error)) from error
    except Exception as error:
        # Python itself would end with 1, which means that nothing was changed.
        traceback.print_exc()
        raise FailedError(f"a fault of Keyturn: {type(error).__name__}") from error


def as_sentence(error: OSError) -> str:
    """What the system says, without its number: "/var/lib/keyturn/keyturn.db: No space left on device"."""
    if not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def refuse_faults() -> None:
    """Stop a command that would otherwise use defaults in place of settings at fault."""
    if faults := current_settings().faults:
        raise click.ClickException("the configuration is wrong:\n" + "\n".join(faults))


def print_json(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document))


def moment(at: int) -> str:
    """Seconds since the epoch as text, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
