"""Registers the clients of the collection at a server of one's own, and writes a Postman environment for it.

.venv/bin/python -m postman.own_clients FILE             run it where the server's `flask` commands run
.venv/bin/python -m postman.own_clients FILE --remove    delete the clients and the file again

The clients are named `postman-…` and have random secrets, and one has a private key. The file holds them: only its
owner can read it. When the command is run again, the clients get new ones, and the old ones end. It reads
KEYTURN_ISSUER, as the server does; the server's `keyturn.toml` must have the scopes of the one in this repository.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from joserfc import jwk

import config
from config import DemoClient

ROOT = Path(__file__).parent.parent
PREFIX = "postman-"
RSA = ("kty", "n", "e", "d")
CLIENTS = [demo for demo in config.DEMO_CLIENTS if demo.client_id.startswith("demo-")]


def flask(*command: str) -> Any:
    """The JSON that a `flask` command prints; its error ends this program."""
    run = [sys.executable, "-m", "flask", "--app", "wsgi", *command, "--json"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def name_of(demo: DemoClient) -> str:
    return PREFIX + demo.client_id.removeprefix("demo-")


def secret_of(demo: DemoClient) -> tuple[str, str]:
    """The id of a client, registered unless it was, and a new secret."""
    rotate = ("clients", "rotate-secret", name_of(demo), "--overlap", "0")
    made = flask(*rotate) if name_of(demo) in registered() else register(demo)
    return made["client_id"], made["client_secret"]


def key_of(demo: DemoClient) -> tuple[str, str]:
    """The id of a client without a secret, registered unless it was, and a new private key, as a JWK."""
    name, known = name_of(demo), name_of(demo) in registered()
    old = flask("clients", "keys", name)["keys"] if known else []
    with TemporaryDirectory() as folder:
        file = Path(folder) / "key.pem"
        new = ("--generate-key", str(file), "--key-alg", "RS256")
        made = flask("clients", "add-key", name, *new) if known else register(demo, *new)
        key = jwk.RSAKey.import_key(file.read_text(encoding="utf-8")).as_dict(private=True)
    for each in old:
        flask("clients", "remove-key", name, each["kid"])
    return made["client_id"], json.dumps({"kid": made["keys"][0]["kid"], **{member: key[member] for member in RSA}})


def registered() -> set[str]:
    return {client["name"] for client in flask("clients", "list")["clients"]}


def register(demo: DemoClient, *more: str) -> dict[str, Any]:
    """A client like the demo client, with the lifetime that the collection expects."""
    options = ["--scope", demo.scope, *more]
    if demo.scope:
        options += ["--format", demo.token_format, "--lifetime", str(demo.access_token_seconds or 3_600)]
    if demo.default_scope:
        options += ["--default-scope", demo.default_scope]
    if demo.resource_server:
        options += ["--resource-server", demo.resource_server]
    return dict(flask("clients", "create", name_of(demo), *options))


def environment() -> dict[str, Any]:
    """The environment, with each client registered, or with a new secret or key if it was."""
    found = []
    for demo in CLIENTS:
        what = "key" if demo.key_file else "secret"
        client_id, proof = key_of(demo) if demo.key_file else secret_of(demo)
        name = demo.client_id.removeprefix("demo-")
        found += [variable(f"{name}_id", client_id), variable(f"{name}_{what}", proof)]
    base_url = os.environ.get("KEYTURN_ISSUER") or f"http://127.0.0.1:{os.environ.get('PORT') or 8_000}"
    # Without it the collection skips its faults, which exist in development alone.
    values = [variable("base_url", base_url), *found, variable("fault_id", "")]
    return {"name": f"Keyturn at {base_url}", "values": values, "_postman_variable_scope": "environment"}


def variable(key: str, value: str) -> dict[str, Any]:
    kind = "secret" if key.endswith(("_secret", "_key")) else "default"
    return {"key": key, "value": value, "type": kind, "enabled": True}


def remove() -> None:
    for name in sorted(registered() & {name_of(demo) for demo in CLIENTS}):
        flask("clients", "delete", name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m postman.own_clients")
    parser.add_argument("file", type=Path)
    parser.add_argument("--remove", action="store_true")
    given = parser.parse_args()
    if given.remove:
        remove()
        given.file.unlink(missing_ok=True)
        return
    # Opened first: a client whose secret cannot be written would be of no use.
    descriptor = os.open(given.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(environment(), file, indent=1)
    sys.stdout.write(f"Import {given.file} beside the collection, choose it, and run the collection.\n")


if __name__ == "__main__":
    main()
