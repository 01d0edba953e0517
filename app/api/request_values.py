"""The parameters and members of a request to the sample API, each checked.

A value that is wrong is refused as `invalid_request`, with its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import request

from app.refusals.errors import RefusedError


def whole_number(name: str, *, default: int, low: int = 1, high: int) -> int:
    """A parameter of the URL, `low` to `high`."""
    given = request.args.get(name, str(default))
    if not re.fullmatch("[0-9]{1,19}", given) or not low <= int(given) <= high:
        raise bad_request(f"The parameter {name} must be a whole number from {low} to {high}.")
    return int(given)


def one_of(name: str, values: Sequence[str]) -> str | None:
    """A parameter of the URL that has one of some values; None if it is absent."""
    given = request.args.get(name)
    if given is not None and given not in values:
        raise bad_request(f"The parameter {name} must be {' or '.join(values)}.")
    return given


def text(name: str) -> str | None:
    """A parameter of the URL; None if it is absent."""
    given = request.args.get(name)
    if given is not None and not re.fullmatch("[ -~]*", given):
        raise bad_request(f"The parameter {name} must be printable ASCII.")
    return given


def json_member(name: str) -> object:
    """A member of the JSON object in the body; None if it is absent."""
    try:
        body = request.get_json()
    except RecursionError as error:  # thousands of brackets in a row are JSON too
        raise bad_request("The JSON is nested too deeply.") from error
    return body.get(name) if isinstance(body, dict) else None


def json_whole_number(name: str, *, high: int) -> int:
    """A member of the JSON object in the body, 0 to `high`; in JSON, 5.0 is a whole number and true is not."""
    given = json_member(name)
    if type(given) not in (int, float) or not 0 <= given <= high or given != int(given):  # type: ignore[operator, call-overload]
        raise bad_request(f"The member {name} must be a whole number from 0 to {high}.")
    return int(given)  # type: ignore[call-overload, no-any-return]


def bad_request(description: str) -> RefusedError:
    return RefusedError("invalid_request", description)
