"""`docs/protect-your-api.md`: each snippet, taken from the page and run as the page says, beside a live Keyturn."""

from __future__ import annotations

import hmac
import http.client
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk, jwt

from app.clock import now
from tests.conftest import ROOT, LiveServer, build_app, close, curl, free_port, kid_of, missing, responds, wait_for
from tests.support import forging
from tests.support.calling import call, send_form

PAGE = (ROOT / "docs" / "protect-your-api.md").read_text()
# A block whose first line is a comment with a file name is that file; a line that begins with $ is a command.
FILES = {
    name: text for text, name in re.findall(r"^```\w+\n((?:#|//) (\S+\.\w+)\n.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
}
COMMANDS = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)
AUDIENCE = "http://127.0.0.1:8001"
SCOPE = "shipments:read"
REALM = 'Bearer realm="shipments"'
NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")


def command(beginning: str) -> str:
    """The one command of the page that begins so."""
    (found,) = [each for each in COMMANDS if each.startswith(beginning)]
    return found


def program(name: str, what: str, *, install: str) -> str:
    """The path of a program; Debian installs servers outside of a user's PATH."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        missing(what, install=install)
    return str(found)


@dataclass
class Place:
    """A folder for the files of the page, and the addresses that replace those of the page."""

    folder: Path
    server: LiveServer
    port: int
    api_port: int

    def fill(self, text: str) -> str:
        text = text.replace("http://127.0.0.1:8000", self.server.url).replace(
            "127.0.0.1:8002", f"127.0.0.1:{self.api_port}"
        )
        text = re.sub(r"/etc/haproxy|/var/lib/nginx", str(self.folder), text)
        # Only where something listens: in AUDIENCE it is an identifier.
        return re.sub(r"((?:listen|bind|--port)[ (](?:127\.0\.0\.1:)?)8001", rf"\g<1>{self.port}", text)

    def write(self, *names: str) -> None:
        for name in names:
            (self.folder / name).write_text(self.fill(FILES[name]))

    def command(self, beginning: str, *program: str) -> list[str]:
        """A command of the page, with another program instead of its first word."""
        return [*program, *shlex.split(self.fill(command(beginning)))[1:]]


def fastapi(place: Place) -> list[str]:
    place.write("shipments.py")
    return place.command(".venv/bin/uvicorn ", sys.executable, "-m", "uvicorn")


def express(place: Place) -> list[str]:
    npm = program("npm", "npm", install="it brings jose and express (apt install nodejs npm)")
    packages = place.folder.parent / "packages"
    if not (packages / "node_modules" / "jose").exists():
        packages.mkdir(exist_ok=True)
        run = [*place.command("npm ", npm), "--prefix", "."]
        done = subprocess.run(run, cwd=packages, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (place.folder / "node_modules").symlink_to(packages / "node_modules")
    place.write("shipments.mjs")
    return place.command("node ", program("node", "Node.js", install="apt install nodejs npm"))


def nginx(place: Place) -> list[str]:
    found = program("nginx", "nginx", install="apt install nginx libnginx-mod-http-js")
    if not NGINX_MODULE.exists():
        missing("njs", install="apt install libnginx-mod-http-js")
    place.write("shipments.conf", "keyturn.js")
    # What Debian's own nginx.conf does around the page's file, in a folder of ours.
    paths = "".join(f"{each}_temp_path {each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (place.folder / "nginx.conf").write_text(
        f"load_module {NGINX_MODULE}; {'user root;' if os.geteuid() == 0 else ''} daemon off; pid nginx.pid;"
        f"error_log stderr info; events {{}} http {{ access_log access.log; {paths} include shipments.conf; }}"
    )
    return [found, "-p", str(place.folder), "-c", "nginx.conf", "-e", "stderr"]


def haproxy(place: Place) -> list[str]:
    found = program("haproxy", "HAProxy", install="apt install haproxy")
    place.write("shipments.cfg", "keyturn-keys.py")
    fetch_keys(place)
    return place.command("haproxy ", found)


def fetch_keys(place: Place, *command: str) -> bool:
    """Fetch the keys, and run the command if there are new ones; False if it was not run, or failed."""
    done = place.folder / "keyturn.loaded"
    before = done.read_bytes() if done.exists() else b""
    run = place.command("python3 /etc/haproxy/", sys.executable)
    subprocess.run([*run, *command], capture_output=True, check=False)
    return done.exists() and done.read_bytes() != before


Stack = Callable[[Place], list[str]]
STACKS: tuple[Stack, ...] = (fastapi, express, nginx, haproxy)
ASKING = (nginx,)


@dataclass
class Api(LiveServer):
    """A running stack; it is stopped, and its log stored, like a Keyturn."""

    place: Place

    def get(self, token: str | None = None) -> tuple[int, str | None, bytes]:
        """The status of a response, its challenge and its body."""
        status, headers, body = call(
            self, "GET", "/shipments", **({"Authorization": f"Bearer {token}"} if token else {})
        )
        return status, {name.lower(): value for name, value in headers.items()}.get("www-authenticate"), body

    def status(self, token: str) -> int:
        return self.get(token)[0]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Stack, LiveServer], Api]]:
    """Starts a stack beside a Keyturn, and waits until it responds or exits."""
    running: list[Api] = []

    def run(stack: Stack, server: LiveServer) -> Api:
        place = Place(tmp_path_factory.mktemp(stack.__name__), server, free_port(), free_port())
        line, log = stack(place), place.folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(line, cwd=place.folder, stdout=output, stderr=output)
        api = Api(process, f"http://127.0.0.1:{place.port}", {}, log, place)
        running.append(api)
        wait_for(lambda: process.poll() is not None or responds(api.url))
        return api

    yield run
    for api in running:
        api.stop()


@pytest.fixture(scope="module", params=STACKS, ids=lambda stack: stack.__name__)
def stack(request: pytest.FixtureRequest) -> Stack:
    return request.param


@pytest.fixture(scope="module")
def keyturn(
    prepared: Callable[[str], str], live_servers: Callable[..., LiveServer], tmp_path_factory: pytest.TempPathFactory
) -> LiveServer:
    return live_servers(prepared("sqlite"), tmp_path_factory.mktemp("keyturn"))


@pytest.fixture(scope="module")
def api(stack: Stack, keyturn: LiveServer, start: Callable[[Stack, LiveServer], Api]) -> Api:
    return start(stack, keyturn)


def good_token(server: LiveServer, client: str = "demo-partner") -> str:
    return send_form(server, client, scope=SCOPE)


@dataclass
class Forger:
    """Makes tokens with the key of a Keyturn, or with others; what is not changed is valid."""

    server: LiveServer

    def __post_init__(self) -> None:
        self.app = build_app(database_url=self.server.environment["KEYTURN_DATABASE_URL"], issuer=self.server.url)

    def claims(self, **changes: Any) -> dict[str, Any]:
        return forging.claims(**{"iss": self.server.url, "aud": AUDIENCE, "scope": SCOPE} | changes)

    def make(self, header: dict[str, Any] | None = None, **changes: Any) -> str:
        return forging.with_our_key(self.app, self.claims(**changes), **(header or {}))

    def with_hmac(self, secret: bytes) -> str:
        signed = forging.encoded({"alg": "HS256", "typ": "at+jwt", "kid": kid_of(self.make())}, self.claims())
        return f"{signed}.{forging.base64url(hmac.digest(secret, signed.encode(), 'sha256'))}"

    def with_a_foreign_key(self, **header: Any) -> str:
        key = jwk.RSAKey.generate_key(2048)
        return jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": kid_of(self.make())} | header, self.claims(), key)


@pytest.fixture(scope="module")
def forger(keyturn: LiveServer) -> Iterator[Forger]:
    made = Forger(keyturn)
    yield made
    close(made.app)


def test_what_the_page_says_to_try_prints_what_it_shows(api: Api) -> None:
    curl()
    shown = re.search(r"^\$ curl .*\n(.*)$", PAGE, re.MULTILINE)
    lines = "\n".join([command("TOKEN="), command("curl ")]).replace(AUDIENCE, api.url)

    run = subprocess.run(["bash", "-c", api.place.fill(lines)], capture_output=True, text=True, check=True)

    assert shown
    assert run.stdout == shown[1]


def test_R101_without_a_token_the_challenge_has_no_error_code(api: Api) -> None:
    assert api.get()[:2] == (401, REALM)
    assert call(api, "GET", "/shipments", Authorization="Basic eDp5")[0] == 401


def test_R103_a_token_for_another_api_opens_nothing(api: Api, keyturn: LiveServer) -> None:
    assert api.get(send_form(keyturn, "demo-admin"))[:2] == (401, f'{REALM}, error="invalid_token"')


@pytest.mark.parametrize("scope", ["other", "shipments:readme", "no-shipments:read", "", forging.LEFT_OUT])
def test_R103_without_the_scope_the_challenge_names_it(api: Api, forger: Forger, scope: object) -> None:
    refused = api.get(forger.make(scope=scope))

    assert refused[:2] == (403, f'{REALM}, error="insufficient_scope", scope="{SCOPE}"')


@pytest.mark.parametrize("scope", [f"other {SCOPE}", f"{SCOPE} other", f"a {SCOPE} b"])
def test_the_scope_may_be_one_of_several(api: Api, forger: Forger, scope: str) -> None:
    assert api.status(forger.make(scope=scope)) == 200


def test_R069_attacks_are_refused(api: Api, forger: Forger) -> None:
    good, url = forger.make(), forger.server.url
    keys = json.loads(call(forger.server, "GET", "/.well-known/jwks.json")[2])["keys"]
    forged = {
        "garbage": "garbage",
        "half a token": good[: len(good) // 2],
        "alg none": forging.encoded({"alg": "none", "typ": "at+jwt"}, forger.claims()) + ".",
        "alg none, with our kid": forging.encoded(
            {"alg": "none", "typ": "at+jwt", "kid": kid_of(good)}, forger.claims()
        )
        + ".",
        "the public key as a secret": forger.with_hmac(jwk.import_key(keys[0]).as_pem(private=False)),
        "the name of the key's file as a secret": forger.with_hmac(str(api.place.folder / "keyturn-1.pem").encode()),
        "another server's key under our kid": forger.with_a_foreign_key(),
        "another server's key under its own kid": forger.with_a_foreign_key(kid="unknown"),
        "claims of another token": ".".join(
            [good.split(".")[0], forging.encoded(forger.claims(sub="x")), good.split(".")[2]]
        ),
        "another typ": forger.make({"typ": "JWT"}),
        "no typ": forger.make({"typ": forging.LEFT_OUT}),
        "another issuer": forger.make(iss="https://evil.example"),
        "an issuer with a slash": forger.make(iss=f"{url}/"),
        "no issuer": forger.make(iss=forging.LEFT_OUT),
        "another audience": forger.make(aud=url),
        "an audience that begins with ours": forger.make(aud=f"{AUDIENCE}0"),
        "no audience": forger.make(aud=forging.LEFT_OUT),
        "expired": forger.make(exp=now() - 1),
        "expired before the epoch": forger.make(exp=-1),
        "expiry as text": forger.make(exp="soon"),
        "no expiry": forger.make(exp=forging.LEFT_OUT),
        "no object": forging.with_our_key(forger.app, b"[]"),
        "brackets": forging.with_our_key(forger.app, b"[" * 4_000),
    }

    assert api.status(good) == 200
    assert {name: api.get(token)[:2] for name, token in forged.items()} == dict.fromkeys(
        forged, (401, f'{REALM}, error="invalid_token"')
    )


def test_only_an_api_that_introspects_accepts_an_opaque_token(api: Api, stack: Stack, keyturn: LiveServer) -> None:
    assert api.status(good_token(keyturn, "demo-opaque")) == (200 if stack in ASKING else 401)


def test_only_an_api_that_introspects_refuses_a_revoked_token(api: Api, stack: Stack, keyturn: LiveServer) -> None:
    tokens = {client: good_token(keyturn, client) for client in ("demo-partner", "demo-opaque")}
    before = {client: api.status(token) for client, token in tokens.items()}

    for client, token in tokens.items():
        send_form(keyturn, client, "/oauth/revoke", token=token)

    after = dict.fromkeys(tokens, 401) if stack in ASKING else before
    wait_for(lambda: {client: api.status(token) for client, token in tokens.items()} == after)


def test_the_keys_are_rotated_and_old_and_new_tokens_are_good(
    stack: Stack, live: Callable[..., LiveServer], start: Callable[[Stack, LiveServer], Api]
) -> None:
    server = live(KEYTURN_SIGNING_ALG="ES256", WEB_CONCURRENCY="1")
    api, old = start(stack, server), good_token(server)
    assert api.status(old) == 200

    server.flask("keys", "rotate", "--now")
    if stack is haproxy:  # the line for cron
        assert not fetch_keys(api.place, "false")  # a reload that failed is tried again
        wait_for(lambda: fetch_keys(api.place, "kill", "-USR2", str(api.process.pid)))

    wait_for(lambda: kid_of(good_token(server)) != kid_of(old))
    new = good_token(server)
    wait_for(lambda: api.status(new) == 200)
    assert api.status(old) == 200


def test_when_keyturn_stops_signatures_are_still_checked_and_introspection_is_503(
    stack: Stack, live: Callable[..., LiveServer], start: Callable[[Stack, LiveServer], Api]
) -> None:
    server = live(WEB_CONCURRENCY="1")
    api, token = start(stack, server), good_token(server)
    assert api.status(token) == 200

    server.stop()

    if stack in ASKING:
        assert api.status("kta_unknown") == 503
        wait_for(lambda: api.status(token) == 503)
    else:
        assert api.status(token) == 200
        assert api.status(token[:-3] + "AAA") == 401


def test_without_keys_and_without_a_response_nobody_is_let_in(
    stack: Stack, keyturn: LiveServer, forger: Forger, start: Callable[[Stack, LiveServer], Api]
) -> None:
    silent = replace(keyturn, url=f"http://127.0.0.1:{free_port()}")

    api = start(stack, silent)

    assert api.status(forger.make(iss=silent.url)) == (401 if stack is haproxy else 503)


class ShowHeaders(BaseHTTPRequestHandler):
    """An API that returns the headers that it received."""

    def do_GET(self) -> None:
        body = json.dumps([name.lower() for name in self.headers]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the terminal quiet."""


