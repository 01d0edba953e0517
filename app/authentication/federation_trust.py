"""Which client trusts a token whose signature, audience and times are right: exactly one, or it is refused.

A refusal names the claim that differs from the nearest trust: that of the client that the request names, if it has
one, and of those the trust that most of the claims match.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from app.authentication.assertion import refuse
from app.authentication.federation_claims import MAX_SHOWN, shown_value
from app.checks import Check, making
from app.clients.credential import has_ended
from app.clients.known_trust import KnownTrust, find_some, find_trusts
from app.clients.trust_rules import identities, member, mismatches, value_of
from app.clock import duration, now
from config import Issuer

TRUST = Check("platform_trust", "Its claims are what exactly one client expects.", "our own")

Token = Mapping[str, Any]


def find_trust(issuer: Issuer, token: Token, client_id: str) -> KnownTrust:
    """The trust that a token matches.

    Args:
        issuer: Whose token it is.
        token: Its claims.
        client_id: The client that the request names; empty if it names none.

    Raises:
        RefusedError: `invalid_client`, if it matches no trust that works, or those of several clients, or that of
            another client than the request names.
    """
    making.now.check = TRUST
    found = [each for each in find_trusts(issuer.issuer, identities(issuer, token)) if fits(each, token)]
    working = [each for each in found if not has_ended(each)]
    clients = list(dict.fromkeys(each.client for each in working))
    if len(clients) > 1:
        refuse("trust_ambiguous", clients=" and ".join(clients[:2]))
    if not working:
        refuse_nearest(issuer, token, found, client_id)
    if client_id not in ("", working[0].client_id):
        refuse("trust_of_another", trust=named(working[0]), client_id=working[0].client_id)
    return working[0]


def fits(trust: KnownTrust, token: Token) -> bool:
    return not mismatches(trust.claims, token)


def refuse_nearest(issuer: Issuer, token: Token, ended: list[KnownTrust], client_id: str) -> NoReturn:
    """Refuse a token that matches no trust that works; after a refusal one statement more may be run."""
    if ended:
        last = max(ended, key=lambda each: each.not_after or 0)
        # An end that an operator ordered may be in the future on this machine's clock.
        refuse("trust_ended", trust=named(last), ago=duration(max(0, now() - (last.not_after or now()))))
    known = [each for each in find_some(issuer.issuer, client_id) if not has_ended(each)]
    known = [each for each in known if each.client_id == client_id] or known
    if not known:
        refuse("no_trust", issuer=issuer.name)
    nearest = min(known, key=lambda each: distance(each, token))
    if fits(nearest, token):
        refuse("trust_not_found", trust=named(nearest), issuer=issuer.name)
    claim = mismatches(nearest.claims, token)[0]
    expected, words = nearest.claims[claim], {"claim": claim, "trust": named(nearest)}
    value = value_of(token, claim)
    if value is not None:
        expected, came = from_where_they_differ(expected, value)
        refuse("claim_differs", came=shown_value(came), expected=shortened(expected), **words)
    cause = "claim_missing" if member(token, claim) is None else "claim_form"
    refuse(cause, expected=shortened(expected), **words)


def distance(trust: KnownTrust, token: Token) -> tuple[int, int, int]:
    """How far a token is from matching a trust: by the claims that differ, that match, and how alike the first is."""
    wrong = mismatches(trust.claims, token)
    alike = beginning(trust.claims[wrong[0]], value_of(token, wrong[0]) or "") if wrong else 0
    return len(wrong), len(wrong) - len(trust.claims), -alike


def beginning(one: str, other: str) -> int:
    """How many characters two texts begin with alike; hundreds of trusts are compared."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def from_where_they_differ(expected: str, value: str) -> tuple[str, str]:
    """Both values, without what they begin with alike if they are long: a reason is short."""
    alike = expected[: beginning(expected, value)].rpartition("/")[0]
    if max(len(expected), len(value)) <= MAX_SHOWN or not alike:
        return expected, value
    return f"...{expected[len(alike) :]}", f"...{value[len(alike) :]}"


def shortened(expected: str) -> str:
    return expected if len(expected) <= MAX_SHOWN else f"{expected[:MAX_SHOWN]}..."


def named(trust: KnownTrust) -> str:
    return f"{trust.name} of {trust.client}"
