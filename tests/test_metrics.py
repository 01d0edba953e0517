"""The metrics: what is counted, in one process; and the files of several, with real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import yaml
from flask import Flask
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text

from app import clock
from app.audit import batch, trail
from app.authentication import limits
from app.health import fleet, readiness
from app.health.measuring import Measuring, current_measuring, finish
from app.metrics import listener
from app.metrics.families import VERSION, Families
from app.metrics.listener import Listener, only_metrics
from app.settings import read_settings
from app.storage.database import db, transaction
from app.storage.waiting import at_most, patience
from app.upkeep import lease, round  # noqa: A004, the name that people say
from benchmarks.calls import measure
from tests.conftest import ROOT, LiveServer, Machine, Operator, demo, free_port, wait_for
from tests.support.calling import call, token
from tests.support.pages import page
from tests.test_drills import children

BIND = "127.0.0.1:9100"  # in one process nothing listens there
METRICS = page("metrics")
ALERTS = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
Samples = dict[str, float]


def read(exposition: str) -> Samples:
    """Each sample's value, by its name and its labels in Prometheus's notation."""
    found = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return {name: value for name, value in found.items() if "_created" not in name}  # several processes have none


class Measured:
    """An app with metrics, and what has been counted."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.measuring = Measuring(app)
        self.fleet = CollectorRegistry()
        self.collector = fleet.Fleet(app)
        self.fleet.register(self.collector)

    def counted(self) -> Samples:
        self.measuring.sample()
        return read(generate_latest(self.measuring.families.registry).decode())

    def facts(self) -> Samples:
        readiness.current_readiness.of(self.app).forget()
        self.collector.forget()
        return read(generate_latest(self.fleet).decode())


