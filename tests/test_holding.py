"""For how many days the trail holds events: shown, and said before rows cut what age would keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import time_machine
from flask import Flask

import config
from app.audit import holding, trail
from app.audit.event import AuditEvent, Budget, Event
from app.clock import now
from app.settings import current_settings
from app.storage.database import db, transaction
from app.upkeep import round as upkeep_round
from tests.conftest import Operator
from tests.test_audit import lines, rows  # noqa: F401, the first is a fixture

DAY = 86_400


@pytest.fixture
def quiet(app: Flask) -> Flask:
    trail.current_batch.of(app).close()
    return app


def add(app: Flask, budget: Budget | None, ages: list[int]) -> None:
    """Add a row for each age, in seconds, the oldest first."""
    with app.app_context(), transaction():
        for age in sorted(ages, reverse=True):
            db.session.add(AuditEvent(at=now() - age, event="x", budget=budget and budget.value))


def bounded(app: Flask, rows: int = 1_000, days: int = 90) -> config.Settings:
    return replace(current_settings.of(app), audit_rows=rows, audit_days=days)


def found(app: Flask, settings: config.Settings) -> dict[str | None, holding.Holding]:
    with app.app_context():
        return {each.budget: each for each in holding.holdings(settings)}


def test_the_rate_of_the_last_day_says_how_long_the_rows_last(quiet: Flask) -> None:
    with time_machine.travel(now(), tick=False):
        add(quiet, Budget.ISSUED, [3 * DAY] * 7 + [DAY // 2] * 20)
        add(quiet, Budget.REVOKED, [2 * 3_600] * 4)
        add(quiet, Budget.ENTRIES, [10] * 5)
        add(quiet, None, [5 * DAY] * 3)
        kinds = found(quiet, bounded(quiet))

        issued = kinds["issued"]
        assert (issued.rows, issued.oldest_at, issued.rows_per_day) == (27, now() - 3 * DAY, 20)
        assert (issued.days, issued.first) == (50, "rows")
        assert kinds["revoked"].rows_per_day == 4 * 12
        assert kinds["entries"].rows_per_day == 5 * 24  # at least an hour
        assert (kinds["refused"].rows, kinds["refused"].oldest_at, kinds["refused"].days) == (0, None, None)
        assert (kinds[None].rows, kinds[None].days, kinds[None].first) == (3, None, "age")
        assert found(quiet, bounded(quiet, days=49))["issued"].first == "age"


def test_the_rows_of_earlier_releases_are_shown_only_if_there_are_any(quiet: Flask) -> None:
    assert None not in found(quiet, bounded(quiet))


def test_a_warning_comes_while_half_of_the_rows_are_free_and_once_a_day_for_the_fleet(
    new_app: Callable[..., Flask],
    lines: list[str],  # noqa: F811
) -> None:
    apps = [new_app(), new_app()]
    settings = bounded(apps[0], 100)

    def warn() -> list[str]:
        said = []
        for app in apps:
            with app.app_context():
                said += holding.warn(settings)
        return said

    add(apps[0], Budget.ISSUED, [3 * DAY] + [DAY // 2] * 48)
    assert warn() == []
    add(apps[0], Budget.ISSUED, [DAY // 2])
    (sentence,) = warn()
    assert sentence == (
        "issued: issued tokens: at 49 rows a day KEYTURN_AUDIT_ROWS (100) holds 2 days, "
        "and KEYTURN_AUDIT_DAYS is 90; it has 50 rows"
    )
    add(apps[0], Budget.ANONYMOUS, [60] * 60)
    assert [each.partition(":")[0] for each in warn()] == ["anonymous"]
    assert warn() == []
    with time_machine.travel(now() + DAY + 10):
        add(apps[0], Budget.ISSUED, [60] * 50)
        assert [each.partition(":")[0] for each in warn()] == ["issued"]

    warned = [json.loads(line) for line in lines if "trail_too_small" in line]
    assert [(line["level"], line["message"]) for line in warned] == [("WARNING", "trail_too_small")] * 3
    events = [row for row in rows(apps[0]) if row.event == Event.TRAIL_TOO_SMALL]
    assert next((row.budget, row.reason) for row in events) == ("changes", sentence)


def test_the_upkeep_warns(new_app: Callable[..., Flask]) -> None:
    app = new_app(audit_rows=1_000)
    add(app, Budget.ISSUED, [60] * 600)

    with app.app_context():
        upkeep_round.run()

    assert [row.reason.partition(":")[0] for row in rows(app) if row.event == Event.TRAIL_TOO_SMALL] == ["issued"]


def test_the_status_has_a_line_for_each_kind_and_the_warnings(new_app: Callable[..., Flask]) -> None:
    app = new_app(audit_rows=1_000)
    operator = Operator(app)
    add(app, Budget.ISSUED, [60] * 600)

    document = operator.run("audit", "status")
    printed = app.test_cli_runner().invoke(args=["audit", "status"]).output

    assert (document["audit_rows"], document["audit_days"]) == (1_000, 90)
    kinds = {each["budget"]: each for each in document["kinds"]}
    assert set(kinds) == {budget.value for budget in Budget}
    assert (kinds["issued"]["rows"], kinds["issued"]["first"]) == (600, "rows")
    (warning,) = document["warnings"]
    assert warning.startswith("issued tokens: at 14,400 rows a day KEYTURN_AUDIT_ROWS (1,000) holds 0.1 days")
    assert f"\nI{warning[1:]}." in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("issued tokens")]
    assert line.split()[2] == "600"
    assert line.endswith("rows")
