"""Clients of the fleet: programs that request, introspect and revoke tokens, and count what they get."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from base64 import b64encode
from collections import Counter, deque
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode, urlsplit

FORM = "application/x-www-form-urlencoded"
KEPT_TOKENS = 2_000
OUTCOMES = ("200", "503", "refused", "failed")


class Client:
    """One program with one connection, which it opens again after a failure."""

    def __init__(self, url: str, certificate: Path) -> None:
        context = ssl.create_default_context(cafile=str(certificate))
        self.connection = http.client.HTTPSConnection(urlsplit(url).netloc, timeout=30, context=context)

    def close(self) -> None:
        self.connection.close()

    def post(self, path: str, credentials: tuple[str, str], **form: str) -> tuple[str, dict[str, object]]:
        """The outcome of a request, and the body of a good response."""
        basic = b64encode(":".join(credentials).encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": FORM}
        try:
            self.connection.request("POST", path, urlencode(form), headers)
            response = self.connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            return "failed", {}
        if response.status == 200:
            return "200", json.loads(body) if body else {}
        return ("503" if response.status == 503 else "refused" if response.status < 500 else "failed"), {}


class Load:
    """Threads that use the fleet, each at a steady rate, until they are stopped."""

    def __init__(
        self, url: str, certificate: Path, clients: list[tuple[str, str]], api: tuple[str, str], *, rounds: float = 4
    ) -> None:
        """Prepare as many threads as clients.

        Args:
            url: The public address.
            certificate: That of nginx.
            clients: Ids and secrets; the last one has opaque tokens.
            api: The client that introspects.
            rounds: How many tokens each thread requests in a second, at most.
        """
        self.url, self.certificate, self.clients, self.api, self.pause = url, certificate, clients, api, 1 / rounds
        self.counts: Counter[str] = Counter()
        self.total: Counter[str] = Counter()
        self.tokens: deque[tuple[float, str]] = deque(maxlen=KEPT_TOKENS)  # with the second of their issue
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.use, args=[each], daemon=True) for each in clients]

    def start(self) -> None:
        for each in self.threads:
            each.start()

    def stop(self) -> None:
        self.ended.set()
        for each in self.threads:
            each.join()

    def use(self, credentials: tuple[str, str]) -> None:
        number = 0
        with closing(Client(self.url, self.certificate)) as client:
            while not self.ended.wait(self.pause):
                number += 1
                self.round(client, credentials, revokes=number % 10 == 0)

    def round(self, client: Client, credentials: tuple[str, str], *, revokes: bool) -> None:
        """Request a token and introspect it; then revoke it, or remember it if it is opaque."""
        outcome, body = client.post("/oauth/token", credentials, grant_type="client_credentials")
        token = str(body.get("access_token", ""))
        self.count(outcome, issued=outcome == "200", opaque=token.startswith("kta_"))
        if not token:
            return
        self.check(client, token)
        if revokes:
            self.count(client.post("/oauth/revoke", credentials, token=token)[0])
        elif token.startswith("kta_"):
            self.tokens.append((time.time(), token))

    def check(self, client: Client, token: str) -> None:
        outcome, body = client.post("/oauth/introspect", self.api, token=token)
        self.count("refused" if body.get("active") is False else outcome)

    def count(self, outcome: str, *, issued: bool = False, opaque: bool = False) -> None:
        with self.lock:
            self.counts[outcome] += 1
            self.total[outcome] += 1
            self.total["issued"] += issued
            self.total["opaque"] += opaque

    def take(self) -> Counter[str]:
        """What was counted since the last call."""
        with self.lock:
            counts, self.counts = self.counts, Counter()
        return counts

    def lost(self, *, since: float = 0) -> int:
        """How many of the opaque tokens that clients got since then and did not revoke are not valid."""
        with closing(Client(self.url, self.certificate)) as client:
            return sum(self.is_lost(client, token) for issued_at, token in self.tokens if issued_at >= since)

    def is_lost(self, client: Client, token: str) -> bool:
        for _ in range(100):
            outcome, body = client.post("/oauth/introspect", self.api, token=token)
            if outcome == "200":
                return body.get("active") is not True
            time.sleep(0.1)
        return True