@pytest.fixture
def database_url(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> str:
    """SQLite's is enough for what is counted in memory; what is read from the database is tested on both."""
    return prepared(getattr(request, "param", "sqlite"))


on_both = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def measured(new_app: Callable[..., Flask]) -> Measured:
    return Measured(new_app(metrics_bind=BIND))


def test_tokens_are_counted_by_client_and_format(measured: Measured) -> None:
    for _ in range(3):
        demo(measured.app, "demo-admin").token()
    demo(measured.app, "demo-opaque").token()

    found = measured.counted()

    assert found['keyturn_tokens_issued_total{client_id="demo-admin",format="jwt"}'] == 3
    assert found['keyturn_tokens_issued_total{client_id="demo-opaque",format="opaque"}'] == 1
    assert sum(value for name, value in found.items() if name.startswith("keyturn_tokens_issued_total")) == 4


def test_the_first_clients_have_a_label_of_their_own_and_the_rest_are_other(new_app: Callable[..., Flask]) -> None:
    measured = Measured(new_app(metrics_bind=BIND, metrics_clients=2))  # demo-partner and demo-reporting
    late = Operator(measured.app).register("late", "--scope", "inventory:read")

    for machine in (demo(measured.app, "demo-reporting"), demo(measured.app, "demo-admin"), late):
        machine.token()

    found = measured.counted()
    assert found['keyturn_tokens_issued_total{client_id="demo-reporting",format="jwt"}'] == 1
    assert found['keyturn_tokens_issued_total{client_id="other",format="jwt"}'] == 2


def test_refusals_are_counted_by_error_status_and_the_check_that_refused(measured: Measured) -> None:
    client, admin = measured.app.test_client(), demo(measured.app, "demo-admin")
    admin.request_token(scope="nothing:at_all")
    Machine(measured.app, "demo-admin", "kts_wrong").request_token()
    Machine(measured.app, "demo-nobody", "kts_wrong").request_token()
    client.get("/inventory")
    client.get("/inventory", headers={"Authorization": "Bearer forged"})
    client.get("/nowhere")
    client.put("/oauth/token")

    found = measured.counted()

    assert {name: value for name, value in found.items() if name.startswith("keyturn_refusals")} == {
        f'keyturn_refusals_total{{check="{check}",error="{error}",status="{status}"}}': number
        for check, error, status, number in (
            ("scope_declared", "invalid_scope", 400, 1),
            ("secret", "invalid_client", 401, 1),
            ("client_known", "invalid_client", 401, 1),
            ("bearer", "no_token", 401, 1),
            ("jwt", "invalid_token", 401, 1),
            ("address", "not_found", 404, 1),
            ("address", "invalid_request", 405, 1),
            ("none", "server_error", 500, 0),  # there from the start, so that an alert sees the first one
        )
    }


@on_both
def test_a_database_that_fails_and_a_view_that_fails_are_counted_apart(measured: Measured) -> None:
    def fails() -> None:
        raise ArithmeticError

    measured.app.add_url_rule("/fails", view_func=fails)
    measured.app.test_client().get("/fails")
    with measured.app.app_context(), transaction():
        db.session.execute(text("DROP TABLE client_secrets"))
    demo(measured.app, "demo-admin").request_token()

    found = measured.counted()

    assert found['keyturn_refusals_total{check="none",error="server_error",status="500"}'] == 1
    assert found['keyturn_refusals_total{check="database",error="temporarily_unavailable",status="503"}'] == 1


def test_durations_are_counted_by_route_and_class_of_status_and_no_caller_makes_a_series(measured: Measured) -> None:
    client = measured.app.test_client()
    demo(measured.app, "demo-admin").token()
    for number in range(20):
        client.get(f"/nowhere/{number}")
        client.get(f"/errors/{number}")
        client.open("/inventory", method=f"WORD{number}")

    found = measured.counted()

    assert {name: value for name, value in found.items() if name.startswith("keyturn_request_seconds_count")} == {
        'keyturn_request_seconds_count{method="POST",route="/oauth/token",status="2xx"}': 1,
        'keyturn_request_seconds_count{method="GET",route="none",status="4xx"}': 20,
        'keyturn_request_seconds_count{method="GET",route="/errors/<code>",status="4xx"}': 20,
        'keyturn_request_seconds_count{method="other",route="none",status="4xx"}': 20,
    }
    assert 0 < found['keyturn_request_seconds_sum{method="POST",route="/oauth/token",status="2xx"}'] < 60


def test_a_limit_that_is_exceeded_is_counted_by_its_setting(new_app: Callable[..., Flask]) -> None:
    measured = Measured(new_app(metrics_bind=BIND, limit_requests="1/hour", limit_failures="1/hour"))
    for _ in range(3):
        demo(measured.app, "demo-admin").request_token()
        Machine(measured.app, "demo-partner", "kts_wrong").request_token()

    found = measured.counted()

    assert found['keyturn_limit_exceeded_total{setting="KEYTURN_LIMIT_REQUESTS"}'] == 2
    assert found['keyturn_limit_exceeded_total{setting="KEYTURN_LIMIT_FAILURES"}'] == 2
    assert found['keyturn_limit_exceeded_total{setting="KEYTURN_LIMIT_API"}'] == 0


def test_workers_that_lost_redis_are_counted_each_time(new_app: Callable[..., Flask]) -> None:
    address = f"redis://127.0.0.1:{free_port()}/0"
    measured = Measured(new_app(metrics_bind=BIND, limit_requests="9/hour", redis_url=address))
    assert measured.counted()["keyturn_redis_lost_total"] == 0

    demo(measured.app, "demo-admin").token()
    found = measured.counted()
    assert (found["keyturn_redis_lost_total"], found["keyturn_workers_counting_alone"]) == (1, 1)

    limits.current_limits.of(measured.app).alone_until = clock.monotonic() - 1
    assert measured.counted()["keyturn_workers_counting_alone"] == 0
    demo(measured.app, "demo-admin").token()
    assert measured.counted()["keyturn_redis_lost_total"] == 2


def test_rows_that_wait_and_events_that_were_dropped_are_counted(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail.current_batch.of(measured.app).close()
    demo(measured.app, "demo-admin").token()
    demo(measured.app, "demo-partner").token()
    assert measured.counted()["keyturn_audit_rows_waiting"] == 2

    monkeypatch.setattr(batch, "MAX_ROWS", 2)
    demo(measured.app, "demo-reporting").token()
    demo(measured.app, "demo-brief").token()
    trail.current_batch.of(measured.app).write()

    found = measured.counted()
    assert (found["keyturn_audit_rows_waiting"], found["keyturn_audit_events_dropped_total"]) == (0, 2)
    assert measured.counted()["keyturn_audit_events_dropped_total"] == 2


@on_both
def test_connections_and_threads_of_the_database_are_gauges(measured: Measured) -> None:
    trail.current_batch.of(measured.app).close()  # its thread waits for the database now and then
    demo(measured.app, "demo-admin").token()
    with measured.app.app_context(), db.engine.connect():
        found = measured.counted()

    assert found['keyturn_database_connections{use="pool_busy"}'] == 1
    assert found['keyturn_database_connections{use="thread"}'] >= 1
    assert found['keyturn_database_connections{use="reserved"}'] >= 1
    assert found["keyturn_database_pool_limit"] == 15
    assert found["keyturn_database_threads_waiting"] == 0
    assert found["keyturn_database_threads_limit"] == 6


@on_both
def test_the_fleet_s_keys_secrets_and_conditions_are_read_from_the_database(measured: Measured) -> None:
    operator = Operator(measured.app)
    client = operator.register("shop", "--scope", "inventory:read")
    operator.run("clients", "rotate-secret", "shop", "--overlap", "3600")

    found = measured.facts()

    (end,) = (value for name, value in found.items() if name.startswith("keyturn_end_timestamp_seconds"))
    assert any(client.client_id in name for name in found if name.startswith("keyturn_end_timestamp_seconds"))
    assert 3500 < end - clock.now() <= 3600
    assert (found['keyturn_ending{kind="secret"}'], found['keyturn_ending{kind="key"}']) == (1, 0)
    assert found['keyturn_signing_keys{state="active"}'] == 1
    (since,) = (value for name, value in found.items() if name.startswith("keyturn_signing_key_signs_since"))
    assert 0 <= clock.now() - since < 3600
    assert {name for name in found if name.startswith("keyturn_condition")} == {
        f'keyturn_condition_met{{condition="{each}"}}' for each in ("database", "clock", "schema", "signing_key")
    }
    assert {found[name] for name in found if name.startswith("keyturn_condition")} == {1}
    assert abs(found["keyturn_clock_ahead_seconds"]) <= 2


@on_both
def test_the_last_round_of_upkeep_is_a_metric(measured: Measured) -> None:
    assert "keyturn_upkeep_last_round_timestamp_seconds" not in measured.facts()
    before = clock.now()
    with measured.app.app_context():
        round.run()

    found = measured.facts()

    assert before <= found["keyturn_upkeep_last_round_timestamp_seconds"] <= clock.now()
    assert found['keyturn_upkeep_removed_rows{what="opaque tokens"}'] == 0
    assert found["keyturn_upkeep_lease_held"] == 0
    assert found['keyturn_signing_keys{state="standby"}'] == 1

    with measured.app.app_context():
        lease.take()

    assert measured.facts()["keyturn_upkeep_lease_held"] == 1


@on_both
@pytest.mark.parametrize("failing", ["", "client_secrets"], ids=["all statements", "one statement"])
def test_without_the_database_a_scrape_has_the_last_facts_and_says_how_old_they_are(
    measured: Measured, failing: str
) -> None:
    before = measured.facts()
    with measured.app.app_context():
        engine = db.engine

    def refuse(*arguments: object) -> None:
        if failing in str(arguments[2]):
            raise engine.dialect.loaded_dbapi.OperationalError("nobody responds")

    event.listen(engine, "before_cursor_execute", refuse)
    after = measured.facts()
    event.remove(engine, "before_cursor_execute", refuse)

    assert after['keyturn_condition_met{condition="database"}'] == bool(failing)
    assert after["keyturn_fleet_read_timestamp_seconds"] == before["keyturn_fleet_read_timestamp_seconds"]
    assert after.keys() == before.keys()


def test_one_bound_on_waiting_inside_another_leaves_the_outer_one() -> None:
    with at_most(3):
        with at_most(1):
            assert patience(9) == 1
        assert patience(9) == 3
        with at_most(5):
            assert patience(9) == 3
    assert patience(9) == 9


def test_without_metrics_a_request_calls_no_function_more_and_with_them_as_many_as_documented(
    new_app: Callable[..., Flask],
) -> None:
    counts = [measure(new_app(metrics_bind=bind)) for bind in ("", BIND)]

    more = {counts[1][kind] - counts[0][kind] for kind in counts[0]}
    documented = re.search(r"(\d+) more Python calls for an issued token and (\d+) for any other", METRICS.text)
    assert documented
    assert more == {int(each) for each in documented.groups()}


def test_without_metrics_the_library_is_not_even_imported() -> None:
    script = "import sys, app; app.create_app(); sys.exit('prometheus_client' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}

    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=False).returncode == 0


@pytest.mark.parametrize("bind", ["127.0.0.1:9100", "0.0.0.0:9100", "[::1]:9100", "metrics.internal:9100"])
def test_an_address_is_a_host_and_a_port(bind: str) -> None:
    loaded = read_settings({"KEYTURN_METRICS_BIND": bind})

    assert (loaded.metrics_bind, loaded.faults) == (bind, ())


@pytest.mark.parametrize(
    "bind", ["9100", ":9100", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "http://a:9100", "::1:9"]
)
def test_what_is_no_address_is_a_fault(bind: str) -> None:
    assert read_settings({"KEYTURN_METRICS_BIND": bind}).faults == (
        "KEYTURN_METRICS_BIND must be HOST:PORT, such as 127.0.0.1:9100, or [::1]:9100.",
    )


# The documents and the alert rules.


def names_of_all() -> set[str]:
    """Each metric as Prometheus knows it: a counter's name ends with _total."""
    own = {f"{each.name}{'_total' * (each.type == 'counter')}" for each in Families().registry.collect()}
    return own | {each.name for each in fleet.GAUGES}


def test_every_metric_is_in_the_table_of_the_page_and_no_other() -> None:
    rows = METRICS.table("metric")

    assert {re.sub(r"`|\{.*", "", row[0]) for row in rows} == names_of_all()
    counted = [each for each in vars(Families()).values() if isinstance(each, MetricWrapperBase)]
    labels = {name: set(each._labelnames) for each in counted for name in (each._name, f"{each._name}_total")}
    labels |= {each.name: set(each.labels) for each in fleet.GAUGES}
    for row in rows:
        name, _, shown = row[0].strip("`").partition("{")
        assert labels[name] == set(re.findall(r"\w+", shown)), name


def test_every_metric_of_an_alert_exists() -> None:
    suffixes = {f"keyturn_request_seconds_{part}" for part in ("bucket", "sum", "count")}
    used = {name for group in ALERTS for rule in group["rules"] for name in re.findall(r"keyturn_\w+", rule["expr"])}

    assert used - suffixes <= names_of_all()
    assert used


def test_every_alert_says_what_to_do_and_names_pages_that_exist() -> None:
    for rule in (rule for group in ALERTS for rule in group["rules"]):
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
        assert len(rule["annotations"]["action"]) > 30
        assert all((ROOT / page).exists() for page in re.findall(r"docs/[\w-]+\.md", rule["annotations"]["action"]))
        assert f"| `{rule['alert']}` | {rule['labels']['severity']} |" in METRICS.text


def test_both_sides_of_a_division_in_an_alert_have_the_same_labels() -> None:
    """Prometheus divides only what has equal labels; of anything else nothing is left, and the alert never fires."""
    aggregation = re.compile(r"\w+ by \([\w, ]*\)")
    divisions = [rule["expr"].split(" / ") for group in ALERTS for rule in group["rules"] if " / " in rule["expr"]]

    assert divisions
    for left, right in divisions:
        assert aggregation.findall(left) == aggregation.findall(right)


def test_the_version_is_the_project_s() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == VERSION


# The listener.


def test_the_listener_serves_one_path_and_a_silent_client_holds_up_no_scrape(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener.ImpatientRequest, "timeout", 60)
    port = free_port()
    server = Listener(f"127.0.0.1:{port}", only_metrics(measured.fleet))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    live = LiveServer(None, f"http://127.0.0.1:{port}", {}, Path())  # type: ignore[arg-type]

    found = [call(live, method, path) for method, path in (("GET", "/metrics"), ("GET", "/"), ("POST", "/metrics"))]

    server.shutdown()
    thread.join()
    server.server_close()
    for each in silent:
        each.close()
    assert [status for status, *_ in found] == [200, 404, 405]
    assert "keyturn_condition_met" in found[0][2].decode()


def test_a_client_that_sends_nothing_is_hung_up_on(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener.ImpatientRequest, "timeout", 0.1)
    port = free_port()
    server = Listener(f"127.0.0.1:{port}", only_metrics(measured.fleet))
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()

    with socket.create_connection(("127.0.0.1", port), timeout=30) as silent:
        received = silent.recv(100)

    server.stop()
    thread.join()
    assert received == b""


def test_a_listener_that_stops_accepts_nobody_and_completes_the_scrape_that_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "LAST_SECONDS", 60)
    port, began, may_end = free_port(), threading.Event(), threading.Event()

    def slow(_: object, start_response: Callable[..., object]) -> list[bytes]:
        began.set()
        assert may_end.wait(30)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"whole"]

    server = Listener(f"127.0.0.1:{port}", slow)
    serving = threading.Thread(target=server.serve_forever, args=[0.05])
    serving.start()
    live = LiveServer(None, f"http://127.0.0.1:{port}", {}, Path())  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as pool:
        response = pool.submit(call, live, "GET", "/metrics")
        assert began.wait(30)
        stopping = pool.submit(server.stop)
        serving.join(30)
        # Reset, if it connected in the moment in which the listener closed.
        with pytest.raises((ConnectionRefusedError, ConnectionResetError)):
            wait_for(lambda: not socket.create_connection(("127.0.0.1", port)).close() and False)
        assert not stopping.done()
        may_end.set()

        assert response.result()[::2] == (200, b"whole")
        stopping.result()


