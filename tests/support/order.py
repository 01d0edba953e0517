"""The order of the tests, and which of them are drills or long runs of other tools.

pytest-xdist runs a whole file in one process. By itself it would start with the files that have the most tests,
and one process would be left at the end with a few that take minutes: so the slowest files come first.
A test marked `drill` runs in `make drills` only, together with all tests of the drill files; in the same way one
marked `browser` in `make browser`, with all of `tests/browser/`, and one marked `tools` in `make tools`.
"""

from __future__ import annotations

import pytest

LONGEST = (
    "test_drills",
    "test_hostile",
    "test_tutorial",
    "test_protect_your_api",
    "test_resource_server",
    "test_documents",
    "test_fleet",
    "test_collection",
    "test_mutations",
    "test_mocks",
    "test_throwaway",
    "test_faults",
    "test_faults_live",
    "test_real_clients",
    "test_clocks",
    "test_sockets",
    "test_prepare",
    "test_reloading",
    "test_start",
    "test_terminal",
    "test_lesson",
    "test_ways_to_start",
    "test_proxies",
    "test_pages",
    "test_live",
    "test_looks",
    "test_take_home",
    "test_break_it",
)
DRILLS = ("test_drills", "test_sockets", "test_proxies", "test_pooler", "test_frozen", "test_clocks", "test_upgrade")


LONG_FORMS = ("drills", "browser", "tools")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--drills", action="store_true", help="run the drills, and nothing else")
    parser.addoption("--browser", action="store_true", help="run all tests in a browser, and nothing else")
    parser.addoption("--tools", action="store_true", help="run the long form of the tests with other tools only")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    only = next((name for name in LONG_FORMS if config.getoption(f"--{name}")), None)
    chosen = [item for item in items if is_chosen(item, only)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    places = {name: place for place, name in enumerate(LONGEST)}
    items[:] = sorted(chosen, key=lambda item: places.get(item.path.stem, len(LONGEST)))


def is_chosen(item: pytest.Item, only: str | None) -> bool:
    if only == "browser":
        return item.path.parent.name == "browser"
    is_drill = item.get_closest_marker("drill") is not None
    if only == "drills":
        return is_drill or item.path.stem.startswith(DRILLS)
    marked = [name for name in ("browser", "tools") if item.get_closest_marker(name)]
    return only in marked if only else not (is_drill or marked)
