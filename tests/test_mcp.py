"""The MCP Python SDK, unmodified, in front of the sample API: its client-credentials providers (MCP SDK 2.3.0).

Each provider knows the API alone. It finds this server by the API's metadata (RFC 9728), and then fails, since its
model of the server's metadata requires `authorization_endpoint`. RFC 8414, section 2 requires that member only for
grants that use it, and this server has no such grant: it does not invent one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from tests.conftest import ROOT, LiveServer, Operator, build_app, close
from tests.support.leaks import suite

# All scopes of the API: the SDK requests each one in `scopes_supported`, whatever its own scope is.
SCOPE = "read:logs write:logs reports:read inventory:read inventory:write read:all_data"
REQUIRED = "the SDK requires authorization_endpoint in the metadata of a server that has no grant for it"


def call_the_api(server: LiveServer, method: str, credential: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.support.mcp_client", server.url, method, credential]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    suite.record(done.stderr)
    return done


@pytest.fixture(scope="module")
def server(
    live_servers: Callable[..., LiveServer], prepared: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> LiveServer:
    return live_servers(prepared("sqlite"), tmp_path_factory.mktemp("server"), WEB_CONCURRENCY="1")


@pytest.fixture(params=["secret", "key"])
def credential(request: pytest.FixtureRequest, server: LiveServer, tmp_path: Path) -> tuple[str, str]:
    """A provider's name, and the id of a client with its secret or the file of a private key."""
    app = build_app(database_url=server.environment["KEYTURN_DATABASE_URL"], issuer=server.url)
    made = Operator(app).register(tmp_path.name, "--scope", SCOPE)
    close(app)
    file = tmp_path / "key.pem"
    file.write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
    return request.param, f"{made.client_id}:{made.secret if request.param == 'secret' else file}"


@pytest.mark.tools
@pytest.mark.xfail(reason=REQUIRED, strict=True)
def test_the_sdk_calls_the_api(server: LiveServer, credential: tuple[str, str]) -> None:
    assert call_the_api(server, *credential).stdout == "200\n"


@pytest.mark.tools
def test_the_sdk_finds_the_server_and_fails_for_this_reason(server: LiveServer, credential: tuple[str, str]) -> None:
    """Without this test, the one above would fail as expected for any other reason too."""
    metadata = f"{server.url}/.well-known/oauth-authorization-server"

    found = call_the_api(server, *credential).stderr
    lacking = subprocess.run([sys.executable, "-c", LACKING, metadata], capture_output=True, text=True, check=False)

    assert f"No authorization server metadata discovered for configured issuer {server.url}" in found
    assert (lacking.stdout, lacking.stderr) == ("[('missing', ('authorization_endpoint',))]\n", "")


@pytest.mark.tools
def test_the_documents_name_the_version() -> None:
    assert f"MCP SDK for Python {version('mcp')}" in (ROOT / "docs" / "endpoints.md").read_text(encoding="utf-8")


LACKING = """
import sys, urllib.request
from mcp.shared.auth import OAuthMetadata
from pydantic import ValidationError
with urllib.request.urlopen(sys.argv[1]) as response:
    body = response.read()
try:
    OAuthMetadata.model_validate_json(body)
except ValidationError as error:
    print([(each["type"], each["loc"]) for each in error.errors()])
"""
