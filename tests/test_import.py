"""`flask clients import`: the clients of another server keep their ids, and their secrets if those are random."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from joserfc import jwk
from sqlalchemy import func, select

from app.audit.event import AuditEvent
from app.clients import import_lines
from app.clients.import_lines import ImportFaultsError
from app.clients.secret import ClientSecret
from app.storage.database import db
from tests.conftest import Machine, Operator
from tests.support.keyed import Keyed
from tests.support.leaks import suite

RANDOM = "--random-secrets"


def sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@pytest.fixture
def secret() -> str:
    made = secrets.token_urlsafe(24)
    suite.remember(made)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clients.jsonl"


def write(file: Path, *clients: dict[str, Any]) -> str:
    file.write_text("".join(json.dumps(each) + "\n" for each in clients), encoding="utf-8")
    return str(file)


def billing(secret: str, **more: object) -> dict[str, Any]:
    return {"client_id": "billing", "scope": "read:logs", "secrets": [{"sha256": sha256(secret)}], **more}


def test_a_client_keeps_its_id_and_its_secret(app: Flask, operator: Operator, file: Path, secret: str) -> None:
    given = billing(secret, name="Billing-2", lifetime=60, claims={"tenant": "acme"})

    done = operator.run("clients", "import", write(file, given), RANDOM)

    assert (done["changed"], done["imported"]) == (True, 1)
    machine = Machine(app, "billing", secret)
    response = machine.request_token()
    assert (response.status_code, response.json["expires_in"]) == (200, 60)
    assert machine.get("/admin/logs", response.json["access_token"]).status_code == 200
    assert operator.run("clients", "show", "Billing-2")["client_id"] == "billing"


def test_repeated_it_has_nothing_to_do_and_with_other_values_it_is_refused(
    operator: Operator, file: Path, secret: str
) -> None:
    operator.run("clients", "import", write(file, billing(secret)), RANDOM)

    again = operator.run("clients", "import", write(file, billing(secret)), RANDOM)
    other = write(file, billing(f"{secret}x", scope="write:logs", disabled=True))
    refused = operator.is_refused("clients", "import", other, RANDOM)

    assert (again["changed"], again["unchanged"]) == (False, 1)
    others = "scope and default_scope and disabled and secret"
    assert f"line 1: billing is registered already, with another {others}" in refused


def test_without_a_statement_that_secrets_are_random_no_digest_is_taken(
    operator: Operator, file: Path, secret: str
) -> None:
    assert "128 random bits" in operator.is_refused("clients", "import", write(file, billing(secret)))
    assert [each["client_id"] for each in operator.run("clients", "list")["clients"]].count("billing") == 0


def test_a_client_without_a_digest_keeps_its_id_and_gets_a_new_secret(
    app: Flask, operator: Operator, file: Path, tmp_path: Path
) -> None:
    given = write(file, {"client_id": "a~1", "name": "a-1", "scope": "read:logs"}, {"client_id": "b", "grant": False})

    bare = operator.run("clients", "import", given, "--dry-run")
    operator.run("clients", "import", given, "--secrets-to", str(tmp_path / "new"))

    assert bare["without_secret"] == ["a~1", "b"]
    made = [json.loads(line) for line in (tmp_path / "new").read_text(encoding="utf-8").splitlines()]
    for each in made:
        suite.remember(each["client_secret"])
    assert [each["client_id"] for each in made] == ["a~1", "b"]
    assert Machine(app, "a~1", made[0]["client_secret"]).token()
    assert not operator.run("clients", "import", given)["changed"]


def test_a_client_without_any_secret_gets_its_first_by_a_rotation(app: Flask, operator: Operator, file: Path) -> None:
    operator.run("clients", "import", write(file, {"client_id": "billing", "scope": "read:logs"}))

    made = operator.run("clients", "rotate-secret", "billing", "--overlap", "0")["client_secret"]

    assert Machine(app, "billing", made).token()


def test_a_client_of_private_key_jwt_gets_no_secret_and_its_line_has_none(
    app: Flask, operator: Operator, file: Path, secret: str, tmp_path: Path
) -> None:
    keyed = {"client_id": "keyed", "scope": "read:logs", "auth_method": "private_key_jwt"}
    refused = operator.is_refused("clients", "import", write(file, billing(secret) | keyed), RANDOM)
    done = operator.run("clients", "import", write(file, keyed), "--secrets-to", str(tmp_path / "new"))

    assert "line 1: secrets are of no use to a client that authenticates by private_key_jwt only" in refused
    assert (done["imported"], done["without_secret"], done["without_key"]) == (1, [], ["keyed"])
    assert not (tmp_path / "new").exists()
    assert operator.run("clients", "show", "keyed")["secrets"] == []
    told = app.test_cli_runner().invoke(args=["clients", "import", write(file, keyed | {"client_id": "b"})]).stdout
    assert told.endswith("\nWithout a key: 1. `flask clients add-key CLIENT` gives a client its first.\n")
    operator.run("clients", "add-key", "keyed", "--generate-key", str(tmp_path / "key.pem"))
    key = jwk.ECKey.import_key((tmp_path / "key.pem").read_text())
    assert Keyed(app, "keyed", key).send().status_code == 200


def test_one_line_with_a_fault_leaves_the_register_as_it_is(operator: Operator, file: Path, secret: str) -> None:
    before = operator.run("clients", "list")
    given = write(file, billing(secret), {"client_id": "other", "scope": "read:lgos"})

    refused = operator.is_refused("clients", "import", given, RANDOM)

    assert "line 2: the scope read:lgos is unknown" in refused
    assert operator.run("clients", "list") == before


def test_an_id_or_a_name_or_a_secret_of_another_client_is_refused(operator: Operator, file: Path) -> None:
    made = operator.register("shop", "--scope", "read:logs")
    operator.run("clients", "import", write(file, {"client_id": "a~b", "name": "a-b", "scope": "read:logs"}))
    given = write(
        file,
        {"client_id": "shop", "scope": "read:logs"},
        {"client_id": "x", "name": "a-b", "scope": "read:logs"},
        {"client_id": "y", "scope": "read:logs", "secrets": [{"sha256": sha256(made.secret)}]},
    )

    refused = operator.is_refused("clients", "import", given, RANDOM)

    assert f"line 1: shop: shop is the id or the name of the client {made.client_id} already" in refused
    assert "line 2: x: a-b is the id or the name of the client a~b already" in refused
    assert f"line 3: y has the same secret as the client {made.client_id}" in refused


def test_a_token_of_a_deleted_client_is_not_valid_for_an_imported_one_of_the_same_id(
    app: Flask, operator: Operator, file: Path, secret: str
) -> None:
    given = write(file, billing(secret))
    operator.run("clients", "import", given, RANDOM)
    token = Machine(app, "billing", secret).token()
    operator.run("clients", "delete", "billing")

    operator.run("clients", "import", given, RANDOM)

    machine = Machine(app, "billing", secret)
    assert machine.get("/admin/logs", token).status_code == 401
    assert machine.get("/admin/logs", machine.token()).status_code == 200


OK = '"client_id": "x", "scope": "read:logs"'
DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        pytest.param("{", "line 1: it is not JSON", id="json"),
        pytest.param("[]", "line 1: it is not a JSON object", id="object"),
        pytest.param('{"scope": "read:logs"}', "line 1: client_id must be 1 to 64", id="no-id"),
        pytest.param('{"client_id": "a b", "scope": "read:logs"}', "line 1: client_id must be 1 to 64", id="id"),
        pytest.param('{"client_id": 3, "scope": "read:logs"}', "line 1: client_id must be a text", id="id-type"),
        pytest.param(
            '{"client_id": "~", "scope": "read:logs"}', "this is the client_id, as the line has no", id="name"
        ),
        pytest.param('{"client_id": "demo-admin", "scope": "read:logs"}', "demo client's", id="demo"),
        pytest.param('{"client_id": "x"}', "line 1: scope is missing", id="no-scope"),
        pytest.param('{"client_id": "x", "scope": 3}', "line 1: scope must be words in quotes", id="scope-type"),
        pytest.param(f'{{{OK}, "lifetime": 0}}', "line 1: a lifetime is 1 to", id="lifetime"),
        pytest.param(f'{{{OK}, "liftime": 9}}', "line 1: liftime is unknown; did you mean lifetime?", id="key"),
        pytest.param(f'{{{OK}, "disabled": 0}}', "line 1: disabled must be true or false", id="disabled"),
        pytest.param(f'{{{OK}, "client_secret": "s3cr3t"}}', "line 1: client_secret is a secret itself", id="secret"),
        pytest.param(f'{{{OK}, "secrets": ["{DIGEST}"]}}', "line 1: secrets must be a list, as", id="secrets"),
        pytest.param(f'{{{OK}, "secrets": [{{"sha256": "{DIGEST.upper()}"}}]}}', "line 1: sha256 must be", id="upper"),
        pytest.param(f'{{{OK}, "secrets": [{{"sha1": "x"}}]}}', "line 1: of a secret, sha1 is unknown", id="sha1"),
        pytest.param(
            f'{{{OK}, "secrets": [{{"sha256": "{DIGEST}", "not_after": 1}}]}}', "line 1: not_after must be", id="past"
        ),
        pytest.param(
            f'{{{OK}, "secrets": [{{"sha256": "{DIGEST}", "not_after": 1900000000000}}]}}', "not_after must", id="ms"
        ),
        pytest.param(
            f'{{{OK}, "secrets": [{{"sha256": "{DIGEST}"}}, {{"sha256": "{DIGEST}"}}]}}', "the same digest", id="twice"
        ),
        pytest.param(f'{{{OK}, "secrets": [{{"sha256": "{sha256("x")}"}}]}}', "anyone can guess it", id="own-id"),
        pytest.param(f'{{{OK}, "secrets": [{{"sha256": "{sha256("")}"}}]}}', "the secret is empty", id="empty"),
        pytest.param(
            f'{{{OK}, "secrets": {json.dumps([{"sha256": sha256(str(n))} for n in range(9)])}}}', "at most 8", id="9"
        ),
        pytest.param(f"{{{OK}}}\n\n{{{OK}}}", "line 3: x has the same id or name as line 1", id="repeated"),
        pytest.param(
            f'{{{OK}, "secrets": [{{"sha256": "{DIGEST}"}}]}}\n'
            f'{{"client_id": "y", "scope": "read:logs", "secrets": [{{"sha256": "{DIGEST}"}}]}}',
            "line 2: y has the same secret as line 1",
            id="shared",
        ),
    ],
)
def test_a_fault_is_named_with_its_line(reader: Flask, line: str, fault: str) -> None:
    with reader.app_context(), pytest.raises(ImportFaultsError) as raised:
        import_lines.read(line.split("\n"))

    assert fault in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


def test_all_faults_are_named_and_of_many_only_the_first_fifty(reader: Flask) -> None:
    with reader.app_context(), pytest.raises(ImportFaultsError) as raised:
        import_lines.read(['{"scope": "nothing", "lifetime": 0}'] * 40)

    sentences = str(raised.value).split("\n")
    assert [each[:7] for each in sentences[1:5]] == ["line 1:", "line 1:", "line 1:", "line 2:"]
    assert (len(sentences), sentences[-1]) == (52, "and 70 more")


def test_a_secret_in_a_line_is_refused_and_not_repeated(reader: Flask) -> None:
    secret = "kts_" + "Sx7" * 14
    with reader.app_context(), pytest.raises(ImportFaultsError) as raised:
        import_lines.read([f'{{"client_id": "x", "note": "{secret}"}}'])

    assert "line 1: it has what looks like a secret" in str(raised.value)
    assert "Sx7" not in str(raised.value)


def many(file: Path, count: int) -> str:
    return write(
        file,
        *(
            {"client_id": f"c{n}", "scope": "read:logs", "secrets": [{"sha256": sha256(secrets.token_hex(32))}]}
            for n in range(count)
        ),
    )


def import_many(operator: Operator, file: Path, count: int) -> None:
    """Import clients, and look at what is stored of them."""
    done = operator.run("clients", "import", many(file, count), RANDOM)

    assert (done["imported"], done["changed"]) == (count, True)
    with operator.app.app_context():
        last = operator.run("clients", "show", f"c{count - 1}")
        imported = select(func.count(AuditEvent.id)).where(AuditEvent.reason == "imported")
        assert db.session.scalar(imported) == count
        of_clients = select(func.count(func.distinct(ClientSecret.client_row)))
        listed = {each["name"] for each in operator.run("clients", "list")["clients"]}
        assert db.session.scalar(of_clients) == len(listed - {"demo-signer"})  # it has a key
    assert [each["name"] for each in last["secrets"]] == ["secret-1"]


def test_three_hundred_clients_are_imported_at_once(operator: Operator, file: Path) -> None:
    import_many(operator, file, 300)


@pytest.mark.drill
def test_ten_thousand_clients_are_imported_at_once(operator: Operator, file: Path) -> None:
    import_many(operator, file, 10_000)
    assert not operator.run("clients", "import", str(file), RANDOM)["changed"]
