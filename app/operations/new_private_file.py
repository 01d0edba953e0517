"""A new file for what must not be lost and nobody else may read: secrets of clients, or a private key."""

from __future__ import annotations

import os
from pathlib import Path

from app.clients.registration_rules import RegistrationError
from app.operations.exit_codes import FailedError

EXISTS = "{} exists, and is never overwritten: what is in it may be the only copy. Nothing was changed"


def write_new(file: Path, content: bytes) -> None:
    """Create a file of mode 0600 with this content, which is on the disk afterwards.

    Raises:
        RegistrationError: If it exists, also as a link.
        FailedError: If it cannot be created or written; then it does not exist.
    """
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise RegistrationError(EXISTS.format(file)) from error
    except OSError as error:
        raise FailedError(f"{file}: {error.strerror}. Nothing was changed") from error
    try:
        with os.fdopen(opened, "wb") as written:
            written.write(content)
            written.flush()
            os.fsync(written.fileno())
    except OSError as error:
        file.unlink(missing_ok=True)
        raise FailedError(f"{file}: {error.strerror}. Nothing was changed") from error
