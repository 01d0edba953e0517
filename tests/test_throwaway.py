"""`flask throwaway`: a server for one run of tests, seen as that run sees it."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from joserfc import jwk, jwt

from app.clock import now
from app.operations import throwaway_command
from app.settings.reading import VARIABLES
from config import DEMO_CLIENTS
from tests.conftest import ROOT, free_port, missing, wait_for
from tests.support.keyed import GRANT, TYPE, Keyed
from tests.support.leaks import suite

COMMAND = [sys.executable, "-m", "flask", "--app", "wsgi", "throwaway"]
PAGE = ROOT / "docs" / "throwaway.md"
SHOP = "shop:s3cret:orders:read orders:write"
Start = Callable[..., "Throwaway"]


class Throwaway:
    """A running server, with its process and the line that it printed."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        assert process.stdout
        self.process, self.folder = process, folder
        self.ready: dict[str, Any] = json.loads(process.stdout.readline())
        self.issuer = str(self.ready["issuer"])

    def request_token(self, client_id: str, secret: str, **form: str) -> requests.Response:
        data = {"grant_type": "client_credentials", **form}
        response = requests.post(
            f"{self.issuer}/oauth/token", data, auth=(client_id, secret), timeout=20, verify=self.ready.get("ca", True)
        )
        suite.remember(response.json().get("access_token", ""))
        return response

    def token(self, client_id: str, secret: str, **form: str) -> str:
        return str(self.request_token(client_id, secret, **form).json()["access_token"])

    def signed_token(self, client: dict[str, Any]) -> str:
        """The scope of a token that a client gets with the private key that was printed."""
        key = jwk.import_key(client["private_key"])
        assertion = Keyed(None, client["client_id"], key, "RS256").make(aud=self.issuer)  # type: ignore[arg-type]
        form = GRANT | {"client_assertion_type": TYPE, "client_assertion": assertion}
        return str(requests.post(f"{self.issuer}/oauth/token", form, timeout=20).json()["scope"])

    def get(self, path: str, token: str = "") -> requests.Response:
        return requests.get(self.issuer + path, headers={"Authorization": f"Bearer {token}"}, timeout=20)

    def temporary_files(self) -> list[Path]:
        return list(self.folder.iterdir())

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts throw-away servers, whose temporary folders are in one of the test; stops them at the end."""
    running: list[Throwaway] = []
    log = tmp_path / "throwaway.log"

    def run(*options: str, **environment: str) -> Throwaway:
        folder = Path(tmp_path / "temporary")
        folder.mkdir(exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*COMMAND, *options],
                cwd=ROOT,
                env=os.environ | {"TMPDIR": str(folder), **environment},
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        running.append(Throwaway(process, folder))
        return running[-1]

    yield run
    for each in running:
        each.process.kill()
        each.process.wait()
        assert each.process.stdout
        each.process.stdout.close()
    suite.record(log.read_text() if log.exists() else "")


def refused(*options: str, **environment: str) -> str:
    done = subprocess.run(
        [*COMMAND, *options], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (1, 2, 3)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_it_has_the_demo_clients_and_the_faults_and_its_issuer_is_where_it_is(start: Start) -> None:
    server = start()
    found = {each["client_id"]: each for each in server.ready["clients"]}

    assert found.keys() == {each.client_id for each in DEMO_CLIENTS}
    assert found["demo-shipments"]["introspects"] == "http://127.0.0.1:8001"
    assert server.ready["pid"] == server.process.pid
    assert server.get("/.well-known/oauth-authorization-server").json()["issuer"] == server.issuer
    token = server.token("demo-admin", found["demo-admin"]["client_secret"])
    assert server.get("/inventory", token).status_code == 200
    assert server.request_token("fault-429", found["fault"]["client_secret"]).status_code == 429
    assert server.signed_token(found["demo-signer"]) == "reports:read"
    with pytest.raises(requests.ConnectionError):
        server.request_token("fault-drop", found["fault"]["client_secret"])


def test_a_client_has_the_id_the_secret_and_the_scopes_that_the_test_chose(start: Start) -> None:
    server = start("--client", SHOP, "--client", "report:0:reports:read shipments:read", "--client", "api:1:")
    ids = [each["client_id"] for each in server.ready["clients"]]

    token = server.token("shop", "s3cret")
    fault = server.token("fault", "kts_fault-is-for-learning-only")
    introspected = requests.post(
        f"{server.issuer}/oauth/introspect", {"token": token}, auth=("api", "1"), timeout=20
    ).json()

    assert ids == ["shop", "report", "api", "fault"]
    assert introspected["scope"] == "orders:read orders:write"
    assert introspected["aud"] == server.issuer
    assert server.request_token("report", "0").json()["scope"] == "reports:read"
    assert server.request_token("report", "0", scope="shipments:read").status_code == 200
    assert "orders:read orders:write" in json.loads(base64.urlsafe_b64decode(fault.split(".")[1] + "=="))["scope"]
    assert server.request_token("demo-admin", "kts_demo-admin-is-for-learning-only").status_code == 401


def test_it_ignores_the_settings_of_its_caller(start: Start) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "instance").glob("*")}
    broken = dict.fromkeys(VARIABLES, "broken") | {"KEYTURN_ENV": "development"}

    server = start("--client", SHOP, **broken)

    assert server.request_token("shop", "s3cret").json()["expires_in"] == 3_600
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "instance").glob("*")} == before


def test_all_tokens_are_opaque_except_those_of_the_faults(start: Start) -> None:
    server = start("--opaque", "--client", SHOP)

    assert server.token("shop", "s3cret").startswith("kta_")
    assert server.token("fault", "kts_fault-is-for-learning-only").count(".") == 2


def test_its_clock_makes_tokens_expire(start: Start) -> None:
    """Its API accepts a token that is expired, or not yet valid, by everyone else's clock."""
    moments = {}
    for option in ("-7200", "+7200"):
        server = start("--client", SHOP, "--clock", option)
        token = server.token("shop", "s3cret")
        keys = jwk.KeySet.import_key_set(server.get("/.well-known/jwks.json").json())
        claims = jwt.decode(token, keys).claims
        moments[option] = (claims["exp"] < now(), claims["iat"] > now())
        revoked = requests.post(f"{server.issuer}/oauth/revoke", {"token": token}, auth=("shop", "s3cret"), timeout=20)
        assert revoked.status_code == 200
        assert server.get("/inventory", token).json()["hint"] == "the token was revoked"

    assert moments == {"-7200": (True, False), "+7200": (False, True)}


