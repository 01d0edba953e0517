"""Prints a new assertion of the demo client that has a private key, for a tool that cannot run the collection's script.

.venv/bin/python -m postman.assertion                       for the server of `make run`
.venv/bin/python -m postman.assertion --audience AUDIENCE   for another issuer, or to see it refused

It works once, and for a minute.
"""

from __future__ import annotations

import argparse
import sys
import time
from uuid import uuid4

from joserfc import jwk, jwt

import config
from app.operations.demo_clients import private_key

SIGNER = next(demo for demo in config.DEMO_CLIENTS if demo.key_file)


def assertion(audience: str) -> str:
    """A client assertion (RFC 7523, section 3)."""
    key, moment = jwk.import_key(private_key(SIGNER)), int(time.time())
    header = {"typ": "client-authentication+jwt", "alg": "RS256", "kid": key.kid}
    claims = {"iss": SIGNER.client_id, "sub": SIGNER.client_id, "aud": audience, "jti": uuid4().hex}
    return jwt.encode(header, claims | {"iat": moment, "exp": moment + 60}, key)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m postman.assertion")
    parser.add_argument("--audience", default=config.Settings().issuer)
    sys.stdout.write(assertion(parser.parse_args().audience) + "\n")


if __name__ == "__main__":
    main()
