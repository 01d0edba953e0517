"""What can be broken while clients use the fleet, and what they then may see."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.fleet.database import crash
from tests.fleet.machines import Fleet

Say = Callable[[str], None]
CLOCK_SECONDS = 90


@dataclass(frozen=True)
class Drill:
    """One thing that breaks, and what clients may see of it besides 200."""

    name: str
    about: str
    act: Callable[[Fleet, Say], None]
    allowed: frozenset[str] = frozenset()
    must_see: str = ""
    kills: bool = False  # a worker that is killed loses what it has not written to the trail yet: a second at most

    def faults(self, seen: Counter[str], lost: int, events_lost: int = 0) -> list[str]:
        """What clients saw and should not have seen, and what was lost: tokens, or events of the trail."""
        found = [f"{seen[each]} {each}" for each in ("503", "refused", "failed") if seen[each]]
        found = [each for each in found if each.split()[1] not in self.allowed]
        if not seen["200"]:
            found.append("no 200")
        if self.must_see and not seen[self.must_see]:
            found.append(f"no {self.must_see}, so nothing was broken")
        if events_lost and not self.kills:
            found.append(f"{events_lost} events lost")
        return found + [f"{lost} tokens lost"] * bool(lost)


def kill_a_worker(fleet: Fleet, say: Say) -> None:
    for server in fleet.servers:
        worker = server.children()[0]
        say(f"SIGKILL to a worker of {server.name}; gunicorn starts another")
        worker.send_signal(signal.SIGKILL)
        time.sleep(2)


def kill_a_server(fleet: Fleet, say: Say) -> None:
    server = fleet.servers[0]
    say(f"SIGKILL to {server.name}, all of it")
    server.kill()
    time.sleep(4)
    say(f"{server.name} is started again")
    server.start()
    say(f"{server.name} responds")


def rolling_restart(fleet: Fleet, say: Say) -> None:
    for server in fleet.servers:
        say(f"SIGTERM to {server.name}; it completes what has started")
        server.stop()
        server.start()
        say(f"{server.name} is back")


def reload_workers(fleet: Fleet, say: Say) -> None:
    for server in fleet.servers:
        say(f"SIGHUP to {server.name}: new workers, and the old ones finish")
        server.send(signal.SIGHUP)
        time.sleep(2)


def stop_postgresql(fleet: Fleet, say: Say) -> None:
    say("PostgreSQL is stopped")
    fleet.postgresql.stop()
    time.sleep(4)
    fleet.postgresql.start()
    say("PostgreSQL is started again; no server is restarted")
    time.sleep(2)


def kill_postgresql(fleet: Fleet, say: Say) -> None:
    say("SIGKILL to PostgreSQL, all of it")
    crash(fleet)
    time.sleep(4)
    fleet.postgresql.start()
    say("PostgreSQL is started again, and recovers; no server is restarted")
    time.sleep(2)


def kill_redis(fleet: Fleet, say: Say) -> None:
    say("SIGKILL to Redis; each worker counts limits by itself")
    fleet.redis.kill()
    time.sleep(4)
    fleet.redis.start()
    say("Redis is started again, empty")
    time.sleep(1)


def freeze_redis(fleet: Fleet, say: Say) -> None:
    say("SIGSTOP to Redis: connected, and silent")
    fleet.redis.send(signal.SIGSTOP)
    time.sleep(4)
    fleet.redis.send(signal.SIGCONT)
    say("Redis goes on")
    time.sleep(1)


def rotate_keys(fleet: Fleet, say: Say) -> None:
    say("flask keys rotate: the next key is published, and signs in 305 seconds")
    fleet.flask("keys", "rotate")
    time.sleep(2)
    say("flask keys rotate --now: for an emergency; another key signs from the next request on")
    fleet.flask("keys", "rotate", "--now")
    time.sleep(2)


def clock_off(fleet: Fleet, say: Say) -> None:
    say(f"the clock of keyturn-2 is {CLOCK_SECONDS} s ahead; keyturn-1 refuses its newest tokens")
    fleet.clocks[1].write_text(str(CLOCK_SECONDS), encoding="utf-8")
    time.sleep(5)
    fleet.clocks[1].write_text("0", encoding="utf-8")
    say("the clock is right again")
    time.sleep(2)


REFUSED, UNAVAILABLE = frozenset({"refused"}), frozenset({"503"})
DRILLS = {
    each.name: each
    for each in (
        Drill("kill-a-worker", "a worker of each server is killed", kill_a_worker, kills=True),
        Drill("kill-a-server", "a server is killed, and started again", kill_a_server, kills=True),
        Drill("rolling-restart", "each server is restarted, one after the other", rolling_restart),
        Drill("reload", "the workers of each server are replaced", reload_workers),
        Drill("stop-postgresql", "the database is away for seconds", stop_postgresql, UNAVAILABLE, "503"),
        Drill("kill-postgresql", "the database crashes, and recovers", kill_postgresql, UNAVAILABLE, "503"),
        Drill("kill-redis", "Redis is away for seconds", kill_redis),
        Drill("freeze-redis", "Redis does not respond for seconds", freeze_redis),
        Drill("rotate-keys", "another key signs", rotate_keys),
        Drill("clock-off", f"one server's clock is {CLOCK_SECONDS} s ahead", clock_off, REFUSED, "refused"),
    )
}
