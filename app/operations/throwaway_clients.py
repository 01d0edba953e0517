"""The clients of a throw-away server: those of `--client` or the demo clients, and the client of the faults."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import click

import config
from app.operations import demo_clients

CLIENT = re.compile(r"([A-Za-z0-9._~-]{1,64}):([A-Za-z0-9._~-]{1,200}):(.*)")
CLIENT_FORM = (
    "it must be ID:SECRET:SCOPE, as in shop:s3cret:orders:read; id and secret are letters, digits and . _ ~ -, "
    "and the words of the scope are separated by spaces"
)
FAULT = "fault"


class ClientOption(click.ParamType[config.DemoClient]):
    name = "ID:SECRET:SCOPE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> config.DemoClient:
        """The client; with an empty scope it is an API, which introspects tokens."""
        found = CLIENT.fullmatch(value)
        if not found:
            self.fail(CLIENT_FORM, param, ctx)
        client_id, secret, scope = found.groups()
        if client_id == FAULT or client_id.startswith(FAULT + "-"):
            self.fail(f"the id {client_id} is for the faults, which are there already (docs/faults.md)", param, ctx)
        return config.DemoClient(client_id=client_id, secret=secret, scope=scope)


def all_clients(clients: Iterable[config.DemoClient], settings: config.Settings) -> list[config.DemoClient]:
    """The named clients, and the client of the faults, which may request their scopes too."""
    named, demos = list(clients), demo_clients.usable_demos(settings)
    if not named:
        return demos
    own = unknown_words(named, settings)
    apis = [each if each.scope else replace(each, resource_server=settings.audience) for each in named]
    faults = [extended(each, own) for each in demos if each.client_id == FAULT]
    return [with_default(each, settings) for each in apis] + faults


def unknown_words(clients: Iterable[config.DemoClient], settings: config.Settings) -> list[str]:
    """The words of their scopes that keyturn.toml does not declare."""
    known = {word for resource in settings.resources for word in resource.scopes}
    return list(dict.fromkeys(word for each in clients for word in each.scope.split(" ") if word and word not in known))


def extended(client: config.DemoClient, words: list[str]) -> config.DemoClient:
    more = "".join(f" {word}" for word in words)
    return replace(client, scope=client.scope + more, default_scope=(client.default_scope or client.scope) + more)


def with_default(client: config.DemoClient, settings: config.Settings) -> config.DemoClient:
    """The client, with the words for the API of its first word as default scope: a token is for one API."""
    audiences = {word: each.audience for each in settings.resources for word in each.scopes}
    words = client.scope.split(" ")
    first = audiences.get(words[0], settings.audience)
    default = " ".join(word for word in words if audiences.get(word, settings.audience) == first)
    return replace(client, default_scope=default or None)


def as_opaque(client: config.DemoClient) -> config.DemoClient:
    """The client with opaque tokens, except the client of the faults, which change JWTs."""
    return client if client.client_id == FAULT else replace(client, token_format="opaque")


def with_scopes(settings: config.Settings, clients: Iterable[config.DemoClient]) -> config.Settings:
    """The settings, with the words that keyturn.toml does not declare added to the sample API."""
    new = dict.fromkeys(unknown_words(clients, settings), "A scope of --client")
    ours = next((each for each in settings.resources if each.audience == settings.audience), None)
    others = tuple(each for each in settings.resources if each is not ours)
    base = ours or config.Resource("throwaway", settings.audience, {})
    return replace(settings, resources=(replace(base, scopes={**base.scopes, **new}), *others))


def shown(client: config.DemoClient) -> dict[str, Any]:
    """What is printed of a client: its secret, or its private key as a JWK."""
    proof = {"private_key": demo_clients.private_key(client)} if client.key_file else {"client_secret": client.secret}
    found = {"client_id": client.client_id, **proof, "scope": client.scope}
    return found | ({"introspects": client.resource_server} if client.resource_server else {})
