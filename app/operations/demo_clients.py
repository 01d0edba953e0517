"""The demo clients of `config.py` in the database of a development server.

A learner edits them in `config.py`, as in the guide's `config.js`, and the next `flask prepare` updates the database.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import config
from app.clients import key_set, registration, registration_rules, registry
from app.clients.client import KEY_METHOD, Client
from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.credential import has_ended
from app.clients.registration_rules import RegistrationError
from app.clients.secret import digest
from app.operations.command_group import Change


def usable_demos(settings: config.Settings) -> list[config.DemoClient]:
    """The demo clients whose scopes and APIs keyturn.toml declares; with another file there may be none."""
    return [demo for demo in config.DEMO_CLIENTS if not undeclared(demo, settings)]


def undeclared(demo: config.DemoClient, settings: config.Settings) -> list[str]:
    """The scopes, and the audience, of a demo client that keyturn.toml does not declare."""
    scopes = {scope for resource in settings.resources for scope in resource.scopes}
    apis = {None, *(resource.audience for resource in settings.resources)}
    wanted = [scope for scope in demo.scope.split() if scope not in scopes]
    return wanted if demo.resource_server in apis else [*wanted, str(demo.resource_server)]


def seed_all(settings: config.Settings, *, is_new: bool) -> Iterator[str]:
    """Register the demo clients, replace those that differ from config.py, and yield sentences about it.

    Raises:
        RegistrationError: If config.py describes a client that is not valid.
    """
    file = Path(settings.resources_file).name
    usable = usable_demos(settings)
    is_added = any(registry.find_client(demo.client_id) is None for demo in usable)
    for demo in config.DEMO_CLIENTS:
        if missing := undeclared(demo, settings):
            yield f"The demo client {demo.client_id} is left out: {file} does not declare {' '.join(missing)}."
        elif changed := seed(demo, is_new=is_new):
            yield Change(f"The demo client {demo.client_id} was changed to what config.py says: {', '.join(changed)}.")
    sentence = f"The demo clients are registered: {', '.join(demo.client_id for demo in usable) or 'none'}."
    yield Change(sentence) if is_added else sentence


def seed(demo: config.DemoClient, *, is_new: bool) -> list[str]:
    """Register a demo client; the only client whose secret a person chose, or whose private key is public.

    Returns:
        What differed, if it was there already: then it is registered anew, and its tokens are revoked.
    """
    client = as_declared(demo)
    # Its id may have been there before: unless the database is new, it begins at a generation that no token of
    # an earlier demo client has, so that those stay revoked.
    client.generation = 0 if is_new else 1 + secrets.randbelow(2**31)
    found = registry.find_client(demo.client_id)
    changed = differences(found, client, demo.secret) if found else []
    if changed:
        registry.delete(demo.client_id)
    if changed or not found:
        if demo.key_file:
            registration.store(client)
        else:
            registration.add(client, demo.secret)
    return changed


def as_declared(demo: config.DemoClient) -> ClientRow:
    """The client that config.py describes, by the rules for every client."""
    try:
        if not demo.key_file and not re.fullmatch(r"[A-Za-z0-9._~-]+", demo.secret):
            raise RegistrationError("a secret is letters, digits and . _ ~ -, which no client percent-encodes")
        scope = registration_rules.checked_scope(demo.scope) if demo.scope else ""
        return ClientRow(
            client_id=demo.client_id,
            name=demo.client_id,
            scope=scope,
            default_scope=registration_rules.checked_default(demo.default_scope, scope) if scope else "",
            access_token_seconds=registration_rules.checked_lifetime(demo.access_token_seconds),
            grant_types="client_credentials" if scope else "",
            token_format=registration_rules.checked_format(demo.token_format),
            resource_server=registration_rules.checked_resource_server(demo.resource_server),
            claims={},
            token_endpoint_auth_method=KEY_METHOD if demo.key_file else None,
            keys=[ClientKey(**each._asdict()) for each in public_keys(demo)],
        )
    except RegistrationError as error:
        raise RegistrationError(f"config.py, {demo.client_id}: {error}") from error


def private_key(demo: config.DemoClient) -> dict[str, str]:
    """The private key of a demo client that has one, as a JWK."""
    text = (Path(config.__file__).parent / demo.key_file).read_text(encoding="utf-8")
    return dict(json.loads(text))


def public_keys(demo: config.DemoClient) -> list[key_set.NewKey]:
    if not demo.key_file:
        return []
    public = {name: value for name, value in private_key(demo).items() if name not in key_set.PRIVATE}
    return key_set.read(json.dumps(public))


def differences(found: Client, client: ClientRow, secret: str) -> list[str]:
    """The names of what differs. That a client is disabled does not count: config.py has no such setting."""
    names = ("scope", "default_scope", "access_token_seconds", "token_format", "resource_server")
    differing = [name for name in names if getattr(found, name) != getattr(client, name)]
    if client.keys:
        usable = {each.jwk for each in found.keys if not has_ended(each)}
        return differing if {each.jwk for each in client.keys} <= usable else [*differing, "key"]
    is_good = any(each.digest == digest(secret) and each.not_after is None for each in found.secrets)
    return differing if is_good else [*differing, "secret"]
