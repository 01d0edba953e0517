"""The conformance table: it is complete and true, and its runner reports a server elsewhere that fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance import server_runner, table
from conformance.cases import CASES
from conformance.clauses import CLAUSES, NOT_SUPPORTED
from tests.conftest import ROOT, LiveServer, free_port
from tests.support import documents


def test_the_clauses_are_numbered_without_a_gap_and_each_is_one_sentence() -> None:
    assert list(CLAUSES) == [f"R{number:03}" for number in range(1, 109)]
    for clause in CLAUSES.values():
        assert clause.level in "MSD"
        assert re.fullmatch(r"RFC \d{4}, section [\d.]+|our own", clause.source)
        assert clause.sentence.endswith(".")


def test_every_clause_is_shown_or_is_said_not_to_be_supported() -> None:
    shown = documents.shown_by()  # one test for all clauses: its id must not count for a clause

    assert [clause for clause in CLAUSES if not shown[clause] and clause not in NOT_SUPPORTED] == []


def test_no_case_and_no_test_names_a_clause_that_does_not_exist() -> None:
    named = " ".join(case.clauses for case in CASES)
    for file in (ROOT / "tests").glob("test_*.py"):
        named += " ".join(re.findall(r"def (test_\w+)", file.read_text()))

    assert set(table.CLAUSE.findall(named)) <= set(CLAUSES)


def test_the_table_has_a_status_for_each_clause() -> None:
    states = dict.fromkeys(CLAUSES, "pass") | {"R001": table.state("R001", {"passed", "failed"})}
    lines = table.table(states)

    assert [line[:4] for line in lines if table.CLAUSE.match(line)] == list(CLAUSES)
    assert re.match(r"R001  M  RFC 6749, section 3.2 +FAIL +Only POST", next(line for line in lines if "R001" in line))
    assert table.summary(states) == "conformance, 108 clauses: M 1 FAIL, 74 pass; S 20 pass; D 13 pass"
    assert table.state("R105", set()) == "not supported"


def run(server: str, client_id: str, secret: str, **more: str) -> subprocess.CompletedProcess[str]:
    known = {"BASE_URL": server, "CLIENT_ID": client_id, "CLIENT_SECRET": secret, "PATH": "/usr/bin"} | more
    command = [sys.executable, "-m", "conformance"]
    return subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True, check=False)


DEMO = ("demo-admin", "kts_demo-admin-is-for-learning-only")
OUTSIDERS = [
    ({}, ["--scope", "reports:read"]),
    ({}, ["--scope", "read:logs", "--format", "opaque"]),
    ({"KEYTURN_AUDIENCE": "https://api.example.com/v1"}, ["--scope", "read:logs"]),
    ({"PATH_OF_ISSUER": "/auth/eu"}, ["--scope", "read:logs"]),
]


@pytest.mark.parametrize(("settings", "options"), OUTSIDERS, ids=["jwt", "opaque", "other-audience", "path"])
def test_from_outside_a_server_is_tested_with_what_one_client_can_send(
    live: Callable[..., LiveServer], settings: dict[str, str], options: list[str]
) -> None:
    port = free_port()
    path = settings.get("PATH_OF_ISSUER", "")
    server = live(PORT=str(port), KEYTURN_ISSUER=f"http://127.0.0.1:{port}{path}", **settings)
    made = json.loads(server.flask("clients", "create", "outsider", *options, "--json"))

    done = run(server.url + path, made["client_id"], made["client_secret"])

    assert (done.returncode, done.stderr) == (0, "")
    states = {line[:4]: line[37:51].strip() for line in done.stdout.splitlines() if table.CLAUSE.match(line)}
    assert states["R012"] == states["R020"] == states["R043"] == "pass"
    assert states["R024"] == states["R093"] == states["R100"] == "pass in part"
    assert states["R028"] == states["R030"] == states["R047"] == states["R077"] == "not tried"
    assert set(states.values()) == {"pass", "pass in part", "not tried"}
    assert list(states.values()).count("pass") >= 25
    assert made["client_secret"] not in done.stdout


def test_from_outside_no_secret_is_in_a_url() -> None:
    server = server_runner.Outside("https://auth.example.com", "ktc_x", "kts_the-real-one")

    requests = [server.request(case) for case in CASES if case.outside]

    assert [url for url, _, _ in requests if "kts_the-real-one" in url] == []


def test_from_outside_a_server_that_fails_is_reported(live: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = live(KEYTURN_ISSUER="http://localhost:9999")  # the metadata is not that of the address

    files = {"JSON": str(tmp_path / "report.json"), "JUNIT": str(tmp_path / "report.xml")}
    done = run(server.url, *DEMO, TOKEN_ENDPOINT=f"{server.url}/oauth/token", **files)

    assert done.returncode == 1
    assert json.loads(Path(files["JSON"]).read_text(encoding="utf-8"))["counts"]["M"]["FAIL"] == 1
    assert '<failure message="M  the issuer is ' in Path(files["JUNIT"]).read_text(encoding="utf-8")
    assert re.search(r"^R079  M .* FAIL .*\n +M  the issuer is http://localhost:9999, ", done.stdout, re.MULTILINE)
    assert re.search(r"^R020 .* pass ", done.stdout, re.MULTILINE)
    assert re.search(r"^M  MUST: 1 FAIL, ", done.stdout, re.MULTILINE)


def test_from_outside_no_secret_is_sent_where_the_metadata_of_another_issuer_points(
    live: Callable[..., LiveServer],
) -> None:
    server = live(KEYTURN_ISSUER="http://localhost:9999")

    done = run(server.url, *DEMO)

    assert done.returncode == 2
    assert "is that of the issuer http://localhost:9999" in done.stderr


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_from_outside_a_client_may_be_registered_for_one_method(live: Callable[..., LiveServer], method: str) -> None:
    server = live()
    options = ["--scope", "read:logs", "--auth-method", method]
    made = json.loads(server.flask("clients", "create", "outsider", *options, "--json"))

    done = run(server.url, made["client_id"], made["client_secret"])

    assert (done.returncode, done.stderr) == (0, "")
    by_basic = re.search(r"^R012 .* (pass|not tried) ", done.stdout, re.MULTILINE)
    assert by_basic
    assert by_basic[1] == ("pass" if method == "client_secret_basic" else "not tried")
    assert "FAIL" not in done.stdout


def test_from_outside_a_client_that_gets_no_token_is_refused_with_the_reason(live: Callable[..., LiveServer]) -> None:
    server = live()
    made = json.loads(server.flask("clients", "create", "outsider", "--no-grant", "--json"))

    done = run(server.url, made["client_id"], made["client_secret"])

    assert done.returncode == 2
    assert "with HTTP Basic 400 unauthorized_client" in done.stderr


def test_from_outside_a_limit_that_was_passed_is_named(live: Callable[..., LiveServer]) -> None:
    server = live(KEYTURN_LIMIT_REQUESTS="3/hour", WEB_CONCURRENCY="1")

    done = run(server.url, *DEMO)

    assert "FAIL" not in done.stdout
    assert "a limit of the server was passed" in done.stdout


def test_from_outside_a_run_without_a_client_sends_what_needs_none(live: Callable[..., LiveServer]) -> None:
    server = live()

    done = run(server.url, "", "")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^R072 .* pass ", done.stdout, re.MULTILINE)
    assert re.search(r"^R012 .* not tried .*\n.*it needs CLIENT_ID and CLIENT_SECRET", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("base_url", "client_id", "secret", "output"),
    [
        ("http://127.0.0.1:9", "a", "", "CLIENT_ID and CLIENT_SECRET are needed together"),
        ("http://127.0.0.1:9", "a", "b", "cannot be tried"),
        ("127.0.0.1:9", "a", "b", "begins with https:// or http://"),
        ("ftp://127.0.0.1:9", "a", "b", "begins with https:// or http://"),
    ],
)
def test_from_outside_what_cannot_run_exits_with_2(base_url: str, client_id: str, secret: str, output: str) -> None:
    done = run(base_url, client_id, secret)

    assert (done.returncode, done.stdout) == (2, "")
    assert output in done.stderr
