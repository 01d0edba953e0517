"""Rate limits (R025): what is counted, by which key, and what happens without Redis, with one, and when it fails."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from threading import Thread

import pytest
import time_machine
from flask import Flask
from redis import Redis
from redis.exceptions import AuthenticationError
from sqlalchemy import update
from werkzeug.test import TestResponse

from app.authentication import counters, limits
from app.authentication.counters import Counters
from app.clients.secret import ClientSecret
from app.clock import now
from app.storage.database import db, transaction
from tests.conftest import LiveServer, Machine, Operator, demo, free_port, missing, wait_for
from tests.support.calling import FORM, call
from tests.support.work import counted


@pytest.fixture(scope="module")
def redis_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], str]]]:
    """Starts a real Redis."""
    executable = shutil.which("redis-server") or ""
    if not executable:
        missing("Redis", install="apt install redis-server")
    running: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> tuple[subprocess.Popen[bytes], str]:
        port = free_port()
        command = [executable, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        folder = tmp_path_factory.mktemp("redis")
        process = subprocess.Popen([*command, "--dir", str(folder), *options], stdout=subprocess.DEVNULL)
        running.append(process)
        with Redis(port=port) as client:
            wait_for(lambda: is_up(client))
        return process, f"redis://127.0.0.1:{port}/0"

    yield start
    for process in running:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(timeout=30)


def is_up(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except AuthenticationError:  # it is up, and wants a password
        return True
    except OSError:
        return False


def guess(
    app: Flask, client_id: str, times: int = 1, *, address: str = "192.0.2.1", secret: str = "kts_x"
) -> list[int]:
    """The statuses of `n` guesses from an address."""
    form = {"grant_type": "client_credentials"}
    return [
        app.test_client()
        .post("/oauth/token", data=form, auth=(client_id, secret), environ_overrides={"REMOTE_ADDR": address})
        .status_code
        for _ in range(times)
    ]


def secret_of(client_id: str) -> str:
    return f"kts_{client_id}-is-for-learning-only"


def right(app: Flask, client_id: str, *, address: str = "192.0.2.1") -> int:
    return guess(app, client_id, address=address, secret=secret_of(client_id))[0]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The monotonic clock of the counters in memory; a test moves it."""
    clock = Clock()
    monkeypatch.setattr(counters, "monotonic", lambda: clock.moment)
    return clock