def test_what_the_last_requests_left_is_counted_as_a_worker_ends(measured: Measured) -> None:
    current_measuring.set(measured.app, measured.measuring)
    demo(measured.app, "demo-admin").token()

    finish(measured.app)

    found = read(generate_latest(measured.measuring.families.registry).decode())
    assert found['keyturn_tokens_issued_total{client_id="other",format="jwt"}'] == 1


# Several processes: prometheus_client decides at its import whether it is for several, so they are not of this one.

FORKS = """
import json, os, sys, traceback
os.environ["PROMETHEUS_MULTIPROC_DIR"] = ""  # before the import, as gunicorn.conf.py does
from app.metrics import shared_files
from app.metrics.families import Families
from prometheus_client import CollectorRegistry, generate_latest
registry = CollectorRegistry()
registry.register(shared_files.Shared())

def in_a_child(work):
    pid = os.fork()
    if not pid:
        work()
        os._exit(0)
    os.waitpid(pid, 0)
    return pid

def show(*names):
    for line in generate_latest(registry).decode().splitlines():
        if line.startswith(names):
            print(line)

def make():
    shared_files.make(where, uid=os.geteuid(), gid=os.getegid())

for line in sys.stdin:
    where, script = json.loads(line)
    reading, writing = os.pipe()
    if not os.fork():
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        try:
            make()
            exec(script)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    print(json.dumps(os.fdopen(reading).read().splitlines()), flush=True)
    os.wait()
"""
Run = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def forks() -> Iterator[subprocess.Popen[str]]:
    """A master that runs each script in a child of its own: to import the app takes longer than a script."""
    command = [sys.executable, "-c", FORKS]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def run(forks: subprocess.Popen[str], tmp_path: Path) -> Run:
    """Runs a script with a folder of its own, and returns the lines that it prints."""

    def run_script(script: str) -> list[str]:
        assert forks.stdin
        assert forks.stdout
        print(json.dumps([str(tmp_path), script]), file=forks.stdin, flush=True)
        return list(json.loads(forks.stdout.readline()))

    return run_script


