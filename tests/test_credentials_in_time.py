"""Keys and trusts as time passes: what ends soon, what is unused, what is removed, and what an operator watches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from joserfc import jwk
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import update

from app.clients.client_key import ClientKey
from app.clients.client_trust import ClientTrust
from app.clock import now
from app.doctor import record_checks
from app.health import fleet
from app.remote_keys.fetched_key_set import FetchedKeySet
from app.storage.database import db, delete_in_steps, transaction
from app.upkeep import warnings
from app.upkeep.removals import nobody_names
from tests.conftest import Operator
from tests.support import fake_issuer, federated, keyed
from tests.support.key_server import sends, sends_text, serving
from tests.support.keyed import Keyed, public_set
from tests.test_metrics import Samples, read
from tests.test_upkeep import counted, removed

DAY = 86_400
CI = '[issuers.ci]\nissuer = "{}"\naudience = "https://auth.example"\n'
KEY = jwk.ECKey.generate_key("P-256")
TRUST = ("--issuer", "ci", "--claim")


@pytest.fixture
def app(new_app: Callable[..., Flask], tmp_path: Path) -> Flask:
    return new_app(file=federated.toml(tmp_path, CI.format("https://ci.example")))


def trusting(operator: Operator, name: str, *options: str) -> None:
    operator.run("clients", "create", name, "--scope", "read:logs", *TRUST, f"sub={name}", *options)


def pass_the_end(app: Flask, seconds: int) -> None:
    """Let the ends of all keys and trusts be this long ago."""
    with app.app_context(), transaction():
        for model in (ClientKey, ClientTrust):
            db.session.execute(update(model).values(not_after=now() - seconds).where(model.not_after.is_not(None)))


def test_the_planned_end_of_a_trust_is_known_wherever_what_ends_soon_is_named(app: Flask, operator: Operator) -> None:
    trusting(operator, "deployer")
    operator.run("clients", "trust", "deployer", *TRUST, "sub=spare", "--not-after", "6d")

    def ends() -> list[tuple[str, str, bool]]:
        found = operator.run("clients", "ending", "--within", "60d")["ending"]
        return [(each["kind"], each["name"], each["is_last"]) for each in found if each.get("client") == "deployer"]

    assert ends() == [("client_trust_ends", "ci-2", False)]
    operator.run("clients", "untrust", "deployer", "ci-1")
    assert ends() == [("client_trust_ends", "ci-2", True)]
    with app.app_context():
        (warned,) = (warnings.sentence(each) for each in warnings.collect())
        (found,) = record_checks.check_secrets(None)  # type: ignore[arg-type]
    assert warned.startswith("the trust ci-2 of client deployer ends in ")
    assert warned.endswith("and it is the client's last")
    assert found.what.startswith("The last trust of client deployer ends in ")
    assert facts(app)['keyturn_ending{kind="client_trust"}'] == 1
    operator.run("clients", "update", "deployer", "--auth-method", "private_key_jwt")  # it cannot use the trust
    assert ends() == []


def test_a_secret_is_not_the_last_of_a_client_whose_keys_are_elsewhere(operator: Operator) -> None:
    operator.register("both", "--scope", "read:logs")
    operator.run("clients", "rotate-secret", "both", "--overlap", "0", "--not-after", "6d")

    def is_last() -> bool:
        found = operator.run("clients", "ending")["ending"]
        return next(bool(each["is_last"]) for each in found if each.get("client") == "both")

    before = is_last()
    with serving(sends(KEY)) as server:
        operator.run("clients", "update", "both", "--jwks-uri", server.url())

    assert (before, is_last()) == (True, False)


def test_unused_keys_and_trusts_of_clients_in_use_are_stale(app: Flask, operator: Operator, tmp_path: Path) -> None:
    client = keyed.register(app, tmp_path)
    operator.run("clients", "add-key", "keyed", "--jwks", public_set(tmp_path, KEY))
    operator.run("clients", "update", "keyed", "--auth-method", "any")
    operator.run("clients", "trust", "keyed", *TRUST, "sub=x")
    trusting(operator, "sleeps")
    with time_machine.travel(now() + 100 * DAY, tick=False):
        assert client.send(client.make(header={"kid": client.key.thumbprint()})).status_code == 200

        found = operator.run("clients", "stale")
        shown = app.test_cli_runner().invoke(args=["clients", "stale"]).stdout
        with app.app_context():
            (said,) = record_checks.check_unused(None)  # type: ignore[arg-type]

    assert [(each["client"], each["name"]) for each in found["keys"]] == [("keyed", KEY.thumbprint())]
    assert [(each["client"], each["name"]) for each in found["trusts"]] == [("keyed", "ci-1")]
    clients = [each["client"] for each in found["clients"]]
    assert ("sleeps" in clients, "keyed" in clients) == (True, False)
    assert f"`flask clients remove-key keyed {KEY.thumbprint()}`" in shown
    assert "`flask clients untrust keyed ci-1`" in shown
    assert " clients, and 1 keys and 1 trusts of others, were not used for 90 days." in said.what


def test_a_client_that_uses_its_trust_is_not_stale(new_app: Callable[..., Flask], tmp_path: Path) -> None:
    with fake_issuer.served("https://auth.example") as issuer:
        app = new_app(file=federated.toml(tmp_path, CI.format(issuer.url)))
        trusting(Operator(app), "deployer")
        with time_machine.travel(now() + 100 * DAY, tick=False):
            revoked = federated.send(app, issuer.sign({"sub": "deployer"}), "/oauth/revoke", {"token": "x"})
            stale = Operator(app).run("clients", "stale")["clients"]

    assert revoked.status_code == 200, revoked.text
    assert "deployer" not in [each["client"] for each in stale]


def test_keys_and_trusts_stay_for_a_year_after_their_end(app: Flask, operator: Operator, tmp_path: Path) -> None:
    keyed.register(app, tmp_path)
    trusting(operator, "deployer")
    operator.run("clients", "remove-key", "keyed", operator.run("clients", "keys", "keyed")["keys"][0]["kid"], "--last")
    operator.run("clients", "untrust", "deployer", "ci-1", "--last")

    pass_the_end(app, 365 * DAY - 20)
    before = removed(operator)
    pass_the_end(app, 365 * DAY + 20)
    after = removed(operator)

    assert [(each["client keys"], each["client trusts"]) for each in (before, after)] == [(0, 0), (1, 1)]


def test_a_fetched_key_set_goes_when_nobody_names_its_source_any_more(
    new_app: Callable[..., Flask], tmp_path: Path
) -> None:
    with fake_issuer.served("https://auth.example") as issuer, serving(sends(KEY)) as server:
        app = new_app(file=federated.toml(tmp_path, CI.format(issuer.url)))
        operator = Operator(app)
        trusting(operator, "deployer")
        assert federated.send(app, issuer.sign({"sub": "deployer"})).status_code == 200
        operator.run("clients", "create", "far", "--scope", "read:logs", "--jwks-uri", server.url())
        assert counted(app, FetchedKeySet) == 2
        later = now() + 2 * DAY

        with time_machine.travel(later, tick=False):
            assert sweep(app) == 0
            operator.run("clients", "delete", "far")
            assert sweep(app) == 1
        without = new_app(file=federated.toml(tmp_path))
        soon = sweep(without)
        with time_machine.travel(later, tick=False):
            assert (soon, sweep(without)) == (0, 1)

    assert counted(app, FetchedKeySet) == 0


def sweep(app: Flask) -> int:
    """Remove what nobody names, as a round does; without the comparison of clocks, which a travelled one fails."""
    with app.app_context():
        return delete_in_steps(FetchedKeySet, nobody_names(now()))


def test_a_key_set_that_cannot_be_fetched_is_a_metric_until_nobody_tries(app: Flask) -> None:
    with serving(sends(KEY)) as server:
        made = Operator(app).run("clients", "create", "far", "--scope", "read:logs", "--jwks-uri", server.url())
        client = Keyed(app, made["client_id"], KEY)
        healthy = gauges(app)
        server.respond = sends_text("", 500)
        with app.app_context(), transaction():
            db.session.execute(update(FetchedKeySet).values(fresh_until=now() - 100, next_try_at=0))
        with time_machine.travel(now() + 120, tick=False):  # what is in memory is read again
            assert client.send().status_code == 200
            failing = gauges(app)
    with time_machine.travel(now() + 2 * 3_600, tick=False):
        later = gauges(app)

    assert healthy == later == {}
    assert failing[f'keyturn_key_set_failures{{source="{server.url()}"}}'] == 1
    assert 220 <= failing[f'keyturn_key_set_stale_seconds{{source="{server.url()}"}}'] < 300
    assert len(failing) == 2


def test_a_key_set_file_that_cannot_be_used_is_a_metric_although_the_worker_has_its_keys(
    new_app: Callable[..., Flask], tmp_path: Path
) -> None:
    platform, toml = federated.platform_in(tmp_path, audience="https://auth.example")
    file = tmp_path / "keys.json"
    app = new_app(file=toml)
    usable = facts(app)
    file.write_text("")
    broken = facts(app)
    platform.write(file)

    name = f'keyturn_key_set_file_usable{{file="{file}"}}'
    assert [each[name] for each in (usable, broken, facts(app))] == [1, 0, 1]


def facts(app: Flask) -> Samples:
    """What a scrape says of the fleet."""
    registry = CollectorRegistry()
    registry.register(fleet.Fleet(app))
    return read(generate_latest(registry).decode())


def gauges(app: Flask) -> Samples:
    return {name: value for name, value in facts(app).items() if name.startswith("keyturn_key_set")}
