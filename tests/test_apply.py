"""`flask apply`: the register of clients equals what files in git declare, and no file holds a secret."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from joserfc import jwk

from app.clients import declaration
from app.clients.applying import ChangedMeanwhileError, NewSecret
from app.clients.declaration import DeclarationError
from app.operations.exit_codes import FailedError
from app.operations.secret_delivery import Delivery
from app.settings.keyturn_file import declared
from tests.conftest import ROOT, SECRET_KEY, Machine, Operator, build_app, close, demo, wait_for
from tests.support.keyed import Keyed
from tests.support.leaks import suite

BILLING = """
[clients.billing]
scope = "inventory:read inventory:write"
default_scope = ["inventory:read"]
lifetime = 900
claims = { tenant = "acme" }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "clients.toml").write_text(BILLING, encoding="utf-8")
    return tmp_path / "clients.toml"


def apply(operator: Operator, *files: Path, options: tuple[str, ...] = ()) -> dict[str, Any]:
    """Apply files, with the secrets of new clients in a new file beside the first."""
    secrets = files[0].with_suffix(f".{os.urandom(4).hex()}.secrets")
    return operator.run("apply", *map(str, files), "--secrets-to", str(secrets), *options)


def written(folder: Path) -> dict[str, dict[str, str]]:
    """The secrets in all files of a folder, by the name of the client."""
    lines = [line for file in folder.glob("*.secrets") for line in file.read_text().splitlines()]
    found = {each["name"]: each for each in map(json.loads, lines)}
    for each in found.values():
        suite.remember(each["client_secret"])
    return found


def machine(app: Flask, folder: Path, name: str) -> Machine:
    made = written(folder)[name]
    return Machine(app, made["client_id"], made["client_secret"])


def names(operator: Operator) -> list[str]:
    return [each["name"] for each in operator.run("clients", "list")["clients"]]


def test_a_declared_client_is_created_and_requests_a_token_with_the_secret_in_the_file(
    app: Flask, operator: Operator, file: Path, tmp_path: Path
) -> None:
    done = apply(operator, file)

    assert done["changed"]
    assert [each["name"] for each in done["created"]] == ["billing"]
    assert written(tmp_path)["billing"]["client_id"] == done["created"][0]["client_id"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.glob("*.secrets")} == {0o600}
    response = machine(app, tmp_path, "billing").request_token()
    assert (response.status_code, response.json["scope"]) == (200, "inventory:read")
    assert response.json["expires_in"] == 900


def test_a_second_apply_has_nothing_to_do_and_records_nothing(app: Flask, operator: Operator, file: Path) -> None:
    apply(operator, file)
    before = len(demo(app, "demo-admin").events(event="client_updated", limit="200"))

    done = apply(operator, file)

    assert not done["changed"]
    assert (done["created"], done["updated"], done["removed"], done["unchanged"]) == ([], [], [], 1)
    assert len(demo(app, "demo-admin").events(event="client_updated", limit="200")) == before
    assert app.test_cli_runner().invoke(args=["apply", str(file), "--detailed-exit-code"]).exit_code == 0


def test_a_change_is_shown_value_by_value_and_the_secret_stays(
    app: Flask, operator: Operator, file: Path, tmp_path: Path
) -> None:
    apply(operator, file)
    file.write_text('[clients.billing]\nscope = "inventory:read"\nformat = "opaque"\n', encoding="utf-8")

    dry = app.test_cli_runner().invoke(args=["apply", str(file), "--dry-run", "--detailed-exit-code"])
    unchanged = operator.run("clients", "show", "billing")
    done = apply(operator, file)

    assert dry.exit_code == 4
    assert "~ billing" in dry.stdout
    assert "900 -> (default)" in dry.stdout
    assert unchanged["access_token_seconds"] == 900
    assert done["updated"][0]["changes"] == {
        "scope": {"old": "inventory:read inventory:write", "new": "inventory:read"},
        "lifetime": {"old": 900, "new": None},
        "format": {"old": "jwt", "new": "opaque"},
        "claims": {"old": {"tenant": "acme"}, "new": {}},
    }
    assert machine(app, tmp_path, "billing").token().startswith("kta_")
    reason = demo(app, "demo-admin").events(event="client_updated")[0]["reason"]
    assert reason == "scope -inventory:write; access_token_seconds -900; token_format -jwt +opaque; claims tenant"


