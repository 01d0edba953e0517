"""`flask keys …`: list, plan, rotate and withdraw the signing keys."""

from __future__ import annotations

from typing import Any

import click
from cryptography.fernet import Fernet

from app.clock import now
from app.keys import plan, rotation
from app.keys.cipher import SealedKeyError
from app.keys.key_rows import all_keys, in_state
from app.keys.signing_key import JWKS_MAX_AGE_SECONDS, LEAD_SECONDS, READ_SECONDS, SigningKey
from app.operations.command_group import CommandGroup, OperatorCommand, Outcome, as_json, changes, moment, print_json
from app.settings import current_settings

IN_EVERY_CACHE = "\nIt was the standby: every cache of the JWKS has it."
PUBLISHED = (
    f"\nIt is in the JWKS within {READ_SECONDS} seconds. An API that caches the JWKS may not have it for up to "
    f"{JWKS_MAX_AGE_SECONDS} seconds."
)

keys = CommandGroup(
    "keys",
    help="List, plan, rotate and withdraw the signing keys.",
    refusals=(rotation.RotationError, SealedKeyError),
)


@keys.command("list")
@as_json
def list_all(as_json: bool) -> None:
    """List the keys: standby, next, active, retired, gone."""
    found = [describe(key) for key in all_keys()]
    if as_json:
        print_json({"keys": found})
        return
    for key in found:
        click.echo(f"{key['kid']}  {key['alg']}  {'withdrawn' if key['withdrawn_at'] else key['state']}")


@keys.command("plan")
@as_json
def show_plan(as_json: bool) -> None:
    """Show the coming dates: which key signs when, when it retires, and when the next rotation is."""
    days = current_settings().key_rotation_days
    known, current = all_keys(), now()
    planned = plan.coming(known, current, days)
    if as_json:
        rotation_at = plan.next_rotation(known, current, days)
        dates = [each._asdict() for each in planned]
        print_json(
            {"rotation_days": days, "upkeep": current_settings().upkeep, "next_rotation": rotation_at, "dates": dates}
        )
        return
    for each in planned:
        click.echo(f"{moment(each.at)}  {each.kid or 'a new key':43}  {each.what}")
    if not days:
        click.echo("KEYTURN_KEY_ROTATION_DAYS is 0: `flask keys rotate` rotates.")
    elif current_settings().upkeep == "off":
        click.echo("KEYTURN_UPKEEP is off: `flask cleanup` rotates a key that is old enough, and removes rows.")


lost_secret_key = click.option(
    "--lost-secret-key",
    is_flag=True,
    help="The secret key is lost, on the servers too: create a signing key with this KEYTURN_SECRET_KEYS.",
)


@keys.command()
@click.option("--now", "at_once", is_flag=True, help="Sign with the new key at once: for an emergency.")
@lost_secret_key
@changes
def rotate(at_once: bool, lost_secret_key: bool) -> Outcome:
    """Let the standby key sign after one max-age of the JWKS, and publish another standby."""
    if lost_secret_key and not at_once:
        raise click.UsageError("--lost-secret-key requires --now: until then no server could sign.")
    key = rotation.rotate(at_once=at_once, lost_secret_key=lost_secret_key)
    sentence = f"{key.kid} ({key.alg}) signs {when(key)}; tokens of the old key stay valid."
    return Outcome(describe(key), sentence + caches(key))


@keys.command(context_settings={"ignore_unknown_options": True})  # a kid may begin with a dash
@click.argument("kid")
@lost_secret_key
@changes
def withdraw(kid: str, lost_secret_key: bool) -> Outcome:
    """Withdraw a leaked key for good: its tokens are refused."""
    if before := next((each.withdrawn_at for each in all_keys() if each.kid == kid), None):
        return Outcome(signing(), f"{kid} was withdrawn at {moment(before)}: nothing was changed.", changed=False)
    key = rotation.withdraw(kid, lost_secret_key=lost_secret_key)
    sentence = (
        f"{kid} is withdrawn: each server refuses its tokens from its next request on. {key.kid} ({key.alg}) signs."
    )
    return Outcome(describe(key), sentence + caches(key))


def signing() -> dict[str, Any]:
    """The key that signs, as --json prints it."""
    key = in_state("active", all_keys(), now())
    return describe(key) if key else {}


def describe(key: SigningKey) -> dict[str, Any]:
    names = ("kid", "alg", "published_at", "retired_at", "gone_at", "withdrawn_at")
    found = {"state": key.state(now()), **{name: getattr(key, name) for name in names}}
    return found | {"signs_from": key.signs_since()}


def caches(key: SigningKey) -> str:
    """Which caches of the JWKS have a key that signs, or will."""
    return IN_EVERY_CACHE if now() - key.published_at >= LEAD_SECONDS else PUBLISHED


def when(key: SigningKey) -> str:
    seconds = key.signs_from - now()
    return f"in {seconds} seconds" if seconds > 0 else "from the next request on"


@click.command("new-secret", cls=OperatorCommand)
@as_json
def new_secret(as_json: bool) -> None:
    """Print a new key for KEYTURN_SECRET_KEYS, which encrypts the signing keys at rest."""
    secret = Fernet.generate_key().decode()
    if as_json:
        print_json({"secret_key": secret})
    else:
        click.echo(secret)


keys.add_command(new_secret)  # not by `keys.command`: it runs whatever is wrong, and may be the fix
