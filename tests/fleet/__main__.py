"""`make fleet`: start a fleet, print what to try, and run drills by their names, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from tests.fleet.drills import DRILLS
from tests.fleet.machines import Fleet, MissingError
from tests.fleet.watching import soak, watch
from tests.support import guardian


def menu() -> str:
    return "\n".join(f"  {each.name:18}{each.about}" for each in DRILLS.values())


def introduction(fleet: Fleet) -> str:
    client_id, secret = fleet.register("visitor", "--scope", "read:logs")
    servers = "\n".join(
        f"  {each.name:18}http://127.0.0.1:{each.environment['PORT']}   log: {each.log}" for each in fleet.servers
    )
    return f"""
A fleet is running: two Keyturns of two workers on one PostgreSQL and one Redis, behind nginx.

  {"nginx":18}{fleet.url}
{servers}
  {"PostgreSQL":18}{fleet.postgresql.get_uri()}
  {"Redis":18}127.0.0.1:{fleet.redis.environment["PORT"]}

Request a token:
  curl -s --cacert {fleet.certificate} -u {client_id}:{secret} -d grant_type=client_credentials {fleet.url}/oauth/token

Type the name of a drill, and see what clients get each second:
{menu()}
Ctrl-C stops everything.
"""


def run(fleet: Fleet, name: str) -> bool:
    """Run a drill by its name; print whether clients saw only what they may see."""
    if name not in DRILLS:
        sys.stdout.write(f"The drills are:\n{menu()}\n")
        return False
    return conclude(name, watch(fleet, DRILLS[name]))


def conclude(name: str, faults: list[str]) -> bool:
    sys.stdout.write(f"{name}: {'FAILED: ' + ', '.join(faults) if faults else 'as it must be'}\n")
    sys.stdout.flush()
    return not faults


def work(fleet: Fleet) -> bool:
    """Do what DRILL or HOURS says; without either, what is typed."""
    if name := os.environ.get("DRILL"):
        results = [run(fleet, each) for each in (DRILLS if name == "all" else [name])]
        return all(results)
    if hours := os.environ.get("HOURS"):
        return conclude("soak", soak(fleet, float(hours) * 3_600))
    sys.stdout.write(introduction(fleet))
    sys.stdout.flush()
    for line in sys.stdin:
        run(fleet, line.strip())
    while not sys.stdin.isatty():  # started without a terminal: until it is stopped
        time.sleep(1)
    return True


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    watcher = guardian.start()
    try:
        # In one place that removes it all: the folder, and what is left of the processes if this one is killed.
        fleet = Fleet(Path(guardian.folder()), KEYTURN_AUDIT_ROWS="1000")
        try:
            fleet.start()
            return 0 if work(fleet) else 1
        except KeyboardInterrupt:
            return 0
        finally:
            fleet.stop()
            sys.stdout.write("Stopped.\n")
    except MissingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        with contextlib.suppress(KeyboardInterrupt):
            guardian.finish(watcher)


if __name__ == "__main__":
    sys.exit(main())
