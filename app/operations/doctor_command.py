"""`flask doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext

from app.doctor.examining import OK, SKIPPED, Result, examine
from app.doctor.finding import FAULT, NOTE, UNKNOWN, WARNING, Finding
from app.operations.command_group import FAILED, REFUSED, OperatorCommand, as_json, exit_codes, print_json


@click.command("doctor", cls=OperatorCommand)
@as_json
@click.pass_context
@with_appcontext
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Find what is wrong with this installation, and say what to do. It changes nothing.

    It ends with 1 if anything is wrong, and with 3 if something could not be found out. A warning is no fault.
    """
    results = []
    with exit_codes(()):
        for result in examine(current_app._get_current_object()):  # type: ignore[attr-defined]
            results.append(result)
            if not as_json:
                print_result(result)
    found = [finding.kind for result in results for finding in result.findings]
    if as_json:
        print_json(
            {"healthy": FAULT not in found and UNKNOWN not in found, "checks": [as_dict(each) for each in results]}
        )
    else:
        click.echo(f"\n{summary(found)}")
    ctx.exit(REFUSED if FAULT in found else FAILED if UNKNOWN in found else 0)


def print_result(result: Result) -> None:
    notes = " ".join(each.what for each in result.findings if each.kind == NOTE)
    click.echo(f"{result.result:8} {result.name:14} {notes if result.result in (OK, SKIPPED) else ''}".rstrip())
    for each in result.findings:
        if each.kind != NOTE:
            click.echo(f"{'':8} {each.what}\n{'':8} -> {each.remedy}")


def as_dict(result: Result) -> dict[str, object]:
    return {
        "name": result.name,
        "result": result.result,
        "findings": [finding_as_dict(each) for each in result.findings],
    }


def finding_as_dict(finding: Finding) -> dict[str, str]:
    return {name: text for name, text in finding._asdict().items() if text}


def summary(kinds: list[str]) -> str:
    counts = [(FAULT, kinds.count(FAULT)), (UNKNOWN, kinds.count(UNKNOWN)), (WARNING, kinds.count(WARNING))]
    names = {FAULT: "wrong", UNKNOWN: "not found out", WARNING: "worth knowing"}
    said = [f"{count} {names[kind]}" for kind, count in counts if count]
    return f"{', '.join(said) if said else 'Nothing is wrong'}."
