"""Where keys are, and why they cannot be had."""

from __future__ import annotations

import re
from typing import NamedTuple

from app.refusals.key_set_causes import KEY_SET_CAUSES


class KeySource(NamedTuple):
    """A place that has keys.

    Attributes:
        address: The URL of a key set, the path of a file with one, or an issuer.
        is_file: Whether it is a file.
        by_discovery: Whether it is an issuer, whose metadata name the key set (OpenID Connect Discovery, section 4).
        private_network: Whether it may have a private address.
    """

    address: str
    is_file: bool = False
    by_discovery: bool = False
    private_network: bool = False

    @property
    def name(self) -> str:
        """How `fetched_key_sets` names it; no two sources share a name."""
        words = ["issuer"] * self.by_discovery + ["private"] * self.private_network
        return " ".join([*words, self.address])

    @property
    def host(self) -> str:
        """Its host, with a port if it has one, for a sentence; of a file its path."""
        return self.address if self.is_file else place(self.address)


def place(address: str) -> str:
    """The host of an address, with its port if it has one."""
    return re.split("[/?#]", address.partition("://")[2])[0].rpartition("@")[2]


class KeySetError(Exception):
    """Keys that are elsewhere cannot be had.

    Args:
        cause: One of `KEY_SET_CAUSES`.
        words: What its sentence has in braces.
    """

    def __init__(self, cause: str, **words: object) -> None:
        super().__init__(KEY_SET_CAUSES[cause].sentence.format(**words))
        self.cause, self.words = cause, words

    def again(self) -> KeySetError:
        """The same error, to be raised once more: the traceback of one that is remembered would grow each time."""
        return KeySetError(self.cause, **self.words)
