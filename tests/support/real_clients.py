"""What real clients do with each fault, and docs/real-clients.md, which shows it.

`python -m tests.support.real_clients` lets each client meet every fault of a throw-away server, and writes the page.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from app.faults.table import FAULTS, Kind
from tests.support.fault_page import table
from tests.support.house import ROOT
from tests.support.npm import FOLDER, Npm, install

PAGE = ROOT / "docs" / "real-clients.md"
IN_PYTHON = ("Authlib", "requests-oauthlib")
FROM_NPM = ("openid-client", "oauth4webapi", "simple-oauth2")
CLIENTS = (*IN_PYTHON, *FROM_NPM)
AN_API = "oauth4webapi, in an API"
AT_ONCE = 3  # a server has few slow responses at once
NO_TOKEN = "**returns a response without a token**"
UNREAD = "does not read it"
TOKEN, ERRORS = "/oauth/token", "/errors/"
Found = dict[str, Any]
ABOUT = """# What real clients do with each fault

Five clients that people use met every [fault](faults.md) of this server, each with its defaults: {versions}.
`make tools` lets them meet the faults again, and fails if one does something else.
`python -m tests.support.real_clients` writes this page.

None of them tries again by itself, after whatever fault: to wait for `Retry-After` is your program's part.
None has by default a time-out below five seconds.
What else your program must do itself:

{loose}

## Token responses

The client requests a token, and, if it gets one, sends it to the sample API.
"""
ABOUT_TOKENS = """
## Tokens

An access token is opaque to a client, so each of them accepts all of these and sends them; an API must refuse them.
The table says what the client makes of that refusal, and what oauth4webapi does where it checks tokens for an API.
"""
ABOUT_ISSUERS = """
## Metadata and keys

{reading} read metadata, if they are told to; the others are configured with the address of the token endpoint.
Keys are for an API: none of the five reads them to get a token.
"""


@contextmanager
def throwaway() -> Iterator[str]:
    """The issuer of a throw-away server."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "throwaway"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    try:
        yield json.loads(process.stdout.readline())["issuer"]
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stdout.close()


def names() -> list[str]:
    return [fault.used_as for fault in FAULTS.values()]


def meet(client: str, issuer: str, npm: Npm, faults: list[str]) -> list[Found]:
    """What a client did with each of these faults."""
    if client in FROM_NPM:
        done = npm.node("real_clients.mjs", client, issuer, *faults)
    else:
        command = [sys.executable, "-m", "tests.support.python_clients", client, issuer, *faults]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(faults), done.stderr
    return found


def meet_all(issuer: str, npm: Npm) -> dict[str, dict[str, str]]:
    """For each fault, what each client does with it, in words."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(CLIENTS, pool.map(lambda client: meet(client, issuer, npm, names()), CLIENTS), strict=True))
    return {
        fault: {client: in_words(fault, found[client][place]) for client in CLIENTS}
        | {AN_API: of_an_api(found[AN_API.partition(",")[0]][place])}
        for place, fault in enumerate(names())
    }


def in_words(fault: str, found: Found) -> str:
    """What a client did with a fault."""
    if "discovered" in found:
        return of_metadata(found["discovered"])
    assert TOKEN in found["sent"], "what the client sends is not noted"
    notes = []
    if found["sent"].count(TOKEN) > 1:
        notes.append("tries again")
    if ERRORS in found["sent"]:
        notes.append("follows it")
    if "raises" in found:
        return ", ".join([*notes, raises(found)])
    if not found["token"]:
        return ", ".join([*notes, NO_TOKEN])
    return ", ".join([*notes, of_token(fault, found)])


def raises(found: Found) -> str:
    """The name of an error, with its code if that says more."""
    detail = found["detail"]
    says_more = detail.lower().removeprefix("oauth_").replace("_", "") not in found["raises"].lower()
    return f"raises `{found['raises']}`" + (f" (`{detail}`)" if says_more else "")


def of_metadata(found: Found) -> str:
    if "reads" not in found:
        return UNREAD
    return raises(found) if "raises" in found else "accepts it"


def of_token(fault: str, found: Found) -> str:
    used = found["used"]
    seconds = f", with `expires_in` {json.dumps(found['expires_in'])}" if "expires-in" in fault else ""
    if used.get("status") == 200:
        return f"accepts it{seconds}"
    seen = f"returns the API's {used['status']}" if "status" in used else raises(used)
    return f"accepts it{seconds}; then {seen}" if FAULTS[fault.removeprefix("fault-")].kind is Kind.RESPONSE else seen


def of_an_api(found: Found) -> str:
    checked = found.get("checked", {})
    return raises(checked) if "raises" in checked else "accepts it"


def page(found: dict[str, dict[str, str]]) -> str:
    pinned = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    versions = [f"{name} {version(name)}" for name in IN_PYTHON] + [f"{name} {pinned[name]}" for name in FROM_NPM]
    about = ABOUT.format(versions=", ".join(versions), loose=loose(found))
    issuers = ABOUT_ISSUERS.format(reading=" and ".join(readers(found)))
    parts = ((Kind.RESPONSE, about), (Kind.TOKEN, ABOUT_TOKENS), (Kind.ISSUER, issuers))
    return "\n".join(text.strip("\n") + "\n\n" + rows(found, kind) for kind, text in parts)


def loose(found: dict[str, dict[str, str]]) -> str:
    """Which clients do what a good one does not."""

    def those(fault: str, start: str) -> str:
        *others, last = [name for name in CLIENTS if found[fault][name].startswith(start)]
        return f"{', '.join(others)} and {last}" if others else last

    return (
        f"- {those('fault-no-access-token', NO_TOKEN)} return a response without a token: look for `access_token`.\n"
        f"- {those('fault-no-token-type', 'accepts')} accept a token without `token_type` (RFC 6749, section 7.1).\n"
        f"- {those('fault-redirect', 'follows')} follow a redirect from the token endpoint."
    )


def rows(found: dict[str, dict[str, str]], kind: Kind) -> str:
    faults = [fault.used_as for fault in FAULTS.values() if fault.kind is kind]
    columns = {Kind.RESPONSE: CLIENTS, Kind.TOKEN: (*CLIENTS, AN_API), Kind.ISSUER: (*readers(found), AN_API)}[kind]
    return table(("fault", *columns), *((f"`{fault}`", *(found[fault][name] for name in columns)) for fault in faults))


def readers(found: dict[str, dict[str, str]]) -> list[str]:
    """The clients that read metadata."""
    return [name for name in CLIENTS if found["/faults/metadata-empty"][name] != UNREAD]


if __name__ == "__main__":
    npm_path = str(shutil.which("npm"))
    install(npm_path)
    with throwaway() as server:
        PAGE.write_text(page(meet_all(server, Npm(str(shutil.which("node"))))), encoding="utf-8")
