"""docs/moving-in.md and docs/apply.md: their files and commands, as they are typed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from joserfc import jwk

from app.clients.declaration import OTHER_KEYS
from app.clients.registered_values import VALUES
from tests.conftest import ROOT, Machine, Operator, build_app, close
from tests.support import keyed
from tests.support.leaks import suite
from tests.support.pages import Page, page, pattern
from tests.test_declared_trusts import ISSUERS

APPLY, MOVING_IN = page("apply"), page("moving-in")
SECRET = "2f5c9f0e6d1b4a7f8e3d2c1b0a9f8e7d"
OWN_KEY = jwk.ECKey.generate_key("P-256", {"kid": "2025-01"})
# Programs that are not here: what they write is a sample below.
OTHER_PROGRAMS = ("kc.sh ", "node ", "hydra ", "python manage.py ")
# The shape of a realm export, by the documentation of Keycloak; only what is read, and what must be left out.
KEYCLOAK = {
    "realm": "shop",
    "clients": [
        {
            "clientId": "billing",
            "enabled": True,
            "clientAuthenticatorType": "client-secret",
            "secret": SECRET,
            "serviceAccountsEnabled": True,
            "publicClient": False,
            "bearerOnly": False,
            "protocol": "openid-connect",
            "attributes": {"access.token.lifespan": "900", "client.secret.creation.time": "1700000000"},
            "defaultClientScopes": ["profile", "roles", "read:logs", "email"],
            "optionalClientScopes": ["reports:read", "offline_access"],
        },
        {
            "clientId": "partial",
            "enabled": False,
            "secret": "**********",
            "serviceAccountsEnabled": True,
            "protocol": "openid-connect",
            "attributes": {},
            "defaultClientScopes": [],
            "optionalClientScopes": ["reports:read"],
        },
        {"clientId": "storefront", "publicClient": True, "serviceAccountsEnabled": False, "protocol": "openid-connect"},
        {"clientId": "realm-management", "bearerOnly": True, "protocol": "openid-connect"},
    ],
}
# As node-oidc-provider 9.13.3 accepted it.
OIDC_PROVIDER = [
    {
        "client_id": "billing",
        "client_secret": SECRET,
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
        "scope": "read:logs reports:read",
        "token_endpoint_auth_method": "client_secret_post",
    },
    {"client_id": "website", "client_secret": "aa", "redirect_uris": ["https://shop.example/callback"]},
]
# The shape of a list of clients, by the documentation of Ory Hydra.
HYDRA = {
    "items": [
        {
            "client_id": "billing",
            "client_name": "",
            "grant_types": ["client_credentials"],
            "scope": "read:logs",
            "audience": [],
            "token_endpoint_auth_method": "client_secret_basic",
            "access_token_strategy": "opaque",
            "client_credentials_grant_access_token_lifespan": "1h30m0s",
            "client_secret_expires_at": 0,
        },
        {
            "client_id": "b0f4cd27-7f8e-4d5a-9a25-6c4b8a2b6d11",
            "grant_types": ["client_credentials"],
            "scope": "reports:read",
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [OWN_KEY.as_dict(private=False)]},
            "jwks_uri": "",
        },
        {"client_id": "website", "grant_types": ["authorization_code", "refresh_token"], "scope": "openid"},
    ],
    "next_page_token": "",
    "is_last_page": True,
}
# As `dumpdata` of Django OAuth Toolkit 3.4.1 wrote it; digests and secrets are shortened.
DJANGO = [
    {
        "model": "oauth2_provider.application",
        "pk": number,
        "fields": {
            "client_id": client_id,
            "user": None,
            "redirect_uris": "",
            "post_logout_redirect_uris": "",
            "client_type": "confidential",
            "authorization_grant_type": grant,
            "client_secret": secret,
            "hash_client_secret": is_hashed,
            "name": name,
            "skip_authorization": False,
            "created": "2026-11-26T03:39:19.238Z",
            "updated": "2026-11-26T03:39:19.238Z",
            "algorithm": "",
            "allowed_origins": "",
            "registration_source": "manual",
            "cimd_expires_at": None,
        },
    }
    for number, (client_id, grant, secret, is_hashed, name) in enumerate(
        (
            ("eDNTJLkYK8FM5e2d", "client-credentials", "pbkdf2_sha256$1000000$yf5E$E6srz+QQ=", True, "Nightly billing"),
            ("hrGQimi6PtpbACE4", "client-credentials", SECRET, False, "Shop"),
            ("CdWQFkEan4gOCb5O", "authorization-code", "pbkdf2_sha256$1000000$aa$bb=", True, "Website"),
        ),
        1,
    )
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader types: the files of the pages, and the exports of the other programs."""
    suite.remember(SECRET)
    for block in MOVING_IN.blocks("python"):
        (tmp_path / re.findall(r"^# (\S+\.py):", block)[0]).write_text(block, encoding="utf-8")
    for name, block in zip(("clients", "keyless"), APPLY.blocks("toml"), strict=False):
        (tmp_path / f"{name}.toml").write_text(block, encoding="utf-8")
    (tmp_path / "keyturn.toml").write_bytes((ROOT / "keyturn.toml").read_bytes())
    exports = {"realm": KEYCLOAK, "oidc-clients": OIDC_PROVIDER, "hydra": HYDRA, "applications": DJANGO}
    for name, content in exports.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def register(prepared: Callable[[str], str]) -> Iterator[Flask]:
    app = build_app(database_url=prepared("sqlite"))
    yield app
    close(app)


