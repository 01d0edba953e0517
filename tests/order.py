"""This file is the order of the tests: the files that take longest come first.

pytest-xdist gives a whole file to one process; by itself it would begin with the files of most tests, and
leave one process alone at the end with a few that take minutes.
"""

from __future__ import annotations

import pytest

LONGEST = (
    "test_drills",
    "test_hostile",
    "test_protect_your_api",
    "test_resource_server",
    "test_documents",
    "test_sockets",
    "test_prepare",
    "test_ways_to_start",
    "test_proxies",
    "test_pages",
    "test_live",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))
