"""Where a client's key comes from: a file with its public keys, or a new private key that goes into a file.

The private key is PKCS#8 in PEM: the standard libraries of Python, Node, Go and Java all read it, and so does
openssl; as a JWK it would need a library in three of the four. The `kid`, which PEM has no place for, is printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from app.clients import key_set
from app.clients.key_set import ALGORITHMS, NewKey
from app.clients.registration_rules import RegistrationError
from app.keys.key_rows import new_pair
from app.operations.file_argument import FILE
from app.operations.new_private_file import write_new

jwks_file = click.option("--jwks", type=FILE, metavar="FILE", help="A JSON Web Key Set with its public keys.")
jwks_uri_option = click.option(
    "--jwks-uri", metavar="URL", help="Where its public keys are, which it publishes itself."
)
generated = click.option(
    "--generate-key", metavar="FILE", help="Create a key pair: the private key goes into this new file, and only there."
)
algorithm = click.option(
    "--key-alg",
    type=click.Choice(ALGORITHMS),
    default="ES256",
    help="The algorithm of a generated key (default ES256).",
)


@contextmanager
def given_keys(
    jwks: Path | None, generate_key: str | None, alg: str, uri: str | None = None
) -> Iterator[Sequence[NewKey]]:
    """The public keys that the options give; what is stored inside is stored after the private key is in its file.

    If it fails inside, the new file is removed: its key opens nothing.

    Raises:
        RegistrationError: If the file cannot be used, or the new file exists.
        FailedError: If it cannot be read or written.
    """
    if sum(each is not None for each in (jwks, generate_key, uri)) > 1:
        raise click.UsageError("a key comes from one place: --jwks, --jwks-uri or --generate-key")
    if generate_key is None:
        yield key_set.read(read(jwks)) if jwks is not None else ()
        return
    file, key = Path(generate_key), new_pair(alg)
    write_new(file, key.as_pem(private=True))
    try:
        yield [key_set.of_public(key)]
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RegistrationError(f"{file} must be {key_set.FORM}; it is not text") from error