def test_a_client_that_was_disabled_by_hand_stays_disabled_until_a_file_says_otherwise(
    app: Flask, operator: Operator, file: Path, tmp_path: Path
) -> None:
    apply(operator, file)
    billing = machine(app, tmp_path, "billing")
    operator.run("clients", "disable", "billing")

    left = apply(operator, file)
    refused = billing.request_token().status_code
    file.write_text(f"{BILLING}disabled = false\n", encoding="utf-8")
    enabled = apply(operator, file)
    token = billing.token()
    file.write_text(f"{BILLING}disabled = true\n", encoding="utf-8")
    apply(operator, file)

    assert (left["changed"], left["disabled"], refused) == (False, ["billing"], 401)
    assert enabled["updated"][0]["changes"] == {"disabled": {"old": True, "new": False}}
    assert billing.get("/inventory", token).status_code == 401


def test_a_renamed_client_keeps_its_id_and_its_secret(
    app: Flask, operator: Operator, file: Path, tmp_path: Path
) -> None:
    apply(operator, file)
    file.write_text(BILLING.replace("billing]", "invoices]") + 'renamed_from = "billing"\n', encoding="utf-8")

    done, again = apply(operator, file), apply(operator, file)

    assert done["updated"][0]["changes"] == {"name": {"old": "billing", "new": "invoices"}}
    assert not again["changed"]
    assert machine(app, tmp_path, "billing").token()
    operator.register("billing", "--scope", "read:logs")
    assert "billing both exist" in operator.is_refused("apply", str(file))


def test_prune_removes_what_no_file_declares_and_leaves_the_demo_clients(operator: Operator, file: Path) -> None:
    apply(operator, file)
    operator.register("by-hand", "--scope", "read:logs")
    file.write_text('[clients.other]\nscope = "read:logs"\n', encoding="utf-8")

    unpruned = apply(operator, file)
    unconfirmed = operator.is_refused("apply", str(file), "--prune")
    too_many = operator.is_refused("apply", str(file), "--prune", "--yes", "--at-most", "1")
    left = names(operator)
    pruned = apply(operator, file, options=("--prune", "--yes"))

    assert unpruned["undeclared"] == ["billing", "by-hand"]
    assert "would remove billing, by-hand: --yes confirms it" in unconfirmed
    assert "would remove 2 clients, billing, by-hand, and may remove 1" in too_many
    assert {"billing", "by-hand"} <= set(left)
    assert [each["name"] for each in pruned["removed"]] == ["billing", "by-hand"]
    assert set(names(operator)) == set(left) - {"billing", "by-hand"}
    assert "demo-admin" in names(operator)


def test_in_production_prune_removes_the_demo_clients_too(new_app: Callable[..., Flask], file: Path) -> None:
    operator = Operator(new_app(env="production", issuer="https://auth.example"))

    done = apply(operator, file, options=("--prune", "--yes"))

    assert "demo-admin" in [each["name"] for each in done["removed"]]
    assert names(operator) == ["billing"]


KEYED = '[clients.keyed]\nscope = "read:logs"\nauth_method = "private_key_jwt"\n'


def test_a_declared_client_of_private_key_jwt_gets_no_secret_and_its_keys_are_left_alone(
    app: Flask, operator: Operator, file: Path, tmp_path: Path
) -> None:
    file.write_text(KEYED, encoding="utf-8")
    told = app.test_cli_runner().invoke(args=["apply", str(file)])  # there is no secret, and so nowhere to name
    assert told.exit_code == 0
    assert told.stdout.endswith("`flask clients add-key NAME` gives a client its first.\n")
    made = operator.run("clients", "show", "keyed")
    assert f"+ keyed ({made['client_id']})" in told.stdout
    assert (made["secrets"], made["keys"]) == ([], [])
    private = tmp_path / "key.pem"
    operator.run("clients", "add-key", "keyed", "--generate-key", str(private))
    client = Keyed(app, made["client_id"], jwk.ECKey.import_key(private.read_text()))

    file.write_text(KEYED + "lifetime = 60\n", encoding="utf-8")
    keys = operator.run("clients", "keys", "keyed")
    done = operator.run("apply", str(file), "--prune", "--yes")

    assert (done["updated"][0]["changes"], done["without_key"]) == ({"lifetime": {"old": None, "new": 60}}, [])
    assert operator.run("clients", "keys", "keyed") == keys
    assert client.send().json["expires_in"] == 60
    assert operator.run("apply", str(file))["changed"] is False


