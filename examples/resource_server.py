"""A resource server: an API in its own process, which needs only the URL of Keyturn.

    python examples/resource_server.py --check jwt             # verifies with the public keys
    python examples/resource_server.py --check introspection   # sends each token to Keyturn, so a revocation counts

It needs Flask and Authlib. Copy it into your service, change the settings and the routes, and leave the
code between them as it is. The settings come from the environment: ISSUER, AUDIENCE, CLIENT_ID, CLIENT_SECRET.

With `jwt` a revoked token is accepted until it expires. Once the keys were fetched, the authorization server
may be down for a day; a key that was withdrawn is trusted until they are fetched again.
With `introspection` a revocation takes effect within CACHE_SECONDS, the server checks signature and type, and
nothing is served while it does not respond.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import logging
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from authlib.integrations.flask_oauth2 import ResourceProtector, current_token
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import MissingAuthorizationError, OAuth2Request, UnsupportedTokenTypeError
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Flask, Response, abort, jsonify
from joserfc import jwk, jwt
from joserfc.errors import JoseError
from werkzeug.serving import run_simple

# The settings: the issuer and the audience of the tokens, and our credentials for introspection.
ISSUER = os.environ.get("ISSUER", "http://127.0.0.1:8000")
AUDIENCE = os.environ.get("AUDIENCE", "http://127.0.0.1:8001")
CLIENT_ID = os.environ.get("CLIENT_ID", "demo-shipments")
CLIENT_SECRET = os.environ.get("CLIENT_SECRET", "kts_demo-shipments-is-for-learning-only")
SETTINGS = """\
settings, from the environment:
  ISSUER         whose tokens are accepted: KEYTURN_ISSUER (http://127.0.0.1:8000)
  AUDIENCE       the audience of this API in keyturn.toml (http://127.0.0.1:8001)
  CLIENT_ID      of this API, registered with --resource-server; for --check introspection
  CLIENT_SECRET  its secret
"""

ALGORITHMS = ["RS256", "ES256"]
TYPES = ("at+jwt", "application/at+jwt")
MAX_TOKEN_CHARACTERS = 8_192
CLOCK_SECONDS = 60  # how far another machine's clock may be ahead
TIMEOUT_SECONDS = 2
MAX_RESPONSE_BYTES = 1_000_000
REDIRECTS = range(300, 400)
COOLDOWN_SECONDS = 5  # between two attempts to fetch the keys, whatever is sent to us
MAX_AGE_SECONDS = 300  # of the keys, if the server does not send one
MAX_STALE_SECONDS = 86_400  # keys that are older than the longest token are no longer trusted
CACHE_SECONDS = 5  # of an introspection response: a revocation takes effect within this time
CACHE_SIZE = 10_000

log = logging.getLogger("resource_server")


@dataclass(frozen=True)
class AccessToken:
    """A token that has been checked: `current_token`, in a guarded route."""

    client_id: str
    scope: str
    claims: dict[str, Any]


class RefusedError(OAuth2Error):
    """A request that is refused (RFC 6750, section 3.1)."""

    def __init__(self, error: str, status: int, scope: str = "") -> None:
        super().__init__(error=error, status_code=status)
        self.scope = scope


def invalid_token(reason: str) -> RefusedError:
    log.info("refused: %r", reason)  # never the token itself; quoted, as it may repeat a part of its header
    return RefusedError("invalid_token", 401)


def unavailable(reason: str) -> RefusedError:
    log.error("cannot check any token: %s", reason)
    return RefusedError("temporarily_unavailable", 503)


# Requests to the authorization server.


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: our secret would go wherever it points, and the response would be trusted."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def fetch(url: str, form: dict[str, str] | None = None) -> tuple[dict[str, Any], str]:
    """The JSON object at a URL, and its Cache-Control; a form is sent by POST, with our secret.

    Raises:
        OSError: If there is no response, or one with another status than 2xx; the text has the URL.
        ValueError, TypeError: If it is not a JSON object.
    """
    if not url.startswith(ISSUER.partition("//")[0]):  # https stays https: our secret goes there
        raise ValueError(f"{url} has another scheme than the issuer")
    request = urllib.request.Request(url)  # noqa: S310
    if form is not None:
        request.data = urlencode(form).encode()
        pair = f"{quote(CLIENT_ID, safe='')}:{quote(CLIENT_SECRET, safe='')}"  # RFC 6749, section 2.3.1
        request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    text, cache_control = read(request)
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{url}: the response is no JSON") from error
    if not isinstance(document, dict):
        raise TypeError(f"{url}: the response is no JSON object")
    return document, cache_control


def read(request: urllib.request.Request) -> tuple[bytes, str]:
    """The body of the response, and its Cache-Control.

    Raises:
        OSError: If there is no response, or one with another status than 2xx; the text has the URL.
    """
    try:
        with OPENER.open(request, timeout=TIMEOUT_SECONDS) as response:
            return response.read(MAX_RESPONSE_BYTES), response.headers.get("Cache-Control", "")
    except urllib.error.HTTPError as error:
        error.close()
        redirect = ", a redirect, which is not followed" if error.code in REDIRECTS else ""
        raise OSError(f"{request.full_url}: HTTP status {error.code}{redirect}") from error
    except http.client.HTTPException as error:
        raise OSError(f"{request.full_url}: the response is broken: {type(error).__name__}") from error
    except OSError as error:
        raise OSError(f"{request.full_url}: {error}") from error


def find_address(name: str) -> str:
    """A URL in the metadata of the authorization server (RFC 8414, section 3)."""
    parts = urlsplit(ISSUER)
    place = urlunsplit(parts._replace(path="/.well-known/oauth-authorization-server" + parts.path))
    metadata, _ = fetch(place)
    if metadata.get("issuer") != ISSUER:  # RFC 8414, section 3.3: or anyone's metadata would do
        raise ValueError(f"{place}: the metadata is another issuer's (ISSUER is {ISSUER})")
    if name not in metadata:
        raise LookupError(f"{place}: the metadata has no {name}")
    return str(metadata[name])


# The check of a JWT: by its signature, with keys that are fetched now and then.


class Keys:
    """The public keys, cached for their max-age, and longer while the authorization server is down."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: dict[str, jwk.Key] = {}
        self.fetched_at = self.stale_at = self.next_attempt = 0.0

    def find(self, kid: str) -> jwk.Key:
        """The key with this id. An unknown one may be new, so the keys are fetched again, but not for every token."""
        if kid not in self.known or time.monotonic() >= self.stale_at:
            self.refresh(wait=kid not in self.known)
        if not self.known or time.monotonic() > self.fetched_at + MAX_STALE_SECONDS:
            raise unavailable("there are no keys, or they are too old")
        key = self.known.get(kid)
        if key is None:
            raise invalid_token("its kid names no key")
        return key

    def refresh(self, *, wait: bool) -> None:
        """One thread fetches; the others wait for it only if they need to, and a few seconds at most."""
        if self.lock.acquire(timeout=2 * TIMEOUT_SECONDS if wait else 0):
            try:
                if time.monotonic() >= self.next_attempt:
                    self.fetch()
                    self.next_attempt = time.monotonic() + COOLDOWN_SECONDS
            finally:
                self.lock.release()

    def fetch(self) -> None:
        try:
            document, cache_control = fetch(find_address("jwks_uri"))
            # Keys of other kinds are ignored (RFC 7517, section 5).
            ours = [key for key in document["keys"] if key.get("alg") in ALGORITHMS and "kid" in key]
            self.known = {key["kid"]: jwk.import_key(key) for key in ours}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, JoseError) as error:
            log.warning("the keys stay as they were: %s", error)
            return
        found = re.search(r"max-age=(\d{1,9})", cache_control)
        self.fetched_at = time.monotonic()
        self.stale_at = self.fetched_at + min(int(found[1]) if found else MAX_AGE_SECONDS, MAX_STALE_SECONDS)


class ScopeValidator(BearerTokenValidator):
    def validate_token(self, token: AccessToken, scopes: Sequence[str] | None, request: OAuth2Request) -> None:
        """The token itself has been checked; what is left is the scope that the route requires."""
        if self.scope_insufficient(token.scope, scopes):
            raise RefusedError("insufficient_scope", 403, scope=(scopes or [""])[0])


class JwtValidator(ScopeValidator):
    def __init__(self) -> None:
        super().__init__()
        self.keys = Keys()

    def authenticate_token(self, token_string: str) -> AccessToken:
        try:
            token = jwt.decode(token_string, self.find_key, algorithms=ALGORITHMS)
            # Authlib's own validator lets a token without `typ` pass; RFC 9068, section 4 does not.
            if str(token.header.get("typ")).lower() not in TYPES:
                raise ValueError("its typ is not at+jwt")
            return checked(token.claims)
        # RecursionError: thousands of brackets in a row are JSON too.
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise invalid_token(str(error)) from error

    def find_key(self, token: Any) -> jwk.Key:
        return self.keys.find(str(token.headers().get("kid")))


# The check by introspection (RFC 7662).


class IntrospectionValidator(ScopeValidator):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.responses: OrderedDict[bytes, tuple[float, dict[str, Any]]] = OrderedDict()
        self.address = ""

    def authenticate_token(self, token_string: str) -> AccessToken:
        response = self.introspect(token_string)
        if response.get("active") is not True:
            raise invalid_token("the authorization server says that it is not active")
        try:
            if str(response.get("token_type", "Bearer")).lower() != "bearer":
                raise ValueError("it is no bearer token")
            return checked(response)
        except (JoseError, ValueError, TypeError) as error:
            raise invalid_token(str(error)) from error

    def introspect(self, token: str) -> dict[str, Any]:
        """The response for a token, at most CACHE_SECONDS old. Without one every request is refused."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise invalid_token("it is longer than any token")
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()  # a cache holds no tokens
        until, known = self.responses.get(digest, (0.0, {}))
        if time.monotonic() < until:
            return known
        try:
            self.address = self.address or find_address("introspection_endpoint")
            response, _ = fetch(self.address, {"token": token})
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise unavailable(str(error)) from error
        with self.lock:
            self.responses[digest] = (time.monotonic() + CACHE_SECONDS, response)
            self.responses.move_to_end(digest)
            while len(self.responses) > CACHE_SIZE:
                self.responses.popitem(last=False)
        return response


# What both have in common.


def checked(claims: dict[str, Any]) -> AccessToken:
    """The token that these claims describe (RFC 9068, section 2.2).

    Raises:
        JoseError, ValueError, TypeError: If the issuer or the audience is another, or the token is not valid now.
    """
    needed: dict[str, Any] = {name: {"essential": True} for name in ("exp", "sub", "client_id", "iat", "jti")}
    needed |= {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}}
    jwt.JWTClaimsRegistry(leeway=CLOCK_SECONDS, **needed).validate(claims)
    if claims["exp"] <= time.time():  # no leeway here: a token of two seconds would be valid for a minute
        raise ValueError("it has expired")
    client_id, scope = claims["client_id"], claims.get("scope", "")
    if not isinstance(client_id, str) or not isinstance(scope, str):
        raise TypeError("its client_id or its scope is no text")
    return AccessToken(client_id, scope, claims)


class Protector(ResourceProtector):
    def raise_error_response(self, error: OAuth2Error) -> NoReturn:
        """The challenge that RFC 6750, section 3 requires; Authlib's 403 has none, its 401 a code of no RFC."""
        if isinstance(error, MissingAuthorizationError | UnsupportedTokenTypeError):
            error = RefusedError("", 401)
        body = {"error": error.error} if error.error else {}
        response = Response(json.dumps(body), error.status_code, mimetype="application/json")
        parts = ['realm="shipments"', *(f'{name}="{value}"' for name, value in body.items())]
        if scope := getattr(error, "scope", ""):
            parts.append(f'scope="{scope}"')
        if error.status_code == 503:
            response.headers["Retry-After"] = str(COOLDOWN_SECONDS)
        else:
            response.headers["WWW-Authenticate"] = "Bearer " + ", ".join(parts)
        abort(response)


# The API.

SHIPMENTS = {
    "4711": {"status": "out for delivery", "expected": "2026-11-24"},
    "4712": {"status": "at the depot", "expected": "2026-11-26"},
}


def create_app(check: str) -> Flask:
    """The API, with tokens checked by `jwt` or `introspection`. Under gunicorn: `resource_server:create_app("jwt")`."""
    require_oauth = Protector()
    require_oauth.register_token_validator({"jwt": JwtValidator, "introspection": IntrospectionValidator}[check]())
    app = Flask(__name__)

    @app.get("/shipments")
    @require_oauth("shipments:read")
    def list_shipments() -> Response:
        return jsonify(asked_by=current_token.client_id, shipments=sorted(SHIPMENTS))

    @app.get("/shipments/<number>")
    @require_oauth("shipments:read")
    def show_shipment(number: str) -> Response:
        return jsonify(SHIPMENTS.get(number) or abort(404))

    return app


def main() -> None:
    parser = argparse.ArgumentParser(
        description="An API that requires the scope shipments:read.",
        epilog=SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", choices=["jwt", "introspection"], default="jwt", help="how a token is checked (jwt)")
    parser.add_argument("--port", type=int, default=8001, help="where to listen, on 127.0.0.1 (8001)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    log.info("tokens of the issuer %s for the audience %s, checked by %s", ISSUER, AUDIENCE, arguments.check)
    run_simple("127.0.0.1", arguments.port, create_app(arguments.check), threaded=True)


if __name__ == "__main__":
    main()
