"""The conformance table of this checkout, or of a server anywhere.

make conformance                                                  the tests and cases of this checkout
make conformance BASE_URL=https://… CLIENT_ID=… CLIENT_SECRET=…   the cases that any one client can try

BASE_URL is the issuer: the server's metadata says where its endpoints are. These options are for a server that does
not say it, or needs more:

TOKEN_ENDPOINT= INTROSPECTION_ENDPOINT= REVOCATION_ENDPOINT= JWKS_URI=   addresses
API_URL=       an address that answers GET with a bearer token alone; no token and no secret of the client is sent to it
FORM=          what each request for a token sends as well, as a form: FORM='scope=read&audience=https://api'
JSON= JUNIT=   files for a report

Without CLIENT_ID and CLIENT_SECRET it sends what needs no client. The exit code is 0, 1 if a MUST failed, and 2 if
nothing could be run; make itself ends with 2 in both cases.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from conformance.exchange import CannotRunError
from conformance.results import Results
from conformance.server_runner import Outside


def main() -> int:
    """Run; the exit code."""
    given = {name: value for name, value in os.environ.items() if value}
    if "BASE_URL" not in given:
        return subprocess.run([sys.executable, "-m", "pytest", "--conformance", "-q"], check=False).returncode
    if ("CLIENT_ID" in given) != ("CLIENT_SECRET" in given):
        sys.stderr.write("CLIENT_ID and CLIENT_SECRET are needed together.\n")
        return 2
    try:
        server = Outside(given["BASE_URL"], given.get("CLIENT_ID", ""), given.get("CLIENT_SECRET", ""), given)
        results = server.run()
        write_reports(results, given)
    except (OSError, CannotRunError) as error:
        sys.stderr.write(f"{given['BASE_URL']} cannot be tried: {error}\n")
        return 2
    sys.stdout.write(results.text())
    return int(results.failed)


def write_reports(results: Results, given: Mapping[str, str]) -> None:
    for name, report in (("JSON", results.json), ("JUNIT", results.junit)):
        if name in given:
            Path(given[name]).write_text(report(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
