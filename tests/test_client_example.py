"""The client that a service can lift, against real servers: many threads, eight processes, faults, an outage."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import json
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import requests
import time_machine
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

import config
from app.faults.table import Kind
from tests.conftest import ROOT, LiveServer, Operator, build_app, close, kid_of, wait_for
from tests.support.calling import send_form
from tests.support.leaks import suite
from tests.test_faults import SECRET, names

FILE = ROOT / "examples" / "client.py"
SCOPE = "reports:read"
HOUR = 3_600

spec = importlib.util.spec_from_file_location("service_client", FILE)
client = importlib.util.module_from_spec(spec)
sys.modules["service_client"] = client
spec.loader.exec_module(client)


@pytest.fixture(scope="module")
def server(
    live_servers: Callable[..., LiveServer], prepared: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> LiveServer:
    return live_servers(prepared("sqlite"), tmp_path_factory.mktemp("server"), WEB_CONCURRENCY="1")


@dataclass
class Clock:
    """The monotonic clock, moved ahead by the tests."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def source(server: LiveServer, tmp_path: Path) -> Callable[..., Any]:
    """Makes a source of tokens, as one process of a service does; all have one folder."""

    def make(client_id: str = "fault", **options: Any) -> Any:
        given = {"scope": SCOPE, "secret": SECRET, "wait": 4, **options}
        return client.TokenSource(f"{server.url}/oauth/token", client_id, tmp_path / "tokens", **given)

    return make


def token_of(tokens: Any, **options: str) -> str:
    token = str(tokens.token(**options))
    suite.remember(token)
    return token


def reason_of(tokens: Any) -> str:
    with pytest.raises(client.TokenError) as found:
        tokens.token()
    suite.record(f"{found.value!r} {found.value.__cause__!r} {found.value.__context__!r}")
    return str(found.value)


def lines(server: LiveServer, *parts: str) -> int:
    """How many lines of the log have all of these parts."""
    return sum(all(part in line for part in parts) for line in server.log.read_text().splitlines())


def issued(server: LiveServer) -> int:
    return lines(server, '"token_issued"')


def at_once(count: int, act: Callable[[], str]) -> list[str]:
    """What this many threads get that start together."""
    gate = threading.Barrier(count)

    def run(_: int) -> str:
        gate.wait()
        return act()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_the_file_needs_the_standard_library_and_joserfc_for_a_key() -> None:
    found = ast.walk(ast.parse(FILE.read_text(encoding="utf-8")))
    modules = {
        name.partition(".")[0]
        for node in found
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }

    assert modules - sys.stdlib_module_names == {"joserfc"}


def test_forty_threads_request_one_token(server: LiveServer, source: Callable[..., Any]) -> None:
    tokens, before = source(), issued(server)

    found = at_once(40, lambda: token_of(tokens))

    assert len(set(found)) == 1
    assert issued(server) == before + 1


def test_tokens_are_apart_by_client_scope_and_resource(server: LiveServer, source: Callable[..., Any]) -> None:
    before = issued(server)
    found = {
        token_of(source(*given, **more))
        for given, more in (
            ([], {}),
            ([], {"scope": "read:logs"}),
            (["fault-wrong-type"], {}),
            ([], {"scope": "", "resource": "http://127.0.0.1:8001"}),
        )
    }

    assert (len(found), issued(server)) == (4, before + 4)


WORKER = """
import hashlib, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import client
moved = Path(sys.argv[4])
clock = lambda: time.monotonic() + float(moved.read_text())
tokens = client.TokenSource(sys.argv[2], "fault", Path(sys.argv[3]), sys.argv[6], secret=sys.argv[5], clock=clock)
for _ in sys.stdin:
    token = tokens.token()
    print(token.partition(".")[0], hashlib.sha256(token.encode()).hexdigest(), flush=True)
"""


