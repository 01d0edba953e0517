"""What a response to a case shows of a server that is not ours: findings, each with a clause and a level.

A case compares with the response that Keyturn gives. Here each part of it counts for the clause that asks for it, at
the level of the RFC: M where it says MUST, S where it says SHOULD, D where it leaves room and Keyturn has decided.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from conformance.cases import Case
from conformance.challenges import challenged
from conformance.clauses import CLAUSES
from conformance.exchange import Response
from conformance.finding import Finding, clauses_of, told, weaker
from conformance.leeway import LEEWAY, STRICT, Leeway

B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
PRINTABLE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
URI_REFERENCE = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


def issued(case: Case, response: Response, requested: str) -> Iterator[Finding]:
    """What is wrong with a response that has to have a token (RFC 6749, section 5.1).

    Args:
        case: The case.
        response: The response.
        requested: The scope in the request.
    """
    first = clauses_of(case)[0]
    if response.status != 200:
        yield Finding(first, CLAUSES[first].level, f"a token was expected, and the response was {told(response)}")
        return
    members, token = response.members, response.members.get("access_token")
    if not isinstance(token, str) or not token:
        yield Finding("R051", "M", "access_token is missing, or no string")
    elif not B64TOKEN.fullmatch(token):
        yield Finding("R056", "M", "access_token has other characters than b64token")
    if str(members.get("token_type", "")).lower() != "bearer":
        yield Finding("R051", "M", f"token_type is {members.get('token_type')!r} instead of Bearer")
    if response.media_type != "application/json":
        yield Finding("R051", "M", f"Content-Type is {response.media_type or 'missing'}")
    if type(members.get("expires_in")) is not int:
        yield Finding("R052", "S", "expires_in is missing, or no whole number")
    if "refresh_token" in members:
        yield Finding("R053", "S", "there is a refresh_token")
    yield from not_stored(response, "M")
    yield from scope_is_named(members, requested)


def not_stored(response: Response, level: str) -> Iterator[Finding]:
    """RFC 6749, section 5.1, asks for both headers on a response with a token; on errors they are our own decision."""
    for header, word in (("Cache-Control", "no-store"), ("Pragma", "no-cache")):
        if word not in response.headers.get(header, "").lower():
            yield Finding("R054", level, f"{header}: {word} is missing")


def scope_is_named(members: dict[str, Any], requested: str) -> Iterator[Finding]:
    """RFC 6749, section 5.1: scope is optional if it is identical to the one requested."""
    if isinstance(members.get("scope"), str):
        return
    granted = claims(members.get("access_token")).get("scope")
    if granted is not None and set(str(granted).split()) != set(requested.split()):
        yield Finding("R044", "M", f"scope is missing, and the token's is {granted!r}: another one than requested")
    else:
        yield Finding("R044", "D", "scope is missing; it may be, if it is the one requested")


def claims(token: object) -> dict[str, Any]:
    """The claims of a JWT, unverified; empty for any other token."""
    try:
        part = str(token).split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def allowed(case: Case, methods: list[str]) -> Leeway:
    """What the RFCs let a server do that lists these authentication methods."""
    leeway = LEEWAY.get(case.name, STRICT)
    return STRICT if set(leeway.unless) & set(methods) else leeway


def refused(case: Case, response: Response, leeway: Leeway, *, by_header: bool) -> Iterator[Finding]:
    """What is wrong with a response that has to refuse a request (RFC 6749, section 5.2).

    Args:
        case: The case.
        response: The response.
        leeway: What else is allowed.
        by_header: Whether the request had an Authorization header.
    """
    if 200 <= response.status < 300 and response.members.keys() & {"access_token", "active"}:
        clause = leeway.issuing_breaks or clauses_of(case)[0] if not leeway.may_issue else ""
        if clause:
            yield Finding(clause, "M", "the request was not refused: the server did what it asked for")
        else:
            yield from (Finding(each, "D", "a token was issued; it may be") for each in own_decisions(case))
            yield from scope_is_named(response.members, dict(case.form or []).get("scope", ""))
        return
    level, error = leeway.level, response.members.get("error")
    expected = {case.status, *leeway.statuses}
    if response.status not in expected or error not in (case.body["error"], *leeway.errors):
        text = f"{case.status} {case.body['error']} was expected, and the response was {told(response)}"
        yield from (Finding(each, weaker(level, CLAUSES[each].level), text) for each in clauses_of(case))
    yield from challenged(case, response, by_header=by_header)
    if response.status in {400, 401} and case.method == "POST":
        yield from error_body(response)


def shows(case: Case, response: Response, leeway: Leeway) -> bool:
    """Whether a response shows the clauses of its case that have no finding.

    Without a token nothing is known of tokens, and a request that was not refused tells nothing of refusals.
    """
    if "access_token" in case.body:
        token = response.members.get("access_token")
        return response.status == 200 and isinstance(token, str) and bool(token)
    if "keys" in case.body:
        return isinstance(response.members.get("keys"), list)
    return case.status < 300 or response.status >= 300 or leeway.keeps


def own_decisions(case: Case) -> list[str]:
    return [clause for clause in clauses_of(case) if CLAUSES[clause].level == "D"]


def error_body(response: Response) -> Iterator[Finding]:
    """The members of an error; error_description and error_uri are optional."""
    members = response.members
    if response.media_type != "application/json" or not isinstance(members.get("error"), str):
        yield Finding("R058", "M", f"an error is JSON with the member error, and this was {response.media_type}")
    for name in ("error", "error_description"):
        if isinstance(members.get(name), str) and not PRINTABLE.fullmatch(members[name]):
            yield Finding("R059", "M", f"{name} has characters that RFC 6749 does not allow")
    if "error_uri" in members and not URI_REFERENCE.fullmatch(str(members["error_uri"])):
        yield Finding("R060", "M", "error_uri is no address")
    yield from not_stored(response, "D")


def as_it_is(case: Case, response: Response) -> Iterator[Finding]:
    """A case without a token and without an error: its status counts."""
    if response.status != case.status:
        for clause in clauses_of(case):
            text = f"{case.status} was expected, and the response was {told(response)}"
            yield Finding(clause, CLAUSES[clause].level, text)
