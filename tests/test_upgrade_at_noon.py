"""An upgrade at noon, and its undo: the previous release and this one take over from each other under load.

Both run behind nginx, in production, on one database; each step is one of docs/upgrading.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import run_on
from tests.support import release
from tests.support.leaks import suite
from tests.support.noon import Caller, Site, load
from tests.support.release import THIS, Release

pytestmark = pytest.mark.drill

Check = tuple[str, Callable[[Caller], int], int]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return release.checked_out(release.previous(), tmp_path_factory.mktemp("release"))


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """A site on an empty database."""
    url = f"sqlite:///{tmp_path}/keyturn.db"
    if request.param == "postgresql":
        address, name = request.getfixturevalue("postgresql"), f"noon_{os.getpid()}"
        run_on(address, f"CREATE DATABASE {name}")
        url = address.format(name=name)
    return Site(tmp_path, url)


def create(site: Site, by: Release, name: str, *options: str) -> str:
    made = by.read(site.environment, "clients", "create", name, "--scope", "read:logs", *options)
    suite.remember(str(made["client_secret"]))
    return f"{made['client_id']}:{made['client_secret']}"


def rotate(site: Site, by: Release, name: str, overlap: int) -> str:
    made = by.read(site.environment, "clients", "rotate-secret", name, "--overlap", str(overlap))
    suite.remember(str(made["client_secret"]))
    return f"{made['client_id']}:{made['client_secret']}"


def facts(site: Site, by: Release, name: str) -> list[Check]:
    """Order one of each thing that must survive, by the commands and the servers of a release."""
    here = site.front
    jwt, opaque, out = (
        create(site, by, f"{name}-{each}", *options)
        for each, options in (("jwt", ()), ("opaque", ("--format", "opaque")), ("out", ()))
    )
    token, revoked, gone, refused = here.token(jwt), here.token(jwt), here.token(opaque), here.token(out)
    assert here.form(jwt, "/oauth/revoke", token=revoked)[0] == 200
    by.run(site.environment, "tokens", "revoke", "--client", f"{name}-opaque")
    kept, revoked_opaque = here.token(opaque), here.token(opaque)
    assert here.form(opaque, "/oauth/revoke", token=revoked_opaque)[0] == 200
    overlapping, ended = rotate(site, by, f"{name}-jwt", 3_600), rotate(site, by, f"{name}-opaque", 0)
    by.run(site.environment, "clients", "disable", f"{name}-out")
    return [
        (f"{name}: a JWT", lambda at: at.use(token), 200),
        (f"{name}: a revoked JWT", lambda at: at.use(revoked), 401),
        (f"{name}: an opaque token", lambda at: at.use(kept), 200),
        (f"{name}: a revoked opaque token", lambda at: at.use(revoked_opaque), 401),
        (f"{name}: a token of a client whose tokens were all revoked", lambda at: at.use(gone), 401),
        (f"{name}: a token of a disabled client", lambda at: at.use(refused), 401),
        (f"{name}: a disabled client", lambda at: at.token_status(out), 401),
        (f"{name}: the old secret in its overlap", lambda at: at.token_status(jwt), 200),
        (f"{name}: the new secret", lambda at: at.token_status(overlapping), 200),
        (f"{name}: a secret that was ended", lambda at: at.token_status(opaque), 401),
        (f"{name}: the secret after it", lambda at: at.token_status(ended), 200),
    ]


def wrong(site: Site, checks: list[Check]) -> list[str]:
    """What is not as it must be, at one of the two servers."""
    return [
        f"{what} has {status} at {server.port}"
        for server in site.servers
        for what, check, expected in checks
        if (status := check(server)) != expected
    ]


def rounds(site: Site, jwt: str, opaque: str) -> list[Callable[[], list[tuple[str, int]]]]:
    """What the clients do without a pause."""
    front, lasting = site.front, site.front.token(jwt)

    def with_jwt() -> list[tuple[str, int]]:
        return [("a new JWT", front.use(front.token(jwt))), ("a JWT from before", front.use(lasting))]

    def with_opaque() -> list[tuple[str, int]]:
        token = front.token(opaque)
        used = front.use(token)
        revoked = front.form(opaque, "/oauth/revoke", token=token)[0]
        return [("a new opaque token", used), ("its revocation", revoked), ("its use after that", front.use(token))]

    def with_metadata() -> list[tuple[str, int]]:
        return [("the JWKS", front.send("GET", "/.well-known/jwks.json")[0])]

    return [with_jwt, with_jwt, with_opaque, with_metadata]


EXPECTED = {
    ("a new JWT", 200),
    ("a JWT from before", 200),
    ("a new opaque token", 200),
    ("its revocation", 200),
    ("its use after that", 401),
    ("the JWKS", 200),
}


def newest_revision(by: Release) -> str:
    folder = by.folder / "app" / "storage" / "migrations" / "versions"
    return max(file.name for file in folder.glob("[0-9]*.py"))[:4]


def test_an_upgrade_and_its_undo_at_noon_fail_no_request(before: Release, site: Site) -> None:
    before.run(site.environment, "prepare")
    with site.serving(before):
        jwt, opaque = create(site, before, "busy"), create(site, before, "busy-opaque", "--format", "opaque")
        of_before = facts(site, before, "before")
        with load(rounds(site, jwt, opaque)) as seen:
            assert wrong(site, of_before) == []

            THIS.run(site.environment, "prepare")
            assert wrong(site, of_before) == []
            for server in site.servers:
                site.replace(server, THIS)
                assert wrong(site, of_before) == []
            both = [*of_before, *facts(site, THIS, "this")]
            assert wrong(site, both) == []

            # The undo: the previous release starts as it always does, by its `flask prepare`.
            assert newest_revision(THIS) in before.run(site.environment, "prepare")
            for server in site.servers:
                site.replace(server, before)
                assert wrong(site, both) == []

            # Its schema too, while it serves; and forward again.
            THIS.run(site.environment, "db", "downgrade", newest_revision(before))
            assert wrong(site, both) == []
            assert newest_revision(before) in before.run(site.environment, "db", "current")
            THIS.run(site.environment, "prepare")
            for server in site.servers:
                site.replace(server, THIS)
            assert wrong(site, both) == []

        assert set(seen) == EXPECTED
        assert min(seen.values()) > 100
        logs = "".join(site.log(server).read_text(encoding="utf-8") for server in site.servers)
        assert [line for line in logs.splitlines() if "Traceback" in line or "request_failed" in line] == []
