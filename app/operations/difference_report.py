"""What `flask apply` prints: each client that is created (+), changed (~) or removed (-), value by value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.clients.difference import Difference, Kind, Step
from app.clients.registered_values import VALUES
from app.clients.registration_rules import listed
from app.clients.registration_update import Change
from app.operations.client_report import readable
from app.operations.command_group import Outcome

VERBS = {Kind.CREATE: "created", Kind.UPDATE: "changed", Kind.REMOVE: "removed"}
MEMBERS = {Kind.CREATE: "created", Kind.UPDATE: "updated", Kind.REMOVE: "removed"}
OF_TOKENS = {"scope", "default_scope", "claims", "format", "lifetime"}
# What a run leaves alone, or cannot do, by the attribute of a difference that names the clients.
NOTES = {
    "undeclared": "No file declares {}: left alone; --prune removes such clients.",
    "disabled": "Disabled, and no file says whether that is meant: {}.",
    "ended": "Ended for good, and declared by a file: {}. It stays ended: remove it from the file.",
    "without_key": "Without a key, and so without tokens: {}. `flask clients add-key NAME` gives a client its first.",
    "without_trust": "Without a trust, and so without tokens: {}. `flask clients trust NAME` gives a client its first.",
    "unfetched": "Not fetched by this run: the keys of {}. `flask clients keys NAME --fetch` says if they can be had.",
}
TOKENS_STAY = (
    "Tokens issued before stay as they are until they expire; `flask tokens revoke --client NAME` revokes them."
)


def outcome(found: Difference, made: Mapping[str, str], *, is_dry: bool) -> Outcome:
    """What the command returns.

    Args:
        found: The difference.
        made: The ids of the clients that were created, by name.
        is_dry: Whether nothing was done; then `changed` means that something would be.
    """
    text = [*(line for step in found.steps for line in lines(step, made)), *notes(found, is_dry=is_dry)]
    return Outcome(document(found, made, is_dry=is_dry), "\n".join(text), changed=bool(found.steps))


def lines(step: Step, made: Mapping[str, str]) -> Iterator[str]:
    client_id = step.client_id or made.get(step.name)
    yield f"{step.kind} {step.name}" + (f" ({client_id})" if client_id else "")
    for change in step.changes:
        yield f"    {change.what:18}{in_words(step.kind, change)}"


def notes(found: Difference, *, is_dry: bool) -> list[str]:
    """Sentences about the whole: what was done, and what was left alone."""
    counts = ", ".join(f"{len(found.of(kind))} {verb}" for kind, verb in VERBS.items())
    said = [f"{counts}, {found.unchanged} as declared."]
    if not found.steps:
        said = [f"Nothing to do: {found.unchanged} as declared."]
    elif is_dry:
        said = [f"Dry run, nothing was changed. It would be: {said[0]}"]
    elif any(change.what in OF_TOKENS for step in found.of(Kind.UPDATE) for change in step.changes):
        said.append(TOKENS_STAY)
    about = {name: getattr(found, name) for name in NOTES}
    return said + [NOTES[name].format(listed(names)) for name, names in about.items() if names]


def in_words(kind: Kind, change: Change) -> str:
    new = said(change.what, change.new)
    return new if kind is Kind.CREATE else f"{said(change.what, change.old)} -> {new}"


def said(what: str, value: object) -> str:
    """A value as a file has it; one that is left out has its default."""
    if what in VALUES and VALUES[what].rows:
        return ", ".join(in_a_file(what, value) or ()) or "none"
    value = in_a_file(what, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return readable(value) or ("none" if what == "jwks_uri" else "(default)")


def in_a_file(what: str, value: Any) -> Any:
    if what == "grant":
        return None if value is None else bool(value)
    return VALUES[what].shown(value) if what in VALUES and value is not None else value


def document(found: Difference, made: Mapping[str, str], *, is_dry: bool) -> dict[str, Any]:
    return {
        "dry_run": is_dry,
        **{MEMBERS[kind]: [described(step, made) for step in found.of(kind)] for kind in Kind},
        "unchanged": found.unchanged,
        **{name: list(getattr(found, name)) for name in NOTES},
    }


def described(step: Step, made: Mapping[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"client_id": step.client_id or made.get(step.name), "name": step.name}
    if step.kind is not Kind.REMOVE:
        shown["changes"] = {
            each.what: {"old": in_a_file(each.what, each.old), "new": in_a_file(each.what, each.new)}
            for each in step.changes
        }
    return shown