@pytest.fixture
def workers(server: LiveServer, tmp_path: Path) -> Iterator[Callable[[float], set[str]]]:
    """Eight processes of a service; each call moves their clock, and returns the digests of their tokens."""
    moved = tmp_path / "moved"
    moved.write_text("0")
    given = [str(FILE.parent), f"{server.url}/oauth/token", str(tmp_path / "tokens"), str(moved), SECRET, SCOPE]
    command = [sys.executable, "-c", WORKER, *given]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]

    def ask(ahead: float) -> set[str]:
        new = moved.with_suffix(".new")
        new.write_text(str(ahead))
        new.replace(moved)
        for each in running:
            each.stdin.write("\n")
            each.stdin.flush()
        return {each.stdout.readline() for each in running}

    yield ask
    for each in running:
        suite.record(each.communicate()[1])


def rotate(server: LiveServer) -> None:
    """Rotate the signing key, and wait until the server signs with the new one: it reads the keys every 5 seconds."""
    old = kid_of(send_form(server, "demo-admin"))
    app = build_app(database_url=server.environment["KEYTURN_DATABASE_URL"], issuer=server.url)
    Operator(app).run("keys", "rotate", "--now")
    close(app)
    wait_for(lambda: kid_of(send_form(server, "demo-admin")) != old)


def test_eight_processes_use_one_token_an_hour_through_a_rotation(
    server: LiveServer, source: Callable[..., Any], workers: Callable[[float], set[str]]
) -> None:
    ours = '"token_issued"', '"client_id": "fault"'
    before, hours, sent = lines(server, *ours), [], []
    for hour in range(4):
        hours.append(set().union(*(workers(hour * HOUR + minutes * 60) for minutes in (0, 15, 30, 45))))
        if hour == 1:
            rotate(server)
            # A ninth process: the old key's token is accepted.
            assert source(clock=Clock(1.75 * HOUR)).send(call(server, sent)).status_code == 200

    assert [len(each) for each in hours] == [1, 1, 1, 1]
    assert len(set().union(*hours)) == 4
    assert [len({each.split()[0] for each in pair}) for pair in (hours[0] | hours[1], hours[1] | hours[2])] == [1, 2]
    assert (lines(server, *ours), len(sent)) == (before + 4, 1)


def test_a_token_is_renewed_early_and_not_by_all_at_one_moment(source: Callable[..., Any]) -> None:
    moments = {(tokens.state.renew_at - tokens.state.at) / HOUR for tokens in fresh(source, 5)}

    assert len(moments) == 5
    assert all(0.8 <= each <= 0.9 for each in moments)


def fresh(source: Callable[..., Any], count: int) -> list[Any]:
    found = [source(f"fault-wrong-type~{number}") for number in range(count)]
    for each in found:
        token_of(each)
    return found


def test_a_valid_token_is_used_while_another_process_renews_it(server: LiveServer, source: Callable[..., Any]) -> None:
    clock = Clock()
    tokens = source(clock=clock)
    first, before = token_of(tokens), issued(server)
    clock.ahead = 0.95 * HOUR

    with locked_by_another_process(tokens.file):
        during = token_of(tokens)
        clock.ahead = HOUR
        reason = reason_of(source(clock=clock, wait=0.1))

    assert during == first
    assert reason == "no token for fault: another thread or process is still requesting it"
    assert issued(server) == before
    assert token_of(tokens) != first


HOLD = "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); input()"


class locked_by_another_process:  # noqa: N801, used as a function
    def __init__(self, file: Path) -> None:
        self.command = [sys.executable, "-c", HOLD, str(file.with_suffix(".lock"))]

    def __enter__(self) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def __exit__(self, *_: object) -> None:
        self.process.communicate(b"\n")


FAULTS = {
    "401": "HTTP 401 invalid_client X-Request-Id …",
    "429-once": "",
    "503-once": "",
    "500-once": "",
    "429": "HTTP 429 temporarily_unavailable X-Request-Id …",
    "slow-2s-once": "",
    "drop-once": "",
    "drop": "RemoteDisconnected",
    "cut-once": "",
    "cut": "IncompleteRead",
    "truncated": "HTTP 200 without a JSON object X-Request-Id …",
    "html": "HTTP 200 without a JSON object X-Request-Id …",
    "redirect": "HTTP 302 without a JSON object X-Request-Id …",
    "empty": "HTTP 200 without a JSON object X-Request-Id …",
    "wrong-type": "",
    "no-access-token": "the response is no token response",
    "no-token-type": "the response is no token response",
    "no-expires-in": "",
    "negative-expires-in": "the token has expired already",
    "text-expires-in": "",
    "less-scope": "the token lacks the scope reports:read",
}


