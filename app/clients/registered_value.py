"""One value of a registration: what it must be in a file, its rule, and how a client has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.clients.client_row import ClientRow
from app.storage.database import Base

Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """What a value must be in a file: in words, and as a check."""

    words: str
    fits: Callable[[object], bool]


WORDS = Form("words in quotes, or a list of words", lambda v: isinstance(v, str) or is_list_of_words(v))
WORD = Form("a word in quotes", lambda v: isinstance(v, str))
SECONDS = Form("a whole number of seconds", lambda v: type(v) is int or v == "default")
CHOICE = Form("true or false", lambda v: isinstance(v, bool))
TEXTS = Form("a table of texts", lambda v: isinstance(v, dict) and all(isinstance(each, str) for each in v.values()))


def is_list_of_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each and " " not in each for each in value)


def as_it_is(value: Any) -> Any:
    return value


def no_fault(_client: ClientRow, _value: Any) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a value has more that is rows of its own: keys or trusts, of which a client has several.

    Attributes:
        model: Their table.
        columns: The columns of each row, but for those that every credential has.
        ended: What of a value a client had, and an operator has ended for good, in words; a file does not undo that.
        without: A value without what was ended; what the client has, if all of it was.
        change: Ends and adds rows until a client has the value, with the events that commands write.
        fault: What is wrong with a value for a client; None if nothing is.
    """

    model: type[Base]
    columns: Callable[[Any], Sequence[Mapping[str, Any]]]
    ended: Callable[[ClientRow, Any], Sequence[str]]
    without: Callable[[ClientRow, Any], Any]
    change: Callable[[ClientRow, Any], None]
    fault: Callable[[ClientRow, Any], str | None] = no_fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of a registration.

    Attributes:
        column: What it is called in the audit trail, and where it is stored unless `put` says otherwise.
        form: What it must be in a file.
        checked: The value to store, from all that is given; it raises RegistrationError.
        of: The value that a client has.
        put: Gives a new client the value.
        has_default: Whether a file that leaves it out gives it its default; otherwise it is left as it is.
        shown: What is printed of it.
        rows: If it is rows of its own.
    """

    column: str
    form: Form
    checked: Callable[[Given], Any]
    of: Callable[[ClientRow], Any]
    put: Callable[[ClientRow, Any], None]
    has_default: bool = True
    shown: Callable[[Any], Any] = as_it_is
    rows: Rows | None = None


def in_column(column: str, form: Form, checked: Callable[[Given], Any]) -> Value:
    def put(client: ClientRow, value: object) -> None:
        setattr(client, column, value)

    return Value(column=column, form=form, checked=checked, of=lambda client: getattr(client, column), put=put)
