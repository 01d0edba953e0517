"""What a refused request shows in the header WWW-Authenticate: findings, as in `judging.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from conformance.cases import Case
from conformance.exchange import Response
from conformance.finding import Finding

REALM = re.compile(r'realm="?[^"\s]')
PARAMETER = re.compile(r'([\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^",\s]+)')


def challenged(case: Case, response: Response, *, by_header: bool) -> Iterator[Finding]:
    challenge = response.challenges
    if response.status == 401 and not challenge:
        yield Finding("R022", "M", "401 without the header WWW-Authenticate")
    if response.status == 401 and by_header:
        if not response.challenges_by("Basic"):
            yield Finding(
                "R020", "M", "the request had the header Authorization: Basic, and the challenge is not Basic"
            )
        elif not REALM.search(challenge):
            yield Finding("R021", "M", "the Basic challenge names no realm")
    elif "R020" in case.clauses.split() and response.status != 401:
        yield Finding("R020", "M", f"{response.status} instead of 401")
    allow = response.headers.get("Allow", "")  # RFC 9110, section 15.5.6
    if response.status == 405 and case.headers_are.get("Allow") == "POST" and "POST" not in allow:
        yield Finding("R001", "M", "405 without the header Allow that names POST")


def access_refused(case: Case, response: Response) -> Iterator[Finding]:
    """What is wrong with an API's response to a request without a good token (RFC 6750, section 3)."""
    challenge = response.challenges
    names = [name.lower() for name, _ in PARAMETER.findall(challenge)]
    error = re.search(r'error="?([\w]+)', challenge)
    if 200 <= response.status < 300:
        yield Finding("R069", "M", "the API let the request in")
        return
    if response.status not in {case.status, 401}:
        yield Finding("R101", "S", f"{response.status} instead of {case.status}")
    if response.status == 401 and not challenge:
        yield Finding("R022", "M", "401 without the header WWW-Authenticate")
    if response.status == 401 and not (response.challenges_by("Bearer") and names):
        yield Finding("R100", "M", "a Bearer challenge with a parameter was expected")
    if len(set(names)) < len(names) and len(response.headers.get_all("WWW-Authenticate", [])) == 1:
        yield Finding("R100", "M", "a parameter is twice in the challenge")
    wanted = case.body.get("error")
    if (error[1] if error else None) != wanted and response.status == case.status:
        yield Finding("R101", "S", f"the challenge has the error {error[1] if error else None}, not {wanted}")