def outcome(tokens: Any) -> str:
    try:
        token_of(tokens)
    except client.TokenError as error:
        suite.record(repr(error))
        reason = str(error).removeprefix(f"no token for {tokens.client_id}: ").strip()
        return reason[:-16] + "…" if "X-Request-Id" in reason else reason
    return ""


def test_each_fault_ends_in_a_token_or_in_one_sentence(source: Callable[..., Any]) -> None:
    sources = {name: source(f"fault-{name}~lift", seconds=1.5) for name in FAULTS}

    with ThreadPoolExecutor(len(FAULTS)) as pool:
        found = dict(zip(sources, pool.map(outcome, sources.values()), strict=True))

    assert found == FAULTS
    covered = {name.removesuffix("-once").replace("-2s", "-5s") for name in FAULTS}
    assert names(Kind.RESPONSE) == covered


def test_an_error_of_our_own_is_not_sent_again_and_again(server: LiveServer, source: Callable[..., Any]) -> None:
    clock = Clock()
    tokens = source("fault-401~stop", clock=clock)
    before = lines(server, '"fault": "401"')

    reasons = {reason_of(tokens) for _ in range(5)}
    during = lines(server, '"fault": "401"')
    clock.ahead = client.PAUSE_SECONDS + 1
    reason_of(tokens)

    assert (len(reasons), during, lines(server, '"fault": "401"')) == (1, before + 1, before + 2)


def test_a_service_with_another_secret_does_not_wait_for_the_refused_one(source: Callable[..., Any]) -> None:
    assert "401 invalid_client" in reason_of(source(secret="wrong"))

    assert token_of(source())


def call(server: LiveServer, sent: list[str]) -> Callable[[dict[str, str]], requests.Response]:
    def request(headers: dict[str, str]) -> requests.Response:
        sent.append(headers["Authorization"])
        suite.remember(headers["Authorization"].partition(" ")[2])
        return requests.get(f"{server.url}/internal/reports", headers=headers, timeout=20)

    return request


def test_a_refused_token_is_replaced_once_and_never_after_a_second_refusal(
    server: LiveServer, source: Callable[..., Any]
) -> None:
    sent: list[str] = []
    clock = Clock()
    tokens, before = source("fault-expired", clock=clock), issued(server)

    first, second = (tokens.send(call(server, sent)) for _ in range(2))
    during = len(sent), len(set(sent)), issued(server) - before
    clock.ahead = client.PAUSE_SECONDS + 1
    tokens.send(call(server, sent))

    assert (first.status_code, second.status_code) == (401, 401)
    assert during == (3, 2, 2)
    assert (len(sent), issued(server) - before) == (5, 3)


def test_an_expired_token_is_replaced(server: LiveServer, source: Callable[..., Any]) -> None:
    sent: list[str] = []

    assert source("fault-expired-once~lift").send(call(server, sent)).status_code == 200
    assert len(set(sent)) == len(sent) == 2


def test_a_token_that_lacks_a_scope_is_not_replaced(server: LiveServer, source: Callable[..., Any]) -> None:
    sent: list[str] = []

    assert source(scope="read:logs").send(call(server, sent)).status_code == 403
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("challenge", "times"),
    [
        pytest.param('Bearer realm="api", error="invalid_token"', 2, id="invalid-token"),
        pytest.param('Bearer realm="api"', 2, id="no-error"),
        pytest.param("", 2, id="no-challenge"),
        # RFC 9470: a new token of the same client would be refused as well.
        pytest.param('Bearer error="insufficient_user_authentication"', 1, id="another-error"),
    ],
)
def test_a_401_of_any_api_is_sent_once_more_if_a_new_token_may_help(
    source: Callable[..., Any], challenge: str, times: int
) -> None:
    sent: list[str] = []

    def request(headers: dict[str, str]) -> requests.Response:
        sent.append(headers["Authorization"])
        suite.remember(headers["Authorization"].partition(" ")[2])
        response = requests.Response()
        response.status_code = 401
        response.headers["WWW-Authenticate"] = challenge
        return response

    assert source().send(request).status_code == 401
    assert len(sent) == len(set(sent)) == times


