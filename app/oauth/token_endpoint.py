"""This file is `POST /oauth/token`, and what is asked of a request before Authlib sees it, from top to bottom.

What stands above the route holds for every address below `/oauth/`.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.audit.event import Event
from app.logs import log
from app.oauth.server import current_server
from app.refusals.errors import RefusedError
from app.refusals.hints import sent_instead, sent_twice
from app.refusals.rendering import refused_as
from app.request_body import FORM
from app.settings import current_settings

OAUTH_PARAMETERS = frozenset(
    "grant_type scope resource audience client_id client_secret client_assertion client_assertion_type assertion "
    "username password code redirect_uri refresh_token access_token token token_type_hint".split(" ")
)

blueprint = Blueprint("oauth", __name__)


@blueprint.before_request
def refuse_plain_http() -> None:
    """RFC 6749, section 3.2; the scheme is the one that the client used, seen through the trusted proxies."""
    if current_settings().is_production and not request.is_secure:
        log.error("plain http at %s: is KEYTURN_TRUSTED_PROXIES the number of proxies in front?", request.path)
        raise RefusedError("invalid_request", "This address answers https only.")


@blueprint.before_request
def refuse_other_media_types() -> None:
    """RFC 6749, section 4.4.2. Authlib would also read multipart, and call JSON an unsupported grant."""
    if request.mimetype != FORM:
        reason = f"{sent_instead(request.mimetype)}, a form is needed"
        raise RefusedError("invalid_request", f"Send the parameters as {FORM}.", reason=reason, status=415)


@blueprint.before_request
def refuse_query_parameters() -> None:
    """RFC 6749, section 2.3.1: what stands in a URL ends in logs."""
    if sent := OAUTH_PARAMETERS & request.args.keys():
        reason = f"in the URL stood {' '.join(sorted(sent))}"
        raise RefusedError("invalid_request", "Send the parameters in the body, not in the URL.", reason=reason)


@blueprint.before_request
def refuse_repeated_parameters() -> None:
    """RFC 6749, section 3.2. Authlib takes the first; `resource` may repeat (RFC 8707, section 2)."""
    if twice := [name for name, values in request.form.lists() if len(values) > 1 and name != "resource"]:
        reason = sent_twice(twice, OAUTH_PARAMETERS)
        raise RefusedError("invalid_request", "A parameter was sent twice.", reason=reason)


def required(name: str) -> str:
    """A parameter of the form, or the refusal that names it; one without a value counts as missing."""
    if not (value := request.form.get(name)):
        raise RefusedError("invalid_request", f"The parameter {name} is missing.")
    return value


@blueprint.post("/oauth/token")
@refused_as(Event.TOKEN_REFUSED)
def token() -> Response:
    """Issue an access token (RFC 6749, section 4.4)."""
    required("grant_type")  # Authlib calls a missing one unsupported
    answer: Response = current_server().create_token_response()
    return answer
