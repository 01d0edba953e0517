"""Access tokens for a service: requested by one of its threads and processes, shared by all, renewed in time.

    tokens = TokenSource(token_endpoint, "ktc_…", Path("/run/billing"), secret=Path("/run/credentials/secret"))
    response = tokens.send(lambda headers: requests.get(url, headers=headers, timeout=5))  # or httpx

Copy it into your service as it is: it needs the standard library on Linux or macOS, and joserfc for a private key.
A token's life is measured by `expires_in` and the monotonic clock. No log line or error has a token or a secret.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import fcntl
import hashlib
import http.client
import json
import logging
import os
import random
import re
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

RENEW = (0.8, 0.9)  # the part of a token's life after which it is renewed; the rest is for an outage
UNKNOWN_SECONDS = 1e9  # without `expires_in` a token is used until an API refuses it
PAUSE_SECONDS = 30.0  # after an error that is no outage; and before a token that replaced a refused one is replaced
BACK_OFF_SECONDS = (0.5, 30.0)  # doubled from the first to the second
RETRY_AFTER_SECONDS = 300.0  # at most
CLOCK_SECONDS = 30.0  # by which our clock may be off before assertions are signed by the server's
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
BOOT = Path("/proc/sys/kernel/random/boot_id")  # the monotonic clock begins at each boot of Linux
log = logging.getLogger("service_client")


Response = TypeVar("Response")  # of requests or of httpx


class TokenError(Exception):
    """There is no token; the text says why."""

    def __init__(self, reason: str, status: int = 0, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.headers, self.is_outage = headers or {}, status in (0, 429) or status >= 500


@dataclass(frozen=True)
class State:
    """A token and when it may be used, renewed and requested, by the monotonic clock: the content of the file."""

    token: str = field(default="", repr=False)
    at: float = 0.0
    renew_at: float = 0.0
    expires_at: float = 0.0
    retry_at: float = 0.0
    replace_at: float = 0.0
    failures: int = 0
    reason: str = "another thread or process is still requesting it"

    def is_due(self, now: float, refused: str) -> bool:
        is_refused = self.token and self.token == refused
        return now >= max(self.retry_at, self.replace_at if is_refused else self.renew_at)


class AnyStatus(urllib.request.HTTPErrorProcessor):
    def http_response(self, request: urllib.request.Request, response: http.client.HTTPResponse) -> Any:
        return response  # whatever its status: a redirect is not followed, which would get our credentials

    https_response = http_response


def post(url: str, form: dict[str, str], headers: dict[str, str], seconds: float) -> dict[str, Any]:
    """The JSON object in a response of status 200."""
    request = urllib.request.Request(url, urlencode(form).encode(), headers)  # noqa: S310
    try:
        with urllib.request.build_opener(AnyStatus).open(request, timeout=seconds) as response:
            status, got, body = response.status, response.headers, response.read(100_000)
            if response.length:  # the rest of the body is missing, or it is too large
                raise http.client.IncompleteRead(b"")
    except (OSError, http.client.HTTPException) as error:  # not its own text, which may have what was received
        raise TokenError(f"{type(error).__name__} {getattr(error, 'reason', '')}") from None
    found: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(body)
    if status == 200 and isinstance(found, dict):
        return found
    code = str(found.get("error")) if isinstance(found, dict) else "without a JSON object"
    words = (f"HTTP {status}", code, f"X-Request-Id {got.get('X-Request-Id')}")
    raise TokenError(" ".join(each for each in words if re.fullmatch(r"[\w -]{1,64}", each)), status, got)


def moment(date: str) -> float | None:
    with contextlib.suppress(ValueError, OverflowError):
        return email.utils.parsedate_to_datetime(date).timestamp()
    return None


def pause_after(error: TokenError, failures: int) -> float:
    """Seconds until the next request; a date in Retry-After is compared with the server's clock, not with ours."""
    if not error.is_outage:
        return PAUSE_SECONDS
    first, longest = BACK_OFF_SECONDS
    value = error.headers.get("Retry-After", "")
    until, date = moment(value), moment(error.headers.get("Date", "")) or time.time()
    if until or re.fullmatch("[0-9]{1,9}", value):
        return min(max(until - date if until else float(value), first), RETRY_AFTER_SECONDS)
    growing = first * 2.0 ** min(failures - 1, 10)
    return min(growing, longest) * random.uniform(0.5, 1)  # noqa: S311


