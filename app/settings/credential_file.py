"""Settings that are secrets, given as files: KEYTURN_SECRET_KEYS_FILE and its like name the file of a value.

systemd, Docker and Kubernetes hand over credentials as files, which no child process inherits and no listing of
the environment shows. No message repeats what a file contains.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FORM = "the absolute path of a file, or the name of a systemd credential"
FOLDER = "CREDENTIALS_DIRECTORY"
MAX_BYTES = 65_536


def read_credential(name: str, environ: Mapping[str, str]) -> str:
    """The text of a file, without white space at its ends: an editor leaves a newline there.

    Args:
        name: An absolute path, or the name of a file in the folder that systemd makes for `LoadCredential=`.
        environ: The environment, in which systemd says which folder that is.

    Raises:
        ValueError: With what the variable must be, and what is wrong.
    """
    path = Path(name)
    if not path.is_absolute():
        if "/" in name or name == "..":
            raise ValueError(f"{FORM}: a relative path depends on the working directory")
        if not environ.get(FOLDER):
            raise ValueError(f"{FORM}: {FOLDER} is not set, as systemd sets it for LoadCredential=")
        path = Path(environ[FOLDER], name)
    text = content(path).strip()
    if not text:
        raise ValueError(f"{FORM}: the file is empty")
    return text


def content(path: Path) -> str:
    """What a file contains. The settings are read more than once, so a pipe is refused."""
    try:
        if not path.exists():
            raise ValueError(f"{FORM}: there is no such file")
        if not path.is_file():
            raise ValueError(f"{FORM}: it is not a file")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{FORM}: the file is larger than {MAX_BYTES:,} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{FORM}: this user cannot read it") from error
    except UnicodeDecodeError:
        raise ValueError(f"{FORM}: the file is not text in UTF-8") from None  # the error repeats its bytes