def test_a_client_that_loses_its_last_key_or_the_use_of_its_secret_is_named_by_every_apply(
    operator: Operator, file: Path, tmp_path: Path
) -> None:
    file.write_text(KEYED.replace("keyed", "billing"), encoding="utf-8")
    operator.run("clients", "create", "billing", "--scope", "read:logs")
    secrets = operator.run("clients", "show", "billing")["secrets"]
    assert operator.run("apply", str(file))["without_key"] == ["billing"]
    assert operator.run("clients", "show", "billing")["secrets"] == secrets
    key = operator.run("clients", "add-key", "billing", "--generate-key", str(tmp_path / "key.pem"))["keys"][0]
    assert operator.run("apply", str(file))["without_key"] == []

    operator.run("clients", "remove-key", "billing", key["kid"], "--last")

    assert operator.run("apply", str(file), "--dry-run")["without_key"] == ["billing"]


def test_keyturn_toml_has_no_clients(tmp_path: Path) -> None:
    (tmp_path / "keyturn.toml").write_text(f'[resources.a.scopes]\n"x" = "y"\n{BILLING}', encoding="utf-8")

    with pytest.raises(ValueError, match="line 4: clients are in files of their own, for `flask apply`"):
        declared(str(tmp_path / "keyturn.toml"))


def test_prune_refuses_files_without_a_client(operator: Operator, file: Path) -> None:
    apply(operator, file)
    file.write_text("# the clients moved to another file\n", encoding="utf-8")

    assert "would remove all of them" in operator.is_refused("apply", str(file), "--prune", "--yes")
    assert "billing" in names(operator)


def test_without_a_terminal_no_secret_is_printed_unless_that_is_wanted(
    app: Flask, operator: Operator, file: Path
) -> None:
    refused = operator.is_refused("apply", str(file))
    printed = app.test_cli_runner().invoke(args=["apply", str(file), "--secrets-to", "-"])

    assert "--secrets-to FILE" in refused
    made = json.loads(printed.stdout.splitlines()[0])
    suite.remember(made["client_secret"])
    assert Machine(app, made["client_id"], made["client_secret"]).token()


def test_secrets_have_one_place_and_json_has_none(app: Flask, file: Path) -> None:
    for options in (["--secrets-to", "-", "--json"], ["--secrets-to", "x", "--secrets-to-command", "y"]):
        assert app.test_cli_runner().invoke(args=["apply", str(file), *options]).exit_code == 2


