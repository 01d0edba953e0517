"""Code that a page shows by reference: `<!-- from app/api/guard.py: AccessTokenValidator -->` above a block.

`make docs` writes the block from the file, and a test fails while the two differ. Behind the colon are names,
separated by commas, in the order of the page: a function, a class, or a variable with the statements that call its
methods or loop over it. `DEMO_CLIENTS[1]` is one element of a tuple. Without names the block is the whole file.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
REFERENCE = re.compile(r"(<!-- from (\S+?)(?:: (.+?))? -->\n```\w+\n)(.*?)(^```$)", re.DOTALL | re.MULTILINE)
ELEMENT = re.compile(r"(\w+)\[(\d+)\]")


def filled(page: str) -> str:
    """The page with each block as the sources are now."""
    return REFERENCE.sub(lambda found: found[1] + excerpt(found[2], found[3]) + found[5], page)


def excerpt(file: str, names: str | None) -> str:
    """The lines of a file that define these names.

    Raises:
        LookupError: If the file has no such name.
    """
    source = (ROOT / file).read_text(encoding="utf-8")
    if names is None:
        return source
    return "\n\n".join(found(source, name) for name in names.split(", "))


def found(source: str, name: str) -> str:
    tree = ast.parse(source)
    if element := ELEMENT.fullmatch(name):
        (assigned,) = [node for node in tree.body if isinstance(node, ast.Assign) and concerns(node, element[1])]
        assert isinstance(assigned.value, ast.Tuple)
        nodes: list[ast.AST] = [assigned.value.elts[int(element[2])]]
    else:
        nodes = [node for node in tree.body if concerns(node, name)]
    if not nodes:
        raise LookupError(f"there is no {name}")
    text, end = "", 0
    for node in nodes:
        start, last = span(source.splitlines(), node)
        text += ("" if start == end or not end else "\n") + lines(source, start, last)
        end = last
    return text


def concerns(node: ast.stmt, name: str) -> bool:
    """Whether a statement defines this name, calls a method of it, or loops over it."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return node.name == name
        case ast.Assign(targets=[ast.Name(id=target)]) | ast.AnnAssign(target=ast.Name(id=target)):
            return target == name
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=target)))):
            return target == name
        case ast.For(iter=ast.Name(id=target)):
            return target == name
    return False


def span(source: list[str], node: ast.AST) -> tuple[int, int]:
    """The first line of a node, with its decorators and the comment above it, and the line after its last."""
    decorators = getattr(node, "decorator_list", [])
    start = min(each.lineno for each in [node, *decorators]) - 1  # type: ignore[attr-defined]
    while start and source[start - 1].lstrip().startswith("#"):
        start -= 1
    return start, node.end_lineno  # type: ignore[attr-defined]


def lines(source: str, start: int, end: int) -> str:
    return textwrap.dedent("\n".join(source.splitlines()[start:end])).rstrip(",\n") + "\n"
