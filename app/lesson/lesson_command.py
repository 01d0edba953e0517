"""`flask lesson`: the steps of the tutorial, each ticked when the journal shows that it was done."""

from __future__ import annotations

import contextlib
import textwrap
import time
from typing import Any

import click

from app.journal.entry import Entry
from app.journal.journal_file import Journal
from app.lesson.progress import AGAIN, steps_of
from app.operations.command_group import as_json, operator_command, print_json
from app.operations.development_journal import open_journal

NOTHING_YET = "Nothing so far: start the server with `make run` in another terminal, then do step 1."
ALL_DONE = "All steps are done. `flask lesson --again` starts over."
OF_DEVELOPMENT = "A server in production does not record its requests, so there are no steps to tick."


@operator_command("lesson")
@click.option("--watch", is_flag=True, help="Print each step as it is done, until the last one or Ctrl-C.")
@click.option("--again", is_flag=True, help="Start over; the journal is not deleted.")
@as_json
def lesson(watch: bool, again: bool, as_json: bool) -> None:
    """Show which steps of the tutorial are done, and the next one."""
    journal = open_journal(OF_DEVELOPMENT)
    if again and not journal.append(Entry(at=time.time(), command=AGAIN)):
        raise click.ClickException(f"{journal.file} cannot be written.")
    steps = steps_of(journal)
    if as_json:
        print_json({"steps": steps})
        return
    click.echo(overview(steps, is_new=not journal.entries()))
    if watch:
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it
            watch_steps(journal, steps)


def overview(steps: list[dict[str, Any]], *, is_new: bool) -> str:
    lines = [row(step) for step in steps]
    following = next_step(steps)
    done = sum(step["done"] for step in steps)
    return "\n".join([f"{done} of {len(steps)} steps are done.", *lines, "", *[NOTHING_YET] * is_new, following])


def row(step: dict[str, Any]) -> str:
    mark = click.style("✓", fg="green") if step["done"] else "·"
    return f"  {mark} {step['number']:2}  {step['title']}"


def next_step(steps: list[dict[str, Any]]) -> str:
    """The first step that is not done, with its command and what the last attempt lacked."""
    step = next((step for step in steps if not step["done"]), None)
    if step is None:
        return ALL_DONE
    note = f"\n{textwrap.fill(sentence(step['note']), 96)}" if step["note"] else ""
    return f"Step {step['number']}: {step['title']}.{note}\n{step['sentence']}\n\n  {step['command']}"


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def watch_steps(journal: Journal, steps: list[dict[str, Any]]) -> None:
    """Print each step as it is done, while the journal grows."""
    for _ in journal.follow([]):
        before, steps = steps, steps_of(journal)
        for was, step in zip(before, steps, strict=True):
            if step["done"] and not was["done"]:
                click.echo(f"\n{row(step)}")
        if steps != before:
            click.echo(f"\n{next_step(steps)}")
        if all(step["done"] for step in steps):
            return