def test_a_revoked_token_is_replaced_once_for_all_threads_and_processes(
    server: LiveServer, source: Callable[..., Any]
) -> None:
    processes = [source(), source()]
    token = {token_of(each) for each in processes}.pop()
    form, auth = {"token": token}, ("fault", SECRET)
    assert requests.post(f"{server.url}/oauth/revoke", form, auth=auth, timeout=20).status_code == 200
    before, sent, turn = issued(server), [], itertools.count()

    found = at_once(16, lambda: str(processes[next(turn) % 2].send(call(server, sent)).status_code))

    assert set(found) == {"200"}
    assert issued(server) == before + 1


def test_an_outage_is_bridged_by_the_old_token(
    live_servers: Callable[..., LiveServer], server: LiveServer, source: Callable[..., Any]
) -> None:
    clock = Clock()
    tokens, other = source(clock=clock), source(clock=clock, wait=0.2)
    first = token_of(tokens)
    server.stop()

    clock.ahead = 0.95 * HOUR
    during = {token_of(each) for each in (tokens, other, tokens, other)}
    failures = tokens.state.failures
    clock.ahead += 0.05 * HOUR
    reason = reason_of(other)
    started = live_servers(
        server.environment["KEYTURN_DATABASE_URL"],
        server.log.parent,
        PORT=server.environment["PORT"],
        WEB_CONCURRENCY="1",
    )
    server.process, server.log = started.process, started.log

    assert during == {first}
    assert failures == 1
    assert reason == "no token for fault: URLError [Errno 111] Connection refused"
    assert token_of(tokens) == token_of(other) != first


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        pytest.param("7", 7, 7, id="seconds"),
        pytest.param("0", 0.5, 0.5, id="none"),
        pytest.param("86400", 300, 300, id="too-long"),
        pytest.param("9" * 400, 1, 2, id="no-number"),
        pytest.param(formatdate(1_000_007, usegmt=True), 7, 7, id="date"),
        pytest.param(formatdate(999_000, usegmt=True), 0.5, 0.5, id="past"),
        pytest.param(formatdate(9_000_000, usegmt=True), 300, 300, id="late"),
        pytest.param("-5", 1, 2, id="negative"),
        pytest.param("soon", 1, 2, id="word"),
        pytest.param("", 1, 2, id="missing"),
    ],
)
def test_retry_after_is_obeyed_within_bounds(value: str, least: float, most: float) -> None:
    """A date counts from the server's `Date`: by our clock, decades later, it would have passed."""
    headers = {"Retry-After": value, "Date": formatdate(1_000_000, usegmt=True)}

    assert least <= client.pause_after(client.TokenError("", 503, headers), failures=3) <= most


def test_the_back_off_grows_and_is_bounded() -> None:
    pauses = [client.pause_after(client.TokenError(""), failures) for failures in (1, 3, 5, 99_999)]

    assert all(earlier < later for earlier, later in itertools.pairwise(pauses))
    assert pauses[-1] <= 30


@pytest.mark.parametrize("minutes", [-90, 90])
def test_a_wall_clock_that_is_off_does_no_harm(server: LiveServer, source: Callable[..., Any], minutes: int) -> None:
    tokens, before = source(), issued(server)
    with time_machine.travel(time.time() + minutes * 60):
        first = token_of(tokens)
    with time_machine.travel(time.time() - minutes * 60):
        second = token_of(tokens)

    assert (first == second, issued(server)) == (True, before + 1)
    assert tokens.state.expires_at - tokens.state.at == pytest.approx(0.99 * HOUR)


def key_text(key: Any, form: str) -> str:
    return json.dumps(key.as_dict(private=True)) if form == "jwk" else key.as_pem(private=True).decode()


