"""Fetching the key set of a source once: from its address, or from the one that an issuer's metadata name."""

from __future__ import annotations

import json
import re
import time
from typing import NamedTuple

from werkzeug.datastructures import ResponseCacheControl
from werkzeug.http import parse_cache_control_header

from app.clock import HOUR_SECONDS
from app.logs import shown_path
from app.remote_keys import public_key
from app.remote_keys.careful_get import SECONDS, Bounds, Document, get
from app.remote_keys.key_source import KeySetError, KeySource, place
from app.remote_keys.public_key import PublicKey
from app.settings import current_settings

LEAST_FRESH_SECONDS, MOST_FRESH_SECONDS = 300, HOUR_SECONDS  # so long a key that was withdrawn may be accepted
SECONDS_SENT = re.compile("[0-9]{1,9}")
DISCOVERY = "/.well-known/openid-configuration"


class Fetched(NamedTuple):
    """A key set, and for how many seconds it is fresh."""

    keys: tuple[PublicKey, ...]
    fresh_seconds: int


def fetch(source: KeySource) -> Fetched:
    """Fetch the key set of a source that is no file.

    Raises:
        KeySetError: If it cannot be had within `SECONDS`, or is none.
    """
    end = time.monotonic() + SECONDS
    bounds = Bounds(end, current_settings().is_production, source.private_network)
    address = discovered(source.address, bounds) if source.by_discovery else source.address
    document = get(address, bounds)
    return Fetched(public_key.read(document.content, place(address)), fresh_seconds(document))


def discovered(issuer: str, bounds: Bounds) -> str:
    """The address of an issuer's key set (OpenID Connect Discovery, section 4).

    Raises:
        KeySetError: If its metadata cannot be had, or are another issuer's.
    """
    address = issuer.rstrip("/") + DISCOVERY
    where = place(address)
    try:
        metadata = json.loads(get(address, bounds).content)
    except (ValueError, RecursionError) as error:
        raise KeySetError("not_metadata", source=where, why="it is not JSON") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("jwks_uri"), str):
        raise KeySetError("not_metadata", source=where, why="it has no jwks_uri")
    if metadata.get("issuer") != issuer:
        raise KeySetError("discovery_differs", source=where, found=shown_issuer(metadata.get("issuer")))
    return str(metadata["jwks_uri"])


def shown_issuer(found: object) -> str:
    return shown_path(found) if isinstance(found, str) else "none"


def fresh_seconds(document: Document) -> int:
    """For how long a response is fresh (RFC 9111, section 4.2), within bounds; an hour if it does not say."""
    said = parse_cache_control_header(document.headers.get("cache-control", "").lower(), cls=ResponseCacheControl)
    if said.no_store or said.no_cache:
        return LEAST_FRESH_SECONDS
    age = document.headers.get("age", "")
    fresh = HOUR_SECONDS if said.max_age is None else said.max_age - (int(age) if SECONDS_SENT.fullmatch(age) else 0)
    return min(max(fresh, LEAST_FRESH_SECONDS), MOST_FRESH_SECONDS)
