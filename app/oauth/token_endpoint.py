"""`POST /oauth/token`: a client requests an access token (RFC 6749, section 4.4)."""

from __future__ import annotations

from flask import Blueprint, Response

from app.audit.event import Event
from app.checks import making
from app.oauth.request_rules import GRANT_SUPPORTED, REQUEST_RULES, required
from app.oauth.server import current_server
from app.refusals.rendering import refused_as

blueprint = Blueprint("oauth", __name__)


@blueprint.post("/oauth/token")
@refused_as(Event.TOKEN_REFUSED)
def token() -> Response:
    """Issue an access token to a client that authenticates."""
    required("grant_type")  # Authlib calls a missing one unsupported
    making.now.check = GRANT_SUPPORTED  # by Authlib
    response: Response = current_server().create_token_response()
    return response


# They apply to introspection and revocation too, which are routes of this blueprint.
for rule in REQUEST_RULES:
    blueprint.before_request(rule)
