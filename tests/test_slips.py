"""The slips of the playground's step "Break it": each causes what it declares, and no cause is left out."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from flask import Flask

import config
from app.faults.table import FAULTS, Kind
from app.playground.elsewhere import ELSEWHERE
from app.playground.slip import Elsewhere, Slip
from app.playground.slips import EVERY_SLIP, GROUPS, SERVER_SLIPS, SLIPS, for_page, remedy
from app.refusals import assertion_causes
from app.refusals.codes import CODES
from tests.conftest import LiveServer, curl
from tests.support import slip_requests

DEMOS = [demo.client_id for demo in config.DEMO_CLIENTS if demo.secret]
# A dropped connection needs a connection, a redirect is hidden by a browser alone, and nobody waits here.
IN_A_BROWSER_ALONE = ("fault-drop", "fault-cut", "fault-redirect", "fault-slow-5s")
SENT_IN_PROCESS = [slip for slip in EVERY_SLIP if slip.name not in IN_A_BROWSER_ALONE]
CAUSES = [(code, cause) for code, entry in CODES.items() for cause, _ in entry.causes]
# The page signs nothing: a page that signs would hold a private key. test_rfc7523.py sends each of these.
OF_ASSERTIONS = {*assertion_causes.rows("invalid_request"), *assertion_causes.rows("invalid_client")}
HAVE_A_SLIP = [(code, cause) for code, cause in CAUSES if cause not in {sentence for sentence, _ in OF_ASSERTIONS}]


@pytest.fixture
def database_url(prepared: Callable[[str], str]) -> str:
    """One kind is enough: what the responses depend on is tested on both elsewhere."""
    return prepared("sqlite")


@pytest.mark.parametrize("slip", [pytest.param(slip, id=slip.name) for slip in SENT_IN_PROCESS])
def test_a_slip_causes_what_it_declares(app: Flask, slip: Slip) -> None:
    response = slip_requests.send(app, slip)

    checks = json.loads(response.headers["X-Keyturn-Checks"])
    failed = [name for name, passed in checks if not passed]
    assert (response.status_code, (response.get_json(silent=True) or {}).get("error")) == (slip.status, slip.error), (
        response.text
    )
    assert failed == ([slip.check] if slip.check else []), checks


@pytest.mark.parametrize("cause", HAVE_A_SLIP, ids=lambda each: f"{each[0]}: {each[1]}")
def test_every_cause_of_the_table_has_a_slip_or_a_reason_why_no_page_can_send_it(cause: tuple[str, str]) -> None:
    tried = [slip.name for slip in SLIPS if slip.cause == cause]
    explained = [each.why for each in ELSEWHERE if each.cause == cause]

    assert bool(tried) != bool(explained), (tried, explained)


def test_every_fault_of_a_response_or_a_token_has_a_slip_with_what_a_good_client_does() -> None:
    faults = {fault.used_as: fault.good for fault in FAULTS.values() if fault.kind is not Kind.ISSUER}

    assert {slip.name for slip in SERVER_SLIPS} == {slip.acts_as for slip in SERVER_SLIPS} == set(faults)
    for slip in SERVER_SLIPS:
        assert faults[slip.name].strip()[1:] in slip.remedy


def test_a_slip_and_a_reason_name_causes_of_the_table() -> None:
    named = {each.cause for each in (*SLIPS, *ELSEWHERE) if each.cause}

    assert named <= set(CAUSES)
    assert [slip.name for slip in SLIPS if slip.cause and slip.cause[0] != slip.error] == []


def test_every_slip_is_named_once_and_has_three_different_guesses() -> None:
    assert [name for name, count in Counter(slip.name for slip in EVERY_SLIP).items() if count > 1] == []
    assert [title for title, count in Counter(slip.title for slip in EVERY_SLIP).items() if count > 1] == []
    for slip in EVERY_SLIP:
        assert slip.question.endswith(("?", ".")), slip.name
        assert len(set(slip.guesses)) == 3
        assert 0 <= slip.right < 3
        assert remedy(slip).endswith((".", "`"))
        assert {slip.client, slip.token_of or slip.client} <= set(DEMOS)


def test_the_right_guess_is_in_no_place_more_often_than_in_three_of_five() -> None:
    places = Counter(slip.right for slip in EVERY_SLIP)

    assert set(places) == {0, 1, 2}
    assert max(places.values()) <= 0.6 * len(EVERY_SLIP)


def test_the_page_gets_only_slips_of_clients_that_are_registered() -> None:
    every = for_page(DEMOS, has_sample_api=True)
    some = for_page(["demo-partner"], has_sample_api=True)

    assert [slip["name"] for slip in every["slips"]] == [slip.name for slip in EVERY_SLIP]
    assert {group["name"] for group in every["groups"]} == {slip.group for slip in EVERY_SLIP} == set(GROUPS)
    assert {slip["client"] for slip in some["slips"]} == {"demo-partner"}


def test_without_the_sample_api_the_page_gets_no_slip_that_calls_it(new_app: Callable[..., Flask]) -> None:
    app = new_app(sample_api="off")
    names = {slip["name"] for slip in for_page(DEMOS, has_sample_api=False)["slips"]}

    assert names < {slip.name for slip in EVERY_SLIP}
    for slip in SENT_IN_PROCESS:
        if slip.name in names:
            assert slip_requests.send(app, slip).status_code == slip.status, slip.name


WITH_CURL = [pytest.param(each, id=each.title) for each in ELSEWHERE if each.command.startswith("curl")]


@pytest.mark.parametrize("each", WITH_CURL)
def test_what_a_browser_cannot_send_prints_with_curl_what_is_declared(
    live: Callable[..., LiveServer], each: Elsewhere
) -> None:
    curl()
    server = live()
    command = each.command.replace("{issuer}", server.url).replace("{authority}", urlsplit(server.url).netloc)

    direct = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}

    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, env=direct)

    assert run.returncode != 0
    assert each.prints in run.stdout + run.stderr
