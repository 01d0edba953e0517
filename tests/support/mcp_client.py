"""Lets the MCP Python SDK, unmodified, call the sample API: `python -m tests.support.mcp_client API METHOD CREDENTIAL`.

It knows the API alone, and finds the server by the API's metadata (RFC 9728). METHOD is `secret` or `key`; CREDENTIAL
is the client's id and its secret, or the file of its key, joined by a colon. Prints the status of the API's response.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx2
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)

SCOPE = "reports:read"


class Memory:
    """The SDK's storage of tokens."""

    async def get_tokens(self) -> None:
        return None

    async def set_tokens(self, tokens: Any) -> None:
        pass

    async def get_client_info(self) -> None:
        return None

    async def set_client_info(self, client_info: Any) -> None:
        pass


def provider(api: str, method: str, client_id: str, credential: str) -> httpx2.Auth:
    if method == "secret":
        return ClientCredentialsOAuthProvider(api, Memory(), client_id, credential, scope=SCOPE, issuer=api)
    key = Path(credential).read_text(encoding="ascii")
    signed = SignedJWTParameters(issuer=client_id, subject=client_id, signing_key=key).create_assertion_provider()
    return PrivateKeyJWTOAuthProvider(api, Memory(), client_id, signed, scope=SCOPE, issuer=api)


async def main(api: str, method: str, pair: str) -> None:
    client_id, _, credential = pair.partition(":")
    async with httpx2.AsyncClient(auth=provider(api, method, client_id, credential)) as session:
        response = await session.get(f"{api}/internal/reports")
    sys.stdout.write(f"{response.status_code}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
