"""The checks of the settings, of the files that hold secrets, and of the disk below the database."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from app.doctor.finding import Finding, fault, note, warning
from app.doctor.installation import Installation, is_postgresql, sqlite_file
from app.keys import cipher
from app.settings import sign_of_production
from app.settings.credential_file import FOLDER
from app.settings.reading import FILES, ROOT

ENVIRONMENT_FILES = (ROOT / ".env", Path("/etc/keyturn/keyturn.env"), Path("/etc/default/keyturn"))
SECRETS = tuple(f"{name.removesuffix('_FILE')}=" for name in FILES)
FULL_BYTES, LOW_BYTES = 100 * 2**20, 2**30
LONG_WAL_BYTES = 256 * 2**20


def check_settings(installation: Installation) -> Iterator[Finding]:
    for sentence in installation.settings.faults:
        yield fault(sentence, "Correct it; docs/settings.md has every setting. No server starts until then.")


def check_environment(installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    if settings.is_production:
        return
    if sign := sign_of_production(settings):
        yield warning(
            f"KEYTURN_ENV is development, and {sign}: anyone who reaches the server can use the demo clients.",
            "Set KEYTURN_ENV=production if others depend on it.",
        )


def check_files(_: Installation) -> Iterator[Finding]:
    """Files with secrets or sealed keys in them, which other users of this machine must not read."""
    for file in secret_files():
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError:
            continue  # there is none, or this user cannot see it
        if mode & stat.S_IRWXO:
            yield fault(
                f"Every user of this machine may {'write' if mode & stat.S_IWOTH else 'read'} {file} ({mode:04o}).",
                f"Run `chmod o= {file}`, and see who may read its folder. If a secret in it may have been read, "
                "replace that secret.",
            )


def secret_files() -> Iterator[Path]:
    if not is_postgresql():
        yield from (Path(f"{sqlite_file()}{ending}") for ending in ("", "-wal", "-shm"))
    yield cipher.secret_file()
    for variable in FILES:
        if named := os.environ.get(variable):
            yield Path(os.environ.get(FOLDER, ""), named)
    for file in ENVIRONMENT_FILES:
        if has_secrets(file):
            yield file


def has_secrets(file: Path) -> bool:
    """Whether a file of variables sets one whose value is a secret."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.removeprefix("export ").startswith(SECRETS) for line in lines)


def check_disk(_: Installation) -> Iterator[Finding]:
    """The file system of a SQLite database; PostgreSQL's is on another machine, or another's to watch."""
    if is_postgresql():
        return
    folder = sqlite_file().parent
    if not folder.is_dir():
        return  # the check of the database says so
    free = shutil.disk_usage(folder).free
    remedy = "Make room: without it no opaque token is issued, and no event is recorded. docs/deploy.md has the sizes."
    if free < FULL_BYTES:
        yield fault(f"The disk of the database is full: {free // 2**20:,} MiB are free.", remedy)
    elif free < LOW_BYTES:
        yield warning(f"The disk of the database has {free // 2**20:,} MiB left.", remedy)
    yield from of_wal(Path(f"{sqlite_file()}-wal"))
    yield note(f"{free // 2**20:,} MiB are free where the database is.")


def of_wal(file: Path) -> Iterator[Finding]:
    length = file.stat().st_size if file.exists() else 0
    if length > LONG_WAL_BYTES:
        yield warning(
            f"The write-ahead log of SQLite is {length // 2**20:,} MiB long: some process reads without an end.",
            f"Find who has {file} open (`fuser -v`), and end what is not Keyturn.",
        )
