"""`GET /health/live` and `GET /health/ready`, for the probes of whatever starts and stops this server.

They are at the root, whatever the path of the issuer, and over plain http, as a probe is sent to the process and not
through a proxy. No limit counts them, and the audit trail has nothing of them.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from app.health.readiness import current_readiness

LIVE, READY = "/health/live", "/health/ready"

blueprint = Blueprint("health", __name__)


@blueprint.get(LIVE)
def live() -> Response:
    """The process responds; nothing else is checked, as a restart would not help."""
    return uncached({"status": "live"})


@blueprint.get(READY)
def ready() -> Response:
    """This worker can issue tokens; 503 and the reasons if it cannot."""
    reasons = current_readiness().reasons()
    if not reasons:
        return uncached({"status": "ready"})
    response = uncached({"status": "not ready", "reasons": reasons})
    response.status_code = 503
    return response


def uncached(document: dict[str, object]) -> Response:
    response = jsonify(document)
    response.cache_control.no_store = True
    return response
