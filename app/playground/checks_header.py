"""The checks of one request, as the header of its response (`app/checks.py` says how they are noted)."""

from __future__ import annotations

import json

from flask import Flask, Response, after_this_request, request

from app.checks import Record, current_recorders, making
from app.request_body import ADDRESS

HEADER = "X-Keyturn-Checks"
RECORD = "record"
IN_ENVIRONMENT = "HTTP_" + HEADER.upper().replace("-", "_")


def init_app(app: Flask) -> None:
    current_recorders.of(app)[IN_ENVIRONMENT] = begin


def begin() -> None:
    """Record the checks of this request, if its header says so."""
    if request.headers[HEADER] == RECORD:
        making.now = Record()
        after_this_request(show)


def show(response: Response) -> Response:
    """End the record, and show it as `[["https", true], ["media_type", false]]`.

    The last check is false if the request was refused, or if it was about a token that is not active.
    """
    record, making.now = making.now, making.unrecorded
    if isinstance(record, Record):
        making.unrecorded.check = record.check  # for the metrics
        if is_refused(response) and not is_rule_of_a_view(record, response):
            record.has_failed = True
        response.headers[HEADER] = json.dumps([[check.name, passed] for check, passed in record.passed.items()])
    return response


def is_refused(response: Response) -> bool:
    """A 500 is no refusal: no check failed."""
    return 400 <= response.status_code < 500 or response.status_code == 503


def is_rule_of_a_view(record: Record, response: Response) -> bool:
    """Whether the address was found, and a view without a guard refused the request by a rule of its own."""
    return record.check is ADDRESS and response.status_code not in (404, 405)
