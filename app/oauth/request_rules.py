"""Rules for every request below `/oauth/`, checked in order before Authlib sees it: `REQUEST_RULES`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from flask import request

from app.checks import Check, making
from app.logs import log
from app.oauth.form_request import parameters
from app.refusals.errors import RefusedError
from app.refusals.hints import missing, sent_instead, sent_twice
from app.request_body import FORM
from app.settings import current_settings

HTTPS = Check("https", "In production, the request came over https.", "RFC 6749, section 3.2")
MEDIA_TYPE = Check("media_type", "The parameters are sent as a form.", "RFC 6749, section 4.4.2")
PARAMETERS_IN_BODY = Check("parameters_in_body", "No parameter is in the URL.", "RFC 6749, section 2.3.1")
PARAMETERS_ONCE = Check("parameters_once", "No parameter is sent twice.", "RFC 6749, section 3.2")
REQUIRED = {
    "grant_type": Check("grant_type", "The form has a grant_type.", "RFC 6749, section 4.4.2"),
    "token": Check("token", "The form has a token.", "RFC 7662, section 2.1, and RFC 7009, section 2.1"),
}
GRANT_SUPPORTED = Check("grant_supported", "The grant is client_credentials.", "RFC 6749, section 5.2")

OAUTH_PARAMETERS = frozenset(
    (
        "grant_type",
        "scope",
        "resource",
        "audience",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "assertion",
        "username",
        "password",
        "code",
        "redirect_uri",
        "refresh_token",
        "access_token",
        "token",
        "token_type_hint",
    )
)


def refuse_plain_http() -> None:
    """RFC 6749, section 3.2; the scheme is the one that the client used, as the trusted proxies report it."""
    making.now.check = HTTPS
    if current_settings().is_production and not request.is_secure:
        log.error("plain http at %s: is KEYTURN_TRUSTED_PROXIES the number of proxies in front?", request.path)
        raise RefusedError("invalid_request", "This address accepts https only.")


def refuse_other_media_types() -> None:
    """RFC 6749, section 4.4.2. Authlib would also read multipart, and call JSON an unsupported grant."""
    making.now.check = MEDIA_TYPE
    if request.mimetype != FORM:
        reason = f"{sent_instead(request.mimetype)}, a form is required"
        raise RefusedError("invalid_request", f"Send the parameters as {FORM}.", reason=reason, status=415)


def refuse_query_parameters() -> None:
    """RFC 6749, section 2.3.1: what is in a URL ends up in logs."""
    making.now.check = PARAMETERS_IN_BODY
    if sent := OAUTH_PARAMETERS & request.args.keys():
        reason = f"the URL has {' '.join(sorted(sent))}"
        raise RefusedError("invalid_request", "Send the parameters in the body, not in the URL.", reason=reason)


def refuse_repeated_parameters() -> None:
    """RFC 6749, section 3.2. Authlib takes the first; `resource` may repeat (RFC 8707, section 2)."""
    counts = Counter(name for name, _ in parameters())
    making.now.check = PARAMETERS_ONCE
    if twice := [name for name, count in counts.items() if count > 1 and name != "resource"]:
        reason = sent_twice(twice, OAUTH_PARAMETERS)
        raise RefusedError("invalid_request", "A parameter was sent twice.", reason=reason)


REQUEST_RULES: tuple[Callable[[], None], ...] = (
    refuse_plain_http,
    refuse_other_media_types,
    refuse_query_parameters,
    refuse_repeated_parameters,
)


def required(name: str) -> str:
    """A parameter of the form, one of `REQUIRED`.

    Raises:
        RefusedError: `invalid_request`, with the parameter's name, if it is missing or empty.
    """
    making.now.check = REQUIRED[name]
    if not (value := dict(parameters()).get(name)):
        raise RefusedError("invalid_request", f"The parameter {name} is missing.", reason=missing(name, parameters()))
    return value