def test_a_client_is_not_created_if_its_secret_cannot_be_written(
    operator: Operator, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").write_text("the only copy", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    for place, code in (("there", 1), ("link", 1), ("no/folder", 3)):
        done = operator.app.test_cli_runner().invoke(args=["apply", str(file), "--secrets-to", str(tmp_path / place)])
        assert (done.exit_code, "Nothing was changed" in done.stderr) == (code, True), place

    assert "billing" not in names(operator)
    assert (tmp_path / "there").read_text() == "the only copy"
    assert not (tmp_path / "elsewhere").exists()


def test_a_command_gets_each_secret_and_if_it_fails_a_repeated_apply_creates_all(
    app: Flask, operator: Operator, file: Path, tmp_path: Path
) -> None:
    file.write_text(BILLING + '[clients.shop]\nscope = "read:logs"\n', encoding="utf-8")
    store = tmp_path / "store"
    store.mkdir()
    command = f'test "$CLIENT_NAME" != "$REFUSED" && cat > {shlex.quote(str(store))}/"$CLIENT_NAME.$CLIENT_ID"'

    failed = app.test_cli_runner(env={"REFUSED": "shop"}).invoke(
        args=["apply", str(file), "--secrets-to-command", command]
    )
    first = {each.name: each.read_text() for each in store.iterdir()}
    created_early = "billing" in names(operator)
    done = operator.run("apply", str(file), "--secrets-to-command", command)

    assert (failed.exit_code, created_early) == (3, False)
    assert "the command for shop ended with 1. Nothing was changed" in failed.stderr
    for each in done["created"]:
        secret = (store / f"{each['name']}.{each['client_id']}").read_text()
        suite.remember(secret)
        assert Machine(app, each["client_id"], secret).token()
    (old_name, old_secret), *_ = first.items()
    assert Machine(app, old_name.partition(".")[2], old_secret).request_token().status_code == 401


def test_a_file_of_secrets_is_removed_only_if_they_certainly_open_nothing(tmp_path: Path) -> None:
    secret = NewSecret("ktc_x", "billing", "kts_x")
    file = tmp_path / "secrets"

    with pytest.raises(FailedError, match="meanwhile"), Delivery(str(file)).before([secret]):
        raise ChangedMeanwhileError("meanwhile")
    left = file.exists()
    with pytest.raises(OSError, match="the connection broke"), Delivery(str(file)).before([secret]):
        raise OSError("the connection broke")  # perhaps after the commit

    assert not left
    assert json.loads(file.read_text())["client_secret"] == "kts_x"


def faults(app: Flask, *texts: str) -> list[str]:
    """What is wrong with some files, called a, b and so on."""
    with app.app_context(), pytest.raises(DeclarationError) as raised:
        declaration.read((name, text.encode()) for name, text in zip("abc", texts, strict=False))
    return str(raised.value).split("\n")[1:]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param('scoep = "read:logs"', "a, line 2: [clients.x] scoep is unknown; did you mean scope?", id="key"),
        pytest.param("", "a, line 1: [clients.x] scope is missing", id="no-scope"),
        pytest.param('scope = ""', "a, line 2: [clients.x] scope is missing", id="empty-scope"),
        pytest.param(
            'scope = "read:lgos"', "a, line 2: [clients.x] the scope read:lgos is unknown; did you mean", id="w"
        ),
        pytest.param("scope = 3", "a, line 2: [clients.x] scope must be words in quotes, or a list", id="scope-type"),
        pytest.param('scope = ["a b"]', "a, line 2: [clients.x] scope must be words in quotes, or a list", id="list"),
        pytest.param(
            'scope = "read:logs"\ndefault_scope = "write:logs"', "a, line 3: [clients.x] the default scope has", id="d"
        ),
        pytest.param(
            'scope = "read:logs shipments:read"', "a, line 2: [clients.x] the scope belongs to more than one", id="two"
        ),
        pytest.param('scope = "read:logs"\nlifetime = 0', "a, line 3: [clients.x] a lifetime is 1 to", id="lifetime"),
        pytest.param('scope = "read:logs"\nlifetime = true', "a, line 3: [clients.x] lifetime must be", id="bool"),
        pytest.param('scope = "read:logs"\nformat = "saml"', "a, line 3: [clients.x] a token's format", id="format"),
        pytest.param('scope = "read:logs"\nauth_method = "none"', "a, line 3: [clients.x] an auth", id="auth_method"),
        pytest.param('scope = "read:logs"\nresource_server = "x"', "a, line 3: [clients.x] a resource", id="api"),
        pytest.param('scope = "read:logs"\ngrant = "no"', "a, line 3: [clients.x] grant must be true", id="grant"),
        pytest.param('scope = "read:logs"\ndisabled = 1', "a, line 3: [clients.x] disabled must be", id="disabled"),
        pytest.param(
            'scope = "read:logs"\n[clients.x.claims]\nsub = "a"', "a, line 3: [clients.x] the claim sub", id="claim"
        ),
        pytest.param('scope = "read:logs"\nclaims.n = 3', "a, line 3: [clients.x] claims must be a table", id="texts"),
        pytest.param(
            'scope = "read:logs"\nsecret = "x"', "a, line 3: [clients.x] secret: a file of clients never", id="s"
        ),
        pytest.param(
            'scope = "read:logs"\nrenamed_from = "demo-admin"', "a, line 3: the name demo-admin is a demo", id="renamed"
        ),
        pytest.param('[clients.x.y]\nscope = "a"', 'is in quotes: [clients."x.y"]', id="dot"),
        pytest.param(
            '[clients.demo-brief]\nscope = "read:logs"', "a, line 2: the name demo-brief is a demo", id="demo"
        ),
        pytest.param('[clients."ktc_x"]\nscope = "read:logs"', "a, line 2: a name is 1 to 64", id="name"),
        pytest.param(
            '[resources.y]\naudience = "z"', "a, line 2: resources and scopes are declared in keyturn", id="r"
        ),
        pytest.param('[client.y]\nscope = "z"', "a, line 2: client is unknown: a file of clients has", id="table"),
        pytest.param("scope = read:logs", "a: line 2: ", id="toml"),
        pytest.param("# it was kts_0123456789abcdefghij", "a, line 2: here is what looks like a secret", id="comment"),
    ],
)
def test_a_fault_is_named_with_its_line(reader: Flask, text: str, fault: str) -> None:
    found = faults(reader, f"[clients.x]\n{text}\n")

    assert any(fault in each for each in found), found


