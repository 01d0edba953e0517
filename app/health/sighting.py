"""What a server shows of itself to `flask doctor`, which requests the JWKS through the issuer's address.

Nobody else reads it: the request has a header that only the server's secret keys can make, and the response has one
that only they can decrypt. So it passes every proxy, and a cache that stores it stores nothing of use.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, fields
from typing import Any

from flask import Flask, Response, current_app, request

import config
from app.authentication.limits import current_limits
from app.clock import monotonic, now
from app.keys import cipher
from app.per_app import PerApp
from app.settings import current_settings

DOCTOR, SEEN = "X-Keyturn-Doctor", "X-Keyturn-Seen"
PURPOSE = "show what you see: "  # without it a signing key at rest, which is encrypted alike, would be a proof
# An address that no machine has (RFC 5737): what is right of it in X-Forwarded-For, proxies have added.
MARK = "192.0.2.1"
MOST_KEYS = 8  # secret keys, of which there are two while they are replaced
# Settings whose values are secrets or the names of files are not shown; of the others a command may have its own.
HIDDEN = (config.Form.DATABASE, config.Form.REDIS, config.Form.FERNET_KEYS, config.Form.CREDENTIAL)
OWN = ("port", "operator", "resources")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one worker saw of one request, and of itself.

    Attributes:
        host: The name of its machine.
        pid: Its process id.
        now: The time on its clock, in seconds since the epoch.
        scheme: `https` or `http`, as it believes that the client sent the request.
        has_address: Whether it knows the client's address.
        proxies: How many proxies have added a value to X-Forwarded-For.
        is_gunicorn: Whether gunicorn serves.
        worker: The class of gunicorn's worker; empty without our gunicorn.conf.py.
        workers: How many of them the server has; 1 if that is not known.
        threads: How many threads each has.
        settings: The settings that servers and commands have in common, by their variables, as text.
        has_redis: Whether it counts limits in Redis.
        counts_alone: Whether Redis did not respond to it in the last seconds.
    """

    host: str
    pid: int
    now: int
    scheme: str
    has_address: bool
    proxies: int
    is_gunicorn: bool
    worker: str = ""
    workers: int = 1
    threads: int = 1
    settings: dict[str, str]
    has_redis: bool
    counts_alone: bool


current_serving = PerApp[dict[str, Any]]("serving")


def serves(app: Flask, worker: Any) -> None:
    """Remember by which worker of gunicorn this process serves; `gunicorn.conf.py` calls it.

    Args:
        app: The app that is served.
        worker: gunicorn's worker, with its `cfg`.
    """
    described = {"worker": type(worker).__name__, "workers": worker.cfg.workers, "threads": worker.cfg.threads}
    current_serving.set(app, described)


def proof(nonce: str) -> str:
    """The header of a request for a sighting: encrypted by each secret key, as a server may not have the newest yet.

    Raises:
        SealedKeyError: If there is no secret key.
    """
    return ",".join(fernet.encrypt((PURPOSE + nonce).encode()).decode() for fernet in cipher.fernets()[:MOST_KEYS])


def show(response: Response) -> Response:
    """Add what this server sees of the present request, if it has the header; a wrong one is ignored."""
    if DOCTOR not in request.headers:
        return response
    proofs = request.headers[DOCTOR].split(",")[:MOST_KEYS]
    wanted = next((text for text in map(decrypted, proofs) if text.startswith(PURPOSE)), None)
    if wanted is not None:
        seen = asdict(see()) | {"nonce": wanted.removeprefix(PURPOSE)}
        response.headers[SEEN] = cipher.encrypt(json.dumps(seen).encode())
        response.headers["Cache-Control"] = "no-store"
    return response


def decrypted(sealed: str) -> str:
    """The text, or an empty one if no secret key here has encrypted it."""
    try:
        return cipher.decrypt(sealed).decode(errors="replace")
    except (cipher.SealedKeyError, ValueError):  # a header may have any byte, which Fernet does not expect
        return ""


def see() -> Sighting:
    return Sighting(
        host=socket.gethostname(),
        pid=os.getpid(),
        now=now(),
        scheme=request.scheme,
        has_address=bool(request.remote_addr),
        proxies=count_proxies(request.headers.getlist("X-Forwarded-For")),
        is_gunicorn=str(request.environ.get("SERVER_SOFTWARE")).startswith("gunicorn/"),
        **(current_serving() if "serving" in current_app.extensions else {}),
        settings=comparable(current_settings()),
        has_redis=bool(current_settings().redis_url),
        counts_alone=current_limits().alone_until > monotonic(),
    )


def count_proxies(headers: list[str]) -> int:
    """How many proxies have added a value to X-Forwarded-For, which was sent with MARK in it."""
    values = [value.strip() for value in ",".join(headers).split(",") if value.strip()]
    return values[::-1].index(MARK) if MARK in values else len(values)


def comparable(settings: config.Settings) -> dict[str, str]:
    return {
        each.metadata["variable"]: str(getattr(settings, each.name))
        for each in fields(settings)
        if each.metadata and each.metadata["check"] not in HIDDEN and each.name not in OWN
    }


def read(sealed: str, nonce: str) -> Sighting | None:
    """What a server has shown in response to the request with this nonce; None if it is another's.

    A server of another release may show more, or less.
    """
    try:
        seen = json.loads(cipher.decrypt(sealed))
        known = {each.name for each in fields(Sighting)}
        shown = Sighting(**{name: value for name, value in seen.items() if name in known})
    except (cipher.SealedKeyError, ValueError, TypeError):
        return None
    return shown if seen.get("nonce") == nonce else None
