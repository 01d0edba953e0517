"""One HTTP GET that is bounded in time, in size, and in where it goes.

urllib3 does the transport. It is given an address instead of the name, as `addresses.resolve` has checked that one;
the certificate must be the name's. No proxy is taken from the environment. An authority of one's own is named in
OpenSSL's `SSL_CERT_FILE`.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import Url, parse_url

from app.remote_keys import addresses
from app.remote_keys.key_source import KeySetError

SECONDS = 3
MAX_BYTES = 262_144
MAX_REDIRECTS = 3
PORTS = {"https": 443, "http": 80}
REDIRECTS = (301, 302, 303, 307, 308)


class Bounds(NamedTuple):
    """What a fetch may do, its requests together.

    Attributes:
        end: When it must have ended, by `time.monotonic`.
        is_production: Whether http and this machine are refused.
        private_network: Whether private addresses are allowed.
    """

    end: float
    is_production: bool
    private_network: bool

    def left(self) -> float:
        """Seconds that are left, more than 0."""
        return max(0.001, self.end - time.monotonic())


class Document(NamedTuple):
    """What a server sent."""

    content: bytes
    headers: dict[str, str]


def get(address: str, bounds: Bounds) -> Document:
    """Request a document; redirects are followed on the same server only.

    Raises:
        KeySetError: If it cannot be had within the bounds.
    """
    for _ in range(1 + MAX_REDIRECTS):
        url = parsed(address)
        found = get_once(url, bounds)
        if isinstance(found, Document):
            return found
        address = parsed(address, found).url
        if origin(parsed(address)) != origin(url):
            break
    raise KeySetError("redirect", source=url.netloc)


def parsed(address: str, relative: str = "") -> Url:
    try:
        return parse_url(urljoin(address, relative))
    except (HTTPError, ValueError) as error:
        raise KeySetError("unreachable", source="there", why="the address is not valid") from error


def origin(url: Url) -> tuple[str | None, str | None, int | None]:
    """RFC 6454, section 4."""
    return url.scheme, url.host, url.port or PORTS.get(url.scheme or "")


def get_once(url: Url, bounds: Bounds) -> Document | str:
    """What a server sent, or to where it redirects.

    Raises:
        KeySetError: If it sent neither.
    """
    scheme, host, port = origin(url)
    if scheme not in PORTS or host is None or port is None or (scheme == "http" and bounds.is_production):
        raise KeySetError("not_https", source=f"{scheme}://{host}" if scheme and host else "the one that is named")
    name = host.strip("[]")
    found = addresses.resolve(name, port, private=bounds.private_network, loopback=not bounds.is_production)
    with named_failures(url.netloc or name, bounds):
        connection = connect(scheme, name, port, found, bounds)
        try:
            return exchange(connection, url, bounds)
        finally:
            connection.close()


def connect(scheme: str, name: str, port: int, found: Sequence[str], bounds: Bounds) -> HTTPConnection:
    """A connection to one of the addresses: each has a fair part of the time that is left."""
    for left, address in zip(range(len(found), 0, -1), found, strict=True):
        seconds = bounds.left() / left
        if scheme == "https":
            connection: HTTPConnection = HTTPSConnection(address, port, timeout=seconds, server_hostname=name)
        else:
            connection = HTTPConnection(address, port, timeout=seconds)
        try:
            connection.connect()
        except (HTTPError, OSError) as error:
            connection.close()
            if left == 1 or isinstance(error, ssl.SSLError):
                raise
        else:
            return connection
    raise AssertionError  # a name that resolves has an address


def exchange(connection: HTTPConnection, url: Url, bounds: Bounds) -> Document | str:
    sock = connection.sock
    if sock is None:
        raise AssertionError  # it is connected
    sock.settimeout(bounds.left())
    # A server that sends a byte now and then passes every time-out of a single read.
    watch = threading.Timer(bounds.left(), hang_up, (sock,))
    watch.daemon = True
    watch.start()
    try:
        headers = {"Host": url.netloc or "", "Accept": "application/jwk-set+json, application/json"}
        headers |= {"Accept-Encoding": "identity", "Connection": "close", "User-Agent": "Keyturn"}
        connection.request("GET", url.request_uri, headers=headers, preload_content=False, decode_content=False)
        with connection.getresponse() as response:
            return received(response, url.netloc or "", bounds)
    finally:
        watch.cancel()


def hang_up(sock: socket.socket) -> None:
    """End what another thread waits for on a socket."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is closed already


def received(response: BaseHTTPResponse, host: str, bounds: Bounds) -> Document | str:
    if response.status in REDIRECTS and (location := response.headers.get("Location")):
        return location
    if response.status != 200:
        raise KeySetError("status", source=host, status=response.status)
    content = response.read(MAX_BYTES + 1)
    if time.monotonic() >= bounds.end:
        raise TimeoutError
    if len(content) > MAX_BYTES:
        raise KeySetError("too_large", source=host, most=f"{MAX_BYTES // 1_024} KiB")
    return Document(content, {name.lower(): value for name, value in response.headers.items()})


@contextmanager
def named_failures(host: str, bounds: Bounds) -> Iterator[None]:
    """Turn whatever fails into a KeySetError."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise KeySetError("certificate", source=host, why=error.verify_message) from error
    except (HTTPError, HTTPException, OSError, ValueError) as error:
        if time.monotonic() >= bounds.end or isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
            raise KeySetError("slow", source=host, seconds=SECONDS) from error
        raise KeySetError("unreachable", source=host, why=why(error)) from error


def why(error: Exception) -> str:
    """In a few words, without anything that the server sent."""
    below = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(below, ssl.SSLError):
        return f"TLS failed ({below.reason})"
    if isinstance(below, OSError) and below.strerror:
        return below.strerror
    return "the connection was closed, or its response is not HTTP"
