"""This file is `flask keys …`: the operator's hand on the signing keys."""

from __future__ import annotations

from typing import Any

import click
from cryptography.fernet import Fernet

from app.clock import now
from app.keys import rotation
from app.keys.cipher import SealedKeyError
from app.keys.signing_key import SigningKey
from app.operations.command_group import CommandGroup, as_json, print_json

keys = CommandGroup(
    "keys",
    help="List, rotate and withdraw the signing keys.",
    refusals=(rotation.RotationError, SealedKeyError),
)


@keys.command("list")
@as_json
def list_all(as_json: bool) -> None:
    """List the keys: next, active, retired, gone."""
    found = [describe(key) for key in rotation.all_keys()]
    if as_json:
        print_json({"keys": found})
        return
    for key in found:
        click.echo(f"{key['kid']}  {key['alg']}  {key['state']}")


@keys.command()
@click.option("--now", "at_once", is_flag=True, help="Sign with the new key at once: for an emergency.")
@as_json
def rotate(at_once: bool, as_json: bool) -> None:
    """Publish the next key; it signs after one max-age of the JWKS."""
    key = rotation.rotate(at_once=at_once)
    show(key, f"{key.kid} ({key.alg}) signs {when(key)}; tokens of the old key stay valid.", as_json)


@keys.command(context_settings={"ignore_unknown_options": True})  # a kid may begin with a dash
@click.argument("kid")
@as_json
def withdraw(kid: str, as_json: bool) -> None:
    """Take a leaked key out of use: its tokens are refused within seconds."""
    key = rotation.withdraw(kid)
    show(key, f"{kid} is withdrawn, its tokens are refused; {key.kid} ({key.alg}) signs.", as_json)


def describe(key: SigningKey) -> dict[str, Any]:
    names = ("kid", "alg", "published_at", "signs_from", "retired_at", "gone_at")
    return {"state": key.state(now()), **{name: getattr(key, name) for name in names}}


def show(key: SigningKey, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(describe(key))
    else:
        click.echo(sentence)


def when(key: SigningKey) -> str:
    seconds = key.signs_from - now()
    return f"in {seconds} seconds" if seconds > 0 else "from now on"


@click.command("new-secret")
@as_json
def new_secret(as_json: bool) -> None:
    """Print a new key for KEYTURN_SECRET_KEYS, which encrypts the signing keys at rest."""
    secret = Fernet.generate_key().decode()
    if as_json:
        print_json({"secret_key": secret})
    else:
        click.echo(secret)


keys.add_command(new_secret)  # not by `keys.command`: it runs whatever is wrong, and may be what mends it