def test_what_dead_workers_have_counted_stays_in_one_file_and_their_gauges_go(run: Run) -> None:
    script = """
def work():
    families = Families()
    families.dropped.inc(2)
    families.workers.set(1)
    families.seconds.labels("GET", "/", "2xx").observe(0.3)
pids = [in_a_child(work) for _ in range(3)]
show("keyturn_workers ", "keyturn_audit_events_dropped_total", "keyturn_request_seconds_count")
for pid in pids:
    shared_files.bury(pid)
show("keyturn_workers ", "keyturn_audit_events_dropped_total", "keyturn_request_seconds_count")
print(*sorted(file.name for file in shared_files.path().glob("*.db")))
"""
    label = '{method="GET",route="/",status="2xx"}'
    counted = [f"keyturn_request_seconds_count{label} 3.0", "keyturn_audit_events_dropped_total 6.0"]

    *lines, files = run(script)

    assert sorted(lines) == sorted([*counted, "keyturn_workers 3.0", *counted])
    assert files == "counter_0.db histogram_0.db"


def test_a_master_waits_for_no_scrape_and_merges_later(run: Run) -> None:
    script = """
work = lambda: Families().dropped.inc()
first = in_a_child(work)
with shared_files.merging():
    shared_files.bury(first)
    print((shared_files.path() / f"counter_{first}.db").exists(), shared_files.dead == [first])
shared_files.bury(in_a_child(work))
print(*sorted(file.name for file in shared_files.path().glob("counter*.db")), shared_files.dead)
show("keyturn_audit_events_dropped_total")
"""
    assert run(script) == ["True True", "counter_0.db []", "keyturn_audit_events_dropped_total 2.0"]


