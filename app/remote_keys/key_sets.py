"""Keys that are elsewhere: `find` returns the public keys of a source, fetched if need be."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask

from app.per_app import PerApp
from app.remote_keys import key_file
from app.remote_keys.key_file import KeyFiles
from app.remote_keys.key_source import KeySetError, KeySource
from app.remote_keys.public_key import PublicKey

current_files = PerApp[KeyFiles]("key_files")


def init_app(app: Flask) -> None:
    current_files.set(app, KeyFiles())


def find(source: KeySource, kid: str | None) -> Sequence[PublicKey]:
    """The public keys of a source.

    Args:
        source: Where they are.
        kid: The key that is needed: if the source does not have it yet, it is fetched again, at most once a minute.

    Returns:
        All its keys that can be used, at least one; the one with this `kid` may not be among them.

    Raises:
        KeySetError: If they cannot be had; with the cause `busy` if they may be had in a moment.
    """
    if source.is_file:
        return current_files().find(source.address)
    raise KeySetError("unreachable", source=source.address, why="nothing is fetched yet")


def check(source: KeySource) -> str | None:
    """Fetch the keys of a source now, and store nothing.

    Returns:
        Why they cannot be had, as a sentence; None if they can.
    """
    try:
        if source.is_file:
            key_file.read(source.address)
    except KeySetError as error:
        return str(error)
    return None
