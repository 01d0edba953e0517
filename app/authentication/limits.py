"""Rate limits (library `limits`): over a limit, 429 with Retry-After (RFC 6585, section 4).

Failed authentications are counted per client id as sent and address, and per address (RFC 6749, section
2.3.1). They are counted after the credentials were checked: correct ones are neither counted nor refused,
whatever others send. Requests are counted per authenticated client.
With KEYTURN_REDIS_URL all workers count together; without it each worker counts separately.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from flask import Flask, request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

import config
from app.audit import trail
from app.audit.event import Event
from app.authentication.counters import Counters
from app.checks import Check, making
from app.logs import log
from app.per_app import PerApp
from app.refusals.errors import RefusedError
from app.trusted_proxies import plain_address

FAILURES = Check("failures", "Authentication has not failed too often.", "RFC 6749, section 2.3.1")
LIMIT = Check("limit", "The client has not sent too many requests.", "RFC 6585, section 4")

REDIS_SECONDS = 0.5  # a limit is not worth a longer wait
ALONE_SECONDS = 5
TOO_MANY = "Too many requests. Try again after the number of seconds in Retry-After."

Result = TypeVar("Result")
Key = tuple[RateLimitItem, str]


class Limits:
    """One per app."""

    def __init__(self, settings: config.Settings) -> None:
        self.failures, self.address, self.requests, self.introspection, self.api = (
            parse(rate) if rate else None
            for rate in (
                settings.limit_failures,
                settings.limit_address,
                settings.limit_requests,
                settings.limit_introspection,
                settings.limit_api,
            )
        )
        self._own = FixedWindowRateLimiter(Counters())
        self._shared = shared(settings.redis_url) if settings.redis_url else None
        self.alone_until = 0.0
        self._has_logged_missing_address = False

    def hit(self, key: Key) -> bool:
        """Count one; False if it is over the limit."""
        return self._count(lambda limiter: limiter.hit(*key))

    def retry_after(self, key: Key) -> int:
        """Seconds until the window of the limit ends: from 1 to its length."""
        reset = self._count(lambda limiter: limiter.get_window_stats(*key)).reset_time
        return min(max(1, math.ceil(reset - time.time())), key[0].get_expiry())

    def log_missing_address(self, text: str) -> None:
        """Log once that the limit per address does not work, and which setting to check."""
        if self.address and not self._has_logged_missing_address:
            self._has_logged_missing_address = True
            what = "is not an IP address" if text else "is unknown, as over a unix socket"
            message = "the client's address %s: KEYTURN_LIMIT_ADDRESS does not apply; is KEYTURN_TRUSTED_PROXIES right?"
            log.error(message, what)

    def _count(self, count: Callable[[FixedWindowRateLimiter], Result]) -> Result:
        """Count in Redis. While it is down this worker counts separately: a lost limit is better than a lost token.

        This is the only place where that is decided.
        """
        if self._shared and time.monotonic() >= self.alone_until:
            try:
                return count(self._shared)
            except StorageError as error:
                self._count_alone(type(error.storage_error).__name__)
        return count(self._own)

    def _count_alone(self, cause: str) -> None:
        if time.monotonic() < self.alone_until:
            return  # another thread waited for it too, and has logged it
        self.alone_until = time.monotonic() + ALONE_SECONDS
        log.error("Redis does not respond: for %d seconds this worker counts separately: %s", ALONE_SECONDS, cause)
        trail.record_soon(Event.LIMITS_NOT_SHARED, client_id=None, reason=f"limits_not_shared: {cause}")


def shared(url: str) -> FixedWindowRateLimiter:
    """A limiter that counts in Redis; it connects when it first counts."""
    timeouts = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    return FixedWindowRateLimiter(storage_from_string(url, wrap_exceptions=True, **timeouts))


current_limits = PerApp[Limits]("limits")


def init_app(app: Flask, settings: config.Settings) -> None:
    current_limits.set(app, Limits(settings))


def count_failure(client_id: str, reason: str) -> None:
    """Count a failed authentication, in each limit, and in the same way whatever was wrong.

    Args:
        client_id: As it was sent; empty if none could be read.
        reason: What was wrong, for the log.

    Raises:
        RefusedError: `temporarily_unavailable`, with status 429, if it is over a limit.
    """
    limits = current_limits()
    address = known_address(request.remote_addr or "")
    if not address:
        limits.log_missing_address(request.remote_addr or "")
    # A digest: what was sent as an id may be a secret, and may be long.
    sender = f"{hashlib.sha256(client_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]} {address}"
    counted = [
        (limits.failures, sender, "of this client id from", "FAILURES"),
        # Without an address all clients would share one limit, and one guesser would exhaust it for all.
        (limits.address if address else None, address, "from", "ADDRESS"),
    ]
    passed = [
        ((limit, key), f"more than {limit} failed authentications {whose}", setting)
        for limit, key, whose, setting in counted
        if limit and not limits.hit((limit, key))
    ]
    for limit_and_key, failures, setting in passed:
        making.now.has_failed = True  # that one too
        making.now.check = FAILURES
        place = address or "an unknown address"
        raise too_many(limit_and_key, f"{reason}; {failures} {place} (KEYTURN_LIMIT_{setting})")


def count_request(client_id: str) -> None:
    """Count a token request of an authenticated client.

    Raises:
        RefusedError: `temporarily_unavailable`, with status 429, if it is over the limit.
    """
    count(current_limits().requests, f"requests {client_id}", "more than {} by this client (KEYTURN_LIMIT_REQUESTS)")


def count_introspection(client_id: str) -> None:
    """Count an introspection by an API, as `count_request` does."""
    reason = "more than {} by this API (KEYTURN_LIMIT_INTROSPECTION)"
    count(current_limits().introspection, f"introspections {client_id}", reason)


def count_call(client_id: str) -> None:
    """Count a request to a guarded route, by the client of a checked token, as `count_request` does."""
    count(current_limits().api, f"calls {client_id}", "more than {} by this client (KEYTURN_LIMIT_API)")


def count(limit: RateLimitItem | None, key: str, reason: str) -> None:
    if limit:
        making.now.check = LIMIT
        if not current_limits().hit((limit, key)):
            raise too_many((limit, key), reason.format(limit))


def too_many(key: Key, reason: str) -> RefusedError:
    seconds = current_limits().retry_after(key)
    return RefusedError("temporarily_unavailable", TOO_MANY, reason=reason, status=429, retry_after=seconds)


@lru_cache(maxsize=4_096)
def known_address(text: str) -> str:
    """What counts as one address: of IPv6 the first 64 bits, as one machine has all the others.

    Args:
        text: An address, with or without a port.

    Returns:
        The address or network; empty if the text has neither form.
    """
    address = plain_address(text)
    return str(ipaddress.IPv6Network((address, 64), strict=False)) if ":" in address else address
