"""The pages of `GET /admin/logs`: backwards from the newest event, or onwards from a cursor."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from app.api import request_values
from app.audit import cursor, reports
from app.audit.reports import Filter
from app.refusals.errors import RefusedError

MAX_ID = 2**63 - 1
MAX_EVENTS = 200
ORDERS = ("asc", "desc")
PAST_NEWEST = "The parameter since is past the newest event."


def requested() -> dict[str, Any]:
    """The page that the parameters of the request name.

    Returns:
        `events`, and with them `next_before`, the `before` of the next older page or None; with `order=asc` `next`,
        the `since` of the next newer page, which may still be empty.

    Raises:
        RefusedError: `invalid_request`, for a parameter that is wrong.
    """
    limit = request_values.whole_number("limit", default=50, high=MAX_EVENTS)
    only = Filter(**{field.name: request_values.text(field.name) for field in fields(Filter)})
    since, before = request_values.text("since"), request_values.text("before")
    order = request_values.one_of("order", ORDERS) or ("desc" if since is None else "asc")
    if since is not None and order == "desc":
        raise request_values.bad_request("The parameter since needs order=asc.")
    if before is not None and order == "asc":
        raise request_values.bad_request("The parameter before is for order=desc only.")
    return onwards(limit, only) if order == "asc" else backwards(limit, only)


def backwards(limit: int, only: Filter) -> dict[str, Any]:
    before = request_values.whole_number("before", default=MAX_ID, high=MAX_ID)
    events = [event.as_dict() for event in reports.recent(limit=limit, before=before, only=only)]
    return {"events": events, "next_before": events[-1]["id"] if len(events) == limit else None}


def onwards(limit: int, only: Filter) -> dict[str, Any]:
    since = request_values.whole_number("since", default=0, low=0, high=MAX_ID)
    try:
        events, following = cursor.after(since, limit=limit, only=only)
    except cursor.UnknownCursorError as error:
        raise RefusedError("invalid_request", PAST_NEWEST, reason=str(error)) from error
    return {"events": [event.as_dict() for event in events], "next": following}
