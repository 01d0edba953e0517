"""Rules for every request below `/oauth/`, checked in order before Authlib sees it: `REQUEST_RULES`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from flask import request

from app.logs import log
from app.oauth.form_request import parameters
from app.refusals.errors import RefusedError
from app.refusals.hints import missing, sent_instead, sent_twice
from app.request_body import FORM
from app.settings import current_settings

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
    if current_settings().is_production and not request.is_secure:
        log.error("plain http at %s: is KEYTURN_TRUSTED_PROXIES the number of proxies in front?", request.path)
        raise RefusedError("invalid_request", "This address accepts https only.")


def refuse_other_media_types() -> None:
    """RFC 6749, section 4.4.2. Authlib would also read multipart, and call JSON an unsupported grant."""
    if request.mimetype != FORM:
        reason = f"{sent_instead(request.mimetype)}, a form is required"
        raise RefusedError("invalid_request", f"Send the parameters as {FORM}.", reason=reason, status=415)


def refuse_query_parameters() -> None:
    """RFC 6749, section 2.3.1: what is in a URL ends up in logs."""
    if sent := OAUTH_PARAMETERS & request.args.keys():
        reason = f"the URL has {' '.join(sorted(sent))}"
        raise RefusedError("invalid_request", "Send the parameters in the body, not in the URL.", reason=reason)


def refuse_repeated_parameters() -> None:
    """RFC 6749, section 3.2. Authlib takes the first; `resource` may repeat (RFC 8707, section 2)."""
    counts = Counter(name for name, _ in parameters())
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
    """A parameter of the form.

    Raises:
        RefusedError: `invalid_request`, with the parameter's name, if it is missing or empty.
    """
    if not (value := dict(parameters()).get(name)):
        raise RefusedError("invalid_request", f"The parameter {name} is missing.", reason=missing(name, parameters()))
    return value
