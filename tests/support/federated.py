"""Clients that authenticate with a token of their platform, and a keyturn.toml that declares its issuer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.conftest import ISSUER, ROOT
from tests.support.fake_issuer import FakeIssuer
from tests.support.keyed import GRANT, TYPE

URL = "https://token.actions.example"

# The platform of these tests: its key set is in a file, so that no request leaves the process.
TABLE = """
[issuers.github]
issuer = "{url}"
audience = "{audience}"
identity_claims = ["repository_id", "repository_owner_id", "sub"]
jwks_file = "{file}"
"""
RESOURCES = (ROOT / "keyturn.toml").read_text()


def toml(folder: Path, *tables: str) -> str:
    """The path of a keyturn.toml with the usual resources and these tables."""
    file = folder / "keyturn.toml"
    file.write_text("\n\n".join([RESOURCES, *tables]))
    return str(file)


def send(app: Flask, token: str, path: str = "/oauth/token", more: Any = None, **form: Any) -> TestResponse:
    """Send a platform's token as the client assertion that it is, with these parameters and `more`."""
    sent = GRANT | {"client_assertion": token, "client_assertion_type": TYPE} | form | (more or {})
    return app.test_client().post(path, data=sent)


def platform_in(folder: Path, *, audience: str = ISSUER) -> tuple[FakeIssuer, str]:
    """A platform whose keys are in a file, and the path of a keyturn.toml that declares it."""
    platform = FakeIssuer(URL, audience)
    file = platform.write(folder / "keys.json")
    return platform, toml(folder, TABLE.format(url=URL, audience=audience, file=file))
