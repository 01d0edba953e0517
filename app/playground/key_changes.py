"""`POST /playground/keys`: rotate or withdraw a signing key, from this server's own page on the same machine only."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import request

from app.checks import Check, making
from app.clock import now
from app.keys import keystore, rotation
from app.keys.cipher import SealedKeyError
from app.operations.startup import is_loopback
from app.refusals.errors import RefusedError
from app.settings import current_settings, sign_of_production

ON_THIS_MACHINE = Check("on_this_machine", "The server and the browser are on one machine.", "our own")
FROM_THIS_PAGE = Check("from_this_page", "The request is from this server's own page.", "RFC 6454, section 7")
ACTION = Check("key_action", "The body is JSON, with an action and its key.", "our own")

NOT_HERE = "The keys can be changed only on the page of a development server on the same machine."
OF_A_PROXY = {f"HTTP_{name}" for name in ("FORWARDED", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_REAL_IP", "VIA")}
ACTIONS = "Send a JSON object: the member action is rotate, or it is withdraw and the member kid names the key."


def change_keys() -> dict[str, Any]:
    """Rotate at once as `flask keys rotate --now`, or withdraw a key as `flask keys withdraw KID`."""
    refuse_others()
    making.now.check = ACTION
    action, kid = read_action()
    try:
        key = rotation.rotate(at_once=True) if action == "rotate" else rotation.withdraw(kid)
    except (rotation.RotationError, SealedKeyError) as error:
        raise RefusedError("invalid_request", "The keys cannot be changed like this.", reason=str(error)) from error
    return {"kid": key.kid, "keys": published_keys()}


def published_keys() -> list[dict[str, str]]:
    """The keys in the JWKS, the one that signs first."""
    moment = now()
    return [{"kid": key.kid, "alg": key.alg, "state": key.state(moment)} for key in keystore.published()]


def refuse_others() -> None:
    making.now.check = ON_THIS_MACHINE
    if obstacle := find_obstacle():
        raise RefusedError("access_denied", NOT_HERE, reason=obstacle)
    making.now.check = FROM_THIS_PAGE
    if not is_from_this_page():
        raise RefusedError("access_denied", NOT_HERE, reason="the request is not from the page of this server")


def find_obstacle() -> str | None:
    """Why the keys cannot be changed over this connection; None if they can.

    gunicorn and `flask run` set SERVER_NAME to the address at which the server listens, and REMOTE_ADDR to that of the
    client. Over a unix socket SERVER_NAME is the Host that was sent, but then REMOTE_ADDR is empty.
    """
    settings = current_settings()
    if sign := sign_of_production(settings):
        return f"Others may reach this server: {sign}."
    environ = request.environ
    if not (is_loopback(environ.get("SERVER_NAME", "")) and is_loopback(environ.get("REMOTE_ADDR", ""))):
        return "The server listens beyond loopback, or the request is from another machine."
    if environ.keys() & OF_A_PROXY:
        return "A proxy sent the request."
    if environ.get("HTTP_HOST", "").lower() != urlsplit(settings.issuer).netloc.lower():
        return f"The keys can be changed on the page at {settings.issuer}/ only."
    return None


def is_from_this_page() -> bool:
    """Whether the browser says so: by its Origin (RFC 6454, section 7), or if it sends none by Sec-Fetch-Site."""
    parts = urlsplit(current_settings().issuer)
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if (origin := request.headers.get("Origin")) is not None:
        return origin == f"{parts.scheme}://{parts.netloc}" and site == "same-origin"
    return request.headers.get("Sec-Fetch-Site") == "same-origin"


def read_action() -> tuple[str, str]:
    """The action, and the `kid` that it is for; empty for a rotation."""
    try:
        body = request.get_json()  # any other media type is a 415
    except RecursionError as error:  # thousands of brackets in a row are JSON too
        raise RefusedError("invalid_request", ACTIONS, reason="the JSON is nested too deeply") from error
    match body:
        case {"action": "rotate", **rest} if not rest:
            return "rotate", ""
        case {"action": "withdraw", "kid": str(kid), **rest} if not rest:
            return "withdraw", kid
    raise RefusedError("invalid_request", ACTIONS)