@pytest.mark.parametrize("form", ["pem", "jwk"])
@pytest.mark.parametrize(("kind", "size", "algorithm"), [(RSAKey, 2048, "RS256"), (ECKey, "P-256", "ES256")])
def test_an_assertion_is_short_and_for_the_issuer_alone(
    source: Callable[..., Any], kind: Any, size: Any, algorithm: str, form: str, tmp_path: Path
) -> None:
    key: Key = kind.generate_key(size)
    tokens = source("billing", private_key=tmp_path / "key", issuer="https://auth.example.com")

    found = [jwt.decode(tokens.signed(key_text(key, form)), key, algorithms=[algorithm]) for _ in range(2)]

    header, claims = found[0].header, found[0].claims
    assert (header["alg"], header["kid"], header["typ"]) == (algorithm, key.thumbprint(), "JWT")
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("billing", "billing", "https://auth.example.com")
    assert abs(claims["iat"] - time.time()) < 30
    assert claims["exp"] == claims["iat"] + 60
    assert len({each.claims["jti"] for each in found}) == 2


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_a_private_key_gets_tokens_though_the_clock_is_off(
    server: LiveServer, source: Callable[..., Any], tmp_path: Path, alg: str
) -> None:
    file, clock, sent = tmp_path / "key", Clock(), []
    app = build_app(database_url=server.environment["KEYTURN_DATABASE_URL"], issuer=server.url)
    command = ["clients", "create", f"by-key-{alg}", "--scope", SCOPE, "--generate-key", str(file), "--key-alg", alg]
    client_id = Operator(app).run(*command)["client_id"]
    close(app)
    tokens = source(client_id, secret="", private_key=file, issuer=server.url, clock=clock)
    before = lines(server, '"token_refused"', client_id)

    statuses = [tokens.send(call(server, sent)).status_code]
    refused = [lines(server, '"token_refused"', client_id) - before]
    clock.ahead = HOUR
    with time_machine.travel(time.time() - 600):
        statuses.append(tokens.send(call(server, sent)).status_code)
        refused.append(lines(server, '"token_refused"', client_id) - before)
        clock.ahead = 2 * HOUR
        statuses.append(tokens.send(call(server, sent)).status_code)
        refused.append(lines(server, '"token_refused"', client_id) - before)

    assert statuses == [200, 200, 200]
    assert len(set(sent)) == 3
    assert refused == [0, 1, 1]  # the clock is corrected once


def test_a_platform_token_is_read_from_its_file_each_time(
    server: LiveServer, source: Callable[..., Any], tmp_path: Path
) -> None:
    """What is in the file is an assertion that the server accepts once; so a second token needs a second one."""
    key, file, clock = tmp_path / "key", tmp_path / "token", Clock()
    app = build_app(database_url=server.environment["KEYTURN_DATABASE_URL"], issuer=server.url)
    made = Operator(app).run("clients", "create", "pod", "--scope", SCOPE, "--generate-key", str(key))
    close(app)
    platform = source(made["client_id"], private_key=key, issuer=server.url)
    tokens = source(made["client_id"], platform_token=file, clock=clock)

    found = []
    for hour in range(2):
        clock.ahead = hour * HOUR
        file.write_text(platform.signed(key.read_text()) + "\n")
        found.append(token_of(tokens))

    assert len(set(found)) == 2


def test_a_server_that_refuses_a_key_by_a_clock_that_is_off_corrects_it(
    source: Callable[..., Any], tmp_path: Path
) -> None:
    """The client is unknown, so the server refuses every assertion; what is shown is when the second was signed."""
    key, file = ECKey.generate_key("P-256"), tmp_path / "key.pem"
    file.write_text(key_text(key, "pem"))
    tokens = source("billing", private_key=file, issuer="http://127.0.0.1:8000")
    truth = time.time()

    with time_machine.travel(truth - 600):
        assert "401 invalid_client" in reason_of(tokens)
        claims = jwt.decode(tokens.signed(file.read_text()), key, algorithms=["ES256"]).claims

    assert claims["iat"] == pytest.approx(truth, abs=30)


@pytest.mark.parametrize("written", ["", "{}", "junk", '{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}'])
def test_a_key_that_cannot_sign_is_an_error_without_its_text(
    source: Callable[..., Any], tmp_path: Path, written: str
) -> None:
    file = tmp_path / "key.pem"
    file.write_text(written)

    reason = reason_of(source("billing", private_key=file, issuer="http://127.0.0.1:8000"))

    assert reason.startswith("no token for billing: the credentials cannot be used: ")
    assert not written or written not in reason