def test_all_faults_of_all_files_are_found_at_once_in_order(reader: Flask) -> None:
    found = faults(
        reader,
        '[clients.x]\nscope = "read:logs"\nlifetime = 0\nfromat = "jwt"\n',
        '[clients.y]\ndisabled = 1\n[clients.x]\nscope = "nothing"\n',
        '[clients.z]\nscope = "read:logs"\nrenamed_from = "x"\n[clients.v]\nscope="read:logs"\nrenamed_from = "x"\n',
    )

    starts = ["a, line 3", "a, line 4", "b, line 2", "b, line 3: the client x is declared in a, line 1", "b, line 4"]
    starts.append("c, line 4: v and z were both renamed from x")
    assert [each.startswith(start) for each, start in zip(found, starts, strict=True)] == [True] * 6


def test_two_names_that_cannot_both_be_had_are_refused(reader: Flask) -> None:
    z = '[clients.z]\nscope = "read:logs"\nrenamed_from = "x"\n'

    assert (
        "z was renamed from x, which is declared as well" in faults(reader, z, '[clients.x]\nscope = "read:logs"\n')[0]
    )
    assert "v and z were both renamed from x" in faults(reader, z, z.replace("clients.z", "clients.v"))[0]


@pytest.mark.parametrize(
    "text",
    ['scope = "{}"', 'claims = {{ a = "{}" }}', 'format = "{}"', '"{}" = 1', "# {}", "[clients.{}]", "scope = {}"],
)
def test_a_secret_in_a_file_is_refused_and_never_repeated(reader: Flask, text: str) -> None:
    secret = "kts_" + "Sx7" * 14

    found = faults(reader, f"[clients.x]\n{text.format(secret)}\n")

    assert "here is what looks like a secret" in found[0]
    assert "Sx7" not in "".join(found)


def test_a_file_of_clients_can_be_standard_input(app: Flask) -> None:
    done = app.test_cli_runner().invoke(args=["apply", "-", "--dry-run", "--json"], input=BILLING)

    assert [each["name"] for each in json.loads(done.stdout)["created"]] == ["billing"]
    wrong = app.test_cli_runner().invoke(args=["apply", "-"], input="clients = 3")
    assert "standard input, line 1: clients is not a table" in wrong.stderr


