"""The watch over the suite (`leaks.py`) finds what it should find."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import select

from app.audit import trail
from app.storage.database import db
from tests.conftest import SECRET_KEY, Machine, Operator
from tests.support import leaks


def test_the_watch_knows_the_tokens_and_secrets_and_sees_what_is_written(operator: Operator, admin: Machine) -> None:
    machine = operator.register("billing", "--scope", "read:logs")
    token = admin.token()
    admin.request_token(scope="watched-scope")
    logging.getLogger("any.library").debug("watched-line")

    written = (leaks.suite.file or Path()).read_text()
    assert {machine.secret, token.rpartition(".")[2]} <= leaks.suite.secrets
    assert "watched-scope" in written
    assert "watched-line" in written


def test_a_dump_of_the_database_has_no_secret_no_token_and_no_private_key(
    app: Flask, operator: Operator, tmp_path: Path
) -> None:
    dump = leaks.Watch()
    dump.file = tmp_path / "dump.txt"
    billing = operator.register("billing", "--scope", "read:logs")
    opaque = operator.register("opaque", "--scope", "read:logs", "--format", "opaque")
    rotated = operator.run("clients", "rotate-secret", "billing", "--overlap", "60")["client_secret"]
    tokens = [each.token() for each in (billing, opaque) for _ in range(2)]
    for machine, token in ((billing, tokens[0]), (opaque, tokens[2])):
        assert machine.revoke(token).status_code == 200
    for secret in (billing.secret, opaque.secret, rotated, SECRET_KEY, *tokens):
        dump.remember(secret)

    with app.app_context():
        trail.current_batch().write()
        for table in db.metadata.sorted_tables:
            for row in db.session.execute(select(table)):
                dump.record(str(tuple(row)))

    assert dump.leaked() == set()
    written = dump.file.read_text()
    assert "PRIVATE" not in written
    assert [each for each in (billing.client_id, "token_issued", "key_created") if each not in written] == []


SECRET = "kts_0123456789abcdefghijKLMNOPQRST-_uvwxyz12345"
BODY = SECRET.removeprefix("kts_")
PAIRS = [f"{'c' * n}:{SECRET}" for n in (3, 4, 5)]


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def watch(tmp_path: Path) -> leaks.Watch:
    """A watch that remembers two secrets, and has read lines with neither."""
    made = leaks.Watch()
    made.file = tmp_path / "written.txt"
    made.remember(SECRET)
    made.remember("kts_another-secret-of-the-tests-which-nobody-wrote")
    made.record("another line, with KEYTURN_LIMIT_INTROSPECTION and application/x-www-form-urlencoded")
    assert made.leaked() == set()
    return made


@pytest.mark.parametrize(
    "shape", ["{}", '{{"scope": "{}"}}', "x&client_secret={}&y=1", "/{}/", "token_{}", "Bearer a.b.{}"]
)
def test_a_leak_would_be_found(watch: leaks.Watch, shape: str) -> None:
    watch.record(shape.format(SECRET))

    assert watch.leaked() == {SECRET}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(SECRET, id="plain"),
        pytest.param(BODY, id="without-its-prefix"),
        pytest.param(BODY[: len(BODY) // 2], id="first-half"),
        pytest.param(BODY[len(BODY) // 2 :], id="second-half"),
        pytest.param(in_base64(SECRET), id="base64"),
        pytest.param(in_base64(BODY), id="base64-without-its-prefix"),
        *(pytest.param(in_base64(pair), id=f"base64-of-a-pair-{n}") for n, pair in enumerate(PAIRS)),
        pytest.param(base64.urlsafe_b64encode(PAIRS[0].encode()).decode().rstrip("="), id="base64url-of-a-pair"),
        pytest.param(in_base64(PAIRS[1])[: len(in_base64(PAIRS[1])) * 2 // 3], id="base64-of-a-pair-cut-off"),
        pytest.param(in_base64(PAIRS[2])[-40:], id="base64-of-a-pair-its-end"),
        pytest.param("".join(f"%{ord(c):02x}" for c in SECRET), id="percent-encoded"),
        pytest.param("%25".join(["", *(f"{ord(c):02X}" for c in SECRET)]), id="percent-encoded-twice"),
        pytest.param("%6b" + SECRET[1:], id="percent-encoded-in-part"),
        pytest.param(quote(in_base64(PAIRS[0])), id="base64-percent-encoded"),
    ],
)
def test_a_leak_in_another_form_would_be_found(watch: leaks.Watch, form: str) -> None:
    watch.record(f"x&client_secret={form}&y=1")

    assert watch.leaked() == {SECRET}