def test_a_worker_that_was_killed_as_it_created_its_file_ends_no_master_and_no_scrape(run: Run) -> None:
    script = """
pid = in_a_child(lambda: Families().dropped.inc())
(shared_files.path() / f"histogram_{pid}.db").write_bytes(b"")
shared_files.bury(pid)
print(*sorted(file.name for file in shared_files.path().glob("*.db")), shared_files.dead)
show("keyturn_audit_events_dropped_total")
"""
    assert run(script) == ["counter_0.db []", "keyturn_audit_events_dropped_total 1.0"]


def test_values_of_the_master_are_not_counted_again_by_its_workers(run: Run) -> None:
    script = """
families = Families()
families.dropped.inc(5)
shared_files.bury(in_a_child(lambda: families.dropped.inc()))
show("keyturn_audit_events_dropped_total")
"""
    assert run(script) == ["keyturn_audit_events_dropped_total 6.0"]


def test_a_file_that_was_just_created_delays_a_scrape_and_does_not_fail_it(run: Run) -> None:
    script = """
import threading
file = shared_files.path() / "counter_1.db"
file.touch()
real, tries = shared_files.multiprocess.MultiProcessCollector.collect, []
def collect(self):
    tries.append(1)
    if len(tries) == 3:
        file.unlink()
    return real(self)
shared_files.multiprocess.MultiProcessCollector.collect = collect
Families().dropped.inc()
show("keyturn_audit_events_dropped_total")
print(len(tries))
"""
    assert run(script) == ["keyturn_audit_events_dropped_total 1.0", "3"]


