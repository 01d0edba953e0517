"""docs/faults.md: the table of faults as a page."""

from __future__ import annotations

from app.faults.fault_count import FORGOTTEN_SECONDS, MAX_COUNTS
from app.faults.fault_id import CLIENT, MAX_SECONDS
from app.faults.fault_layer import HEADER
from app.faults.table import FAULTS, Kind
from app.storage.waiting import THREADS
from config import DEMO_CLIENTS

DEMO = next(demo for demo in DEMO_CLIENTS if demo.client_id == CLIENT)
SECTIONS = {
    Kind.RESPONSE: ("Token responses", "client id", "a good client"),
    Kind.TOKEN: ("Tokens", "client id", "a good API"),
    Kind.ISSUER: ("Metadata and keys", "issuer", "a good client or API"),
}
ABOUT_ISSUERS = """
Below `http://127.0.0.1:8000/faults/NAME` is an issuer of its own, with its metadata, keys and token endpoint.
Configure an API or a client with it: only the document in its name is faulty.
Its tokens have it as their `iss`, and any demo client can request them, including a fault client.
Its metadata is at `/.well-known/oauth-authorization-server/faults/NAME` (RFC 8414, section 3.1).
It is also at `/faults/NAME/.well-known/oauth-authorization-server`, where many clients look.
The issuer has no introspection and no revocation.
"""
PAGE = f"""# Faults on purpose

A development server misbehaves on request: the client id, or the issuer, says how.
Change this one setting of your client, and see whether the client copes.
In production none of this exists.
The playground has a button for each fault of a response or a token: guess what a good client does, then see it happen.

```
curl -i -u fault-429:{DEMO.secret} -d grant_type=client_credentials http://127.0.0.1:8000/oauth/token
```

The secret is that of the demo client `{CLIENT}`, and is checked: with a wrong one, the response is the usual refusal.
Its scopes are `{DEMO.scope}`, so a faulty token can be sent to the sample API, or to an API of your own.
Without a suffix, `{CLIENT}` is a client like any other.

| client id | what it does |
| --- | --- |
| `fault-429` | every response has the fault |
| `fault-429-once` | only the first one has it: does the client retry? |
| `fault-429-first3` | only the first three have it; 1 to 99 |
| `fault-429-once~a7` | the same with a count of its own: `~` and 1 to 32 letters, digits and `. _ -` |

All workers count together.
A count is deleted {FORGOTTEN_SECONDS // 60} minutes after it began.
There are at most {MAX_COUNTS:,} counts: a new one then replaces the oldest.
A response with a fault has the header `{HEADER}` with the fault's name, and the log has a line with its request id.
`flask tail` shows each such request with the client id that was sent, and with what the client received.
A name that does not exist is refused with a `hint`: `there is no fault 42x; did you mean fault-429?`
A slow response takes 1 to {MAX_SECONDS} seconds, as in `fault-slow-2s`.
At most {THREADS // 2} responses of a worker are slow at once, so that it still serves other requests.
The next slow one is 503.
"""


def markdown() -> str:
    parts = [PAGE]
    for kind, (title, used_as, good) in SECTIONS.items():
        parts.append(f"\n## {title}\n{ABOUT_ISSUERS if kind is Kind.ISSUER else ''}")
        rows = [(f"`{each.used_as}`", each.happens, each.good.strip()) for each in FAULTS.values() if each.kind is kind]
        parts.append(table((used_as, "what happens", good), *rows))
    return "\n".join(parts)


def table(head: tuple[str, ...], *rows: tuple[str, ...]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
