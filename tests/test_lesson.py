"""`flask lesson`: a step is ticked only when the requests show that it was done; otherwise it says what is missing."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from flask import Flask

from app.api.guard import require_oauth
from app.faults.table import FAULTS, Kind
from app.journal import journal_file
from app.journal.entry import Entry
from app.journal.journal_file import Journal, current_journal
from app.lesson.lesson_command import ALL_DONE, NOTHING_YET
from app.lesson.progress import progress
from app.lesson.steps import STEPS
from tests.conftest import Machine, Operator, curl, demo
from tests.support.terminal import Project, Terminal

SECRET_OF_FAULT = "kts_fault-is-for-learning-only"

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def database_url(prepared: Callable[[str], str]) -> str:
    """One kind is enough: what a step is proved by is in the journal."""
    return prepared("sqlite")


@pytest.fixture
def app(new_app: Callable[..., Flask], tmp_path: Path) -> Flask:
    app = new_app(journal="on")
    current_journal.set(app, Journal(tmp_path / "requests.jsonl"))
    return app


def done(app: Flask) -> list[int]:
    return [step["number"] for step in Operator(app).run("lesson")["steps"] if step["done"]]


def note(app: Flask) -> str:
    """What is said about the first step that is not done."""
    return next(step["note"] for step in Operator(app).run("lesson")["steps"] if not step["done"])


def do_1(app: Flask) -> None:
    app.test_client().get("/.well-known/oauth-authorization-server")
    app.test_client().get("/.well-known/jwks.json")


def do_2(app: Flask) -> None:
    demo(app, "demo-reporting").token()


def do_3(app: Flask) -> None:
    admin = demo(app, "demo-admin")
    form = GRANT | {"client_id": admin.client_id, "client_secret": admin.secret}
    assert app.test_client().post("/oauth/token", data=form).status_code == 200


def do_4(app: Flask) -> None:
    demo(app, "demo-admin").token(scope="read:logs")


def do_5(app: Flask) -> None:
    reporting = demo(app, "demo-reporting")
    assert reporting.get("/internal/reports", reporting.token()).status_code == 200


def do_6(app: Flask) -> None:
    reporting = demo(app, "demo-reporting")
    app.test_client().get("/admin/logs")
    assert reporting.get("/admin/logs", reporting.token()).status_code == 403


def do_7(app: Flask) -> None:
    brief = demo(app, "demo-brief")
    token = brief.token()
    while brief.get("/admin/logs", token).status_code == 200:
        time.sleep(0.2)


def do_8(app: Flask) -> None:
    token = demo(app, "demo-partner").token(scope="shipments:read")
    assert demo(app, "demo-shipments").introspect(token).json["active"]


def do_9(app: Flask) -> None:
    admin = demo(app, "demo-admin")
    token = admin.token()
    admin.revoke(token)
    assert admin.get("/admin/logs", token).status_code == 401


def do_10(app: Flask) -> None:
    admin, client = demo(app, "demo-admin"), app.test_client()
    Machine(app, "demo-admin", "kts_wrong").request_token()
    admin.request_token(scope="read:lgos")
    client.post("/oauth/token", json=GRANT)
    client.post("/oauth/token?client_secret=x", data=GRANT)
    admin.request_token(grant_type="password")


def do_11(app: Flask) -> None:
    response = demo(app, "demo-admin").request_token(scope="nothing")
    Operator(app).run("explain", response.headers["X-Request-Id"])


def do_12(app: Flask) -> None:
    billing = Operator(app).register("billing", "--scope", "read:logs")
    assert billing.get("/hello", billing.token()).status_code == 200


DO = (do_1, do_2, do_3, do_4, do_5, do_6, do_7, do_8, do_9, do_10, do_11, do_12)


def add_own_route(app: Flask) -> None:
    @app.get("/hello")
    @require_oauth("read:logs")
    def hello() -> dict[str, str]:
        return {"hello": "world"}


def test_every_step_is_ticked_when_it_was_done_and_not_before(app: Flask) -> None:
    add_own_route(app)
    assert done(app) == []

    for number, do in enumerate(DO, 1):
        assert number not in done(app)
        do(app)
        assert number in done(app)

    assert done(app) == list(range(1, 13)) == [step.number for step in STEPS]
    assert ALL_DONE in app.test_cli_runner().invoke(args=["lesson"]).stdout


def half_of_1(app: Flask) -> None:
    app.test_client().get("/.well-known/jwks.json")


def refused_for_2(app: Flask) -> None:
    Machine(app, "demo-admin", "kts_wrong").request_token()


def without_a_scope_for_4(app: Flask) -> None:
    demo(app, "demo-admin").token()


def refused_for_5(app: Flask) -> None:
    demo(app, "demo-admin").get("/admin/logs", "garbage")


def half_of_6(app: Flask) -> None:
    app.test_client().get("/admin/logs")


def too_quick_for_7(app: Flask) -> None:
    brief = demo(app, "demo-brief")
    brief.get("/admin/logs", brief.token())


def inactive_for_8(app: Flask) -> None:
    demo(app, "demo-shipments").introspect("x")


def half_of_9(app: Flask) -> None:
    admin = demo(app, "demo-admin")
    admin.revoke(admin.token())


def the_same_refusal_for_10(app: Flask) -> None:
    for scope in ("a", "b", "c", "d", "e", "f"):
        demo(app, "demo-admin").request_token(scope=scope)


def one_mistake_for_10(app: Flask) -> None:
    """A form is what is missing, whatever was sent instead; and a fault is no refusal."""
    for media_type in ("application/json", "text/plain", "text/html", "application/xml", "multipart/form-data"):
        app.test_client().post("/oauth/token", data=b"x", content_type=media_type)
    for client_id in ("fault-503", "fault-429", "fault-401"):
        Machine(app, client_id, demo(app, "fault").secret).request_token()


def the_last_for_11(app: Flask) -> None:
    Operator(app).run("explain", "--last")


def a_demo_client_for_12(app: Flask) -> None:
    admin = demo(app, "demo-admin")
    admin.get("/hello", admin.token())


NEARLY = {
    half_of_1: (1, "still missing: the metadata"),
    refused_for_2: (2, "the last request was refused: the secret is wrong"),
    do_2: (3, "you sent the credentials with HTTP Basic: that is step 2"),
    without_a_scope_for_4: (4, "you requested no scope: add -d scope=read:logs"),
    refused_for_5: (5, "the last request was refused: the token is not a JWT, or is incomplete"),
    half_of_6: (6, "still missing: a call with too small a scope (403)"),
    too_quick_for_7: (7, "you were too quick: wait for 2 seconds"),
    inactive_for_8: (8, "the token was not active: it must be for the API that introspects it"),
    half_of_9: (9, "still missing: the revoked token, refused"),
    one_mistake_for_10: (10, "still missing: different refusals at the token endpoint (1 of 5)"),
    the_same_refusal_for_10: (10, "still missing: different refusals at the token endpoint (1 of 5)"),
    the_last_for_11: (11, "you explained the last request: take the id from a response"),
    a_demo_client_for_12: (12, "your route accepted a demo client: call it with a client of your own"),
}


@pytest.mark.parametrize("attempt", NEARLY, ids=lambda each: each.__name__)
def test_it_says_what_the_last_attempt_lacked(app: Flask, attempt: Callable[[Flask], None]) -> None:
    add_own_route(app)
    number, sentence = NEARLY[attempt]
    for do in DO[: number - 1]:
        if do not in (do_10, attempt) or number == 12:  # its refusals would count for the step after it
            do(app)
    for step in STEPS[: number - 1]:
        current_journal.of(app).append(Entry(at=1, command=step.mark))  # type: ignore[union-attr]

    attempt(app)

    assert number not in done(app)
    assert note(app) == sentence


def test_no_fault_of_the_server_ticks_a_step(app: Flask) -> None:
    for fault in FAULTS.values():
        if fault.kind is Kind.ISSUER:
            for document in (".well-known/oauth-authorization-server", ".well-known/jwks.json"):
                app.test_client().get(f"{fault.used_as}/{document}".replace("-5s", "-1s"))
        elif fault.name not in ("drop", "cut"):  # which need a socket
            Machine(app, fault.used_as.replace("-5s", "-1s"), SECRET_OF_FAULT).request_token(scope="read:logs")

    assert done(app) == []

    Machine(app, "fault", SECRET_OF_FAULT).request_token()
    assert done(app) == [2]  # as itself, it is a client like any other


def test_a_refusal_that_a_step_needed_is_no_attempt_at_the_next_step(app: Flask) -> None:
    for do in DO[:6]:
        do(app)
    assert done(app) == [1, 2, 3, 4, 5, 6]

    app.test_client().get("/admin/logs")

    assert note(app) == ""


def test_the_address_of_the_server_is_remembered_when_the_lesson_is_started_over(app: Flask) -> None:
    here = "http://127.0.0.1:8123"
    current_journal.of(app).append(Entry(at=1, issuer=here))  # type: ignore[union-attr]

    app.test_cli_runner().invoke(args=["lesson", "--again"])

    assert f"{here}/.well-known/" in app.test_cli_runner().invoke(args=["lesson"]).stdout


def test_without_any_request_it_says_where_to_begin(app: Flask) -> None:
    output = app.test_cli_runner().invoke(args=["lesson"]).stdout

    assert NOTHING_YET in output
    assert "0 of 12 steps are done." in output
    assert "Step 1: " in output
    assert not current_journal.of(app).file.exists()  # type: ignore[union-attr]


def test_again_starts_over_and_loses_nothing(app: Flask) -> None:
    do_1(app)
    do_2(app)
    entries = len(current_journal.of(app).entries())  # type: ignore[union-attr]
    assert done(app) == [1, 2]

    output = app.test_cli_runner().invoke(args=["lesson", "--again"]).stdout

    assert "0 of 12 steps are done." in output
    assert NOTHING_YET not in output
    assert done(app) == []
    assert len(current_journal.of(app).entries()) > entries  # type: ignore[union-attr]
    do_2(app)
    assert done(app) == [2]


def test_a_step_stays_ticked_when_its_requests_are_dropped(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "MAX_BYTES", 8_000)
    do_1(app)
    assert done(app) == [1]

    for _ in range(60):
        app.test_client().get("/openapi.json")

    assert "jwks" not in current_journal.of(app).file.read_text()  # type: ignore[union-attr]
    assert done(app) == [1]


def test_what_the_playground_sends_counts_and_it_shows_the_same_progress(app: Flask) -> None:
    admin = demo(app, "demo-admin")
    app.test_client().post(
        "/oauth/token",
        data=GRANT,
        auth=(admin.client_id, admin.secret),
        headers={"X-Keyturn-Checks": "record"},
    )

    with app.app_context():
        steps = progress()

    assert [step["number"] for step in steps if step["done"]] == [2]
    assert steps[0].keys() >= {"number", "title", "command", "done", "note"}
    assert steps == Operator(app).run("lesson")["steps"]


def test_switched_off_or_in_production_it_says_why_not(new_app: Callable[..., Flask]) -> None:
    off, production = new_app(journal="off"), new_app(env="production", issuer="https://auth.example.com")

    assert "KEYTURN_JOURNAL is off" in Operator(off).is_refused("lesson")
    assert "does not record its requests" in Operator(production).is_refused("lesson")
    with off.app_context():
        assert not any(step["done"] for step in progress())


def test_each_address_in_a_command_is_there_with_a_path_in_the_issuer_too(new_app: Callable[..., Flask]) -> None:
    app = new_app(issuer="http://127.0.0.1:8000/auth")
    with app.app_context():
        commands = " ".join(step["command"] for step in progress())

    for path in re.findall(r"http://127\.0\.0\.1:8000([\w/.-]+)", commands):
        assert app.test_client().get(path).status_code != 404, path


def test_without_the_sample_api_it_says_what_to_call_instead(new_app: Callable[..., Flask]) -> None:
    app = new_app(sample_api="off")
    with app.app_context():
        told = [step["number"] for step in progress() if "a route of your own" in step["sentence"]]
        gone = [step["number"] for step in progress() if re.search("/admin/|/internal/", step["command"])]

    assert told == gone == [5, 6, 7, 9]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "keyturn")


@pytest.fixture
def server(project: Project) -> Iterator[Terminal]:
    started = project.serve()
    yield started
    started.kill()


@pytest.mark.usefixtures("server")
def test_the_commands_that_it_shows_do_the_steps_one_after_the_other(project: Project) -> None:
    curl()
    for number in range(1, 10):
        output = project.run("lesson").stdout
        assert f"\nStep {number}: " in output
        command = output.rstrip().splitlines()[-1].strip()
        subprocess.run(["bash", "-c", command], cwd=project.folder, check=True, capture_output=True)

    assert "\nStep 10: " in project.run("lesson").stdout


@pytest.mark.usefixtures("server")
def test_watching_prints_each_step_as_it_is_done_and_the_next_one(project: Project) -> None:
    watch = project.flask("lesson", "--watch")
    try:
        watch.wait_for(NOTHING_YET)
        project.request_token("demo-admin")
        watch.wait_for("✓  3  Request one with the credentials in the form")
        project.send("GET", "/.well-known/oauth-authorization-server")
        project.send("GET", "/.well-known/jwks.json")
        watch.wait_for("✓  1  ")
        watch.wait_for("Step 2: Request a token.")
        waits = psutil.Process(watch.process.pid).num_ctx_switches().voluntary
        time.sleep(1)
        assert psutil.Process(watch.process.pid).num_ctx_switches().voluntary > waits  # it sleeps: no busy loop
        assert watch.interrupt() == 0
    finally:
        watch.kill()
    assert "Traceback" not in watch.text()
    assert "Aborted" not in watch.text()


def test_every_command_is_one_line_that_bash_can_read() -> None:
    for step in STEPS:
        assert shlex.split(step.command)
        assert "\n" not in step.command
        assert re.fullmatch(r"[A-Z].*[^.]", step.title)
        assert step.sentence.endswith(".")
