"""The pages of `GET /admin/logs`: backwards from the newest event, or onwards from a cursor."""

from __future__ import annotations

from typing import Any

from app.api import request_values
from app.audit import cursor, reports
from app.audit.reports import COLUMNS, MAX_ID, Filter
from app.refusals.errors import RefusedError

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
    order = request_values.one_of("order", ORDERS)
    only = Filter(
        since=request_values.whole_number("since", default=0, low=0, high=MAX_ID),
        before=request_values.whole_number("before", default=MAX_ID, high=MAX_ID),
        jti=request_values.text("jti"),
        **{name: request_values.text(name) for name in COLUMNS},
    )
    return onwards(only, limit) if (order or usual_order()) == "asc" else backwards(only, limit)


def usual_order() -> str:
    """The newest first; but a request with a cursor goes on from it."""
    return "desc" if request_values.text("since") is None else "asc"


def backwards(only: Filter, limit: int) -> dict[str, Any]:
    events = [event.as_dict() for event in reports.recent(only, limit=limit)]
    return {"events": events, "next_before": events[-1]["id"] if len(events) == limit else None}


def onwards(only: Filter, limit: int) -> dict[str, Any]:
    try:
        events, following = cursor.after(only, limit=limit)
    except cursor.UnknownCursorError as error:
        raise RefusedError("invalid_request", PAST_NEWEST, reason=str(error)) from error
    return {"events": [event.as_dict() for event in events], "next": following}