def test_https_is_verified_with_its_ca(start: Start) -> None:
    server = start("--https", "--client", SHOP)
    context = ssl.create_default_context(cafile=server.ready["ca"])
    context.verify_flags |= ssl.VERIFY_X509_STRICT

    assert server.issuer.startswith("https://127.0.0.1:")
    assert server.request_token("shop", "s3cret").status_code == 200
    for host in ("127.0.0.1", "localhost"):
        url = f"{server.issuer.replace('127.0.0.1', host)}/.well-known/jwks.json"
        with urllib.request.urlopen(url, timeout=20, context=context) as response:
            assert response.status == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(server.issuer, timeout=20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_by_a_signal_and_leaves_nothing_behind(start: Start, number: signal.Signals) -> None:
    server = start("--https")
    assert len(server.temporary_files()) == 1
    server.request_token("demo-admin", "kts_demo-admin-is-for-learning-only")

    server.process.send_signal(number)

    assert server.process.wait(timeout=60) == 0
    assert server.temporary_files() == []


def test_it_ends_during_a_slow_response(start: Start) -> None:
    server = start()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.request_token, "fault-slow-30s", "kts_fault-is-for-learning-only")
        wait_for(lambda: len(psutil.Process(server.process.pid).threads()) > 2)

        assert server.stop() == 0

        with pytest.raises(requests.ConnectionError):
            running.result()
    assert server.temporary_files() == []


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent_code = (
        "import subprocess, sys, time\n"
        f"process = subprocess.Popen({COMMAND!r}, stdout=subprocess.PIPE, text=True)\n"
        "sys.stdout.write(process.stdout.readline()); sys.stdout.flush(); time.sleep(600)"
    )
    folder = tmp_path / "temporary"
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout
    server = psutil.Process(json.loads(parent.stdout.readline())["pid"])
    assert len(list(folder.iterdir())) == 1

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    wait_for(lambda: list(folder.iterdir()) == [])


