"""One round of the upkeep: move the keys along, remove what has expired, and warn of what ends soon.

One worker of the fleet does it, by the lease. What a round does is right whenever it is done, and however often.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.audit import holding, retention
from app.audit.event import AuditEvent
from app.clock import DAY_SECONDS, now
from app.keys import plan, rotation
from app.keys.cipher import SealedKeyError
from app.keys.key_rows import all_keys
from app.logs import log
from app.settings import current_settings
from app.storage.database import BeginStep, delete_in_steps, transaction
from app.upkeep import lease, removals, warnings

ROUND_SECONDS = 300  # between two rounds of the fleet


class StoppedError(Exception):
    """This process ends; another worker does the round from its beginning."""


def run(
    *,
    trimmer: retention.Trimmer | None = None,
    old_events: bool = False,
    every: int = 0,
    is_stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Do one round.

    Args:
        trimmer: Removes old events of the trail, a day of them in 24 hours that the process runs; None for none.
        old_events: Whether to remove all events older than KEYTURN_AUDIT_DAYS instead.
        every: How many seconds must have passed since the last round.
        is_stopped: Whether this process ends; checked before each step.

    Returns:
        What it did, as JSON: `holder`, `removed` (rows by kind), `rotated` and `standby` (the `kid` of a key that
        became the next or the standby one, or None), `warnings`, as `warnings.ending` returns them, and `logged`, when
        each of these was logged.

    Raises:
        BusyError: If another worker does the upkeep.
        ClocksDifferError: If this machine's clock and the database's differ; then nothing is done.
        NotDueError: If a round ended less than `every` seconds ago.
        LostError: If another worker took over, as this one was stopped for too long.
        StoppedError: If `is_stopped`.
        SQLAlchemyError: If the database fails; what was done until then is done.
    """
    retention.check_clock()
    held = lease.take(every=every)

    def begin_step() -> None:
        if is_stopped():
            raise StoppedError
        lease.renew(held)

    try:
        report = steps(begin_step, partial(trim_by_age, trimmer, old_events), held.last_report.get("logged") or {})
    except BaseException:
        with contextlib.suppress(lease.LostError, SQLAlchemyError):
            lease.let_go(held)
        raise
    lease.give_back(held, report)
    return report


def steps(begin_step: BeginStep, trim: Callable[[BeginStep], int], logged: dict[str, int]) -> dict[str, Any]:
    renew(begin_step)
    standby = ensure_standby()
    renew(begin_step)
    rotated = rotate_by_age()
    removed = removals.remove_expired(begin_step, trim)
    holding.warn(current_settings())
    found = warnings.collect()
    return {
        "holder": lease.name(),
        "removed": removed,
        "rotated": rotated,
        "standby": standby,
        "warnings": found[: warnings.MOST],
        "logged": warnings.log_new(found, logged),
    }


def renew(begin_step: BeginStep) -> None:
    """Begin a step whose transaction checks by itself whether it is still needed."""
    with transaction():
        begin_step()


def ensure_standby() -> str | None:
    try:
        made = rotation.ensure_standby()
    except SealedKeyError as error:
        log.error("no standby key could be created: %s", error)
        return None
    return made.kid if made else None


def rotate_by_age() -> str | None:
    """Rotate the signing key if it has signed for KEYTURN_KEY_ROTATION_DAYS."""
    days = current_settings().key_rotation_days
    due = plan.next_rotation(all_keys(), now(), days)
    if due is None or due > now():
        return None
    try:
        return rotation.rotate(older_than=days * DAY_SECONDS).kid
    except (rotation.RotationError, SealedKeyError) as error:
        log.error("the signing key could not be rotated: %s", error)
        return None


def trim_by_age(trimmer: retention.Trimmer | None, old_events: bool, begin_step: BeginStep) -> int:
    settings = current_settings()
    if old_events:
        return delete_in_steps(AuditEvent, retention.too_old(settings), begin_step=begin_step)
    return trimmer.trim(settings, begin_step=begin_step) if trimmer else 0