def environment(url: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
    return inherited | {
        "KEYTURN_SECRET_KEYS": SECRET_KEY,
        "KEYTURN_ENV": "development",
        "KEYTURN_DATABASE_URL": url,
        "KEYTURN_JOURNAL": "off",
    }


def start(url: str, *command: str) -> subprocess.Popen[str]:
    run = [sys.executable, "-m", "flask", *command]
    return subprocess.Popen(
        run, cwd=ROOT, env=environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def slow(tmp_path: Path) -> str:
    """A command that stores a secret, and ends only when the file `go` is there."""
    folder = shlex.quote(str(tmp_path))
    return f'cat > {folder}/"$CLIENT_ID.secret"; touch {folder}/begun; while [ ! -e {folder}/go ]; do sleep 0.05; done'


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.drill)])
def test_of_two_applies_at_once_one_does_it_and_the_other_has_nothing_to_do(
    prepared: Callable[[str], str], file: Path, tmp_path: Path, slow: str, kind: str
) -> None:
    url = prepared(kind)
    command = ("apply", str(file), "--secrets-to-command", slow, "--json", "--detailed-exit-code")
    first = start(url, *command)
    wait_for((tmp_path / "begun").exists)

    second = start(url, *command)
    assert second.stderr
    waiting = second.stderr.readline()
    (tmp_path / "go").touch()
    outputs = [json.loads(each.communicate(timeout=60)[0]) for each in (first, second)]

    assert "Another `flask apply` is running: waiting for it." in waiting
    assert [(each["changed"], len(each["created"]), each["unchanged"]) for each in outputs] == [
        (True, 1, 0),
        (False, 0, 1),
    ]
    assert [first.returncode, second.returncode] == [4, 0]
    (stored,) = tmp_path.glob("*.secret")
    app = build_app(database_url=url)
    try:
        suite.remember(stored.read_text())
        assert Machine(app, stored.stem, stored.read_text()).token()
    finally:
        close(app)


@pytest.mark.drill
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_apply_that_is_killed_in_the_middle_is_made_good_by_the_next(
    prepared: Callable[[str], str], file: Path, tmp_path: Path, slow: str, kind: str
) -> None:
    url = prepared(kind)
    first = start(url, "apply", str(file), "--secrets-to-command", slow)
    wait_for((tmp_path / "begun").exists)
    first.kill()
    first.wait()
    (tmp_path / "go").touch()
    first.communicate()  # its command has the same standard error, and ends now

    second = start(url, "apply", str(file), "--secrets-to-command", slow, "--json")
    made = json.loads(second.communicate(timeout=60)[0])["created"][0]["client_id"]

    assert second.returncode == 0
    app = build_app(database_url=url)
    try:
        secrets = {each.stem: each.read_text() for each in tmp_path.glob("*.secret")}
        statuses = {each: Machine(app, each, text).request_token().status_code for each, text in secrets.items()}
        assert statuses == {each: 200 if each == made else 401 for each in secrets}
        assert len(statuses) == 2
    finally:
        close(app)


def test_on_a_terminal_the_secret_is_shown_once_and_a_removal_is_confirmed(
    prepared: Callable[[str], str], file: Path
) -> None:
    url = prepared("sqlite")
    app = build_app(database_url=url)
    Operator(app).register("by-hand", "--scope", "read:logs")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "flask", "apply", str(file), "--prune"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(url), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)

    printed = until(ours, "Remove by-hand, with their secrets?")
    os.write(ours, b"y\n")
    printed += until(ours, "1 created")

    assert process.wait(timeout=60) == 0
    os.close(ours)
    client_id, secret = printed.partition("billing: client_id ")[2].split()[0:3:2]
    suite.remember(secret)
    assert printed.count(secret) == 1
    assert Machine(app, client_id, secret).token()
    assert "by-hand" not in names(Operator(app))
    close(app)


def until(terminal: int, text: str) -> str:
    """Read a terminal until it has printed a text."""
    printed = ""
    while text not in printed:
        assert select.select([terminal], [], [], 60)[0], printed
        printed += os.read(terminal, 65_536).decode()
    return printed


@pytest.mark.drill
def test_a_registration_that_changes_while_a_secret_is_delivered_is_left_alone(
    prepared: Callable[[str], str], file: Path
) -> None:
    url = prepared("sqlite")
    by_hand = f"{shlex.quote(sys.executable)} -m flask clients create billing --scope read:logs"

    process = start(url, "apply", str(file), "--secrets-to-command", f"cat >/dev/null; exec {by_hand}", "--json")
    output = json.loads(process.communicate(timeout=60)[0])

    assert process.returncode == 3
    assert output["error"]["message"].startswith("the register was changed meanwhile")
    app = build_app(database_url=url)
    assert Operator(app).run("clients", "show", "billing")["scope"] == "read:logs"
    close(app)
