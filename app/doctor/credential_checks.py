"""The checks of what clients authenticate with beside secrets: trusts, and keys that are elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from flask import Flask, current_app
from sqlalchemy import exists, select

from app.authentication.federation_token import source_of
from app.clients import trust_overlaps, trust_rules, undeclared
from app.clients.client import KEY_METHOD, TRUST_METHOD
from app.clients.client_row import ClientRow
from app.clients.client_trust import ClientTrust
from app.clients.credential import has_ended
from app.clients.credential_kinds import CREDENTIAL_KINDS
from app.clients.registration_rules import RegistrationError, listed
from app.clock import duration, now
from app.doctor.finding import Finding, fault, note, warning
from app.doctor.installation import Installation
from app.refusals.key_set_causes import KEY_SET_CAUSES
from app.remote_keys import key_sets
from app.remote_keys.key_source import KeySource
from app.remote_keys.known_set import LAST_GOOD_SECONDS, KnownSet
from app.storage.database import db
from config import Issuer

MOST = 10
MOST_SOURCES, THREADS = 24, 8  # none takes longer than three seconds, and all of them not longer than a check may
OF_A_FILE = "A server uses those that it read from it before, until it restarts."
FIRST = {
    KEY_METHOD: ("client_key", "key", "`flask clients add-key {} --jwks FILE` gives it one"),
    TRUST_METHOD: ("client_trust", "trust", "`flask clients trust {} --issuer NAME --claim KEY=VALUE` gives it one"),
}


def check_credentials(_: Installation) -> Iterator[Finding]:
    """Every client that authenticates by keys only, or by trusts only, has one that works."""
    for method, (name, word, remedy) in FIRST.items():
        kind = CREDENTIAL_KINDS[name]
        has_one = exists().where(kind.model.client_row == ClientRow.id, kind.works(now()))
        query = select(ClientRow.name).where(ClientRow.token_endpoint_auth_method == method, ~has_one)
        query = query.where(ClientRow.disabled_at.is_(None)).order_by(ClientRow.id)
        if method == KEY_METHOD:
            query = query.where(ClientRow.jwks_uri.is_(None))
        if names := list(db.session.scalars(query)):
            yield warning(
                f"No {word} of {listed(names, most=MOST)} works, and nothing else authenticates it: it gets no token.",
                f"{remedy.format(names[0])}, or `flask clients disable {names[0]}` if nobody needs it.",
            )


def check_trusts(installation: Installation) -> Iterator[Finding]:
    """Every trust is of an issuer that keyturn.toml declares, and can match tokens of one client only."""
    issuers = {each.issuer: each for each in installation.settings.issuers}
    query = select(ClientRow.name, ClientTrust).join(ClientTrust, ClientTrust.client_row == ClientRow.id)
    alive = [(client, trust) for client, trust in db.session.execute(query) if not has_ended(trust)]
    for sentence in undeclared.issuer_sentences():
        what, _, rest = sentence.rpartition(": declare it")
        yield fault(f"{what}: they match no token.", f"Declare it{rest}")
    for client, trust in alive:
        if (issuer := issuers.get(trust.issuer)) and (why := without_identity(issuer, trust)):
            yield fault(
                f"The trust {trust.name} of {client} {why}, as keyturn.toml is now.",
                f"Correct the identity_claims of {issuer.name}, or replace the trust: `flask clients untrust`, then "
                f"`flask clients trust {client}`.",
            )
    yield from of_overlaps()


def without_identity(issuer: Issuer, trust: ClientTrust) -> str | None:
    """Why a trust has not the identity by which the tokens of its issuer are matched; None if it has one."""
    try:
        trust_rules.refuse_anyone(issuer, trust.claims)
    except RegistrationError:
        return f"expects no value of {' or '.join(issuer.identity_claims)}"
    name = trust.identity.partition("=")[0]
    if trust.identity and name not in issuer.identity_claims:
        return f"is found by {name}, which is no identity claim of {issuer.name}: it matches no token"
    return None


def of_overlaps() -> Iterator[Finding]:
    held = trust_overlaps.in_register()
    for number, (one, other, sentence) in enumerate(trust_overlaps.find(held, held)):
        if number == MOST:
            yield warning("More clients have trusts that one token could match.", "Correct those that are named first.")
            return
        yield fault(
            f"{sentence[:1].upper()}{sentence[1:]}.",
            f"Until then such a token is refused; `flask clients trusts {one.client}` and `{other.client}` show both.",
        )


def check_issuers(installation: Installation) -> Iterator[Finding]:
    """What keyturn.toml allows of an issuer beyond https and public addresses."""
    for each in installation.settings.issuers:
        if any(address.startswith("http:") for address in (each.issuer, each.jwks_uri)):
            yield note(f"The keys of {each.name} are fetched without https: anyone on the way can change them.")
        if each.private_network:
            yield note(f"The keys of {each.name} may be fetched from a private address.")


class Place(NamedTuple):
    """A source of keys, and whose keys it has."""

    source: KeySource
    whose: str


def check_key_sets(installation: Installation) -> Iterator[Finding]:
    """Every key set that is elsewhere can be had, from here and by the servers."""
    places = sorted(all_places(installation), key=lambda each: not has_failed(each.source))
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda each: checked(app, each), places[:MOST_SOURCES]))
    for findings in found:
        yield from findings
    if len(places) > MOST_SOURCES:
        yield note(f"{len(places) - MOST_SOURCES} more key sets of clients were not fetched.")


def all_places(installation: Installation) -> Iterator[Place]:
    for issuer in installation.settings.issuers:
        yield Place(source_of(issuer), f"the issuer {issuer.name}")
    query = select(ClientRow.jwks_uri, ClientRow.name).where(ClientRow.jwks_uri.is_not(None)).order_by(ClientRow.id)
    names: dict[str, list[str]] = {}
    for address, name in db.session.execute(query):
        names.setdefault(str(address), []).append(name)
    for address, clients in names.items():
        yield Place(KeySource(address), listed(clients, most=MOST))


def has_failed(source: KeySource) -> bool:
    last = None if source.is_file else key_sets.last_fetch(source)
    return last is not None and last.failure is not None


def checked(app: Flask, place: Place) -> Sequence[Finding]:
    with app.app_context():
        try:
            why = key_sets.check(place.source)
            last = None if place.source.is_file else key_sets.last_fetch(place.source)
        finally:
            db.session.remove()
    if why:
        remedy = next(each.remedy for each in KEY_SET_CAUSES.values() if each.matches(why))
        used = OF_A_FILE if place.source.is_file else what_is_used(last)
        return [fault(f"The keys of {place.whose} cannot be had: {why}. {used}", remedy)]
    if last and last.failure:
        return [
            warning(
                f"The servers could not fetch the keys of {place.whose} the last time, and this command can: "
                f"{last.failure}. {what_is_used(last)}",
                "See whether every server reaches that address; each tries again by itself within five minutes.",
            )
        ]
    return []


def what_is_used(last: KnownSet | None) -> str:
    """What the servers do until a key set can be fetched."""
    if last is None or not last.may_be_used():
        return "Tokens that need them are refused."
    age, left = duration(now() - last.fetched_at), duration(last.fresh_until + LAST_GOOD_SECONDS - now())
    return f"The servers use those of {age} ago, for {left} at most."
