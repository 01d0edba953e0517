"""The assertions of the collection can fail: each fault of a recorded response is noticed by at least one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.cases import CASES
from tests.conftest import build_app, close, demo
from tests.support import mutations
from tests.support.mutation_run import Recording, noticed
from tests.support.mutations import Mutation, Recorded
from tests.support.npm import Npm

LATER = "A response that says later says after how many seconds"
CHUNK = 250  # mutations in one run of newman, whose report has every response


@pytest.fixture(scope="module")
def recording(prepared: Callable[[str], str]) -> Recording:
    return Recording(prepared("sqlite"))


def unnoticed(npm: Npm, recording: Recording, chosen: list[Mutation], folder: Path) -> list[str]:
    chunks = [chosen[start : start + CHUNK] for start in range(0, len(chosen), CHUNK)]
    failed = [each for chunk in chunks for each in noticed(npm, recording, chunk, folder)]
    return [str(mutation) for mutation, assertions in zip(chosen, failed, strict=True) if not assertions]


def one_of_each(chosen: Iterable[Mutation]) -> list[Mutation]:
    return list({(mutation.kind, mutation.what): mutation for mutation in chosen}.values())


def test_no_assertion_fails_for_what_was_recorded(npm: Npm, recording: Recording, tmp_path: Path) -> None:
    unchanged = [Mutation("not", "changed", case, recording.responses[case.name]) for case in CASES]

    assert noticed(npm, recording, unchanged, tmp_path) == [[] for _ in unchanged]


def test_one_mutation_of_each_kind_is_noticed(npm: Npm, recording: Recording, tmp_path: Path) -> None:
    chosen = one_of_each(mutations.all_of(recording.responses, recording.tokens))

    assert unnoticed(npm, recording, chosen, tmp_path) == []
    assert len(chosen) > 200


def test_retry_after_must_be_in_a_response_that_says_later(
    npm: Npm, recording: Recording, prepared: Callable[[str], str], tmp_path: Path
) -> None:
    case = CASES[0]
    app = build_app(database_url=prepared("sqlite"), issuer=recording.url, limit_requests="1/hour")
    machine = demo(app, "demo-reporting")
    machine.token()
    response = machine.request_token()
    limited = Recorded(response.status_code, dict(response.headers), response.text)
    close(app)
    rest = {name: value for name, value in limited.headers.items() if name != "Retry-After"}
    responses = [limited, replace(limited, headers=rest), replace(limited, headers=rest | {"Retry-After": "soon"})]

    failed = noticed(npm, recording, [Mutation("a", "limit", case, each) for each in responses], tmp_path)

    assert limited.status == 429
    assert [LATER in assertions for assertions in failed] == [False, True, True]


def test_every_header_member_and_claim_of_the_profile_is_dropped_and_altered(recording: Recording) -> None:
    made = {f"{each.kind} {each.what}" for each in mutations.all_of(recording.responses, recording.tokens)}

    for kind, names in (("header", mutations.HEADERS), ("member", mutations.MEMBERS), ("JWT", mutations.CLAIMS)):
        assert [name for name in names if f"{kind} {name} dropped" not in made] == []
    altered = [name for name, wrong in mutations.MEMBERS.items() if wrong is not None]
    assert [name for name in altered if f"member {name} altered" not in made] == []
    assert [name for name in mutations.PRIVATE if f"key {name} published" not in made] == []
    assert "list client_id of another among events" in made
    assert "signature destroyed" in made


@pytest.mark.tools
def test_every_mutation_is_noticed(
    npm: Npm, recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = mutations.all_of(recording.responses, recording.tokens)

    missed = unnoticed(npm, recording, chosen, tmp_path)

    counted = Counter(mutation.kind for mutation in chosen)
    with capsys.disabled():
        print("\n" + "\n".join(f"{count:6} mutations of: {kind}" for kind, count in counted.items()))  # noqa: T201
    assert missed == []
    assert set(counted) == {*mutations.KINDS, "signature"}
