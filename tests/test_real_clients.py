"""Real clients get tokens, use them, and do with each fault what docs/real-clients.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from app.faults.table import FAULTS
from tests.support import real_clients
from tests.support.npm import Npm
from tests.support.pages import page
from tests.support.real_clients import AN_API, CLIENTS, IN_PYTHON, TOKEN, in_words, meet, meet_all, throwaway

PAGE = page("real-clients")
# That a client meets in `make test`; `make tools` lets each meet all.
SOME = ["fault-401", "fault-drop", "fault-redirect", "fault-no-access-token", "fault-less-scope", "fault-expired"]
ONCE = [f"fault-{name}-once" for name in ("429", "503", "500", "drop", "cut")]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with throwaway() as found:
        yield found


def on_the_page() -> dict[str, dict[str, str]]:
    """For each fault of the tables, what each client does."""
    found = {}
    for head, body in re.findall(r"^\| fault \| (.*) \|\n\| ---.*\n((?:\|.*\n)+)", PAGE.text, re.MULTILINE):
        for row in body.splitlines():
            fault, *cells = row.strip("| ").split(" | ")
            found[fault.strip("`")] = dict(zip(head.split(" | "), cells, strict=True))
    return found


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_gets_a_token_uses_it_and_does_with_a_fault_what_the_page_says(
    issuer: str, npm: Npm, client: str
) -> None:
    good, *found = meet(client, issuer, npm, ["fault", *SOME])

    assert good["used"] == {"status": 200}
    assert good["expires_in"] == 3600
    assert good["sent"] == [TOKEN]
    shown = on_the_page()
    assert {fault: in_words(fault, each) for fault, each in zip(SOME, found, strict=True)} == {
        fault: shown[fault][client] for fault in SOME
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_no_client_tries_again_by_itself_and_the_next_call_gets_a_token(issuer: str, npm: Npm, client: str) -> None:
    twice = [f"{fault}~{client}" for fault in ONCE for _ in range(2)]

    found = meet(client, issuer, npm, twice)

    assert all("raises" in each and each["sent"] == [TOKEN] for each in found[::2])
    assert all(each["used"] == {"status": 200} for each in found[1::2])


def test_the_page_has_each_fault_and_each_client_and_what_it_says_of_all_is_so() -> None:
    shown = on_the_page()

    assert list(shown) == real_clients.names()
    assert all({*CLIENTS} <= row.keys() for fault, row in shown.items() if fault.startswith("fault-"))
    assert [cell for row in shown.values() for cell in row.values() if "tries again" in cell] == []
    assert {shown["fault-slow-5s"][client] for client in CLIENTS} == {"accepts it"}
    refused = {fault.used_as for fault in FAULTS.values() if fault.kind == "token" and fault.name != "no-scope"}
    assert [fault for fault in refused if not shown[fault][AN_API].startswith("raises")] == []
    assert all(f"{client} {version(client)}" in PAGE.text for client in IN_PYTHON)


@pytest.mark.tools
def test_each_client_does_with_each_fault_what_the_page_says(issuer: str, npm: Npm) -> None:
    made = real_clients.page(meet_all(issuer, npm))

    assert made == PAGE.text, "run `python -m tests.support.real_clients`, and tell the page's readers"
