"""A site of two servers behind nginx, with clients that use it without a pause, for the drills of upgrades."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

from tests.conftest import ROOT, SECRET_KEY, free_port, missing, wait_for
from tests.support.calling import FORM
from tests.support.leaks import suite
from tests.support.release import Release

ISSUER = "https://auth.example.com"
# What a proxy adds; the servers are in production.
HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 120  # a busy machine starts a server in half a minute
# How nginx goes on with the next server.
RETRY = "\n".join(
    re.findall(r"^ +(proxy_next_upstream.*;)$", (ROOT / "deploy" / "nginx.conf").read_text(), re.MULTILINE)
)
NGINX = """
{user} daemon off; pid nginx.pid; error_log stderr warn; events {{}}
http {{
    access_log off; {paths}
    upstream keyturn {{ {servers} keepalive 16; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://keyturn;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            {retry}
        }}
    }}
}}
"""


class Caller:
    """Sends requests to one address, each over a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)) as connection:
            connection.request(method, path, body, HTTPS | headers)
            response = connection.getresponse()
            return response.status, response.read()

    def form(self, credentials: str, path: str, **form: str) -> tuple[int, bytes]:
        basic = b64encode(credentials.encode()).decode()
        return self.send("POST", path, urlencode(form), Authorization=f"Basic {basic}", **FORM)

    def token_status(self, credentials: str) -> int:
        return self.form(credentials, "/oauth/token", grant_type="client_credentials")[0]

    def token(self, credentials: str) -> str:
        status, body = self.form(credentials, "/oauth/token", grant_type="client_credentials")
        assert status == 200, body
        issued = str(json.loads(body)["access_token"])
        suite.remember(issued)
        return issued

    def use(self, token: str) -> int:
        return self.send("GET", "/admin/logs?limit=1", Authorization=f"Bearer {token}")[0]

    def responds(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self.send("GET", "/.well-known/oauth-authorization-server")[0] == 200
        return False


class Site:
    """Two ports, on each of which a server of any release runs, and nginx in front of both."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = {name: text for name, text in os.environ.items() if not name.startswith("KEYTURN_")} | {
            "KEYTURN_ENV": "production",
            "KEYTURN_ISSUER": ISSUER,
            "KEYTURN_TRUSTED_PROXIES": "1",
            "KEYTURN_SECRET_KEYS": SECRET_KEY,
            "KEYTURN_DATABASE_URL": url,
            "WEB_CONCURRENCY": "1",
        }
        self.servers = [Caller(free_port()), Caller(free_port())]
        self.front = Caller(free_port())
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def log(self, server: Caller) -> Path:
        return self.folder / f"{server.port}.log"

    def start(self, server: Caller, release: Release) -> None:
        environment = self.environment | {"PORT": str(server.port)}
        process = self.running[server.port] = release.start(environment, self.log(server))
        wait_for(lambda: process.poll() is not None or server.responds(), seconds=60)
        assert process.poll() is None, self.log(server).read_text(encoding="utf-8")

    def stop(self, server: Caller) -> None:
        process = self.running.pop(server.port)
        process.terminate()
        assert process.wait(timeout=60) == 0, self.log(server).read_text(encoding="utf-8")

    def replace(self, server: Caller, release: Release) -> None:
        """Restart one server with the code of a release; the other one serves meanwhile."""
        self.stop(server)
        self.start(server, release)

    def nginx(self) -> subprocess.Popen[bytes]:
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if not program:
            missing("nginx", install="apt install nginx")
        paths = "".join(f"{each}_temp_path {each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        servers = " ".join(f"server 127.0.0.1:{server.port} max_fails=0;" for server in self.servers)
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX.format(user=user, paths=paths, servers=servers, port=self.front.port, retry=RETRY)
        (self.folder / "nginx.conf").write_text(text, encoding="utf-8")
        with (self.folder / "nginx.log").open("wb") as log:
            command = [str(program), "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr"]
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    @contextmanager
    def serving(self, release: Release) -> Iterator[None]:
        """Both servers of a release, and nginx; all are stopped at the end."""
        proxy = None
        try:
            for server in self.servers:
                self.start(server, release)
            proxy = self.nginx()
            wait_for(self.front.responds)
            yield
        finally:
            if proxy:
                proxy.terminate()
                proxy.wait(timeout=30)
            for process in self.running.values():
                process.terminate()
            for process in self.running.values():
                process.wait(timeout=60)
            for server in self.servers:
                suite.record(self.log(server).read_text(encoding="utf-8", errors="replace"))


@contextmanager
def load(rounds: list[Callable[[], list[tuple[str, int]]]]) -> Iterator[Counter[tuple[str, object]]]:
    """Repeat each round in a thread of its own, until the end of the block.

    Yields:
        How often each step of a round had each status, or which error.
    """
    seen: Counter[tuple[str, object]] = Counter()
    ended, lock = threading.Event(), threading.Lock()

    def repeat(round_of: Callable[[], list[tuple[str, int]]]) -> None:
        while not ended.is_set():
            try:
                found: list[tuple[str, object]] = list(round_of())
            except (OSError, http.client.HTTPException, AssertionError) as error:
                found = [("failed", repr(error))]
            with lock:
                seen.update(found)
            time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=repeat, args=[each]) for each in rounds]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()
