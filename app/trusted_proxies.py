"""The address and the scheme that the trusted proxies saw, as Werkzeug's `ProxyFix` reads them.

Each trusted proxy appends one value to `X-Forwarded-For`, so the value at that place from the right is
the proxy's own, whatever the client sent before it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_ADDRESS_CHARACTERS = 64
WITH_PORT = re.compile(r"\[(.+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")  # as some proxies write it
HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO")


class TrustedProxies:
    """WSGI middleware that trusts `count` proxies, and never for the host."""

    def __init__(self, wsgi_app: WSGIApplication, count: int) -> None:
        self._wsgi_app = ProxyFix(wsgi_app, x_for=count, x_proto=count, x_host=0, x_port=0, x_prefix=0)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for name in HEADERS:
            if '"' in (sent := environ.get(name, "")):
                # Werkzeug parses quoted strings, which these headers do not have: a quote from the client would
                # hide what the proxy appended.
                environ[name] = sent.replace('"', "")
        return self._wsgi_app(environ, start_response)


@lru_cache(maxsize=4_096)
def plain_address(text: str) -> str:
    """An address without port and zone, in its one form; empty if the text is none, as over a unix socket."""
    if found := WITH_PORT.fullmatch(text[:MAX_ADDRESS_CHARACTERS]):
        text = found[1] or found[2]
    try:
        address = ipaddress.ip_address(text[:MAX_ADDRESS_CHARACTERS].partition("%")[0])  # the zone is this machine's
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)
