"""A token of another issuer: whose it is, its header, its key and its signature.

`iss` only chooses the issuer whose keys are tried: nothing of the token counts before its signature is right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc.util import urlsafe_b64decode

from app.authentication.assertion import TYPE, Registry, checked_kid, parsed, refuse
from app.authentication.assertion_key import is_signed, listed
from app.checks import Check, making
from app.logs import shown, shown_name
from app.remote_keys import key_sets
from app.remote_keys.key_source import KeySetError, KeySource
from app.remote_keys.public_key import PublicKey
from app.settings import current_settings
from app.settings.issuer_tables import ALGORITHMS
from config import Issuer

HEADER = Check(
    "platform_header", "Its typ is that of a JWT, and its alg is one of those of its issuer.", "RFC 8725, section 3"
)
SIGNATURE = Check("platform_key", "A key of its issuer has signed the token.", "RFC 7523, section 3")

TYPS = ("jwt", "jose")


class PlatformRegistry(Registry):
    """joserfc's registry with what keyturn.toml may allow."""

    def get_alg(self, name: str) -> Any:
        # joserfc warns each time that EdDSA is called Ed25519 by now (RFC 9864), and issuers still write it.
        return self.algorithms[name] if name == "EdDSA" else super().get_alg(name)


# RFC 7515, section 4: what is unknown in a header is ignored.
REGISTRY = PlatformRegistry(algorithms=ALGORITHMS, strict_check_header=False)


def declared_issuer(form: Mapping[str, str]) -> Issuer | None:
    """The issuer that a token in a form claims; None if there is no token, or keyturn.toml declares no such issuer."""
    issuers = current_settings().issuers
    if not issuers or form.get("client_assertion_type") != TYPE:
        return None
    iss = unverified_issuer(form.get("client_assertion", ""))
    return next((each for each in issuers if each.issuer == iss), None)


def unverified_issuer(text: str) -> object:
    parts = text.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(urlsafe_b64decode(parts[1].encode("ascii")).decode())
    except (ValueError, RecursionError):
        return None
    return claims.get("iss") if isinstance(claims, dict) else None


def checked_claims(issuer: Issuer, text: str) -> Mapping[str, Any]:
    """The claims of a token that a key of the issuer has signed.

    Raises:
        RefusedError: `invalid_client`, if none has, or it is no such token; `temporarily_unavailable` while the keys
            of the issuer are fetched, and enough requests wait for that.
    """
    signed, claims = parsed(text)
    alg, kid = check_header(issuer, signed.headers())
    making.now.check = SIGNATURE
    key = find_key(issuer, keys_of(issuer, kid), alg, kid)
    if not is_signed(signed, key.jwk, REGISTRY):
        refuse("platform_wrong_key", kid=key.kid, issuer=issuer.name)
    return claims


def check_header(issuer: Issuer, header: Mapping[str, Any]) -> tuple[str, str | None]:
    """The algorithm and the `kid`; a key or an address in the header is ignored (RFC 8725, section 3.10)."""
    making.now.check = HEADER
    if "crit" in header:
        refuse("critical")
    typ, alg = header.get("typ", "JWT"), header.get("alg")
    if not isinstance(typ, str) or typ.lower() not in TYPS:
        refuse("platform_typ", issuer=issuer.name, typ=shown(str(typ)))
    if not isinstance(alg, str) or alg not in issuer.algorithms:
        allowed = ", ".join(issuer.algorithms)
        refuse("platform_algorithm", issuer=issuer.name, alg=shown(str(alg)), allowed=allowed)
    return alg, checked_kid(header, REGISTRY)


def keys_of(issuer: Issuer, kid: str | None) -> Sequence[PublicKey]:
    try:
        return key_sets.find(source_of(issuer), kid)
    except KeySetError as error:
        refuse(error.cause, **error.words)


def source_of(issuer: Issuer) -> KeySource:
    """Where the keys of an issuer are: in a file, at an address, or where its metadata say."""
    return KeySource(
        issuer.jwks_file or issuer.jwks_uri or issuer.issuer,
        is_file=bool(issuer.jwks_file),
        by_discovery=not (issuer.jwks_file or issuer.jwks_uri),
        private_network=issuer.private_network,
    )


def find_key(issuer: Issuer, keys: Sequence[PublicKey], alg: str, kid: str | None) -> PublicKey:
    """The key that must have signed a token."""
    named = [each for each in keys if kid in (None, each.kid)]
    if not named:
        known = listed([each.kid for each in keys])
        refuse("platform_kid_unknown", issuer=issuer.name, kid=shown_name(str(kid)), known=known)
    fitting = [each for each in named if each.fits(alg)] or named
    if kid is None and len(fitting) > 1:
        known = listed([each.kid for each in fitting])
        refuse("platform_kid_missing", issuer=issuer.name, count=len(fitting), known=known)
    found = fitting[0]
    if not found.fits(alg):
        wanted = " or ".join(found.algorithms)
        refuse("platform_key_algorithm", issuer=issuer.name, alg=alg, kid=found.kid, wanted=wanted)
    return found