def test_a_start_removes_the_folders_of_killed_servers_and_of_no_other(run: Run, tmp_path: Path) -> None:
    forgotten = tmp_path / "keyturn-metrics-1-killed"
    forgotten.mkdir()
    (forgotten / "in-use").touch()
    (tmp_path / "something else").mkdir()
    script = """
first = shared_files.path()
make()  # as another server does
print(first.exists(), shared_files.path() != first, oct(first.stat().st_mode))
"""
    assert run(script) == ["True True 0o40700"]
    assert not forgotten.exists()
    assert (tmp_path / "something else").exists()


# A server.


class Scraped:
    """A server with metrics, whose scrapes must never go back."""

    def __init__(self, live: Callable[..., LiveServer], kind: str, **settings: str) -> None:
        port = free_port()
        self.server = live(kind, KEYTURN_METRICS_BIND=f"127.0.0.1:{port}", **settings)
        self.listener = LiveServer(self.server.process, f"http://127.0.0.1:{port}", {}, self.server.log)
        self.seen: Samples = {}
        wait_for(self.responds)

    def responds(self) -> bool:
        """Scrape; each counter is at least what it was before."""
        try:
            status, _, body = call(self.listener, "GET", "/metrics")
        except OSError:
            return False
        assert status == 200, self.server.log.read_text()
        found = read(body.decode())
        counters = {name: value for name, value in found.items() if re.search(r"_(total|bucket|count)(\{|$)", name)}
        assert [name for name, value in self.seen.items() if counters.get(name, 0) < value] == []
        self.seen = counters
        self.now = found
        return True

    def folders(self) -> list[Path]:
        """The folders of its files."""
        places = (Path("/dev/shm"), Path(tempfile.gettempdir()))
        return [found for each in places for found in each.glob(f"keyturn-metrics-{self.server.process.pid}-*")]

    def tokens(self) -> float:
        self.responds()
        return self.seen.get('keyturn_tokens_issued_total{client_id="demo-admin",format="jwt"}', 0)

    def holder(self) -> int:
        """The worker that has the listener."""
        port = int(self.listener.url.rpartition(":")[2])
        (pid,) = {
            pid
            for pid in children(self.server)
            for each in psutil.Process(pid).net_connections()
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        }
        return pid


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.drill)])
def test_scrapes_go_on_when_the_worker_that_has_the_listener_is_killed_and_through_a_reload(
    live: Callable[..., LiveServer], kind: str
) -> None:
    scraped = Scraped(live, kind)
    for _ in range(20):
        token(scraped.server)
    wait_for(lambda: scraped.tokens() == 20)

    killed = scraped.holder()
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: scraped.responds() and scraped.holder() != killed)
    assert scraped.tokens() == 20
    wait_for(lambda: scraped.responds() and scraped.now["keyturn_workers"] == 2)

    before = set(children(scraped.server))
    for _ in range(20):
        token(scraped.server)
    for pid in before:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: scraped.tokens() == 40)  # also those that the workers counted only as they ended

    before = set(children(scraped.server))
    scraped.server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: scraped.responds() and not before & set(children(scraped.server)), seconds=60)
    assert scraped.tokens() == 40
    wait_for(lambda: scraped.responds() and scraped.now["keyturn_workers"] == 2)

    assert len(scraped.folders()) == 1
    scraped.server.stop()
    assert scraped.folders() == []
