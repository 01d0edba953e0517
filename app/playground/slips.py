"""All slips, and what goes wrong elsewhere: the content of the playground's step "Break it".

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
from app.playground.server_slips import find_slips
from app.playground.slip import Slip
from app.playground.token_slips import TOKEN_SLIPS
from app.refusals.codes import CODES

SLIPS: tuple[Slip, ...] = (*REQUEST_SLIPS, *CREDENTIAL_SLIPS, *SCOPE_SLIPS, *TOKEN_SLIPS, *ADDRESS_SLIPS)
SERVER_SLIPS = find_slips()
EVERY_SLIP = (*SLIPS, *SERVER_SLIPS)
GROUPS = {
    "request": "How you send it",
    "credentials": "Who you are",
    "scope": "What you request",
    "token": "The token at the API",
    "address": "The address",
    "server": "The server's fault: a bad response",
    "server_token": "The server's fault: a bad token",
}
ABOUT = {
    "server": "Here the client does everything right, and the server does something wrong: the client id says what. "
    "These ids work in every client that you want to test, with the secret of the demo client `fault`.",
    "server_token": "The response looks right, but one thing in its token is wrong. Every API must refuse the token: "
    "this one does, and the page shows which check fails.",
}


def for_page(clients: Iterable[str], *, has_sample_api: bool) -> dict[str, Any]:
    """The slips and their groups as the page reads them, JSON-ready.

    Args:
        clients: The demo clients that are registered; a slip of any other is left out.
        has_sample_api: Whether the sample API exists; otherwise the slips that call it are left out.
    """
    registered = set(clients)
    shown = [slip for slip in EVERY_SLIP if {slip.client, slip.token_of or slip.client} <= registered]
    if not has_sample_api:
        shown = [slip for slip in shown if not calls_api(slip)]
    return {
        "groups": [{"name": name, "title": title, "about": ABOUT.get(name, "")} for name, title in GROUPS.items()],
        "slips": [asdict(slip) | {"remedy": remedy(slip)} for slip in shown],
        "elsewhere": [asdict(each) for each in ELSEWHERE],
    }


def calls_api(slip: Slip) -> bool:
    return slip.group in ("token", "server_token") or slip.name == "wrong-method"


def remedy(slip: Slip) -> str:
    """What to do about it: from the table of codes, if the slip is one of its causes."""
    if slip.cause is None or slip.remedy:
        return slip.remedy
    code, cause = slip.cause
    return dict(CODES[code].causes)[cause]
