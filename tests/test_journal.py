"""The journal: what each request sent, in development alone, without secrets, bounded, and never in the way."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask

from app.faults.table import FAULTS
from app.journal import journal_file, recording, request_line
from app.journal.entry import Entry, from_line
from app.journal.journal_file import Journal, current_journal
from tests.conftest import ROOT, Machine, Operator, demo
from tests.support.leaks import suite

PRODUCTION = {"env": "production", "issuer": "https://auth.example.com"}


@pytest.fixture
def database_url(prepared: Callable[[str], str]) -> str:
    """One kind is enough: the journal is not in the database."""
    return prepared("sqlite")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "instance" / "requests.jsonl")


@pytest.fixture
def app(new_app: Callable[..., Flask], journal: Journal) -> Flask:
    """An app whose journal is in a folder of the test."""
    app = new_app(journal="on")
    current_journal.set(app, journal)
    return app


def last(journal: Journal) -> Entry:
    return journal.entries()[-1]


def test_an_entry_has_what_a_client_sent_and_what_the_result_was(app: Flask, journal: Journal) -> None:
    response = demo(app, "demo-reporting").request_token(scope="reports:raed")

    entry = last(journal)
    assert (entry.method, entry.path, entry.status, entry.error) == ("POST", "/oauth/token", 400, "invalid_scope")
    assert (entry.client_id, entry.is_authenticated, entry.auth) == ("demo-reporting", True, "basic")
    assert (entry.grant_type, entry.scope) == ("client_credentials", "reports:raed")
    assert entry.reason == "the scope reports:raed is unknown; did you mean reports:read?"
    assert entry.request_id == response.headers["X-Request-Id"]
    assert entry.issuer == "http://127.0.0.1:8000"
    assert entry.milliseconds > 0
    assert not entry.from_playground


def test_an_issued_token_is_its_kind_and_its_scope_alone(app: Flask, journal: Journal) -> None:
    demo(app, "demo-opaque").token()
    demo(app, "demo-admin").token(scope="read:logs")

    opaque, jwt = journal.entries()
    assert (opaque.token, opaque.granted, opaque.scope) == ("opaque", "inventory:read", "")
    assert (jwt.token, jwt.granted, jwt.scope) == ("jwt", "read:logs", "read:logs")


def test_each_way_of_authenticating_is_told_apart(app: Flask, journal: Journal) -> None:
    admin, client = demo(app, "demo-admin"), app.test_client()
    form = {"grant_type": "client_credentials", "client_id": admin.client_id, "client_secret": admin.secret}
    token = admin.token()
    client.post("/oauth/token", data=form)
    admin.get("/admin/logs", token)
    client.get("/admin/logs")
    client.get("/admin/logs", headers={"Authorization": "Digest x"})

    assert [entry.auth for entry in journal.entries()] == ["basic", "post", "bearer", "none", "other"]
    assert [entry.client_id for entry in journal.entries()] == ["demo-admin"] * 3 + ["", ""]
    assert journal.entries()[3].challenge.startswith('Bearer realm="keyturn"')


def test_introspection_says_whether_the_token_is_active_and_why_not(app: Flask, journal: Journal) -> None:
    partner, api = demo(app, "demo-partner"), demo(app, "demo-shipments")
    token = partner.token(scope="shipments:read")
    api.introspect(token)
    partner.revoke(token)
    api.introspect(token)

    active, _, inactive = journal.entries()[1:]
    assert (active.active, active.token, active.reason) == (True, "jwt", "")
    assert (inactive.active, inactive.reason) == (False, "the token was revoked")


def test_what_the_playground_sends_is_marked_and_its_own_files_are_left_out(app: Flask, journal: Journal) -> None:
    client = app.test_client()
    client.get("/openapi.json", headers={"X-Keyturn-Checks": "record"})
    client.get("/playground/app.js", buffered=True)
    of_a_script = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}
    client.get("/admin/logs", headers=of_a_script)  # the page explains a refusal
    client.get("/openapi.json", headers=of_a_script | {"X-Keyturn-Checks": "record"})
    client.post("/playground/keys", headers=of_a_script)

    assert [(entry.path, entry.from_playground) for entry in journal.entries()] == [
        ("/openapi.json", True),
        ("/openapi.json", True),
        ("/playground/keys", False),
    ]


@pytest.mark.parametrize(
    ("name", "received"),
    [
        ("429", "429 temporarily_unavailable fault-429 basic"),
        ("401", "401 invalid_client fault-401 basic"),
        ("html", "200 fault-html basic  as requested"),
        ("expired-once~a7", '200 fault-expired-once~a7 basic scope="read:logs reports:read inventory:read" jwt'),
    ],
)
def test_flask_tail_shows_the_client_id_of_a_fault_and_what_its_client_received(
    app: Flask, journal: Journal, name: str, received: str
) -> None:
    response = Machine(app, f"fault-{name}", "kts_fault-is-for-learning-only").request_token()

    shown = app.test_cli_runner().invoke(args=["tail", "-n", "1"]).stdout
    assert f"POST /oauth/token     {received}" in shown
    assert last(journal).fault == response.headers["X-Keyturn-Fault"]
    assert f"as requested: {FAULTS[last(journal).fault].happens}  ({response.headers['X-Request-Id']})" in shown


def test_what_an_issuer_at_fault_served_has_the_path_that_was_sent(app: Flask, journal: Journal) -> None:
    app.test_client().get("/faults/jwks-down/.well-known/jwks.json")

    entry = last(journal)
    assert (entry.path, entry.status, entry.fault) == ("/faults/jwks-down/.well-known/jwks.json", 503, "jwks-down")
    assert entry.endpoint


def test_a_404_and_a_failure_are_entries_too(app: Flask, journal: Journal) -> None:
    @app.get("/fails")
    def fails() -> None:
        raise RuntimeError("kts_0123456789abcdefghijkl")

    app.test_client().get("/tokn")
    app.test_client().get("/fails")

    missing, failed = journal.entries()
    assert (missing.status, missing.error, missing.endpoint) == (404, "not_found", "")
    assert (failed.status, failed.error, failed.reason) == (500, "server_error", "RuntimeError")


def test_a_response_that_another_part_breaks_is_an_entry_of_a_failure(app: Flask, journal: Journal) -> None:
    @app.after_request
    def fail(_: object) -> object:
        raise RuntimeError

    assert app.test_client().get("/openapi.json").status_code == 500
    assert (last(journal).path, last(journal).status) == ("/openapi.json", 500)


SECRET = "kts_5Jq2rT9xWv0LbN3mZc7PfHdKsYgAeUoXiRtQ1w8nE4k"
PLAIN = "Tr0ub4dor-and-3-horses-with-batteries"


@pytest.mark.parametrize("secret", [SECRET, SECRET[4:], SECRET[:26], PLAIN, base64.b64encode(SECRET.encode()).decode()])
def test_no_secret_is_in_it_wherever_a_client_puts_one(app: Flask, journal: Journal, secret: str) -> None:
    client, admin = app.test_client(), demo(app, "demo-admin")
    form = {"grant_type": "client_credentials"}
    url = quote(secret, safe="")
    for auth in ((secret, "demo-admin"), ("demo-admin", secret)):
        client.post("/oauth/token", data=form, auth=auth)
    for more in (
        {"client_id": secret, "client_secret": secret},
        {"scope": secret},
        {"scope": f"read:logs {secret}"},
        {"grant_type": secret},
        {secret: secret, "token": secret},
        {"token_type_hint": secret},
    ):
        client.post("/oauth/token", data=form | more)
        admin.post("/oauth/introspect", **more)
        admin.post("/oauth/revoke", **{"token": secret} | more)
    client.post("/oauth/token", data={secret: ["1", "2"]})
    of_page = {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}
    client.post("/playground/keys", json={"action": "withdraw", "kid": secret}, headers=of_page)
    client.post("/oauth/token", json={"client_secret": secret})
    client.post("/oauth/token", data=b"x", content_type=f"text/{secret}")
    client.open("/oauth/token", method=re.sub(r"\W", "", secret))
    for path in (f"/{url}", f"/oauth/token?client_secret={url}", f"/errors/{url}", f"/inventory/{url}?{url}={url}"):
        client.get(path)
        client.post(path, data=form)
    for name, value in (
        ("Authorization", secret),
        ("Authorization", f"Bearer {secret}"),
        ("Authorization", f"{secret} x"),
        (re.sub(r"\W", "-", secret), "x"),
        ("X-Request-Id", secret),
        ("Host", f"{re.sub(r'[^a-z]', '', secret)}.example"),
    ):
        client.get("/admin/logs", headers={name: value})

    written = journal.file.read_text()
    assert len(journal.entries()) > 30
    assert suite.file
    for part in (secret[:20], secret[len(secret) // 2 :][:20]):
        assert part not in written
        assert base64.b64encode(part.encode()).decode()[:16] not in written


def test_no_token_is_in_it(app: Flask, journal: Journal) -> None:
    admin = demo(app, "demo-admin")
    for token in (admin.token(), demo(app, "demo-opaque").token()):
        suite.remember(token)
        admin.get("/admin/logs", token)
        admin.get(f"/admin/logs?access_token={token}", "x")
        admin.get(f"/{token}", "x")
        demo(app, "demo-shipments").introspect(token)
        admin.revoke(token)
        admin.request_token(scope=token)
        suite.record(journal.file.read_text())

        written = journal.file.read_text()
        assert all(part not in written for part in (token[:20], token[-20:], token.rpartition(".")[2][:20]))


def test_no_value_of_a_query_is_in_it(app: Flask, journal: Journal) -> None:
    app.test_client().get("/admin/logs?client_id=somebody&limit=7")

    assert last(journal).path == "/admin/logs"
    assert "somebody" not in journal.file.read_text()


def test_production_has_none_of_it(new_app: Callable[..., Flask]) -> None:
    app = new_app(**PRODUCTION)

    assert "journal" not in app.extensions
    assert not isinstance(app.wsgi_app, recording.Recorder)
    assert recording.note not in app.after_request_funcs.get(None, [])
    for command in (["tail"], ["lesson"], ["explain", "--last"]):
        assert "production" in Operator(app).is_refused(*command)


def test_switched_off_no_request_passes_it(new_app: Callable[..., Flask]) -> None:
    app = new_app(journal="off")

    assert not isinstance(app.wsgi_app, recording.Recorder)
    assert "KEYTURN_JOURNAL is off" in Operator(app).is_refused("tail")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"at": "soon"}',
        b'{"at": true}',
        b'{"status": 200}',
        b'{"at": 1, "status": "200"}',
        b'{"at": 1, "path": "\\u001b[2J"}',
        b'{"at": 1, "path": null}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"at": 1, "path": "' + b"x" * 5_000 + b'"}',
    ],
    ids=lambda line: repr(line[:24]),
)
def test_what_is_no_entry_is_left_out(line: bytes) -> None:
    assert from_line(line) is None


def test_an_entry_of_another_release_is_read_without_what_is_unknown() -> None:
    assert from_line(b'{"at": 1.5, "path": "/x", "color": "red"}') == Entry(at=1.5, path="/x")


def test_garbage_in_the_file_costs_only_the_garbage(app: Flask, journal: Journal) -> None:
    journal.file.parent.mkdir()
    journal.file.write_bytes(os.urandom(5_000) + b"\n\n{}\n" + b'{"at": 1, "pa')

    assert app.test_client().get("/openapi.json").status_code == 200
    app.test_client().get("/errors/")

    assert last(journal).path == "/errors/"


def test_it_is_readable_by_its_owner_only_whatever_the_umask(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "MAX_BYTES", 1_000)
    old = os.umask(0)
    try:
        for number in range(40):
            journal.append(Entry(at=number, path="/x"))
            assert stat.S_IMODE(journal.file.stat().st_mode) == 0o600
    finally:
        os.umask(old)


def a_folder(file: Path) -> None:
    file.mkdir(parents=True)


def a_file_in_place_of_the_folder(file: Path) -> None:
    file.parent.write_text("")


def a_link_to_elsewhere(file: Path) -> None:
    file.parent.mkdir()
    file.symlink_to(file.parent.parent / "elsewhere")


def a_broken_device(file: Path) -> None:
    file.parent.mkdir()
    file.symlink_to("/dev/full")


@pytest.mark.parametrize("place", [a_folder, a_file_in_place_of_the_folder, a_link_to_elsewhere, a_broken_device])
def test_where_it_cannot_be_written_the_request_is_served_and_one_line_says_so(
    app: Flask, journal: Journal, place: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    place(journal.file)

    statuses = [app.test_client().get("/openapi.json").status_code for _ in range(3)]

    assert statuses == [200] * 3
    assert not (journal.file.parent.parent / "elsewhere").exists()
    assert len([record for record in caplog.records if "not recorded" in record.getMessage()]) == 1


def test_on_a_full_disk_it_ends_with_whole_entries_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    program = """
        import resource, signal, sys
        from pathlib import Path
        from app.journal.entry import Entry
        from app.journal.journal_file import Journal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = Journal(Path(sys.argv[1]))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))  # no file may grow beyond it: as a disk that is full
        written = [journal.append(Entry(at=number, path="/full")) for number in range(60)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        written += [journal.append(Entry(at=number, path="/room")) for number in range(2)]
        sys.stdout.write(f"{written[0]} {written[59]} {journal.entries()[-1].path}")
    """
    file = tmp_path / "requests.jsonl"
    run = [sys.executable, "-c", textwrap.dedent(program), str(file)]

    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "True False /room"


def test_it_is_bounded_and_keeps_the_newest_and_what_commands_noted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "MAX_BYTES", 10_000)
    journal.append(Entry(at=0, command="lesson: step 1"))

    sizes = []
    for number in range(2_000):
        assert journal.append(Entry(at=number, path="/x"))
        sizes.append(journal.file.stat().st_size)

    assert max(sizes) <= 10_000 + 100
    assert [entry.at for entry in journal.entries()][-50:] == list(range(1_950, 2_000))
    assert journal.entries()[0].command == "lesson: step 1"
    assert [each.name for each in journal.file.parent.iterdir()] == ["requests.jsonl"]


def test_several_processes_write_whole_entries_while_the_older_half_is_dropped(journal: Journal) -> None:
    program = """
        import sys
        from pathlib import Path
        from app.journal import journal_file
        from app.journal.entry import Entry

        journal_file.MAX_BYTES = 20_000
        journal = journal_file.Journal(Path(sys.argv[1]))
        lost = 0
        for number in range(600):
            lost += not journal.append(Entry(at=number, path=f"/{sys.argv[2]}"))
            # Nothing that this process has written may vanish while it is among the newest.
            if number % 20 == 0:
                mine = [e.at for e in journal.entries() if e.path == f"/{sys.argv[2]}"]
                # It may have been stopped for so long that all of the newest are of others.
                assert mine == sorted(mine) and (lost or mine == list(range(number + 1 - len(mine), number + 1))), mine
        sys.stdout.write(str(lost))
    """
    run = [sys.executable, "-c", textwrap.dedent(program), str(journal.file)]
    started = [
        subprocess.Popen([*run, str(n)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    outputs = [process.communicate(timeout=60) for process in started]

    assert [process.returncode for process in started] == [0] * 4, outputs
    assert sum(int(printed) for printed, _ in outputs) <= 5
    lines = journal.lines()
    assert len(journal.entries()) == len(lines) > 50
    assert journal.file.stat().st_size <= 2 * 20_000


def test_no_entry_goes_into_a_file_that_was_replaced_while_it_was_opened(journal: Journal) -> None:
    journal.append(Entry(at=1))
    with journal.file.open("rb") as opened:
        assert journal._is_locked(opened.fileno(), fcntl.LOCK_SH)
        journal.file.rename(journal.file.with_name("older"))
        journal.append(Entry(at=2))

        assert not journal._is_locked(opened.fileno(), fcntl.LOCK_SH)


def test_a_process_that_stopped_with_the_lock_delays_no_request_for_long(journal: Journal) -> None:
    program = """
        import fcntl, sys, time
        opened = open(sys.argv[1], "rb")
        fcntl.flock(opened, fcntl.LOCK_EX)
        print("locked", flush=True)
        time.sleep(60)
    """
    journal.append(Entry(at=1))
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(journal.file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "locked\n"
        assert journal.append(Entry(at=2)) is False
    finally:
        holder.kill()
        holder.communicate()

    assert journal.append(Entry(at=3)) is True
    assert [entry.at for entry in journal.entries()] == [1, 3]


ENTRY = Entry(
    at=1_795_651_540.0,
    method="POST",
    path="/oauth/token",
    status=400,
    error="invalid_scope",
    client_id="demo-reporting",
    is_authenticated=True,
    auth="basic",
    scope="reports:raed",
    reason="the scope reports:raed is unknown; did you mean reports:read?",
    request_id="5d94a291e09ef648",
)


def test_the_line_says_what_was_sent_what_was_decided_and_why() -> None:
    line = request_line.plain(ENTRY)

    assert re.fullmatch(
        r"\d\d:\d\d:\d\d POST /oauth/token     400 invalid_scope demo-reporting basic "
        r'scope="reports:raed"  did you mean reports:read\?  \(5d94a291e09ef648\)',
        line,
    )


def test_lines_of_one_table_are_aligned() -> None:
    short = Entry(at=1, method="GET", path="/inventory", status=200, auth="bearer", client_id="demo-partner")

    assert request_line.plain(ENTRY).index(" 400 ") == request_line.plain(short).index(" 200 ")


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_in_a_terminal_no_row_is_wider_than_it(width: int) -> None:
    rows = request_line.plain(ENTRY, width).splitlines()

    assert max(len(row) for row in rows) <= width
    assert all(row.startswith(" " * 9) for row in rows[1:])
    assert " ".join(" ".join(rows).split()) == " ".join(request_line.plain(ENTRY).split())


def test_a_flood_of_long_words_makes_an_entry_that_can_be_read(app: Flask, admin: Machine, journal: Journal) -> None:
    admin.request_token(scope=" ".join(f"read:{'x' * 40}{n}" for n in range(100)))
    app.test_client().get("/" + "/".join(["x" * 40] * 60))

    assert len(journal.entries()) == len(journal.lines()) == 2
    assert max(len(line) for line in journal.lines()) < 4_096


def test_a_line_of_json_has_no_member_that_says_nothing(app: Flask, journal: Journal) -> None:
    app.test_client().get("/openapi.json")

    found = json.loads(journal.lines()[0])
    assert found.keys() == {
        "at",
        "request_id",
        "method",
        "path",
        "status",
        "milliseconds",
        "issuer",
        "endpoint",
        "auth",
    }
