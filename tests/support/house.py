"""The layers of `app`: which part imports which, from the same list for the test and for the picture."""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
APP = ROOT / "app"

# From the bottom up. A part imports parts of lower layers, and those to its left in its own layer.
FLOORS: tuple[dict[str, str], ...] = (
    {
        "clock": "what time it is",
        "per_app": "this app's X",
        "checks": "which check is made",
        "settings": "what a deployer chose",
        "trusted_proxies": "who the client is",
        "logs": "one line per event",
        "access_log": "one line per request",
        "gunicorn_log": "gunicorn's lines",
        "request_body": "read once, bounded",
        "metrics": "what is counted",
    },
    {"storage": "where data is stored"},
    {"audit": "what happened"},
    {"refusals": "why not"},
    {"keys": "what we sign with", "clients": "who may request a token"},
    {"remote_keys": "keys that are elsewhere", "authentication": "how a client proves who it is"},
    {"tokens": "what a token is"},
    {"oauth": "the protocol's endpoints", "api": "the sample API"},
    {"upkeep": "what the workers do by themselves"},
    {"health": "whether it is well", "copying": "what is moved"},
    {"journal": "what each request sent", "doctor": "what is wrong here"},
    {"operations": "what an operator does"},
    {"discovery": "what the server says about itself", "faults": "what goes wrong on purpose"},
    {"lesson": "what a learner has done"},
    {"playground": "where the flow can be seen"},
    {"__init__": "create_app(): the table of contents"},
)
ORDER = [room for floor in FLOORS for room in floor]
FILES = [file for file in APP.rglob("*.py") if "versions" not in file.parts]

WIDTH, FLOOR, BOX, GAP, LEFT = 880, 62, 46, 10, 40
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; text-anchor: middle }
  .room { font-weight: 600 } .question { font-size: 11px; fill: #57606a }
  rect { fill: #f6f8fa; stroke: #afb8c1; rx: 6 } path { stroke: #57606a; fill: none; marker-end: url(#head) }
  marker path { fill: #57606a; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .question { fill: #9198a1 } rect { fill: #161b22; stroke: #3d444d }
    path { stroke: #9198a1 } marker path { fill: #9198a1 }
  }
"""


def room_of(file: Path) -> str:
    inside = file.relative_to(APP).parts
    return "migrations" if "migrations" in inside else inside[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    """The rooms that a file imports, anywhere in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "app":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("app."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("app.")}
    return found


def picture() -> str:
    """The layers as SVG, the lowest at the bottom; the one arrow says which way imports point."""
    height = len(FLOORS) * FLOOR + GAP
    shapes = [f'<path d="M20 {GAP} V{height - GAP - 8}"/>']
    for level, floor in enumerate(reversed(FLOORS)):
        width = (WIDTH - LEFT - GAP * len(floor)) / len(floor)
        for place, (room, question) in enumerate(floor.items()):
            x, y = LEFT + place * (width + GAP), GAP + level * FLOOR
            middle = x + width / 2
            shapes += [
                f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX}"/>',
                f'<text class="room" x="{middle:.0f}" y="{y + 19}">{escape(room)}</text>',
                f'<text class="question" x="{middle:.0f}" y="{y + 36}">{escape(question)}</text>',
            ]
    head = '<marker id="head" markerWidth="8" markerHeight="8" refX="4" refY="4" orient="auto">'
    head += '<path d="M0 0L8 4L0 8z"/></marker>'
    title = "The layers of app/: imports point down"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">',
            f"<title>{title}</title><style>{STYLE}</style><defs>{head}</defs>",
            *shapes,
            "</svg>\n",
        ]
    )
