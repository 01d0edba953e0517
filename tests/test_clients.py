"""`flask clients …`: what the operator can do, and what is refused with nothing written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from sqlalchemy import delete, func, select, text, update

import config
from app import create_app
from app.audit.event import AuditEvent
from app.clients import secret_rotation
from app.clients.client_row import ClientRow
from app.clients.secret import MAX_SECRETS, ClientSecret
from app.clock import now
from app.settings import read_settings
from app.settings.setting_forms import fernet_keys
from app.storage.database import db, transaction
from tests.conftest import ROOT, Machine, Operator, build_app, close


def counted(operator: Operator) -> list[int | None]:
    with operator.app.app_context():
        return [db.session.scalar(select(func.count()).select_from(m)) for m in (ClientRow, ClientSecret, AuditEvent)]


def test_create_shows_the_secret_once_and_stores_its_digest(operator: Operator) -> None:
    made = operator.run("clients", "create", "billing", "--scope", "read:logs")
    shown = operator.run("clients", "show", "billing")

    assert "client_secret" not in shown
    assert shown["client_id"] == made["client_id"]
    with operator.app.app_context():
        stored = db.session.scalars(select(ClientSecret.digest).order_by(ClientSecret.id.desc())).first()
    assert stored == hashlib.sha256(made["client_secret"].encode()).digest()


def test_every_option_of_create_is_stored(operator: Operator) -> None:
    options = ["--scope", "read:logs write:logs", "--default-scope", "read:logs", "--lifetime", "60"]
    options += ["--auth-method", "client_secret_post", "--claim", "org_id=acme", "--claim", "plan=gold"]

    made = operator.run("clients", "create", "billing", *options)

    stored = {name: made[name] for name in ("name", "scope", "default_scope", "access_token_seconds", "claims")}
    assert stored == {
        "name": "billing",
        "scope": "read:logs write:logs",
        "default_scope": "read:logs",
        "access_token_seconds": 60,
        "claims": {"org_id": "acme", "plan": "gold"},
    }
    assert (made["token_endpoint_auth_method"], made["grant_types"]) == ("client_secret_post", ["client_credentials"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(["--scope", "read:lgos"], "did you mean read:logs?", id="unknown-scope"),
        pytest.param(["--scope", "read:logs  write:logs"], "single spaces", id="malformed-scope"),
        pytest.param([], "--scope is missing; ", id="no-scope"),
        pytest.param(
            ["--scope", "nope"], f"the scope nope is unknown. {ROOT}/keyturn.toml declares ", id="no-such-scope"
        ),
        pytest.param(["--scope", "read:lgos"], "a running server reads it when it restarts", id="restart"),
        pytest.param(["--scope", "read:logs " * 200], "at most 1024", id="scope-too-long"),
        pytest.param(["--scope", "read:logs", "--default-scope", "write:logs"], "not in the scope", id="default"),
        pytest.param(["--scope", "read:logs shipments:read"], "name a default scope", id="two-resources"),
        pytest.param(
            ["--scope", "read:logs shipments:read", "--default-scope", "read:logs shipments:read"],
            "more than one resource",
            id="default-in-two-resources",
        ),
        pytest.param(["--scope", "read:logs", "--lifetime", "0"], "1 to 86400", id="lifetime-0"),
        pytest.param(["--scope", "read:logs", "--lifetime", "86401"], "1 to 86400", id="lifetime-too-long"),
        pytest.param(["--scope", "read:logs", "--auth-method", "none"], "client_secret_basic", id="public-client"),
        pytest.param(["--scope", "read:logs", "--claim", "sub=me"], "the server's own", id="reserved-claim"),
        pytest.param(["--scope", "read:logs", "--claim", "org_id"], "KEY=VALUE", id="claim-without-value"),
        pytest.param(["--scope", "read:logs", "--claim", "a=1", "--claim", "a=2"], "each key once", id="claim-twice"),
        pytest.param(["--scope", "read:logs", "--claim", "a="], "at least one", id="claim-empty"),
        pytest.param(["--scope", "read:logs", "--claim", "a\nb=1"], "a claim's name", id="claim-name"),
        pytest.param(["--scope", "read:logs", "--claim", "a=" + "x" * 2_049], "2048", id="claims-too-long"),
    ],
)
def test_a_bad_registration_is_refused_with_the_reason_and_writes_nothing(
    operator: Operator, options: list[str], reason: str
) -> None:
    before = counted(operator)

    output = operator.is_refused("clients", "create", "billing", *options)

    assert reason in output
    assert counted(operator) == before


@pytest.mark.parametrize("name", ["", "two words", "ktc_x", "kts_x", "x" * 65, "ä", "-x", "a\n"])
def test_a_bad_name_is_refused(operator: Operator, name: str) -> None:
    assert "a name is" in operator.is_refused("clients", "create", "--scope", "read:logs", "--", name)


def test_what_is_declared_is_listed_where_a_scope_is_missing_or_unknown(operator: Operator) -> None:
    for options in ([], ["--scope", "nope"]):
        output = operator.is_refused("clients", "create", "billing", *options)

        assert (
            "read:logs, write:logs, reports:read, inventory:read, inventory:write, read:all_data, shipments:read"
            in output
        )


def test_of_many_scopes_some_are_listed(tmp_path: Path, new_app: Callable[..., Flask]) -> None:
    words = "\n".join(f'"word:{number:02}" = "A scope"' for number in range(30))
    (tmp_path / "own.toml").write_text(f"[resources.own.scopes]\n{words}\n")

    output = Operator(new_app(file=tmp_path / "own.toml")).is_refused("clients", "create", "billing")

    assert output.endswith("word:18, word:19 and 10 more\n")


def test_a_name_that_is_an_id_is_taken(operator: Operator) -> None:
    operator.run("clients", "update", "demo-brief", "--name", "short")
    with operator.app.app_context(), transaction():
        db.session.execute(update(ClientRow).where(ClientRow.name == "short").values(client_id="brief"))

    assert "the name brief is taken" in operator.is_refused("clients", "create", "brief", "--scope", "read:logs")


def test_a_sequence_that_was_not_moved_is_not_called_a_taken_name(prepared: Callable[[str], str]) -> None:
    """The database was copied by hand, without its sequences."""
    app = build_app(database_url=prepared("postgresql"))
    with app.app_context(), transaction():
        db.session.execute(text("ALTER SEQUENCE clients_id_seq RESTART WITH 1"))

    output = Operator(app).is_refused("clients", "create", "billing", "--scope", "read:logs", code=3)

    assert "is taken" not in output
    assert "duplicate key value" in output
    close(app)


def test_a_taken_name_is_refused_and_writes_nothing(operator: Operator) -> None:
    operator.register("billing", "--scope", "read:logs")
    before = counted(operator)

    assert "is taken" in operator.is_refused("clients", "create", "billing", "--scope", "write:logs")
    assert counted(operator) == before


def test_the_name_of_a_demo_client_is_refused(operator: Operator) -> None:
    operator.run("clients", "delete", "demo-brief")

    assert "is a demo client's" in operator.is_refused("clients", "create", "demo-brief", "--scope", "read:logs")


def test_secrets_rotated_at_once_by_several_operators_leave_one_alive(new_app: Callable[..., Flask]) -> None:
    def rotate(app: Flask) -> None:
        with app.app_context():
            secret_rotation.rotate_secret("demo-admin")

    apps = [new_app() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(rotate, apps))

    secrets = Operator(apps[0]).run("clients", "show", "demo-admin")["secrets"]
    assert len(secrets) == 5
    assert [secret["not_after"] is None for secret in secrets] == [False] * 4 + [True]


def test_an_argument_that_is_no_text_is_refused(operator: Operator) -> None:
    assert "no client has" in operator.is_refused("clients", "show", "\udcff")


def test_names_differ_by_case(operator: Operator) -> None:
    operator.register("billing", "--scope", "read:logs")

    assert operator.register("Billing", "--scope", "read:logs").request_token().status_code == 200


def test_every_command_takes_the_name_or_the_id(operator: Operator) -> None:
    machine = operator.register("billing", "--scope", "read:logs")

    for which in ("billing", machine.client_id):
        for command in ("show", "disable", "enable", "secrets"):
            assert operator.run("clients", command, which)["client_id"] == machine.client_id
        rotated = operator.run("clients", "rotate-secret", which, "--overlap", "60")
        newest = rotated["secrets"][-1]["name"]
        assert rotated["client_id"] == machine.client_id
        for command in (("update-secret", "--not-after", "60"), ("revoke-secret", "--last")):
            assert operator.run("clients", command[0], which, newest, *command[1:])["client_id"] == machine.client_id
    assert operator.run("clients", "delete", machine.client_id)["client_id"] == machine.client_id


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("bilings", "billing"), ("Billing", "billing"), ("demo_admin", "demo-admin"), ("demo-partners", "demo-partner")],
)
def test_for_a_name_that_is_nearly_right_the_right_one_is_suggested(operator: Operator, typed: str, meant: str) -> None:
    operator.register("billing", "--scope", "read:logs")

    assert f"no client has the id or the name {typed}; did you mean {meant}" in operator.is_refused(
        "clients", "show", typed
    )


@pytest.mark.parametrize("command", ["show", "disable", "enable", "delete", "rotate-secret", "secrets", "update"])
def test_an_unknown_client_is_refused(operator: Operator, command: str) -> None:
    assert "no client has the id or the name nobody" in operator.is_refused("clients", command, "nobody")


def test_list_shows_every_client(operator: Operator) -> None:
    operator.run("clients", "disable", "demo-brief")

    listed = operator.run("clients", "list")["clients"]

    assert [each["name"] for each in listed] == [demo.client_id for demo in config.DEMO_CLIENTS]
    assert [each["name"] for each in listed if each["disabled_at"] is not None] == ["demo-brief"]
    output = operator.app.test_cli_runner().invoke(args=["clients", "list"]).stdout
    assert [line.split()[2] for line in output.splitlines()] == [
        "disabled" if demo.client_id == "demo-brief" else "enabled" for demo in config.DEMO_CLIENTS
    ]


def test_the_output_for_people_has_the_secret_and_times_that_can_be_read(operator: Operator) -> None:
    output = operator.app.test_cli_runner().invoke(
        args=["clients", "create", "billing", "--scope", "read:logs", "--claim", "org_id=acme"]
    )

    lines = dict(line.split(None, 1) for line in output.stdout.splitlines())
    assert lines["client_secret"].startswith("kts_")
    assert lines["claims"] == "org_id=acme"
    assert lines["created_at"].endswith("Z")
    assert "shown only once" in output.stdout


@pytest.mark.parametrize(("overlap", "code", "sentence"), [("-1", 2, "a duration is"), ("604801", 1, "0 to 604800")])
def test_an_overlap_out_of_bounds_is_refused(operator: Operator, overlap: str, code: int, sentence: str) -> None:
    machine = operator.register("billing", "--scope", "read:logs")

    output = operator.is_refused("clients", "rotate-secret", "billing", "--overlap", overlap, code=code)

    assert sentence in output
    assert machine.request_token().status_code == 200


def test_rotation_never_lengthens_the_life_of_an_old_secret(operator: Operator) -> None:
    operator.register("billing", "--scope", "read:logs")
    with time_machine.travel(now(), tick=False):
        moment = now()
        operator.run("clients", "rotate-secret", "billing", "--overlap", "60", "--name", "blue")
        secrets = operator.run("clients", "rotate-secret", "billing", "--overlap", "600")["secrets"]

    ends = {secret["name"]: secret["not_after"] for secret in secrets}
    assert ends == {"secret-1": moment + 60, "blue": moment + 600, "secret-2": None}


def test_no_two_secrets_of_a_client_share_a_name(operator: Operator) -> None:
    operator.run("clients", "rotate-secret", "demo-admin", "--overlap", "60", "--name", "blue")

    output = operator.is_refused("clients", "rotate-secret", "demo-admin", "--overlap", "60", "--name", "blue")

    assert "has a secret named blue" in output


def test_live_secrets_are_bounded_and_ended_ones_make_room(operator: Operator) -> None:
    machine = operator.register("billing", "--scope", "read:logs")
    for _ in range(MAX_SECRETS - 1):
        operator.run("clients", "rotate-secret", "billing", "--overlap", "600")

    output = operator.is_refused("clients", "rotate-secret", "billing", "--overlap", "600")
    assert "8 secrets that still work" in output
    assert machine.request_token().status_code == 200

    for _ in range(3):
        rotated = operator.run("clients", "rotate-secret", "billing", "--overlap", "0")
        assert len(rotated["secrets"]) <= MAX_SECRETS
        assert Machine(operator.app, machine.client_id, rotated["client_secret"]).request_token().status_code == 200


def test_delete_takes_the_secrets_with_it(operator: Operator) -> None:
    before = counted(operator)
    operator.register("billing", "--scope", "read:logs")

    operator.run("clients", "delete", "billing")

    assert counted(operator)[:2] == before[:2]


def test_a_client_without_any_secret_is_refused_like_one_with_a_wrong_secret(operator: Operator) -> None:
    machine = operator.register("billing", "--scope", "read:logs")
    with operator.app.app_context(), transaction():
        db.session.execute(delete(ClientSecret))

    response = machine.request_token()

    assert (response.status_code, response.json["error"]) == (401, "invalid_client")


def test_the_last_use_of_a_secret_is_stored_with_the_next_batch(operator: Operator) -> None:
    machine = operator.register("billing", "--scope", "read:logs")
    with time_machine.travel(now(), tick=False):
        machine.request_token()
        machine.events()  # writes the batch

        (secret,) = operator.run("clients", "show", "billing")["secrets"]
        assert secret["last_used_at"] == now()


def test_commands_refuse_settings_at_fault_but_new_secret_runs() -> None:
    app = create_app(read_settings({"KEYTURN_SIGNING_ALG": "none"}))
    runner = app.test_cli_runner()

    for command in (["clients", "list"], ["keys", "list"], ["prepare"]):
        refused = runner.invoke(args=command)
        assert refused.exit_code == 1
        assert "KEYTURN_SIGNING_ALG must be RS256 or ES256." in refused.stderr
    made = runner.invoke(args=["keys", "new-secret", "--json"])
    assert fernet_keys(json.loads(made.stdout)["secret_key"])


def test_commands_on_an_unprepared_database_say_what_to_do(tmp_path: Path) -> None:
    app = build_app(database_url=f"sqlite:///{tmp_path}/empty.db")

    assert "flask prepare" in Operator(app).is_refused("clients", "list", code=3)
    close(app)
