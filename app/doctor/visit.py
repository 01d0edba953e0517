"""A visit to the servers as clients reach them: through the issuer's address, with its proxy and its certificate.

The proxy decides which server responds, so there are several requests, each on a connection of its own. They are GETs
of public documents: nothing is counted, and nothing is in the audit trail.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from app.clock import monotonic, now
from app.health import sighting
from app.health.sighting import Sighting

REQUEST_SECONDS = 3
VISIT_SECONDS = 8
REQUESTS = 16
MAX_BYTES = 1_048_576
METADATA = "/.well-known/oauth-authorization-server"
JWKS = "/.well-known/jwks.json"


class VisitError(Exception):
    """The servers cannot be reached through the issuer's address; the text says why, the remedy what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


@dataclass
class Visit:
    """What was seen.

    Attributes:
        problem: Why nothing was seen, if nothing was.
        issuer: The issuer that the metadata names.
        kids: The ids in each JWKS that was received.
        sightings: What each server showed; of a worker once.
        ahead: By how many seconds the clock of each server is ahead of this machine's, by the server's name.
        without: How many responses showed nothing.
    """

    problem: VisitError | None = None
    issuer: str | None = None
    kids: list[frozenset[str]] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    ahead: dict[str, int] = field(default_factory=dict)
    without: int = 0

    def servers(self) -> Counter[str]:
        """The servers that were seen, each with the number of its workers."""
        return Counter({each.host: each.workers for each in self.sightings})


def visit(issuer: str, proof: bool) -> Visit:
    """Request the metadata and, several times, the JWKS.

    Args:
        issuer: KEYTURN_ISSUER.
        proof: Whether there is a secret key with which servers can be made to show what they see.
    """
    seen, end = Visit(), monotonic() + VISIT_SECONDS
    path = urlsplit(issuer).path
    try:
        seen.issuer = str(get(issuer, METADATA + path)[0].get("issuer"))
        for _ in range(REQUESTS):
            look(issuer, path + JWKS, seen, proof)
            if monotonic() > end:
                break
    except VisitError as error:
        seen.problem = error
    return seen


def look(issuer: str, path: str, seen: Visit, proof: bool) -> None:
    nonce = secrets.token_hex(8)
    headers = {"X-Forwarded-For": sighting.MARK} | ({sighting.DOCTOR: sighting.proof(nonce)} if proof else {})
    before = now()
    document, shown = get(issuer, f"{path}?{nonce}", headers)  # the query passes a cache
    after = now()
    keys = document.get("keys")
    seen.kids.append(frozenset(str(key.get("kid")) for key in keys if isinstance(key, dict)) if keys else frozenset())
    found = sighting.read(shown, nonce) if proof and shown else None
    if found is None:
        seen.without += 1
    elif (found.host, found.pid) not in [(each.host, each.pid) for each in seen.sightings]:
        seen.sightings.append(found)
        seen.ahead[found.host] = found.now - min(max(found.now, before), after)


def get(issuer: str, path: str, headers: dict[str, str] | None = None) -> tuple[dict[str, Any], str]:
    """A JSON document below the issuer's address, and what the server shows of itself.

    No proxy of the environment is used, and no redirect is followed: a client need not do either.

    Raises:
        VisitError: If there is none.
    """
    parts = urlsplit(issuer)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    try:
        with closing(kind(str(parts.hostname), parts.port, timeout=REQUEST_SECONDS)) as connection:
            connection.request("GET", path, headers={"Connection": "close"} | (headers or {}))
            response = connection.getresponse()
            body, shown = response.read(MAX_BYTES), response.getheader(sighting.SEEN, "")
    except (OSError, HTTPException, ValueError) as error:
        raise why(error) from error
    if response.status != 200:
        raise VisitError(
            f"GET {path.partition('?')[0]} at the issuer's address has the status {response.status}, not 200.",
            "Let the proxy pass every path of the issuer to Keyturn unchanged, without a redirect.",
        )
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise VisitError(
            "What responds at the issuer's address is not Keyturn: it does not send JSON.",
            "Compare KEYTURN_ISSUER with the address that the proxy passes to Keyturn.",
        )
    return document, shown


def why(error: Exception) -> VisitError:
    """A failed connection, as a sentence and its remedy."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return VisitError(
            f"The certificate at the issuer's address is not accepted: {error.verify_message}.",
            "Give the proxy a valid certificate with its whole chain; clients refuse this one too. For a certificate "
            "of your own authority, set SSL_CERT_FILE for this command.",
        )
    if isinstance(error, ssl.SSLError):
        return VisitError(
            "What responds at the issuer's address does not speak TLS.",
            "Put a proxy in front that terminates TLS, or correct the port in KEYTURN_ISSUER.",
        )
    if isinstance(error, socket.gaierror):
        return VisitError(
            "The name in KEYTURN_ISSUER cannot be resolved on this machine.",
            "Correct KEYTURN_ISSUER, or the entry in the DNS.",
        )
    if isinstance(error, TimeoutError):
        return VisitError(
            f"Nothing at the issuer's address responds within {REQUEST_SECONDS} seconds.",
            "See whether the server and its proxy run, and whether a firewall is between.",
        )
    return VisitError(
        f"No server responds at the issuer's address: {type(error).__name__}.",
        "Start the server and its proxy; correct KEYTURN_ISSUER if they are at another address.",
    )
