"""`flask clients import`: registers the clients of another server with their own ids (docs/moving-in.md)."""

from __future__ import annotations

import click

from app.clients import bulk_import, import_lines
from app.clients.client import KEY_METHOD, TRUST_METHOD
from app.clients.registration_rules import RegistrationError
from app.operations.apply_command import ONE_APPLIES, read, secrets_to, secrets_to_command
from app.operations.command_group import Outcome, changes, operator_command, wants_json
from app.operations.file_argument import FILE_OR_DASH
from app.operations.one_at_a_time import one_at_a_time
from app.operations.secret_delivery import Delivery

WITHOUT = {"without_key": KEY_METHOD, "without_trust": TRUST_METHOD}
FIRST = {KEY_METHOD: ("key", "add-key"), TRUST_METHOD: ("trust", "trust")}


@operator_command("import", refusals=(RegistrationError,))
@click.argument("file", type=FILE_OR_DASH)
@click.option(
    "--random-secrets", is_flag=True, help="State that each secret was generated with 128 random bits or more."
)
@click.option("--dry-run", is_flag=True, help="Check every line, and change nothing.")
@secrets_to
@secrets_to_command
@changes
def import_clients(
    file: str, random_secrets: bool, dry_run: bool, secrets_to: str | None, secrets_to_command: str | None
) -> Outcome:
    """Register the clients of FILE, JSON lines, with their own ids; `-` is standard input."""
    delivery = Delivery(secrets_to, secrets_to_command, wants_json())
    imported = import_lines.read(import_lines.decoded(read(file)))
    with one_at_a_time("apply", number=ONE_APPLIES):
        plan = bulk_import.find(imported, has_random_secrets=random_secrets)
        made = bulk_import.new_secrets(plan) if secrets_to or secrets_to_command else []
        if plan.new and not dry_run:
            with delivery.before(made):
                bulk_import.register(plan, made)
    without = [] if made else [each.client_id for each in plan.without_secret()]
    lacking = {word: [each.client_id for each in plan.without(method)] for word, method in WITHOUT.items()}
    counts = {"imported": len(plan.new), "unchanged": plan.unchanged}
    document = {"dry_run": dry_run, **counts, "without_secret": without, **lacking}
    return Outcome(document, summary(plan, len(without), dry_run), changed=bool(plan.new))


def summary(plan: bulk_import.Plan, without: int, dry_run: bool) -> str:
    if not plan.new:
        return f"Nothing to do: {plan.unchanged} registered before."
    start = "Dry run, nothing was changed. It would be: " if dry_run else ""
    said = [f"{start}{len(plan.new)} imported, {plan.unchanged} registered before."]
    if without:
        said.append(f"Without a secret: {without}. `flask clients rotate-secret CLIENT` gives a client its first.")
    for method, (what, command) in FIRST.items():
        if count := len(plan.without(method)):
            said.append(f"Without a {what}: {count}. `flask clients {command} CLIENT` gives a client its first.")
    return "\n".join(said)
