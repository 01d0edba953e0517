"""The sample API: five routes, each guarded by a scope.

`GET /admin/logs` is the guide's guarded route, and returns the real audit trail of this server.
`read:all_data` is enough for every GET.
"""

from __future__ import annotations

import re
from typing import Any

from authlib.integrations.flask_oauth2 import current_token
from flask import Blueprint

from app.api import log_page, request_values, stock
from app.api.guard import require_oauth
from app.api.hourly_report import MAX_HOURS, current_report
from app.audit import trail
from app.audit.event import Event
from app.storage.database import transaction

SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

blueprint = Blueprint("samples", __name__)


@blueprint.get("/admin/logs")
@require_oauth(["read:logs", "read:all_data"])
def read_logs() -> dict[str, Any]:
    """The newest events first, or with `order=asc` those after the cursor `since`."""
    return log_page.requested()


@blueprint.post("/admin/logs")
@require_oauth("write:logs")
def write_log() -> tuple[dict[str, Any], int]:
    """A service adds an entry of its own: `{"message": "…"}`, up to 1000 characters."""
    message = request_values.json_member("message")
    if not isinstance(message, str) or not 1 <= len(message) <= 1_000 or not message.isprintable():
        raise request_values.bad_request("The member message must be 1 to 1000 printable characters.")
    with transaction():
        event = trail.record(Event.ENTRY_ADDED, client_id=current_token.client_id, reason=message)
    return event.as_dict(), 201


@blueprint.get("/internal/reports")
@require_oauth(["reports:read", "read:all_data"])
def read_reports() -> dict[str, Any]:
    """Tokens issued and refused, per client and hour."""
    hours = request_values.whole_number("hours", default=24, high=MAX_HOURS)
    return {"hours": current_report().last(hours)}


@blueprint.get("/inventory")
@require_oauth(["inventory:read", "read:all_data"])
def read_inventory() -> dict[str, Any]:
    return {"items": [{"sku": item.sku, "quantity": item.quantity} for item in stock.items()]}


@blueprint.put("/inventory/<sku>")
@require_oauth("inventory:write")
def write_inventory(sku: str) -> dict[str, Any]:
    """Set the quantity of an article: `{"quantity": 5}`."""
    quantity = request_values.json_whole_number("quantity", high=stock.MAX_QUANTITY)
    if not SKU.fullmatch(sku):
        raise request_values.bad_request("A sku is 1 to 64 letters, digits, dots, dashes and underscores.")
    try:
        stock.put(sku, quantity)
    except stock.StockFullError as error:
        raise request_values.bad_request(f"The sample stores at most {stock.MAX_ITEMS} articles.") from error
    return {"sku": sku, "quantity": quantity}
