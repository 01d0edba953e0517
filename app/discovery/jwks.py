"""`GET /.well-known/jwks.json`: the public keys (RFC 7517, section 5), for anyone who checks a token."""

from __future__ import annotations

from flask import Blueprint, request
from werkzeug import Response

from app.discovery.public_document import public
from app.health import sighting
from app.keys import keystore
from app.keys.signing_key import JWKS_MAX_AGE_SECONDS

PATH = "/.well-known/jwks.json"

blueprint = Blueprint("jwks", __name__)


@blueprint.get(PATH)
def jwks() -> Response:
    """Public members only: the row stores nothing else unencrypted (RFC 7517, section 9.3)."""
    response = public({"keys": [row.public_jwk for row in keystore.published()]}, max_age=JWKS_MAX_AGE_SECONDS)
    response.add_etag()
    return sighting.show(response).make_conditional(request)
