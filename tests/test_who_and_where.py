"""From where and with what a client authenticated, and who ran a command: in the trail and in the log."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from itertools import count

import click
import pytest
from flask import Flask
from joserfc import jwk

from app.audit import batch as batches
from app.audit import operator as operators
from app.audit import reports, trail
from app.audit.event import AuditEvent, Budget, Event
from app.clients.secret import digest
from app.clock import now
from app.keys.key_rows import new_pair
from app.logs import looks_secret
from app.settings import current_settings
from app.storage.database import db, transaction
from app.tokens import stored_token
from app.tokens.stored_token import IssuedToken
from app.trusted_proxies import plain_address
from tests.conftest import Machine, Operator, demo
from tests.test_audit import lines, rename, rows  # noqa: F401, the first is a fixture


def send(machine: Machine, address: str, path: str = "/oauth/token", **form: str) -> dict[str, str]:
    """Send a form from an address, by default for a token."""
    data = {"grant_type": "client_credentials", **form}
    basic, environ = (machine.client_id, machine.secret), {"REMOTE_ADDR": address}
    return dict(machine.app.test_client().post(path, data=data, auth=basic, environ_base=environ).json or {})


def jti_of(api: Machine, token: str) -> str:
    """The `jti` of a JWT from its payload, and that of an opaque token from introspection."""
    if token.count(".") == 2:
        payload = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])
    return str(api.introspect(token).json["jti"])


def written(app: Flask, event: str) -> list[AuditEvent]:
    with app.app_context():
        trail.current_batch().write()
    return [row for row in rows(app) if row.event == event]


@pytest.fixture
def api(operator: Operator) -> Machine:
    return operator.register("api", "--resource-server", current_settings.of(operator.app).audience, "--no-grant")


@pytest.fixture
def quiet(app: Flask) -> Flask:
    """An app whose batch is written only when a test says so."""
    trail.current_batch.of(app).close()
    return app


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_the_jti_of_a_token_finds_its_client_secret_and_address(operator: Operator, api: Machine, kind: str) -> None:
    one = operator.register("one", "--scope", "read:logs write:logs", "--format", kind)
    two = operator.register("two", "--scope", "read:logs write:logs", "--format", kind)
    sent = [(one, "192.0.2.1", "read:logs"), (one, "192.0.2.2", "read:logs"), (two, "192.0.2.2", "read:logs")]
    sent += [(one, "192.0.2.1", "write:logs"), (one, "192.0.2.1", "read:logs")]
    ids = [jti_of(api, send(machine, address, scope=scope)["access_token"]) for machine, address, scope in sent]

    with operator.app.app_context():
        found = [reports.of_jti(jti) for jti in ids]
        assert reports.of_jti(ids[0][:-16] + "x") == found[0]  # the prefix decides
        assert list(reports.of_jti("x" + ids[0])) == list(reports.of_jti(ids[0][:8])) == []
    assert len(set(ids)) == 5
    for (machine, address, scope), tokens in zip(sent, found, strict=True):
        facts = {(row.client_id, row.address, row.scope, row.credential) for row in tokens}
        assert facts == {(machine.client_id, address, scope, "secret-1")}
        assert all(abs(row.at - now()) < 60 for row in tokens)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_no_id_that_is_made_here_looks_like_a_secret_which_no_log_would_have(
    operator: Operator,
    api: Machine,
    lines: list[str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """One random id in a thousand has the letters with which a JWT begins, in some case: here every other one."""
    made, found, real, real_jti = count(), count(), secrets.token_urlsafe, stored_token.jti
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size: "eYj" * (next(made) % 2 == 0) + real(size - 2))
    monkeypatch.setattr(
        stored_token, "jti", lambda *given: "x" * 8 + "eYj" + "x" * 13 if next(found) == 0 else real_jti(*given)
    )
    machine = operator.register("one", "--scope", "read:logs", "--format", kind)

    token = send(machine, "192.0.2.1")["access_token"]

    logged = json.loads(lines[-1])
    assert (logged["client_id"], logged["jti"]) == (machine.client_id, jti_of(api, token))
    assert not [each for each in logged.values() if looks_secret(str(each))]


def test_no_key_that_is_made_here_has_a_kid_that_looks_like_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    real = jwk.ECKey.generate_key
    made: dict[bool, jwk.ECKey] = {}
    while len(made) < 2:
        key = real("P-256")
        made[looks_secret(key.thumbprint())] = key
    both = [made[False], made[True]]
    monkeypatch.setattr(jwk.ECKey, "generate_key", lambda _: both.pop())

    assert not looks_secret(new_pair("ES256").thumbprint())


def test_the_secret_that_was_used_is_named_for_tokens_refusals_introspections_and_revocations(
    operator: Operator,
    api: Machine,
    lines: list[str],  # noqa: F811
) -> None:
    web = operator.register("web", "--scope", "read:logs")
    new = operator.run("clients", "rotate-secret", "web", "--overlap", "60", "--name", "blue")["client_secret"]
    blue = Machine(web.app, web.client_id, new)
    token = send(blue, "192.0.2.1")["access_token"]
    send(web, "192.0.2.2", scope="nonsense")
    send(api, "192.0.2.3", "/oauth/introspect", token="garbage")
    send(blue, "192.0.2.4", "/oauth/revoke", token=token)

    wanted = [
        ("token_issued", web.client_id, "blue", "192.0.2.1"),
        ("token_refused", web.client_id, "secret-1", "192.0.2.2"),
        ("token_inactive", api.client_id, "secret-1", "192.0.2.3"),
        ("token_revoked", web.client_id, "blue", "192.0.2.4"),
    ]
    with web.app.app_context():
        trail.current_batch().write()
    events = [(row.event, row.client_id, row.credential, row.address) for row in rows(web.app) if row.address]
    assert sorted(events) == sorted(wanted)
    logged = [json.loads(line) for line in lines]
    assert [tuple(map(line.get, ("message", "client_id", "credential", "address"))) for line in logged[-4:]] == wanted
    assert logged[-4]["jti"] == jti_of(api, token)
    assert logged[-4]["kid"] == json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["kid"]


def test_a_token_at_the_api_is_named_by_its_id_in_the_log(reporting: Machine, api: Machine, lines: list[str]) -> None:  # noqa: F811
    token = reporting.token()
    reporting.get("/inventory", token)

    refused = json.loads(lines[-1])
    assert refused["message"] == "access_refused"
    assert refused["jti"] == jti_of(api, token)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_attack_a_stolen_token_that_was_revoked_is_found_in_the_log_wherever_it_is_sent(
    operator: Operator,
    api: Machine,
    lines: list[str],  # noqa: F811
    kind: str,
) -> None:
    web = operator.register("web", "--scope", "read:logs", "--format", kind)
    token = web.token()
    jti = jti_of(api, token)
    send(web, "192.0.2.1", "/oauth/revoke", token=token)

    web.get("/admin/logs", token)
    api.introspect(token)

    refused, inactive = map(json.loads, lines[-2:])
    assert (refused["message"], refused["client_id"], refused["jti"]) == ("access_refused", web.client_id, jti)
    assert (inactive["message"], inactive["client_id"], inactive["jti"]) == ("token_inactive", api.client_id, jti)
    with operator.app.app_context():
        trail.current_batch().write()
    row = next(row for row in rows(operator.app) if row.event == "access_refused")
    assert (row.client_id, row.budget) == (web.client_id, Budget.ANONYMOUS.value)  # anyone who has it can send it


def test_tokens_of_a_batch_share_a_prefix_and_those_of_the_next_have_another(quiet: Flask, api: Machine) -> None:
    admin, prefixes = demo(quiet, "demo-admin"), []
    for _ in range(2):
        prefixes.append({jti_of(api, admin.token())[:8] for _ in range(3)})
        written(quiet, "token_issued")

    assert [len(each) for each in prefixes] == [1, 1]
    assert [{row.jti_prefix} for row in written(quiet, "token_issued")] == prefixes
    assert prefixes[0] != prefixes[1]


def test_while_the_database_fails_equal_tokens_share_a_row_in_memory(quiet: Flask, api: Machine) -> None:
    admin, ids = demo(quiet, "demo-admin"), []
    with quiet.app_context():
        rename("audit_events", "elsewhere")
    for _ in range(6):
        ids.append(jti_of(api, admin.token()))
        with quiet.app_context():
            assert not trail.current_batch().write()
    with quiet.app_context():
        rename("elsewhere", "audit_events")

    found = written(quiet, "token_issued")
    assert sum(row.count for row in found) == 6
    assert len(found) <= 2
    assert {jti[:8] for jti in ids} == {row.jti_prefix for row in found}


def test_of_a_clients_addresses_a_batch_has_thirty_two_and_the_rest_are_other(quiet: Flask, api: Machine) -> None:
    admin, reporting = demo(quiet, "demo-admin"), demo(quiet, "demo-reporting")
    ids = [jti_of(api, send(admin, f"192.0.2.{n}")["access_token"]) for n in range(40)]
    send(reporting, "192.0.2.200")
    for n in range(100, 190):
        send(admin, f"192.0.2.{n}", scope="nonsense")

    issued = written(quiet, "token_issued")
    of_admin = {row.address: row.count for row in issued if row.client_id == "demo-admin"}
    assert of_admin == {f"192.0.2.{n}": 1 for n in range(32)} | {"other": 8}
    assert [row.address for row in issued if row.client_id == "demo-reporting"] == ["192.0.2.200"]
    refused = [(row.address, row.count) for row in rows(quiet) if row.event == "token_refused"]
    assert refused == [(f"192.0.2.{n}", 1) for n in range(100, 150)] + [("other", 40)]
    with quiet.app_context():
        assert [row.address for row in reports.of_jti(ids[39])] == ["other"]


def test_attack_a_flood_without_credentials_from_many_addresses_makes_no_more_rows(quiet: Flask) -> None:
    for n in range(120):
        send(Machine(quiet, "demo-admin", "kts_wrong"), f"2001:db8:0:{n:x}::1")

    refused = [(row.address, row.count) for row in written(quiet, "token_refused")]
    singles = [(plain_address(f"2001:db8:0:{n:x}::1"), 1) for n in range(50)]
    assert refused == [*singles, (None, 70)]


def test_the_addresses_in_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_ROWS", 10)
    batch = batches.Batch()

    for n in range(50):
        noted = batches.Noted(Event.TOKEN_ISSUED, Event.TOKEN_ISSUED.budget, f"client-{n}", address="192.0.2.1")
        batch.add(batch.with_prefix(noted), None)

    assert len(batch._addresses) == len(batch._prefixed) == 10
    assert batch.take()[2] == 40


def test_an_opaque_token_of_the_previous_release_has_the_id_that_it_had(app: Flask, api: Machine) -> None:
    text = stored_token.PREFIX + secrets.token_urlsafe(32)
    row = {"client_id": "demo-admin", "scope": "read:logs", "audience": current_settings.of(app).audience}
    with app.app_context(), transaction():
        times = {"issued_at": now(), "expires_at": now() + 60}
        db.session.add(IssuedToken(digest=digest(text), claims={}, **row, **times))

    jti = jti_of(api, text)

    assert jti == base64.urlsafe_b64encode(digest(text)[:16]).rstrip(b"=").decode()
    assert not set(windows(jti)) & set(windows(text))


def windows(text: str) -> list[str]:
    return [text[n : n + 5] for n in range(len(text) - 4)]


def test_the_id_of_an_opaque_token_has_nothing_of_its_secret_part(operator: Operator, api: Machine) -> None:
    token = operator.register("one", "--scope", "read:logs", "--format", "opaque").token()

    jti = jti_of(api, token)

    assert jti[:8] == token[4:12]
    assert not set(windows(jti[8:])) & set(windows(token[12:]))
    assert len(token) == 4 + 8 + stored_token.RANDOM_CHARACTERS


@pytest.mark.parametrize(
    ("sent", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[2001:DB8::1]:4711", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
        ("kts_0123456789", ""),
        ("1" * 5_000, ""),
    ],
)
def test_an_address_has_one_form_and_anything_else_is_none(sent: str, plain: str) -> None:
    assert plain_address(sent) == plain


def test_a_command_records_who_ran_it(
    app: Flask, new_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators.os, "geteuid", lambda: 0)
    monkeypatch.delenv("SUDO_USER", raising=False)
    Operator(app).register("one", "--scope", "read:logs")
    monkeypatch.setenv("SUDO_USER", "anna")
    Operator(app).register("two", "--scope", "read:logs")
    Operator(new_app(operator="Anna Lovelace")).register("three", "--scope", "read:logs")
    monkeypatch.setattr(operators.os, "geteuid", lambda: 2**31 - 7)
    monkeypatch.delenv("SUDO_USER")
    Operator(app).register("four", "--scope", "read:logs")
    with app.app_context(), transaction():
        trail.record(Event.CLEANED_UP)  # by a server itself

    assert [row.operator for row in rows(app)][-5:] == ["root", "anna as root", "Anna Lovelace", "2147483641", None]


def test_what_a_service_does_has_no_operator(admin: Machine) -> None:
    with click.Context(click.Command("run")).scope():  # a development server is a command too
        entry = admin.send("POST", "/admin/logs", admin.token(), json={"message": "done"}).json

    assert "operator" not in entry
    assert entry["address"] == "127.0.0.1"


def test_a_name_of_an_operator_is_checked() -> None:
    from app.settings import read_settings

    for wrong in (" anna", "anna\n", "a" * 65):
        assert "KEYTURN_OPERATOR must be" in read_settings({"KEYTURN_OPERATOR": wrong}).faults[0]


def test_explain_shows_where_a_token_went(operator: Operator, api: Machine) -> None:
    web = operator.register("web", "--scope", "read:logs")
    jti = jti_of(api, send(web, "192.0.2.1")["access_token"])

    (found,) = operator.run("explain", "--jti", jti)["events"]
    printed = operator.app.test_cli_runner().invoke(args=["explain", "--jti", jti]).output

    assert (found["client_id"], found["credential"], found["address"]) == (web.client_id, "secret-1", "192.0.2.1")
    for text in (web.client_id, "with      secret-1", "address   192.0.2.1", "token_issued"):
        assert text in printed
    assert "no token with this jti" in operator.is_refused("explain", "--jti", "x" * 24)
    assert operator.app.test_cli_runner().invoke(args=["explain", "--jti", jti, "abc"]).exit_code == 2


def test_uses_show_which_address_still_sends_an_old_secret(operator: Operator) -> None:
    web = operator.register("web", "--scope", "read:logs")
    blue = operator.run("clients", "rotate-secret", "web", "--overlap", "60", "--name", "blue")["client_secret"]
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.9"):
        send(Machine(web.app, web.client_id, blue), address)
    send(web, "192.0.2.9")
    send(web, "192.0.2.9", scope="nonsense")
    send(Machine(web.app, web.client_id, "kts_wrong"), "192.0.2.8")
    operator.run("clients", "rotate-secret", "web", "--overlap", "0")
    send(Machine(web.app, web.client_id, blue), "192.0.2.1")  # ended, and still sent

    found = operator.run("audit", "uses", "web")["uses"]
    printed = operator.app.test_cli_runner().invoke(args=["audit", "uses", "web"]).output

    assert {(use["credential"], use["address"]): (use["issued"], use["refused"]) for use in found} == {
        ("blue", "192.0.2.1"): (2, 1),
        ("blue", "192.0.2.9"): (1, 0),
        ("secret-1", "192.0.2.9"): (1, 1),
        (None, "192.0.2.8"): (0, 1),
    }
    assert all(abs(use["last_at"] - now()) < 60 for use in found)
    assert [line.split()[:4] for line in printed.splitlines() if "secret-1" in line] == [
        ["secret-1", "192.0.2.9", "1", "1"]
    ]
    assert "no client has" in operator.is_refused("audit", "uses", "wbe")


def test_the_trail_is_filtered_by_address_secret_and_token(operator: Operator, admin: Machine, api: Machine) -> None:
    web = operator.register("web", "--scope", "read:logs")
    first = send(web, "192.0.2.1")["access_token"]
    send(web, "192.0.2.2")

    assert [each["address"] for each in admin.events(client_id=web.client_id, address="192.0.2.2")] == ["192.0.2.2"]
    assert {each["client_id"] for each in admin.events(credential="secret-1", address="192.0.2.1")} == {web.client_id}
    assert [each["address"] for each in admin.events(jti=jti_of(api, first))] == ["192.0.2.1"]
    who = admin.events(event="client_created", limit="1")[0]["operator"]
    assert admin.events(operator=who, event="client_created")
    assert admin.events(operator="nobody") == admin.events(credential="green") == []
