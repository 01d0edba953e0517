"""That the watch over the suite (`leaks.py`) sees what it is there to see."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests import leaks
from tests.conftest import Machine, Operator


def test_the_watch_knows_the_tokens_and_secrets_and_sees_what_is_written(operator: Operator, admin: Machine) -> None:
    machine = operator.register("billing", "--scope", "read:logs")
    token = admin.token()
    admin.ask(scope="watched-scope")
    logging.getLogger("any.library").debug("watched-line")

    written = (leaks.suite.file or Path()).read_text()
    assert {machine.secret, token.rpartition(".")[2]} <= leaks.suite.secrets
    assert "watched-scope" in written
    assert "watched-line" in written


@pytest.mark.parametrize(
    "shape", ["{}", '{{"scope": "{}"}}', "x&client_secret={}&y=1", "/{}/", "token_{}", "Bearer a.b.{}"]
)
def test_a_leak_would_be_found(tmp_path: Path, shape: str) -> None:
    watch = leaks.Watch()
    watch.file = tmp_path / "written.txt"
    secret = "kts_0123456789012345678901234567890123456789012"
    watch.remember(secret)
    watch.keep("another line")
    assert watch.leaked() == set()

    watch.keep(shape.format(secret))

    assert watch.leaked() == {secret}
