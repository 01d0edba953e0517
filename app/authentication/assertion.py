"""The form, the header and the parties of a client assertion: the same for every client (RFC 7523).

Then its signature is checked (`assertion_key.py`), and then its other claims (`assertion_claims.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

from joserfc import jws
from joserfc.errors import ExceededSizeError, JoseError

from app.authentication.client_secret import GENERATED_ID
from app.checks import Check, making
from app.clients.key_set import ALGORITHMS
from app.logs import shown, shown_name
from app.refusals.assertion_causes import ASSERTION_CAUSES
from app.refusals.errors import RefusedError, SourceFailedError
from app.refusals.key_set_causes import KEY_SET_CAUSES
from app.settings import current_settings

COMPLETE = Check("assertion_type", "The assertion comes with its type.", "RFC 7521, section 4.2")
FORM = Check("assertion_form", "The assertion is a signed JWT: three parts in Base64url.", "RFC 7523, section 3")
HEADER = Check(
    "assertion_alg", "Its typ is that of an assertion, and its alg is RS256 or ES256.", "RFC 8725, section 3"
)
PARTIES = Check("assertion_parties", "Its iss and its sub are the client's id.", "RFC 7523, section 3")

MAX_COMPARED_CHARACTERS = 200
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
STRAY = re.compile(r"[\s\"'`]")
TYPS = ("jwt", "client-authentication+jwt", "application/client-authentication+jwt")


class Registry(jws.JWSRegistry):
    """joserfc's registry, for headers that have a certificate or a key, which is ignored."""

    max_header_length = 4_096


REGISTRY = Registry(algorithms=ALGORITHMS, strict_check_header=False)  # RFC 7515, section 4: ignore what is unknown


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion whose signature is not checked yet; `client_id` is its `iss` and its `sub`."""

    signed: jws.CompactSignature
    alg: str
    kid: str | None
    unverified_claims: Mapping[str, Any]
    client_id: str


def refuse(cause_name: str, /, **words: object) -> NoReturn:
    """Refuse an assertion for one of `ASSERTION_CAUSES`."""
    cause = ASSERTION_CAUSES[cause_name]
    description = cause.sentence[0].upper() + cause.sentence[1:] + "." if cause.code == "invalid_request" else None
    kind = SourceFailedError if cause_name in KEY_SET_CAUSES else RefusedError
    raise kind(cause.code, description, reason=cause.sentence.format(**words))


def is_sent(form: Mapping[str, str]) -> bool:
    return "client_assertion" in form or "client_assertion_type" in form


def read(form: Mapping[str, str]) -> Assertion:
    """The assertion in a form.

    Raises:
        RefusedError: `invalid_request` if it is incomplete; `invalid_client` if it is not an assertion.
    """
    making.now.check = COMPLETE
    if "client_assertion_type" not in form:
        refuse("no_type")
    if "client_assertion" not in form:
        refuse("no_assertion")
    if form["client_assertion_type"] != TYPE:
        refuse("other_type")
    signed, claims = parsed(form["client_assertion"])
    alg, kid = check_header(signed.headers())
    client_id = check_parties(claims, form.get("client_id"))
    return Assertion(signed, alg, kid, claims, client_id)


def parsed(text: str) -> tuple[jws.CompactSignature, dict[str, Any]]:
    """The parts of a JWT, and its claims."""
    making.now.check = FORM
    if STRAY.search(text):
        refuse("stray_character")
    parts = text.count(".") + 1
    if parts == 5:
        refuse("encrypted")
    if parts != 3:
        refuse("not_a_jwt", parts=parts)
    part = "header"
    try:
        signed = jws.extract_compact(text.encode("ascii"), registry=REGISTRY)
        part = "payload"
        claims = json.loads((signed.payload or b"").decode())  # bytes might be UTF-16 (RFC 8725, section 3.7)
    except ExceededSizeError:
        refuse("too_long")
    # RecursionError: thousands of brackets in a row are JSON too.
    except (JoseError, ValueError, TypeError, RecursionError):
        refuse("malformed", part=part)
    for part, found in (("header", signed.protected), ("payload", claims)):
        if not isinstance(found, dict):
            refuse("malformed", part=part)
    return signed, claims


def check_header(header: Mapping[str, Any]) -> tuple[str, str | None]:
    """The algorithm and the `kid`; a key or an address in the header is ignored (RFC 8725, section 3.10)."""
    making.now.check = HEADER
    if "crit" in header:
        refuse("critical")
    typ, alg = header.get("typ", "JWT"), header.get("alg")
    if not isinstance(typ, str) or typ.lower() not in TYPS:
        refuse("typ", typ=shown(str(typ)))
    if isinstance(alg, str) and alg.lower() == "none":
        refuse("unsigned")
    if isinstance(alg, str) and alg.startswith("HS"):
        refuse("hmac", alg=shown(alg))
    if alg not in ALGORITHMS:
        refuse("algorithm", alg=shown(str(alg)))
    return str(alg), checked_kid(header, REGISTRY)


def checked_kid(header: Mapping[str, Any], registry: Registry) -> str | None:
    """The `kid` of a header whose other members have their types as well."""
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        refuse("header", fault="kid is not text")
    try:
        registry.check_header(dict(header))
    except (JoseError, ValueError, TypeError) as error:
        refuse("header", fault=type(error).__name__)
    return kid


def check_parties(claims: Mapping[str, Any], client_id: str | None) -> str:
    """The client's id (RFC 7523, section 3, items 1 and 2; RFC 7521, section 4.2)."""
    making.now.check = PARTIES
    refuse_unknown_issuer(claims.get("iss"), claims.get("sub"))
    for name in ("iss", "sub"):
        # The database raises for half a surrogate pair, which is not printable either.
        if not isinstance(claims.get(name), str) or not claims[name] or not claims[name].isprintable():
            refuse("party_missing", name=name)
    iss, sub = claims["iss"], str(claims["sub"])
    if iss != sub and iss == current_settings().issuer:
        refuse("issuer_is_server", sub=shown_id(sub))
    if iss != sub:
        refuse("parties_differ", sub=shown_id(sub if client_id is None else client_id))
    if client_id not in (None, sub):
        refuse("another_id")
    return sub


def shown_id(sent: str) -> str:
    """What was sent as a client's id: one that was generated here looks like a secret, and is none."""
    return sent if GENERATED_ID.fullmatch(sent) else shown(sent)


def refuse_unknown_issuer(iss: object, sub: object) -> None:
    """Refuse a token of an issuer that keyturn.toml does not declare; `federated_jwt.py` looks at all others."""
    if not isinstance(iss, str) or iss in (sub, current_settings().issuer):
        return
    near = get_close_matches(
        iss[:MAX_COMPARED_CHARACTERS], [each.issuer for each in current_settings().issuers], n=1, cutoff=0.8
    )
    if near or "://" in iss:
        came = "/".join(part and shown_name(part) for part in iss[:MAX_COMPARED_CHARACTERS].split("/"))
        meant = f"; did you mean {near[0]}?" if near else ", and which is not the client's id"
        refuse("issuer_unknown", iss=came, meant=meant)