def test_many_are_independent_of_each_other(start: Start) -> None:
    with ThreadPoolExecutor(4) as pool:
        servers = list(pool.map(lambda number: start("--client", f"shop:secret-{number}:orders:read"), range(4)))

    tokens = [each.token("shop", f"secret-{number}") for number, each in enumerate(servers)]

    assert len({each.issuer for each in servers}) == 4
    assert servers[0].request_token("shop", "secret-1").status_code == 401
    refusals = [each.get("/inventory", tokens[0]) for each in servers]
    assert [each.status_code for each in refusals] == [403, 401, 401, 401]
    assert [each.stop() for each in servers] == [0] * 4
    assert servers[0].temporary_files() == []


def test_a_port_can_be_chosen_and_used_again_at_once(start: Start) -> None:
    port = free_port()
    for _ in range(2):
        server = start("--port", str(port))
        assert server.issuer == f"http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port)) as open_connection:
            server.request_token("demo-admin", "kts_demo-admin-is-for-learning-only")
            taken = refused("--port", str(port))
            assert server.stop() == 0
            open_connection.close()
        assert f"Error: the port {port} cannot be used: Address already in use" in taken


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--client", "shop"], "it must be ID:SECRET:SCOPE, as in shop:s3cret:orders:read"),
        (["--client", "shop:secret"], "it must be ID:SECRET:SCOPE"),
        (["--client", "shop:se/cret:a"], "id and secret are letters, digits and . _ ~ -"),
        (["--client", ":secret:a"], "it must be ID:SECRET:SCOPE"),
        (["--client", "shop:secret:a  b"], "--client shop: a scope is words"),
        (["--client", 'shop:secret:a"b'], "--client shop: a scope is words"),
        (["--client", "fault:secret:a"], "the id fault is for the faults"),
        (["--client", "fault-429:secret:a"], "the id fault-429 is for the faults"),
        (["--client", "shop:a:b", "--client", "shop:c:d"], "--client names one client twice"),
        (["--port", "65536"], "65536 is not in the range 0<=x<=65535"),
        (["--clock", "tomorrow"], "'tomorrow' is not a valid integer"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(options: list[str], error: str) -> None:
    assert error in refused(*options)


def test_it_refuses_a_production_environment() -> None:
    assert "KEYTURN_ENV is production: a throw-away server is for tests only" in refused(KEYTURN_ENV="production")


def snippet(language: str) -> str:
    text = PAGE.read_text()
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert len(found) == 1
    return str(found[0]).replace("/path/to/keyturn", str(ROOT))


def run_by(command: list[str], folder: Path) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_fixture_for_pytest_in_the_documents_runs(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(snippet("python"))

    printed = run_by([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"], tmp_path)

    assert "1 passed" in printed


def test_the_fixture_for_node_in_the_documents_runs(tmp_path: Path) -> None:
    if not shutil.which("node"):
        missing("Node.js", install="apt install nodejs")
    (tmp_path / "shop.test.mjs").write_text(snippet("js"))

    printed = run_by(["node", "--test", "shop.test.mjs"], tmp_path)

    assert re.search(r"pass 1\b", printed)


def test_the_benchmark_names_the_steps() -> None:
    command = [sys.executable, "-m", "benchmarks.throwaway", "--steps"]

    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert re.fullmatch(r"(\| [^|]+ \| [0-9]+ \|\n){8}", printed)


def test_the_documents_name_every_option() -> None:
    text = PAGE.read_text()

    for option in throwaway_command.throwaway.params:
        assert option.opts[0] in text