def type_in_order(shown: Page, heading: str, app: Flask) -> None:
    """Type the commands of a section; each must print what the page shows."""
    (block,) = re.findall(r"^```console\n(.*?)^```$", shown.section(heading), re.DOTALL | re.MULTILINE)
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        if not command.startswith(OTHER_PROGRAMS):
            printed = typed(command, app)
            assert pattern(output).fullmatch(printed), f"{command} printed {printed}"


def typed(command: str, app: Flask) -> str:
    """What a command prints: ours in this process, after what is before it in the line."""
    before, flask, ours = command.partition(".venv/bin/flask ")
    line = before.replace("python3 ", f"{shlex.quote(sys.executable)} ")
    run = subprocess.run(["sh", "-c", line], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not flask:
        return run.stdout.strip()
    done = app.test_cli_runner().invoke(args=shlex.split(ours))
    assert done.exit_code == 0, done.output
    return (run.stdout + done.stdout).strip()


def test_the_page_of_apply_is_true(folder: Path, register: Flask) -> None:
    type_in_order(APPLY, "Apply it", register)

    made = [json.loads(line) for line in (folder / "new-secrets.jsonl").read_text(encoding="utf-8").splitlines()]
    for each in made:
        suite.remember(each["client_secret"])
    assert Machine(register, made[0]["client_id"], made[0]["client_secret"]).token()


def test_the_example_of_a_rename_is_a_file_of_clients(folder: Path, register: Flask) -> None:
    (folder / "renamed.toml").write_text(APPLY.blocks("toml")[2], encoding="utf-8")
    type_in_order(APPLY, "Apply it", register)

    done = Operator(register).run("apply", "renamed.toml")

    assert done["updated"][0]["changes"]["name"] == {"old": "billing", "new": "invoices"}
    for line in (folder / "new-secrets.jsonl").read_text(encoding="utf-8").splitlines():
        suite.remember(json.loads(line)["client_secret"])


def test_the_page_of_keys_and_trusts_is_true(folder: Path, prepared: Callable[[str], str]) -> None:
    file = folder / "issuers.toml"
    file.write_text((ROOT / "keyturn.toml").read_text(encoding="utf-8") + ISSUERS, encoding="utf-8")
    app = build_app(database_url=prepared("sqlite"), file=file)

    type_in_order(APPLY, "Keys and trusts", app)

    close(app)


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_the_owner_of_a_private_key_writes_the_table_of_a_file(folder: Path, register: Flask, alg: str) -> None:
    client = keyed.register(register, folder, name="generated", alg=alg)
    (folder / "to_toml.py").write_text(APPLY.blocks("python")[0], encoding="utf-8")
    command = [sys.executable, "to_toml.py", "owner", client.key.key_type, "generated.pem"]
    table = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    (folder / "owner.toml").write_text(f'[clients.owner]\nscope = "read:logs"\n{table}', encoding="utf-8")

    made = Operator(register).run("apply", "owner.toml")["created"][0]

    assert made["changes"]["jwks"]["new"] == [client.key.thumbprint()]
    assert replace(client, client_id=made["client_id"]).send().status_code == 200


def test_a_key_of_another_server_comes_along(folder: Path, register: Flask) -> None:
    type_in_order(MOVING_IN, "Ory Hydra", register)

    client = keyed.Keyed(register, HYDRA["items"][1]["client_id"], OWN_KEY)  # type: ignore[index]
    assert client.send(client.make(header={"kid": OWN_KEY.kid})).status_code == 200
    assert Operator(register).run("clients", "show", client.client_id)["secrets"] == []
    for line in (folder / "new-secrets.jsonl").read_text(encoding="utf-8").splitlines():
        suite.remember(json.loads(line)["client_secret"])


def test_every_key_of_a_file_is_in_the_table() -> None:
    assert [row[0].strip("`") for row in APPLY.table("key of a client")] == [
        *("scope", "default_scope", "lifetime", "format", "auth_method", "claims", "resource_server", "grant"),
        *("jwks", "jwks_uri", "trusts"),
        *OTHER_KEYS,
    ]
    assert {row[0].strip("`") for row in APPLY.table("key of a client")} == {*VALUES, *OTHER_KEYS}


def test_the_line_that_the_page_shows_is_one_that_is_imported(register: Flask, folder: Path) -> None:
    (folder / "line.jsonl").write_text(MOVING_IN.blocks("json")[0], encoding="utf-8")

    assert Operator(register).run("clients", "import", "line.jsonl", "--random-secrets")["imported"] == 1


@pytest.mark.parametrize(
    ("section", "client_id", "expected"),
    [
        pytest.param(
            "Keycloak",
            "billing",
            {"scope": "read:logs reports:read", "default_scope": "read:logs", "access_token_seconds": 900},
            id="keycloak",
        ),
        pytest.param(
            "node-oidc-provider",
            "billing",
            {"scope": "read:logs reports:read", "token_endpoint_auth_method": "client_secret_post"},
            id="oidc-provider",
        ),
        pytest.param(
            "Ory Hydra",
            "billing",
            {"scope": "read:logs", "token_format": "opaque", "access_token_seconds": 5400},
            id="hydra",
        ),
        pytest.param("Django OAuth Toolkit", "hrGQimi6PtpbACE4", {"name": "Shop"}, id="django"),
    ],
)
def test_an_export_becomes_clients_with_their_ids(
    folder: Path, register: Flask, section: str, client_id: str, expected: dict[str, object]
) -> None:
    type_in_order(MOVING_IN, section, register)

    shown = Operator(register).run("clients", "show", client_id)
    assert {name: shown[name] for name in expected} == expected
    secret, new = SECRET, folder / "new-secrets.jsonl"
    if new.exists():
        lines = map(json.loads, new.read_text(encoding="utf-8").splitlines())
        made = {each["client_id"]: each["client_secret"] for each in lines}
        for each in made.values():
            suite.remember(each)
        secret = made.get(client_id, SECRET)
    way = "client_secret_post" if shown["token_endpoint_auth_method"] == "client_secret_post" else None
    form = {"grant_type": "client_credentials"} | ({"client_id": client_id, "client_secret": secret} if way else {})
    auth = None if way else (client_id, secret)
    assert register.test_client().post("/oauth/token", data=form, auth=auth).status_code == 200


def test_every_toml_of_the_page_of_apply_can_be_parsed() -> None:
    assert [list(tomllib.loads(block)) for block in APPLY.blocks("toml")] == [["clients"]] * 3
