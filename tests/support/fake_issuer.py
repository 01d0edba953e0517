"""Platforms that issue tokens to identify a job or a pod: a real HTTP server each, with discovery and a key set.

The tokens have the claims and the headers that each platform documents; ids and names are made up.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from joserfc import jwk, jws

from app.clock import now

LEFT_OUT = object()
RSA_KEYS = [jwk.RSAKey.generate_key(2_048) for _ in range(2)]  # made once: each takes a tenth of a second


@dataclass
class FakeIssuer:
    """An issuer: `address` and `path` are its `iss`, `audience` what its tokens are for by default."""

    address: str
    audience: Any
    keys: list[jwk.Key] = field(default_factory=lambda: [RSA_KEYS[0]])
    alg: str = "RS256"
    requests: list[str] = field(default_factory=list)
    key_file: Path | None = None
    path: str = "/"

    @property
    def url(self) -> str:
        return self.address + self.path.rstrip("/")

    def key_set(self) -> dict[str, Any]:
        named = ({**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig"} for key in self.keys)
        return {"keys": [each | {"alg": self.alg} for each in named]}

    def write(self, file: Path) -> Path:
        """Write the key set into a file, as an operator copies it from a cluster; again at each rotation."""
        self.key_file = file
        new = file.with_suffix(".new")
        new.write_text(json.dumps(self.key_set()))
        new.replace(file)
        return file

    def rotate(self, *keys: jwk.Key) -> None:
        """Sign with other keys from now on."""
        self.keys = list(keys)
        if self.key_file:
            self.write(self.key_file)

    def sign(self, claims: Any, *, key: jwk.Key | None = None, **header: Any) -> str:
        """A token: its usual claims are added if they are not there, and what is `LEFT_OUT` is left out."""
        signer = key or self.keys[0]
        usual = {"iss": self.url, "aud": self.audience, "iat": now(), "nbf": now(), "exp": now() + 300}
        members = {name: value for name, value in (usual | claims).items() if value is not LEFT_OUT}
        names = {"alg": self.alg, "kid": signer.thumbprint(), "typ": "JWT"} | header
        named = {name: value for name, value in names.items() if value is not LEFT_OUT}
        return jws.serialize_compact(named, json.dumps(members), signer, algorithms=[named["alg"]])

    def response(self, path: str, authorization: str = "") -> dict[str, Any] | None:
        """The document at a path; `/request` is that of a job of GitHub, which gets its token there."""
        self.requests.append(path)
        if path.startswith("/request?") and authorization == "bearer of-the-job":
            asked = {name: values[0] for name, values in parse_qs(path.partition("?")[2]).items()}
            return {"value": self.sign(github(aud=asked.pop("audience"), **asked))}
        if path == f"{self.path.rstrip('/')}/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "jwks_uri": f"{self.address}/keys",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [self.alg],
            }
        return self.key_set() if path == "/keys" else None


@contextmanager
def served(audience: Any) -> Iterator[FakeIssuer]:
    """An issuer at an address on loopback."""
    found: list[FakeIssuer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = found[0].response(self.path, self.headers.get("Authorization", ""))
            body = json.dumps(document).encode()
            self.send_response(404 if document is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.append(FakeIssuer(f"http://127.0.0.1:{server.server_address[1]}", audience))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def github(**changes: Any) -> dict[str, Any]:
    """A token of GitHub Actions, for a repository that is older than July 2026: its `sub` has names alone."""
    ref = changes.get("ref", "refs/heads/main")
    environment = changes.get("environment", "production")
    where = f"environment:{environment}" if isinstance(environment, str) else f"ref:{ref}"
    return {
        "jti": str(uuid4()),
        "sub": f"repo:octo-org/octo-repo:{where}",
        "ref": ref,
        "sha": "4c2fa6a7ffc3b9ed8e6ea4b8b5d9a3f7a1b0c9d8",
        "repository": "octo-org/octo-repo",
        "repository_owner": "octo-org",
        "actor_id": "12",
        "repository_visibility": "private",
        "repository_id": "74",
        "repository_owner_id": "65",
        "run_id": "9876543210",
        "run_number": "10",
        "run_attempt": "2",
        "runner_environment": "github-hosted",
        "actor": "octocat",
        "workflow": "deploy",
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
        "ref_type": "branch",
        "ref_protected": "true",
        "environment": "production",
        "job_workflow_ref": f"octo-org/octo-repo/.github/workflows/deploy.yml@{ref}",
    } | changes


def github_immutable(**changes: Any) -> dict[str, Any]:
    """The same for a repository that was created since July 2026: its `sub` has the ids as well."""
    found = github(**changes)
    owner, repository = f"octo-org@{found['repository_owner_id']}", f"octo-repo@{found['repository_id']}"
    found["sub"] = found["sub"].replace("octo-org/octo-repo", f"{owner}/{repository}")
    return found


def gitlab(**changes: Any) -> dict[str, Any]:
    """An ID token of GitLab CI."""
    ref = changes.get("ref", "main")
    return {
        "jti": str(uuid4()),
        "sub": f"project_path:my-group/my-project:ref_type:branch:ref:{ref}",
        "namespace_id": "72",
        "namespace_path": "my-group",
        "project_id": "20",
        "project_path": "my-group/my-project",
        "user_id": "1",
        "user_login": "sample-user",
        "pipeline_id": "574",
        "pipeline_source": "push",
        "job_id": "302",
        "ref": ref,
        "ref_type": "branch",
        "ref_path": f"refs/heads/{ref}",
        "ref_protected": "true",
        "environment": "production",
        "environment_protected": "true",
        "runner_environment": "gitlab-hosted",
        "project_visibility": "private",
    } | changes


def kubernetes(uid: str = "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798", **changes: Any) -> dict[str, Any]:
    """A projected token of a Kubernetes service account, for a custom audience."""
    return {
        "sub": "system:serviceaccount:billing:exporter",
        "jti": str(uuid4()),
        "exp": now() + 3_600,
        "kubernetes.io": {
            "namespace": "billing",
            "node": {"name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
            "pod": {"name": "exporter-7d4b", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
            "serviceaccount": {"name": "exporter", "uid": uid},
        },
    } | changes


def spiffe(**changes: Any) -> dict[str, Any]:
    """A JWT-SVID, as SPIRE issues it."""
    return {"sub": "spiffe://example.org/ns/billing/sa/exporter", "nbf": LEFT_OUT} | changes
