"""This file is rate limits, by the library `limits`: past one, 429 with Retry-After (RFC 6585, section 4).

Wrong credentials are counted per client id as sent and address, and per address (RFC 6749, section
2.3.1); right ones are not. Requests are counted per client that has shown who it is. With
KEYTURN_REDIS_URL all workers count together; without it each counts for itself.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from flask import Flask, request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

import config
from app.audit import trail
from app.audit.event import Event
from app.logs import log
from app.per_app import PerApp
from app.refusals.errors import RefusedError

REDIS_SECONDS = 0.5  # a limit is not worth a longer wait
ALONE_SECONDS = 5
MAX_KEYS = 100_000  # in a worker's memory, some 20 MiB
MAX_ADDRESS_CHARACTERS = 64
TOO_MANY = "Too many requests. Try again after the seconds that Retry-After names."

Answer = TypeVar("Answer")
Key = tuple[RateLimitItem, str]


class Memory(MemoryStorage):
    """A worker's own counters. The library's own `incr` begins a thread for nearly every count."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        with self._lock:
            if len(self.storage) >= MAX_KEYS:
                self.reset()  # so many senders fail that it is better to count anew than to grow
            count = self.get(key) + amount
            if count == amount:
                self.expirations[key] = time.time() + expiry
            self.storage[key] = count
        return count


class Limits:
    """One per app."""

    def __init__(self, settings: config.Settings) -> None:
        self.failures, self.address, self.requests, self.introspection = (
            parse(rate) if (rate := getattr(settings, f"limit_{what}")) else None
            for what in ("failures", "address", "requests", "introspection")
        )
        self._own = FixedWindowRateLimiter(Memory())
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
                self._go_on_alone(type(error.storage_error).__name__)
        return question(self._own)

    def _go_on_alone(self, cause: str) -> None:
        if time.monotonic() < self._alone_until:
            return  # another thread waited for it too, and has said so
        self._alone_until = time.monotonic() + ALONE_SECONDS
        log.error("Redis does not answer: for %d seconds this worker counts for itself: %s", ALONE_SECONDS, cause)
        trail.note(Event.LIMITS_NOT_SHARED, client_id=None, reason=f"limits_not_shared: {cause}")


def shared(url: str) -> FixedWindowRateLimiter:
    """A limiter that counts in Redis; it connects when it is first asked."""
    timeouts = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    return FixedWindowRateLimiter(storage_from_string(url, wrap_exceptions=True, **timeouts))


current_limits = PerApp[Limits]("limits")


def init_app(app: Flask, settings: config.Settings) -> None:
    current_limits.set(app, Limits(settings))


def allow_guess(client_id: str) -> list[Key]:
    """Allow credentials to be looked at, unless too many were wrong already.

    Args:
        client_id: As it was sent; empty if none could be read.

    Returns:
        What `count_wrong` counts, if these are wrong too.

    Raises:
        RefusedError: `temporarily_unavailable`, with status 429, before the secret is looked at.
    """
    limits = current_limits()
    address = known_address(request.remote_addr or "")
    # A digest: what was sent as an id may be a secret, and may be long.
    sender = f"{hashlib.sha256(client_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]} {address}"
    keys = [(limit, key) for limit, key in ((limits.failures, sender), (limits.address, address)) if limit]
    for limit, key in keys:
        if not limits.test((limit, key)):
            whose, setting = ("of this client id ", "FAILURES") if key is sender else ("", "ADDRESS")
            reason = f"more than {limit} failed authentications {whose}from {address} (KEYTURN_LIMIT_{setting})"
            raise too_many(limits, (limit, key), reason)
    return keys


def count_wrong(guess: list[Key]) -> None:
    for key in guess:
        current_limits().hit(key)


def count_request(client_id: str) -> None:
    """Count a request for a token, by a client that has shown who it is.

    Raises:
        RefusedError: `temporarily_unavailable`, with status 429.
    """
    count(current_limits().requests, f"requests {client_id}", "more than {} by this client (KEYTURN_LIMIT_REQUESTS)")


def count_question(client_id: str) -> None:
    """Count a question about a token, as `count_request` does."""
    count(current_limits().introspection, f"asks {client_id}", "more than {} by this API (KEYTURN_LIMIT_INTROSPECTION)")


def count(limit: RateLimitItem | None, key: str, reason: str) -> None:
    if limit and not current_limits().hit((limit, key)):
        raise too_many(current_limits(), (limit, key), reason.format(limit))


def too_many(limits: Limits, key: Key, reason: str) -> RefusedError:
    seconds = limits.retry_after(key)
    return RefusedError("temporarily_unavailable", TOO_MANY, reason=reason, status=429, retry_after=seconds)


@lru_cache(maxsize=4_096)
def known_address(text: str) -> str:
    """What counts as one address: of IPv6 the first 64 bits, as one machine has all the others."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text[:MAX_ADDRESS_CHARACTERS]  # whatever a proxy has written there
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
