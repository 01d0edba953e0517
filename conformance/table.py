"""The conformance table: for each clause whether it holds, on the terminal and as a page of the docs."""

from __future__ import annotations

import re
from collections import Counter

from conformance.clauses import CHAPTERS, CLAUSES, NOT_SUPPORTED, Clause

CLAUSE = re.compile(r"R\d{3}")


def state(clause: str, seen: set[str]) -> str:
    if "failed" in seen:
        return "FAIL"
    if clause in NOT_SUPPORTED:
        return "not supported"
    return "pass" if "passed" in seen else "not run"


def table(states: dict[str, str]) -> list[str]:
    lines = []
    for heading, clauses in CHAPTERS.items():
        lines += ["", heading]
        lines += [f"{c.id}  {c.level}  {c.source:28}{states[c.id]:27}{c.sentence}" for c in clauses]
    return [*lines, ""]


def summary(states: dict[str, str]) -> str:
    """How many clauses have each state, by level."""
    parts = []
    for level in "MSD":
        counted = Counter(state for clause, state in states.items() if CLAUSES[clause].level == level)
        parts.append(f"{level} " + ", ".join(f"{count} {state}" for state, count in sorted(counted.items())))
    return f"conformance, {len(states)} clauses: {'; '.join(parts)}"


ELSEWHERE = """
## Any server

```sh
make conformance BASE_URL=https://auth.example.com CLIENT_ID=… CLIENT_SECRET=… JUNIT=report.xml
```

`BASE_URL` is the issuer; the server's metadata (RFC 8414, else `openid-configuration`) says where its endpoints are.
The client may be registered for HTTP Basic, for the form, or for both; without one, only what needs none is sent.
What an RFC allows is no fault: a charset in `Content-Type`, 400 instead of 401 for a secret in the form.
A clause's letter is that of what was found: `R001 D differs` means that the MUST in R001 holds, and that the server
does otherwise where we have decided.
`not tried` has its reason below it.

| option | |
| --- | --- |
| `TOKEN_ENDPOINT` `INTROSPECTION_ENDPOINT` `REVOCATION_ENDPOINT` `JWKS_URI` | What the metadata does not name. |
| `API_URL` | An address of an API behind this server; no token and no secret of the client is sent to it. |
| `FORM` | What each request for a token sends as well: `FORM='scope=read&audience=https://api.example.com'`. |
| `JSON` `JUNIT` | Files for a report; neither has the secret in it. |

`python -m conformance`, with the same names in the environment, exits with 0, with 1 if a MUST failed, and with 2 if
nothing could be run; `make` itself ends with 2 in both cases.
""".splitlines()


def document(shown_by: dict[str, list[str]]) -> str:
    """The table as a page.

    Args:
        shown_by: The files of the tests, and the cases, that show each clause.
    """
    lines = [
        "# Conformance",
        "",
        "Generated from `conformance/clauses.py` by `make docs`; do not edit.",
        "`make conformance` runs what proves each clause, and prints the table.",
        "",
        "M is what an RFC says a server MUST do, S what it SHOULD do, D our own decision where the RFC leaves room.",
        *ELSEWHERE,
    ]
    for heading, clauses in CHAPTERS.items():
        lines += [
            "",
            f"## {heading}",
            "",
            "| clause | | source | what must hold | shown by |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [row(clause, shown_by[clause.id]) for clause in clauses]
    return "\n".join([*lines, ""])


def row(clause: Clause, shown_by: list[str]) -> str:
    shown = f"Not supported. {NOT_SUPPORTED[clause.id]}" if clause.id in NOT_SUPPORTED else ", ".join(shown_by)
    return f"| {clause.id} | {clause.level} | {clause.source} | {clause.sentence} | {shown} |"
