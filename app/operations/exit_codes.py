"""How a command ends: 0 done, 1 refused, 2 usage, 3 failed, and with --detailed-exit-code 4 for done and changed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy.exc import SQLAlchemyError

from app.storage.failures import cause, meaning, system_says

REFUSED, USAGE, FAILED, CHANGED = 1, 2, 3, 4
KINDS = {REFUSED: "refused", USAGE: "usage", FAILED: "failed"}


class FailedError(click.ClickException):
    """The database, the disk or the network failed: nothing is known to be wrong with the input."""

    exit_code = FAILED


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
        raise FailedError(system_says(error)) from error
    except Exception as error:
        # Python itself would end with 1, which means that nothing was changed.
        traceback.print_exc()
        raise FailedError(f"a fault of Keyturn: {type(error).__name__}") from error