@dataclass
class Clock:
    moment: float = 0.0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps that are made from now on wait for Redis: on a busy machine it may be late, and they would count alone."""
    monkeypatch.setattr(limits, "REDIS_SECONDS", 30)


@pytest.fixture(params=["memory", "redis"])
def counting(request: pytest.FixtureRequest, new_app: Callable[..., Flask]) -> Callable[..., Flask]:
    """Creates apps that count in memory, or in Redis."""
    if request.param == "memory":
        return new_app
    request.getfixturevalue("patient")
    return partial(new_app, redis_url=request.getfixturevalue("redis_server")()[1])


def test_R025_failures_of_one_client_id_from_one_address_end_at_the_limit(
    new_app: Callable[..., Flask], clock: Clock
) -> None:
    app = new_app(limit_failures="3/minute")

    assert guess(app, "demo-admin", 5) == [401, 401, 401, 429, 429]
    assert guess(app, "demo-partner") == [401]
    clock.moment += 60
    assert guess(app, "demo-admin") == [401]


def test_R025_attack_guesses_of_others_never_refuse_a_correct_secret(counting: Callable[..., Flask]) -> None:
    """Under the same id or another, from the same address or another, within the limit and past it."""
    app = counting(limit_failures="3/minute", limit_address="5/minute")

    assert guess(app, "demo-admin", 4) == [401, 401, 401, 429]
    assert guess(app, "demo-partner", 3)[-1] == 429

    assert [right(app, "demo-admin") for _ in range(5)] == [200] * 5
    assert right(app, "demo-reporting") == 200
    assert right(app, "demo-admin", address="192.0.2.2") == 200


def test_R025_failures_of_many_client_ids_from_one_address_end_at_the_limit(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="3/minute", limit_address="5/minute")

    assert [guess(app, f"ktc_{n:022}")[0] for n in range(7)] == [401] * 5 + [429] * 2
    assert guess(app, "demo-admin", address="192.0.2.2") == [401]


def test_R025_a_forgotten_old_secret_refuses_no_new_one_before_and_after_cleanup(
    counting: Callable[..., Flask],
) -> None:
    app = counting(limit_failures="3/minute", limit_address="4/minute")
    operator = Operator(app)
    old = operator.register("fleet", "--scope", "read:logs")
    new = Machine(
        app, old.client_id, operator.run("clients", "rotate-secret", "fleet", "--overlap", "0")["client_secret"]
    )
    assert [old.request_token().status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert new.request_token().status_code == 200

    with app.app_context(), transaction():
        ended = ClientSecret.not_after.is_not(None)
        db.session.execute(update(ClientSecret).where(ended).values(not_after=now() - 8 * 86_400))
    assert operator.run("cleanup")["removed"]["secrets"] == 1

    assert [old.request_token().status_code for _ in range(5)] == [429] * 5
    assert [new.request_token().status_code for _ in range(5)] == [200] * 5


@pytest.mark.parametrize("env", ["production", "development"])
@pytest.mark.parametrize("in_form", [True, False])
def test_R024_R025_attack_failures_cannot_be_told_apart_within_the_limit_and_past_it(
    new_app: Callable[..., Flask], env: str, in_form: bool
) -> None:
    """Whether the client exists, is disabled, was registered for another method; whether the secret was once right."""
    limits = {"limit_failures": "1/minute", "limit_address": ""}
    app = new_app(env=env, issuer="https://auth.example.com", trusted_proxies=1, **limits)
    seen = [failures(app, client_id, plaintext, in_form=in_form) for client_id, plaintext in failing(app)]

    assert [status for status, *_ in seen[0]] == [401, 429]
    assert seen == [seen[0]] * len(seen)


def failing(app: Flask) -> list[tuple[str, str]]:
    operator = Operator(app)
    rotated = operator.register("rotated", "--scope", "read:logs")
    operator.run("clients", "rotate-secret", "rotated", "--overlap", "0")
    disabled = operator.register("disabled", "--scope", "read:logs")
    operator.run("clients", "disable", "disabled")
    deleted = operator.register("deleted", "--scope", "read:logs")
    operator.run("clients", "delete", "deleted")
    known = operator.register("known", "--scope", "read:logs")
    pairs = [(each.client_id, each.secret) for each in (rotated, disabled, deleted)]
    return [*pairs, (known.client_id, "kts_wrong"), ("ktc_0123456789012345678901", "kts_wrong")]


def failures(app: Flask, client_id: str, plaintext: str, *, in_form: bool) -> list[tuple[object, ...]]:
    """What the caller sees of two failures in a row, and what they cost."""
    shown: list[tuple[object, ...]] = []
    for _ in range(2):
        credentials = {"client_id": client_id, "client_secret": plaintext} if in_form else {}
        with counted(app) as work:
            response = app.test_client().post(
                "/oauth/token",
                data={"grant_type": "client_credentials"} | credentials,
                auth=None if in_form else (client_id, plaintext),
                headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"},
            )
        body = {name: text for name, text in response.json.items() if name != "hint"}
        headers = {name: text for name, text in response.headers if name not in UNLIKE}
        shown.append((response.status_code, body, headers, sorted(work.done)))
    return shown


UNLIKE = ("Date", "X-Request-Id", "Content-Length", "Retry-After")  # they depend on the hint's length and on time


def test_R025_successes_are_never_counted(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="2/minute", limit_address="2/minute")

    assert [right(app, "demo-admin") for _ in range(10)] == [200] * 10
    assert guess(app, "demo-admin", 2) == [401, 401]


def test_R025_the_response_says_when_to_try_again(new_app: Callable[..., Flask], clock: Clock) -> None:
    app = new_app(limit_failures="1/minute")
    guess(app, "demo-admin")
    clock.moment += 20

    response = failed(app, REMOTE_ADDR="192.0.2.1")

    assert (response.status_code, response.json["error"]) == (429, "temporarily_unavailable")
    assert response.headers["Retry-After"] == "40"
    assert response.headers["Cache-Control"] == "no-store"
    assert "the secret is wrong; more than 1 per 1 minute" in response.json["hint"]
    assert "192.0.2.1" in response.json["hint"]


def failed(app: Flask, forwarded: str | None = None, **environ: str) -> TestResponse:
    """A failed authentication, with an X-Forwarded-For as the proxy forwards it."""
    form = {"grant_type": "client_credentials"}
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return app.test_client().post(
        "/oauth/token", data=form, auth=("demo-admin", "kts_x"), headers=headers, environ_overrides=environ
    )


def test_R025_retry_after_is_never_longer_than_the_window_whatever_the_clock_does(
    counting: Callable[..., Flask],
) -> None:
    app = counting(limit_failures="1/minute")
    with time_machine.travel(now(), tick=False) as clock:
        failed(app)
        for seconds in (-3_600, 7_200, -3_600):
            clock.shift(seconds)
            response = failed(app)

            assert response.status_code == 429
            assert 1 <= int(response.headers["Retry-After"]) <= 60


def test_R025_every_endpoint_and_every_broken_credential_counts_as_one_guess(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="", limit_address="4/minute")
    machine = Machine(app, "demo-admin", "kts_wrong")
    broken = {"Authorization": "Basic %%%"}

    responses = [
        machine.request_token(),
        machine.introspect("x"),
        machine.revoke("x"),
        app.test_client().post("/oauth/token", data={"grant_type": "client_credentials"}, headers=broken),
        app.test_client().post("/oauth/token", data={"grant_type": "client_credentials"}, headers=broken),
        machine.request_token(),
    ]

    assert [response.status_code for response in responses] == [401, 401, 401, 401, 429, 429]


def test_R025_an_empty_limit_is_none(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="", limit_address="")

    assert guess(app, "demo-admin", 400) == [401] * 400


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:5678", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]:443", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        *(
            (text, "")
            for text in ("", "unknown", "unix:", "192.0.2", "192.0.2.1:x", "[]", "\x00", "1" * 9_000, "\u0661.1.1.1")
        ),
    ],
)
def test_R025_what_counts_as_one_address(text: str, address: str) -> None:
    assert limits.known_address(text) == address


def test_R025_any_failure_counts_even_with_a_correct_secret_by_another_method_than_registered(
    new_app: Callable[..., Flask],
) -> None:
    app = new_app(limit_failures="2/minute", limit_address="2/minute")
    machine = Operator(app).register("billing", "--scope", "read:logs", "--auth-method", "client_secret_post")
    form = {"grant_type": "client_credentials", "client_id": machine.client_id, "client_secret": machine.secret}

    for status in (401, 401, 429, 429):  # as some clients do: Basic first, then the form
        assert machine.request_token().status_code == status
        assert app.test_client().post("/oauth/token", data=form).status_code == 200


def test_R025_attack_a_flood_of_senders_frees_nobody_who_is_at_a_limit_and_does_not_grow_without_end(
    new_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "MAX_KEYS", 20)
    app = new_app(limit_failures="2/day", limit_address="")
    assert guess(app, "demo-admin", 3) == [401, 401, 429]

    for n in range(60):
        guess(app, "demo-admin", address=f"192.0.2.{n + 2}")

    assert len(limits.current_limits.of(app)._own.storage) <= 20
    assert guess(app, "demo-admin") == [429]


def test_counters_forget_first_what_is_over(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_KEYS", 20)
    held = Counters()
    for n in range(10):
        held.incr(f"brief {n}", 60)
        held.incr(f"brief {n}", 60)
        held.incr(f"long {n}", 3_600)

    clock.moment += 60
    held.incr("new", 60)

    assert len(held) == 11
    assert [held.get(f"long {n}") for n in range(10)] == [1] * 10


def test_no_limit_starts_a_thread(new_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    """The server forks its workers after it creates the app, and a thread does not survive a fork."""
    started: list[str] = []
    start = Thread.start
    monkeypatch.setattr(Thread, "start", lambda thread: (started.append(type(thread).__name__), start(thread))[1])

    guess(new_app(limit_failures="2/minute"), "demo-admin", 4)

    assert "Timer" not in started


@pytest.mark.parametrize(
    "prefix",
    ["", "198.51.100.77", '"', '"198.51.100.77', '\\"', '"a\\', 'a, "b', '"a", "', "unknown", ",,", "x" * 500, "\xff"],
)
def test_R104_attack_nothing_that_the_client_writes_gives_it_another_address(
    new_app: Callable[..., Flask], prefix: str
) -> None:
    """As nginx and HAProxy forward it: they append the address that they see to what the client sent."""
    app = new_app(limit_failures="", limit_address="1/minute", trusted_proxies=1)
    assert [failed(app, seen).status_code for seen in ("198.51.100.1", "198.51.100.1", "198.51.100.2")] == [
        401,
        429,
        401,
    ]

    assert failed(app, f"{prefix}, 198.51.100.1").status_code == 429
    assert failed(app, f"{prefix}, 198.51.100.3").status_code == 401
    assert failed(app, f"{prefix}, 198.51.100.3").status_code == 429


@pytest.mark.parametrize("sent", ["", '"', '"https', "https, https"])
def test_R104_attack_nothing_that_the_client_writes_makes_its_request_https(
    new_app: Callable[..., Flask], sent: str
) -> None:
    app = new_app(env="production", issuer="https://auth.example.com", trusted_proxies=1)
    form = {"grant_type": "client_credentials"}

    for scheme, status in (("http", 400), ("https", 401)):
        headers = {"X-Forwarded-Proto": f"{sent}, {scheme}"}
        assert app.test_client().post("/oauth/token", data=form, headers=headers).status_code == status


@pytest.mark.parametrize("address", ["", "unix:", "unknown"])
def test_R025_no_limit_takes_all_clients_for_one_address(
    new_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture, address: str
) -> None:
    """Over a unix socket without a trusted proxy there is no address at all."""
    app = new_app(limit_failures="2/minute", limit_address="3/minute")

    assert [guess(app, f"ktc_{n:022}", address=address)[0] for n in range(10)] == [401] * 10
    assert guess(app, "demo-admin", 3, address=address) == [401, 401, 429]
    assert right(app, "demo-admin", address=address) == 200

    (line,) = [record.message for record in caplog.records if "KEYTURN_LIMIT_ADDRESS does not apply" in record.message]
    assert "KEYTURN_TRUSTED_PROXIES" in line


def test_R104_without_a_trusted_proxy_no_header_changes_the_address_or_who_one_is(
    new_app: Callable[..., Flask],
) -> None:
    app = new_app(limit_failures="1/minute")

    def status_from(n: int) -> int:
        headers = {
            "X-Forwarded-For": f"198.51.100.{n}",
            "Forwarded": f"for=198.51.100.{n}",
            "X-Real-IP": f"198.51.100.{n}",
            "X-Client-Cert": "-----BEGIN CERTIFICATE-----",
            "X-SSL-Client-Verify": "SUCCESS",
        }
        form = {"grant_type": "client_credentials"}
        return app.test_client().post("/oauth/token", data=form, auth=("demo-admin", "x"), headers=headers).status_code

    assert [status_from(1), status_from(2), status_from(3)] == [401, 429, 429]


def test_a_client_may_make_as_many_requests_as_its_limit(new_app: Callable[..., Flask], clock: Clock) -> None:
    app = new_app(limit_requests="3/minute")

    assert [demo(app, "demo-admin").request_token().status_code for _ in range(4)] == [200, 200, 200, 429]
    assert demo(app, "demo-partner").request_token().status_code == 200
    clock.moment += 60
    assert demo(app, "demo-admin").request_token().status_code == 200


def test_R092_introspection_has_a_limit_of_its_own(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_introspection="3/minute", limit_requests="1/minute")
    api = demo(app, "demo-shipments")

    assert [api.introspect("x").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [api.request_token().status_code for _ in range(2)] == [400, 429]
    assert api.revoke("x").status_code == 200  # revocation is never limited


def test_what_is_refused_for_a_limit_is_recorded(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="1/minute")
    machine = Operator(app).register("billing", "--scope", "read:logs")
    guess(app, machine.client_id, 3)

    events = demo(app, "demo-admin").events(event="token_refused")

    assert events[0]["client_id"] == machine.client_id
    assert events[0]["reason"] == (
        "temporarily_unavailable: the secret is wrong; "
        "more than 1 per 1 minute failed authentications of this client id from 192.0.2.1 (KEYTURN_LIMIT_FAILURES)"
    )
    assert [event["reason"].partition(":")[0] for event in events] == ["temporarily_unavailable"] * 2 + [
        "invalid_client"
    ]


def test_R025_without_redis_each_worker_counts_for_itself(new_app: Callable[..., Flask]) -> None:
    workers = [new_app(limit_failures="2/minute") for _ in range(2)]

    assert [guess(worker, "demo-admin", 3) for worker in workers] == [[401, 401, 429]] * 2


@pytest.mark.usefixtures("patient")
def test_R025_with_redis_all_workers_count_together(
    new_app: Callable[..., Flask], redis_server: Callable[..., tuple[subprocess.Popen[bytes], str]]
) -> None:
    url = redis_server()[1]
    workers = [new_app(limit_failures="3/minute", redis_url=url) for _ in range(2)]

    assert guess(workers[0], "demo-admin", 2) == [401, 401]
    assert guess(workers[1], "demo-admin", 2) == [401, 429]
    assert [right(worker, "demo-admin") for worker in workers] == [200, 200]


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_R025_when_redis_fails_each_worker_counts_for_itself_and_says_so(
    new_app: Callable[..., Flask],
    redis_server: Callable[..., tuple[subprocess.Popen[bytes], str]],
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    process, url = redis_server()
    app = new_app(limit_failures="2/minute", redis_url=url)
    assert guess(app, "demo-admin") == [401]

    if how == "stopped":
        process.terminate()
        process.wait(timeout=30)
    else:
        process.send_signal(signal.SIGSTOP)

    assert guess(app, "demo-admin", 3) == [401, 401, 429]
    assert right(app, "demo-partner") == 200
    assert caplog.text.count("Redis does not respond") == 1
    (event,) = demo(app, "demo-admin").events(event="limits_not_shared")
    assert event["reason"].startswith("limits_not_shared: ")


def test_R025_when_redis_is_back_it_counts_again(
    new_app: Callable[..., Flask],
    redis_server: Callable[..., tuple[subprocess.Popen[bytes], str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "ALONE_SECONDS", 0)
    process, url = redis_server()
    workers = [new_app(limit_failures="2/minute", redis_url=url) for _ in range(2)]
    process.send_signal(signal.SIGSTOP)
    assert guess(workers[0], "demo-admin") == [401]

    process.send_signal(signal.SIGCONT)
    with Redis.from_url(url) as client:
        client.ping()  # it is back, and has read what was sent to it meanwhile

    assert guess(workers[0], "demo-partner", 2) == [401, 401]
    assert guess(workers[1], "demo-partner") == [429]


def test_R025_two_gunicorn_workers_count_together_on_redis(
    live: Callable[..., LiveServer], redis_server: Callable[..., tuple[subprocess.Popen[bytes], str]]
) -> None:
    server = live(KEYTURN_LIMIT_FAILURES="5/hour", KEYTURN_REDIS_URL=redis_server()[1])
    body = "grant_type=client_credentials&client_id=demo-admin&client_secret=kts_wrong"

    statuses = [call(server, "POST", "/oauth/token", body, **FORM)[0] for _ in range(20)]

    assert statuses == [401] * 5 + [429] * 15


def test_a_wrong_password_of_redis_counts_as_no_response_and_is_in_no_log(
    new_app: Callable[..., Flask],
    redis_server: Callable[..., tuple[subprocess.Popen[bytes], str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = redis_server("--requirepass", "another-password")[1].replace("redis://", "redis://:hush-hush-hush@")
    app = new_app(redis_url=url, limit_failures="1/minute")

    assert guess(app, "demo-admin", 2) == [401, 429]

    assert "Redis does not respond" in caplog.text
    assert "hush" not in caplog.text


def test_a_password_of_redis_is_in_no_log(new_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture) -> None:
    app = new_app(redis_url=f"redis://:hush-hush-hush@127.0.0.1:{free_port()}/0")

    assert guess(app, "demo-admin") == [401]

    assert "Redis does not respond" in caplog.text
    assert "hush" not in caplog.text


def test_parallel_failures_pass_the_limit_by_none(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="10/hour")
    statuses: list[int] = []
    threads = [Thread(target=lambda: statuses.extend(guess(app, "demo-admin", 10))) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (statuses.count(401), statuses.count(429)) == (10, 30)
