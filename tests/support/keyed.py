"""Clients that authenticate by a private key: an operator registers them, and they sign their assertions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from flask import Flask
from joserfc import jwk, jws
from werkzeug.test import TestResponse

from app.clock import now
from tests.conftest import ISSUER, Operator

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
GRANT = {"grant_type": "client_credentials"}
LEFT_OUT = object()


@dataclass
class Keyed:
    """A client with a private key. `make` signs an assertion; a member that is `LEFT_OUT` is left out."""

    app: Flask
    client_id: str
    key: jwk.Key
    alg: str = "ES256"

    def make(self, claims: Any = None, *, key: Any = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        usual = {"iss": self.client_id, "sub": self.client_id, "aud": ISSUER, "jti": uuid4().hex}
        usual |= {"iat": now(), "exp": now() + 60}
        signed = {"alg": self.alg} | (header or {})
        members = {name: value for name, value in (usual | changes).items() if value is not LEFT_OUT}
        payload = json.dumps(members if claims is None else claims)  # jwt.encode refuses what an attacker sends
        return jws.serialize_compact(signed, payload, key or self.key, algorithms=[signed["alg"]])

    def send(self, assertion: str | None = None, path: str = "/oauth/token", **form: Any) -> TestResponse:
        """Send an assertion, a new one unless it is given."""
        sent = GRANT | {"client_assertion": assertion or self.make(), "client_assertion_type": TYPE} | form
        sent = {name: value for name, value in sent.items() if value is not LEFT_OUT}
        return self.app.test_client().post(path, data=sent)

    def token(self, **form: str) -> str:
        response = self.send(**form)
        assert response.status_code == 200, response.text
        return str(response.json["access_token"])


def register(app: Flask, folder: Path, *options: str, name: str = "keyed", alg: str = "ES256") -> Keyed:
    """Register a client with a key that is generated for it."""
    file = folder / f"{name}.pem"
    options = options or ("--scope", "read:logs")
    made = Operator(app).run("clients", "create", name, *options, "--generate-key", str(file), "--key-alg", alg)
    key = jwk.import_key(file.read_text(), "EC" if alg == "ES256" else "RSA")
    return Keyed(app, made["client_id"], key, alg)


def public_set(folder: Path, *keys: jwk.Key, name: str = "keys.json") -> str:
    """A file with a key set."""
    file = folder / name
    file.write_text(json.dumps({"keys": [each.as_dict(private=False) for each in keys]}))
    return str(file)
