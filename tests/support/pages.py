"""The pages for readers, in Markdown: their commands, tables, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Page:
    """One file of Markdown, and what a reader finds in it."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without its blocks of code."""
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.DOTALL | re.MULTILINE)

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.DOTALL | re.MULTILINE)

    def commands(self) -> Iterator[tuple[str, str]]:
        """Every command, with the output that is shown for it."""
        for block in self.blocks("console"):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield command, output

    def table(self, first: str) -> list[list[str]]:
        """The rows of the tables whose first column has this heading, in order."""
        found = re.findall(rf"^\| {first} \|.*\n\| ---.*\n((?:\|.*\n)+)", self.text, re.MULTILINE)
        assert found, f"{self.name} has no table of {first}"
        return [[cell.strip() for cell in row.strip("|\n").split(" | ")] for row in "".join(found).splitlines()]

    def section(self, heading: str) -> str:
        found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", self.text, re.DOTALL | re.MULTILINE)
        assert found, f"{self.name} has no section {heading}"
        return found[1]

    def anchors(self) -> set[str]:
        """What `#…` may name: GitHub's ids of the headings."""
        found: dict[str, int] = {}
        for heading in re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE):
            anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            found[anchor] = found.get(anchor, -1) + 1
        return {f"{name}-{number}" if number else name for name, last in found.items() for number in range(last + 1)}

    def links(self) -> list[str]:
        """The targets of all links and pictures that lead to a file of the project."""
        targets = re.findall(r"\]\(([^)\s]+)\)", self.prose) + re.findall(r'\bsrc(?:set)?="([^"]+)"', self.prose)
        return [target for target in targets if not target.startswith(("http://", "https://"))]

    def linked(self, target: str) -> Path:
        """The file or folder that a link leads to."""
        path = target.partition("#")[0]
        return (self.path.parent / path).resolve() if path else self.path


def pattern(shown: str) -> re.Pattern[str]:
    """A pattern for the output that is shown; … matches anything."""
    return re.compile(".*".join(re.escape(part) for part in shown.strip().split("…")), re.DOTALL)


README = Page(ROOT / "README.md")
INDEX = Page(ROOT / "docs" / "README.md")
PAGES = [
    README,
    *(Page(ROOT / name) for name in ("CONTRIBUTING.md", "SECURITY.md", "mocks/README.md")),
    *(Page(file) for file in sorted((ROOT / "docs").rglob("*.md"))),
]


def page(name: str) -> Page:
    """The page of this name in docs/."""
    return Page(ROOT / "docs" / f"{name}.md")
