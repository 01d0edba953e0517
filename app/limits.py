"""This file is rate limits, by the library `limits`: past one, 429 with Retry-After (RFC 6585, section 4).

Failed authentications are counted per client id as sent and address, and per address (RFC 6749, section
2.3.1); successes are none. Requests are counted per client that has shown who it is. With
KEYTURN_REDIS_URL all workers count together; without it each counts for itself.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from flask import Flask, current_app, request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

import config
from app.audit import trail
from app.errors import RefusedError
from app.logs import log

REDIS_SECONDS = 0.5  # a limit is not worth a longer wait
ALONE_SECONDS = 5
MAX_ADDRESS_CHARACTERS = 64
TOO_MANY = "Too many requests. Try again after the seconds that Retry-After names."

Answer = TypeVar("Answer")
Key = tuple[RateLimitItem, str]


class Limits:
    """One per app."""

    def __init__(self, settings: config.Settings) -> None:
        self.failures, self.address, self.requests, self.introspection = (
            parse(rate) if rate else None
            for rate in (
                settings.limit_failures,
                settings.limit_address,
                settings.limit_requests,
                settings.limit_introspection,
            )
        )
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared = shared(settings.redis_url) if settings.redis_url else None
        self._alone_until = 0.0

    def test(self, key: Key) -> bool:
        """Whether one more would be within the limit."""
        return self._ask(lambda limiter: limiter.test(*key))

    def hit(self, key: Key) -> bool:
        """Count one more; False if it is past the limit."""
        return self._ask(lambda limiter: limiter.hit(*key))

    def retry_after(self, key: Key) -> int:
        """Seconds until the limit begins anew, at least one."""
        return max(1, math.ceil(self._ask(lambda limiter: limiter.get_window_stats(*key)).reset_time - time.time()))

    def _ask(self, question: Callable[[FixedWindowRateLimiter], Answer]) -> Answer:
        """Ask Redis. While it does not answer this worker counts for itself: a lost limit is better than a lost token.

        This is the only place where that is decided.
        """
        if self._shared and time.monotonic() >= self._alone_until:
            try:
                return question(self._shared)
            except StorageError as error:
                self._alone_until = time.monotonic() + ALONE_SECONDS
                cause = type(error.storage_error).__name__
                log.error(
                    "Redis does not answer: for %d seconds this worker counts for itself: %s", ALONE_SECONDS, cause
                )
                trail.note("limits_not_shared", client_id=None, reason=f"limits_not_shared: {cause}")
        return question(self._own)


def shared(url: str) -> FixedWindowRateLimiter:
    """A limiter that counts in Redis; it connects when it is first asked."""
    timeouts = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    return FixedWindowRateLimiter(storage_from_string(url, wrap_exceptions=True, **timeouts))


def init_app(app: Flask, settings: config.Settings) -> None:
    app.extensions["limits"] = Limits(settings)


@contextmanager
def guessing(client_id: str) -> Iterator[None]:
    """Look at credentials unless too many were wrong already, and count these if they are wrong too.

    Args:
        client_id: As it was sent; empty if none could be read.

    Raises:
        RefusedError: `temporarily_unavailable`, with status 429, before the secret is looked at.
    """
    limits: Limits = current_app.extensions["limits"]
    address = known_address(request.remote_addr or "")
    # A digest: what was sent as an id may be a secret, and may be long.
    sender = f"{hashlib.sha256(client_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]} {address}"
    keys: list[Key] = [(limit, key) for limit, key in ((limits.failures, sender), (limits.address, address)) if limit]
    for key in keys:
        if not limits.test(key):
            raise too_many(limits, key, f"too many failed authentications from {address}")
    try:
        yield
    except RefusedError as error:
        if error.error == "invalid_client":
            for key in keys:
                limits.hit(key)
        raise


def count_request(client_id: str) -> None:
    """Count a request of a client that has shown who it is.

    Raises:
        RefusedError: `temporarily_unavailable`, with status 429.
    """
    limits: Limits = current_app.extensions["limits"]
    is_question = request.endpoint == "oauth.introspection"
    limit = limits.introspection if is_question else limits.requests
    if limit and not limits.hit(key := (limit, f"{'asks' if is_question else 'requests'} {client_id}")):
        raise too_many(limits, key, f"more than {limit} by this client")


def too_many(limits: Limits, key: Key, reason: str) -> RefusedError:
    seconds = limits.retry_after(key)
    return RefusedError("temporarily_unavailable", TOO_MANY, reason=reason, status=429, retry_after=seconds)


def known_address(address: str) -> str:
    """What counts as one address: of IPv6 the first 64 bits, as one machine has all the others."""
    try:
        if ":" in address:
            return str(ipaddress.IPv6Network((address, 64), strict=False))
    except ValueError:
        pass
    return address[:MAX_ADDRESS_CHARACTERS]
