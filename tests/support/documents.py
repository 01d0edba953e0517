"""Writes the generated files (`make docs`): for docs/, for Postman, and the examples of openapi.json.

It also writes the code that the tutorial shows, and the stubs of mocks/wiremock/.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path

from app import create_app
from app.discovery import error_pages, openapi
from app.settings import read_settings
from conformance import table
from conformance.cases import CASES
from conformance.clauses import CLAUSES
from tests.support import collection, examples, excerpts, fault_page, house, mocks, openapi_examples

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"


def errors() -> str:
    app = create_app(read_settings({}))
    with app.test_request_context():
        return error_pages.markdown()


def shown_by() -> dict[str, list[str]]:
    """For each clause, the cases and the test files that show it, with their number."""
    found: dict[str, Counter[str]] = {clause: Counter() for clause in CLAUSES}
    for case in CASES:
        for clause in case.clauses.split():
            found[clause]["cases"] += 1
    for file in sorted((ROOT / "tests").glob("test_*.py")):
        for name in re.findall(r"def (test_\w+)", file.read_text()):
            for clause in table.CLAUSE.findall(name):
                found[clause][f"`{file.name}`"] += 1
    return {clause: [f"{where} ({number})" for where, number in counted.items()] for clause, counted in found.items()}


def documents() -> dict[Path, str]:
    saved = examples.examples()
    return {
        DOCS / "errors.md": errors(),
        DOCS / "conformance.md": table.document(shown_by()),
        DOCS / "faults.md": fault_page.markdown(),
        DOCS / "floors.svg": house.picture(),
        **{page: excerpts.filled(page.read_text()) for page in sorted((DOCS / "tutorial").glob("*.md"))},
        collection.COLLECTION: collection.text(collection.collection(saved)),
        openapi.EXAMPLES: openapi_examples.text(openapi_examples.document(saved)),
        collection.ENVIRONMENT: collection.text(collection.environment()),
        **mocks.documents(),
    }


def write() -> None:
    logging.disable()
    for file, text in documents().items():
        file.write_text(text)


if __name__ == "__main__":
    write()
