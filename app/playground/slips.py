"""All slips, and what goes wrong elsewhere: what the step "break it" of the playground shows.

Every cause of the table of error codes has a slip, or a reason why no request from a page brings it about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from app.playground.credential_slips import CREDENTIAL_SLIPS
from app.playground.elsewhere import ELSEWHERE
from app.playground.request_slips import ADDRESS_SLIPS, REQUEST_SLIPS
from app.playground.scope_slips import SCOPE_SLIPS
from app.playground.slip import Slip
from app.playground.token_slips import TOKEN_SLIPS
from app.refusals.codes import CODES

SLIPS: tuple[Slip, ...] = (*REQUEST_SLIPS, *CREDENTIAL_SLIPS, *SCOPE_SLIPS, *TOKEN_SLIPS, *ADDRESS_SLIPS)
GROUPS = {
    "request": "The request's form",
    "credentials": "Who you are",
    "scope": "What you want",
    "token": "The token at the API",
    "address": "The address",
}


def for_page(clients: Iterable[str], *, has_sample_api: bool) -> dict[str, Any]:
    """The slips and their groups as the page reads them, JSON-ready.

    Args:
        clients: The demo clients that are registered; a slip of any other is left out.
        has_sample_api: Whether the sample API exists; otherwise the slips that call it are left out.
    """
    registered = set(clients)
    shown = [slip for slip in SLIPS if {slip.client, slip.token_of or slip.client} <= registered]
    if not has_sample_api:
        shown = [slip for slip in shown if slip.group != "token" and slip.name != "wrong-method"]
    return {
        "groups": [{"name": name, "title": title} for name, title in GROUPS.items()],
        "slips": [asdict(slip) | {"remedy": remedy(slip)} for slip in shown],
        "elsewhere": [asdict(each) for each in ELSEWHERE],
    }


def remedy(slip: Slip) -> str:
    """What to do about it: from the table of codes, if the slip is one of its causes."""
    if slip.cause is None or slip.remedy:
        return slip.remedy
    code, cause = slip.cause
    return dict(CODES[code].causes)[cause]