@dataclass
class TokenSource:
    """The tokens of one client for one scope and one resource (RFC 8707), both of which may be empty.

    It authenticates with a secret, with a private key (RFC 7523; PEM or JWK, RSA or P-256) for the issuer, or with a
    token that a platform writes into a file. Files are read each time, so that new credentials need no restart.
    In `folder`, into which only this user may write, all processes of the machine share the token (mode 0600).
    `seconds` is the time-out of each step of a request; without a token, a call waits at most `wait` seconds more.
    """

    token_endpoint: str
    client_id: str
    folder: Path
    scope: str = ""
    resource: str = ""
    secret: str | Path = field(default="", repr=False)
    private_key: Path | None = None
    issuer: str = ""
    platform_token: Path | None = None
    seconds: float = 5
    wait: float = 10
    clock: Callable[[], float] = time.monotonic
    state: State = State()
    ahead: float = 0.0  # seconds by which the server's clock is ahead of ours, if that is much

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if self.folder.stat().st_uid != os.geteuid() or self.folder.stat().st_mode & 0o022:
            raise PermissionError(f"{self.folder}: another user may write into it")
        named = json.dumps([self.token_endpoint, self.client_id, self.scope, self.resource])
        self.file = self.folder / f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.token"
        self.boot = BOOT.read_text(encoding="ascii") if BOOT.exists() else ""

    def send(self, request: Callable[[dict[str, str]], Response]) -> Response:
        """The response of an API to a request with these headers; it is sent once more if the token is refused."""
        found: Any
        token = self.token()
        response = found = request({"Authorization": f"Bearer {token}"})
        challenge = str(found.headers.get("WWW-Authenticate", ""))
        if found.status_code != 401 or ("error=" in challenge and "invalid_token" not in challenge):
            return response
        newer = self.token(refused=token)
        return response if newer == token else request({"Authorization": f"Bearer {newer}"})

    def token(self, refused: str = "") -> str:
        """A token that is valid; another one than an API refused, unless that was replaced just now.

        Raises:
            TokenError: If there is none within `wait` seconds, or waiting would change nothing.
        """
        give_up = self.clock() + self.wait
        while True:
            is_settled = self.renew(refused)
            state, now = self.state, self.clock()
            if now < state.expires_at and (state.token != refused or is_settled or now >= give_up):
                return state.token
            if max(now, state.retry_at) >= give_up:
                raise TokenError(f"no token for {self.client_id}: {state.reason}")
            time.sleep(max(state.retry_at - now, 0.02))

    def renew(self, refused: str) -> bool:
        """Request a token if that is due; false if another thread or process does so now."""
        now, state = self.clock(), self.state
        if now < state.expires_at and state.token != refused and not state.is_due(now, refused):
            return True
        with contextlib.ExitStack() as stack:
            try:
                self.folder.mkdir(mode=0o700, exist_ok=True)  # it may be below /tmp, where old folders are removed
                lock = stack.enter_context(self.file.with_suffix(".lock").open("w", encoding="ascii"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of a file that is opened anew: threads exclude too
            except BlockingIOError:
                return False
            except OSError as error:
                log.warning("a token is requested without a lock: %s", error)
            self.state = self.stored()
            if self.state.is_due(self.clock(), refused):
                self.state = self.after_request(self.state, refused)
        return True

    def stored(self) -> State:
        """What any process stored last, or our own if that is newer: the disk may be full."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            found = json.loads(self.file.read_text(encoding="utf-8"))
            if found.pop("boot") == self.boot and self.state.at <= found["at"] <= self.clock():
                return State(**found)
        return self.state

    def store(self, state: State) -> None:
        new = self.file.with_suffix(".new")
        try:
            new.unlink(missing_ok=True)  # of a process that was killed
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                json.dump(asdict(state) | {"boot": self.boot}, file)
            new.replace(self.file)
        except OSError as error:
            log.warning("other processes do not get the token: %s", error)

    def after_request(self, old: State, refused: str) -> State:
        """The state after a request; others get it, unless it was refused: their credentials may be newer."""
        try:
            new = self.requested(refused)
        except TokenError as error:
            log.warning("no new token for %s: %s", self.client_id, error)
            now, failures = self.clock(), old.failures + 1
            retry_at = now + pause_after(error, failures)
            new = replace(old, at=now, retry_at=retry_at, failures=failures, reason=str(error))
            if not error.is_outage:
                return new
        self.store(new)
        return new

    def requested(self, refused: str) -> State:
        at = self.clock()  # before the request: its time on the way belongs to the token's life
        try:
            found = self.post_form()
        except TokenError as error:
            seconds = (moment(error.headers.get("Date", "")) or time.time()) - time.time()
            if not self.private_key or abs(seconds - self.ahead) < CLOCK_SECONDS:
                raise
            self.ahead = seconds
            found = self.post_form()
        token, kind, scope = (str(found.get(name, "")) for name in ("access_token", "token_type", "scope"))
        if not re.fullmatch(r"[A-Za-z0-9\-._~+/]+=*", token) or kind.lower() != "bearer":  # RFC 6750, section 2.1
            raise TokenError("the response is no token response", 200)
        if "scope" in found and (missing := set(self.scope.split()) - set(scope.split())):
            raise TokenError(f"the token lacks the scope {' '.join(sorted(missing))}", 200)
        try:
            life = min(float(found.get("expires_in", UNKNOWN_SECONDS)), UNKNOWN_SECONDS)
        except (TypeError, ValueError):
            life = UNKNOWN_SECONDS
        if not at + life > self.clock():
            raise TokenError("the token has expired already", 200)
        renew_at = at + life * random.uniform(*RENEW)  # noqa: S311
        return State(token, at, renew_at, at + 0.99 * life, replace_at=at + PAUSE_SECONDS if refused else 0.0)

    def post_form(self) -> dict[str, Any]:
        form = {"grant_type": "client_credentials", "scope": self.scope, "resource": self.resource}
        headers = {"Accept": "application/json"}
        try:
            if credential := self.private_key or self.platform_token:
                read = credential.read_text(encoding="ascii").strip()
                form |= {"client_id": self.client_id, "client_assertion_type": ASSERTION}
                form["client_assertion"] = self.signed(read) if self.private_key else read
            else:
                headers["Authorization"] = self.basic()
        except (OSError, ValueError, LookupError) as error:
            raise TokenError(f"the credentials cannot be used: {type(error).__name__}", 400) from None
        return post(self.token_endpoint, {name: each for name, each in form.items() if each}, headers, self.seconds)

    def basic(self) -> str:
        secret = self.secret.read_text(encoding="utf-8").strip() if isinstance(self.secret, Path) else self.secret
        pair = f"{quote(self.client_id, safe='')}:{quote(secret, safe='')}"  # RFC 6749, section 2.3.1
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def signed(self, key_text: str) -> str:
        from joserfc import errors, jwk, jwt

        found, now = json.loads(key_text) if key_text.startswith("{") else key_text, int(time.time() + self.ahead)
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": self.issuer, "jti": uuid.uuid4().hex}
        for kind, algorithm in ((jwk.RSAKey, "RS256"), (jwk.ECKey, "ES256")):
            with contextlib.suppress(errors.JoseError):
                key = kind.import_key(found)
                header = {"alg": algorithm, "kid": key.kid or key.thumbprint()}
                return jwt.encode(header, claims | {"iat": now, "exp": now + 60}, key)
        raise ValueError("the private key is neither RSA nor P-256")