def test_a_missing_platform_token_is_an_error_until_it_is_there(source: Callable[..., Any], tmp_path: Path) -> None:
    clock = Clock()
    tokens = source("pod", platform_token=tmp_path / "token", clock=clock)

    missing = reason_of(tokens)
    (tmp_path / "token").write_text("eyJhbGciOiJSUzI1NiJ9.e30.x")
    clock.ahead = client.PAUSE_SECONDS + 1

    assert missing.endswith("the credentials cannot be used: FileNotFoundError")
    assert "HTTP 4" in reason_of(tokens)


def test_a_secret_in_a_file_is_read_each_time(source: Callable[..., Any], tmp_path: Path) -> None:
    file, clock = tmp_path / "secret", Clock()
    file.write_text("old")
    tokens = source(secret=file, clock=clock)

    assert "401 invalid_client" in reason_of(tokens)
    file.write_text(f"{SECRET}\n")
    clock.ahead = client.PAUSE_SECONDS + 1
    assert token_of(tokens)


def test_the_file_is_for_its_user_alone(source: Callable[..., Any]) -> None:
    tokens = source()
    token_of(tokens)

    assert tokens.file.stat().st_mode & 0o777 == 0o600
    assert tokens.folder.stat().st_mode & 0o777 == 0o700
    tokens.folder.chmod(0o770)
    with pytest.raises(PermissionError, match="another user may write into it"):
        source()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda found: found | {"boot": "another"}, id="another-boot"),
        pytest.param(lambda found: found | {"at": found["at"] + 9_999_999}, id="later-than-now"),
        pytest.param(lambda found: found | {"new": 1}, id="another-version"),
        pytest.param(lambda found: [found], id="no-object"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_not_used(
    server: LiveServer, source: Callable[..., Any], change: Callable[[dict[str, Any]], Any]
) -> None:
    tokens = source()
    first, before = token_of(tokens), issued(server)
    assert token_of(source()) == first
    tokens.file.write_text(json.dumps(change(json.loads(tokens.file.read_text()))))

    assert token_of(source()) != first
    assert issued(server) == before + 1


@pytest.mark.parametrize("broken", ["file", "folder"])
def test_without_a_file_a_process_still_has_its_token(
    server: LiveServer, source: Callable[..., Any], caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    tokens = source()
    if broken == "file":
        tokens.file.mkdir()
    else:
        tokens.folder.rmdir()
        tokens.folder.write_text("")
    before = issued(server)

    assert token_of(tokens) == token_of(tokens)
    assert issued(server) == before + 1
    assert "other processes do not get the token" in caplog.text
    assert ("without a lock" in caplog.text) == (broken == "folder")


def test_a_folder_that_was_removed_is_made_again(source: Callable[..., Any]) -> None:
    tokens = source()
    tokens.folder.rmdir()

    assert token_of(tokens) == token_of(source())
    assert tokens.folder.stat().st_mode & 0o777 == 0o700


def test_nothing_that_is_written_has_a_secret_or_a_token(
    source: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens, cut = source(), source("fault-cut~secret", wait=0.1)
    token = token_of(tokens)

    written = reason_of(cut) + caplog.text + repr(tokens) + repr(cut) + repr(tokens.state)

    assert "IncompleteRead" in caplog.text
    assert "eyJ" not in written  # the half of a token that `fault-cut` sends
    assert not [secret for secret in (SECRET, token, token.rpartition(".")[2]) if secret in written]


def test_the_documented_service_runs(server: LiveServer, tmp_path: Path) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "service-client.md").read_text(), re.DOTALL)
    shown = snippet.replace("http://127.0.0.1:8000", server.url).replace("/run/billing", str(tmp_path / "billing"))
    secret = next(demo.secret for demo in config.DEMO_CLIENTS if demo.client_id == "demo-reporting")
    environment = {"PATH": "/usr/bin", "PYTHONPATH": str(FILE.parent), "CLIENT_SECRET": secret}

    done = subprocess.run([sys.executable, "-c", shown], env=environment, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("200\n", "")