@pytest.mark.parametrize("proxy", [nginx, haproxy])
def test_attack_a_client_cannot_name_itself_to_the_api_behind_a_proxy(
    proxy: Stack, keyturn: LiveServer, tmp_path: Path
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), ShowHeaders) as shown:
        threading.Thread(target=shown.serve_forever, daemon=True).start()

        @dataclass
        class OurApi(Place):
            def fill(self, text: str) -> str:
                address = rf"((?:server api |proxy_pass http://)127\.0\.0\.1:){self.api_port}"
                return re.sub(address, rf"\g<1>{shown.server_port}", super().fill(text))

        place = OurApi(tmp_path, keyturn, free_port(), free_port())
        with (tmp_path / "log").open("wb") as output:
            process = subprocess.Popen(proxy(place), cwd=tmp_path, stdout=output, stderr=output)
        api = Api(process, f"http://127.0.0.1:{place.port}", {}, tmp_path / "log", place)
        wait_for(lambda: process.poll() is not None or responds(api.url))
        bearer = f"Bearer {good_token(keyturn)}"
        with closing(http.client.HTTPConnection(f"127.0.0.1:{place.port}", timeout=30)) as connection:
            pretended = {"X_Client_Id": "victim", "x-client_id": "victim", "X-Client-Id": "victim"}
            connection.request("GET", "/shipments", headers={"Authorization": bearer, **pretended})
            names = json.loads(connection.getresponse().read())
        api.stop()
        shown.shutdown()

    assert [name for name in names if "client" in name] == ["x-client-id"]
    assert [name for name in names if "_" in name] == []


def test_every_file_of_the_page_is_run() -> None:
    assert set(FILES) == {
        "shipments.py", "shipments.mjs", "shipments.conf", "keyturn.js", "shipments.cfg", "keyturn-keys.py"
    }  # fmt: skip
