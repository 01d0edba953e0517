"""What a page tells its reader to do: commands to type, files to save, edits to make.

A fenced block is one of these; any other is for the eye only:

- `console`: a line that begins with `$ ` is typed, and the lines below it are the output, in which `…` matches
  anything. A line `^C` stops the last program that was started and still runs.
- a block whose first line is a comment with a file name (`# invoices.py`) is that file.
- `diff`: an edit of the file behind `+++`; its lines occur in that file exactly once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"(?:#|//) (\S+\.\w+)\n")


@dataclass(frozen=True)
class Command:
    """What is typed, and what the page shows below it."""

    text: str
    shown: str


@dataclass(frozen=True)
class Stop:
    """Ctrl-C, in the terminal of the last program that was started."""


@dataclass(frozen=True)
class NewFile:
    name: str
    text: str


@dataclass(frozen=True)
class Edit:
    name: str
    before: str
    after: str


Step = Command | Stop | NewFile | Edit


def steps(page: str) -> Iterator[Step]:
    """What a page tells its reader to do, in its order."""
    for kind, text in BLOCK.findall(page):
        if kind == "console":
            yield from typed(text)
        elif kind == "diff":
            yield edit(text)
        elif named := FILE.match(text):
            yield NewFile(named[1], text)


def typed(block: str) -> Iterator[Command | Stop]:
    for part in re.split(r"^(?=\$ |\^C$)", block, flags=re.MULTILINE):
        if part.startswith("^C"):
            yield Stop()
        elif part:
            command, _, shown = part.removeprefix("$ ").partition("\n")
            yield Command(command, shown)


def edit(diff: str) -> Edit:
    old, new, *lines = diff.splitlines()
    assert old.startswith("--- ")
    assert all(line[:1] in " +-" for line in lines), diff  # a blank line is one of the file
    before, after = ("".join(f"{line[1:]}\n" for line in lines if line[:1] != skipped) for skipped in "+-")
    return Edit(new.removeprefix("+++ "), before, after)
