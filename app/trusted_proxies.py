"""The address and the scheme that the trusted proxies saw, as Werkzeug's `ProxyFix` reads them.

Each trusted proxy appends one value to `X-Forwarded-For`, so the value at that place from the right is
the proxy's own, whatever the client sent before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

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
