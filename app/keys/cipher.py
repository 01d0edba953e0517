"""The encryption of signing keys at rest, by Fernet.

The keys come from KEYTURN_SECRET_KEYS, the newest first: the newest encrypts, any of them decrypts.
In development there is one in `instance/secret-key`, which `flask prepare` creates.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from flask import current_app

from app.settings import current_settings


class SealedKeyError(Exception):
    """No secret key decrypts this."""


def secret_file() -> Path:
    """The file with the secret key of a development server; `flask prepare` creates it."""
    return Path(current_app.instance_path) / "secret-key"


def encrypt(plaintext: bytes, *, beside: str | None = None) -> str:
    """A Fernet token of the plaintext, in base64url.

    Args:
        plaintext: What is encrypted.
        beside: What was encrypted before: the secret key that decrypts it encrypts this too, so that every server
            that can decrypt the one can decrypt the other. None for the newest secret key.

    Raises:
        SealedKeyError: If there is no secret key.
    """
    known = fernets()
    chosen = next((fernet for fernet in known if beside and decrypts(fernet, beside)), known[0])
    return chosen.encrypt(plaintext).decode()


def decrypt(sealed: str) -> bytes:
    """The plaintext that `encrypt` was given.

    Raises:
        SealedKeyError: If none of the secret keys decrypts it, or there is none.
    """
    try:
        return MultiFernet(fernets()).decrypt(sealed)
    except InvalidToken as error:
        raise SealedKeyError("no key in KEYTURN_SECRET_KEYS decrypts this signing key") from error


def opens(sealed: str) -> bool:
    """Whether one of this process's secret keys decrypts this."""
    try:
        return bool(decrypt(sealed))
    except SealedKeyError:
        return False


def is_newest(sealed: str) -> bool:
    """Whether the newest of the secret keys encrypted this."""
    return decrypts(fernets()[0], sealed)


def decrypts(fernet: Fernet, sealed: str) -> bool:
    try:
        return bool(fernet.decrypt(sealed))
    except InvalidToken:
        return False


def fernets() -> list[Fernet]:
    try:
        return [Fernet(key) for key in current_settings().secret_keys or (secret_file().read_text(encoding="ascii"),)]
    except (OSError, ValueError) as error:
        raise SealedKeyError("there is no secret key: run `flask prepare`, or set KEYTURN_SECRET_KEYS") from error
