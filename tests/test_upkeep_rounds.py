"""The upkeep by the workers: thirty days without a cron job, who holds the lease, and what is warned of."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, text, update

from app.audit import trail
from app.audit.event import AuditEvent
from app.clients.secret import ClientSecret
from app.clock import now
from app.faults.fault_count import FORGOTTEN_SECONDS, FaultCount
from app.keys.signing_key import LEAD_SECONDS, SigningKey
from app.remote_keys.fetched_key_set import FetchedKeySet
from app.storage import database
from app.storage.database import db, transaction
from app.tokens.stored_token import IssuedToken, RevokedToken
from app.upkeep import lease, removals, round, upkeep_thread, warnings  # noqa: A004, as in app/
from app.upkeep.upkeep_thread import UpkeepThread
from tests.conftest import Machine, Operator, build_app, close, demo, kid_of
from tests.support import simulated_days
from tests.test_upkeep import counted, fill

HOUR, DAY = 3_600, 86_400
TABLES = (AuditEvent, IssuedToken, RevokedToken, ClientSecret, SigningKey, FaultCount, FetchedKeySet)


class Fleet:
    """Two workers, whose clients use all that the upkeep has to remove or to move along."""

    def __init__(self, apps: list[Flask]) -> None:
        self.apps, self.threads = apps, [UpkeepThread(app) for app in apps]
        self.hour = 0
        operator = Operator(apps[0])
        registered = operator.register("nightly", "--scope", "inventory:read", "--lifetime", str(DAY))
        self.jwt = [Machine(app, registered.client_id, registered.secret) for app in apps]
        opaque = operator.register("opaque", "--scope", "inventory:read", "--lifetime", str(DAY), "--format", "opaque")
        self.opaque = [Machine(app, opaque.client_id, opaque.secret) for app in apps]
        self.live: deque[tuple[str, str]] = deque()
        self.kids: list[str] = []

    def work(self, hours: int) -> list[int]:
        """Use the fleet, once in this many hours; the statuses of tokens that are less than a day old."""
        self.hour += hours
        worker = self.hour // hours % 2
        jwt, opaque = self.jwt[worker], self.opaque[worker]
        self.live.append((jwt.token(), opaque.token()))
        if len(self.live) > 24 // hours:
            self.live.popleft()
        self.kids.append(kid_of(self.live[-1][0]))
        jwt.revoke(jwt.token())
        demo(self.apps[worker], "fault").app.test_client().post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(f"fault-429-once~{self.hour}", "kts_fault-is-for-learning-only"),
        )
        if self.hour % 24 == 0:
            Operator(self.apps[worker]).run("clients", "rotate-secret", "demo-reporting", "--overlap", "60")
            fetch_of_nobody(self.apps[worker], f"https://gone-{self.hour}.example/keys")
        checked = {0, len(self.live) // 2, len(self.live) - 1}
        found = [jwt.get("/inventory", token).status_code for n in checked for token in self.live[n]]
        for app in self.apps:
            with app.app_context():
                trail.current_batch().write()
        return found


def fetch_of_nobody(app: Flask, source: str) -> None:
    """Leave the key set of a client that was deleted just now."""
    times = dict.fromkeys(("fetched_at", "fresh_until", "next_try_at"), now())
    with app.app_context(), transaction():
        db.session.add(FetchedKeySet(source=source, jwks="", failure="", failures=0, claimed_until=0, **times))


@pytest.fixture
def let_pass(database_url: str) -> Iterator[Callable[[int], None]]:
    """Lets seconds pass, which otherwise stand still; a test names it before the apps, which then connect."""
    with simulated_days.simulated(database_url) as let_pass:
        yield let_pass


@pytest.mark.parametrize("hours", [8, pytest.param(1, marks=pytest.mark.drill)])
def test_thirty_days_without_a_cron_job_leave_every_table_flat_and_refuse_no_token(
    let_pass: Callable[[int], None], new_app: Callable[..., Flask], hours: int
) -> None:
    fleet = Fleet([new_app(key_rotation_days=7, audit_days=3) for _ in range(2)])
    sizes: list[list[int]] = []
    statuses: set[int] = set()
    rounds = 0

    for hour in range(0, 30 * 24, hours):
        statuses.update(fleet.work(hours))
        rounds += sum(thread.tick() for thread in fleet.threads)
        if hour % 24 == 0:
            sizes.append([counted(fleet.apps[0], model) for model in TABLES])
        let_pass(hours * HOUR)

    assert statuses == {200}
    assert rounds == 30 * 24 // hours  # one worker each time, not both
    settled, last = sizes[14:20], sizes[20:]
    for table, model in enumerate(TABLES):
        most = max(day[table] for day in settled)
        assert max(day[table] for day in last) <= 1.2 * most + 2, model
        assert min(day[table] for day in last) > 0, model
    assert len(dict.fromkeys(fleet.kids)) == 5  # rotated in the hours after 7, 14, 21 and 28 days
    changes = [step for step, (old, new) in enumerate(pairwise(fleet.kids), 1) if old != new]
    assert all(0 <= (end - begin) * hours - 7 * 24 <= 2 * hours for begin, end in pairwise([0, *changes]))


@pytest.fixture
def workers(let_pass: Callable[[int], None], new_app: Callable[..., Flask]) -> list[Flask]:
    assert let_pass  # the clocks are prepared before the apps connect
    return [new_app(), new_app()]


def stop_in_a_round(app: Flask, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Thread, threading.Event]:
    """Freeze a worker between two steps of its round, as SIGSTOP does; the event lets it go on."""
    in_a_step, go_on = threading.Event(), threading.Event()
    real = database.time.sleep
    frozen = threading.Thread(target=UpkeepThread(app).tick)

    def sleep(seconds: float) -> None:
        if threading.current_thread() is frozen:
            in_a_step.set()
            go_on.wait(60)
        else:
            real(seconds)

    monkeypatch.setattr(database.time, "sleep", sleep)
    frozen.start()
    assert in_a_step.wait(30)
    return frozen, go_on


def test_a_worker_that_was_frozen_loses_the_lease_and_notices_it_before_its_next_step(
    workers: list[Flask],
    let_pass: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(database, "STEP_ROWS", 10)
    fill(workers[0], 25)
    frozen, go_on = stop_in_a_round(workers[0], monkeypatch)

    let_pass(lease.LEASE_SECONDS - 1)
    assert not UpkeepThread(workers[1]).tick()  # it may still be at work
    assert counted(workers[0], IssuedToken) == 15
    let_pass(1)
    assert UpkeepThread(workers[1]).tick()
    assert counted(workers[0], IssuedToken) == 0
    fill(workers[0], 25)
    go_on.set()
    frozen.join(30)

    assert counted(workers[0], IssuedToken) == 25  # the frozen one has removed nothing more
    assert "another worker has taken over the upkeep" in caplog.text


def test_two_that_begin_at_once_do_one_round(workers: list[Flask]) -> None:
    fill(workers[0], 30)
    threads = [UpkeepThread(app) for app in workers for _ in range(2)]

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(UpkeepThread.tick, threads))

    assert done.count(True) == 1
    assert counted(workers[0], IssuedToken) == 0


def test_a_round_that_another_worker_does_after_this_one_found_it_due_is_not_done_again(
    workers: list[Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (UpkeepThread(app) for app in workers)
    real = round.run

    def run_after_the_other(**arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(round, "run", real)
        assert other.tick()
        return real(**arguments)

    monkeypatch.setattr(round, "run", run_after_the_other)

    assert not one.tick()


def test_a_round_is_due_five_minutes_after_the_last_one_on_any_server(
    workers: list[Flask], let_pass: Callable[[int], None]
) -> None:
    one, other = (UpkeepThread(app) for app in workers)

    assert (one.tick(), other.tick(), one.tick()) == (True, False, False)
    let_pass(round.ROUND_SECONDS - 1)
    assert not other.tick()
    let_pass(1)
    assert (other.tick(), one.tick()) == (True, False)


def test_a_clock_that_was_set_back_ends_no_upkeep(workers: list[Flask], let_pass: Callable[[int], None]) -> None:
    with workers[0].app_context():
        let_pass(DAY)
        lease.take()
    let_pass(-DAY)

    assert UpkeepThread(workers[1]).tick()
    let_pass(-DAY)
    assert UpkeepThread(workers[1]).tick()


def test_a_worker_that_ends_gives_the_lease_back(workers: list[Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STEP_ROWS", 10)
    fill(workers[0], 25)
    ending, other = (UpkeepThread(app) for app in workers)
    monkeypatch.setattr(database.time, "sleep", lambda _: ending._stopped.set())

    assert not ending.tick()
    assert counted(workers[0], IssuedToken) == 15
    assert other.tick()


def test_a_round_that_fails_is_tried_again_and_logged_once(
    workers: list[Flask], caplog: pytest.LogCaptureFixture
) -> None:
    thread = UpkeepThread(workers[0])
    fill(workers[0], 3)
    with workers[0].app_context(), transaction():
        db.session.execute(text("ALTER TABLE revoked_tokens RENAME TO away"))

    assert [thread.tick() for _ in range(3)] == [False] * 3
    with workers[0].app_context(), transaction():
        db.session.execute(text("ALTER TABLE away RENAME TO revoked_tokens"))

    assert caplog.text.count("the upkeep cannot be done") == 1
    assert thread.tick()
    assert counted(workers[0], IssuedToken) == 0


def test_a_worker_whose_clock_is_wrong_leaves_the_upkeep_to_the_others(
    prepared: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    app = build_app(database_url=prepared("postgresql"))  # SQLite has no clock of its own
    fill(app, 3)
    thread = UpkeepThread(app)

    with time_machine.travel(now() + 70):
        assert [thread.tick() for _ in range(3)] == [False] * 3

    assert caplog.text.count("seconds ahead of the database's") == 1
    assert counted(app, IssuedToken) == 3
    assert thread.tick()
    close(app)


def test_a_wrong_clock_is_logged_although_another_worker_does_every_round(
    prepared: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    url = prepared("postgresql")
    right, wrong = build_app(database_url=url), build_app(database_url=url)
    thread = UpkeepThread(wrong)
    UpkeepThread(right).tick()

    for ahead in (90, 91, 0, 90):
        with time_machine.travel(now() + ahead):
            assert not thread.tick()

    assert caplog.text.count("seconds ahead of the database's") == 2  # it was right in between
    close(right)
    close(wrong)


def test_the_last_round_and_what_it_did_can_be_read(workers: list[Flask]) -> None:
    fill(workers[0], 3)
    with workers[0].app_context():
        assert lease.last_round() == (None, {})
    UpkeepThread(workers[0]).tick()

    with workers[1].app_context():
        at, report = lease.last_round()

    assert at is not None
    assert abs(at - now()) < 60
    assert report["removed"]["opaque tokens"] == 3
    assert report["holder"] == lease.name()


def test_without_upkeep_no_thread_starts(new_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(UpkeepThread, "start", lambda thread: started.append(thread))

    for setting in ("off", "on"):
        upkeep_thread.start(new_app(upkeep=setting))

    assert len(started) == 1


def test_a_room_adds_what_is_removed_with_one_line(app: Flask) -> None:
    with app.app_context(), transaction():
        db.session.add(FaultCount(fault_id="fault-429-once", count=1, begun_at=now() - FORGOTTEN_SECONDS))
        db.session.add(FaultCount(fault_id="fault-429", count=1, begun_at=now()))

    UpkeepThread(app).tick()

    assert counted(app, FaultCount) == 1
    assert removals.current_removals.of(app).keys() - removals.REMOVALS.keys() == {"fault counts"}


def messages(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


def test_a_secret_that_ends_soon_is_logged_once_a_day_by_the_whole_fleet(
    workers: list[Flask], let_pass: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    threads = [UpkeepThread(app) for app in workers]
    Operator(workers[0]).run("clients", "rotate-secret", "demo-reporting", "--overlap", str(6 * DAY))
    demo(workers[0], "demo-reporting").token()
    with workers[0].app_context():
        trail.current_batch().write()

    let_pass(60)
    for _ in range(36):
        for thread in threads:
            thread.tick()
        let_pass(HOUR)

    logged = messages(caplog, "the secret secret-1 of client demo-reporting ends in")
    assert [line.partition(" ends ")[2][:9] for line in logged] == ["in 5 days", "in 4 days"]
    assert all("it was used" in line for line in logged)
    assert not any("the client's last" in line for line in logged)


def test_what_ends_soon_is_listed_the_first_to_end_first(
    new_app: Callable[..., Flask],
) -> None:
    app = new_app(key_rotation_days=3)
    Operator(app).run("clients", "rotate-secret", "demo-reporting", "--overlap", str(4 * DAY))
    with app.app_context(), transaction():
        only = select(ClientSecret.id).where(ClientSecret.client_row == 1).scalar_subquery()
        db.session.execute(update(ClientSecret).where(ClientSecret.id == only).values(not_after=now() + HOUR))
    with app.app_context():
        found = warnings.ending(7 * DAY)
        soon = warnings.ending(2 * HOUR)
        none = warnings.ending(60)

    assert [each["kind"] for each in found] == ["secret_ends", "key_ends", "secret_ends"]
    assert [each.get("is_last") for each in found] == [True, None, False]
    assert (soon, none) == (found[:1], [])
    active = next(key for key in Operator(app).run("keys", "list")["keys"] if key["state"] == "active")
    assert found[1]["at"] == active["signs_from"] + 3 * DAY + LEAD_SECONDS


def test_a_key_that_will_stop_signing_is_logged_a_day_before(
    let_pass: Callable[[int], None], new_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    thread = UpkeepThread(new_app(key_rotation_days=2))

    thread.tick()
    assert messages(caplog, "stops signing") == []
    let_pass(DAY + HOUR)
    thread.tick()

    (line,) = messages(caplog, " hours; then ")
    assert line.startswith("the signing key ")
