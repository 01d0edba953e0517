"""The checks of the servers, reached through the issuer's address: proxy, clock, worker, settings, limits."""

from __future__ import annotations

from collections.abc import Iterator

from app.clock import LEEWAY_SECONDS
from app.doctor.finding import Finding, fault, note, warning
from app.doctor.installation import Installation
from app.health import conditions
from app.health.sighting import Sighting, comparable
from app.keys import keystore

OUR_WORKER = "DeadlineWorker"
TRUSTED = "KEYTURN_TRUSTED_PROXIES"
REDIS_SECONDS = 2
RATES = ("limit_failures", "limit_address", "limit_requests", "limit_introspection", "limit_api")


def check_issuer(installation: Installation) -> Iterator[Finding]:
    """What clients read there is this server's: the issuer, and the keys."""
    visit, issuer = installation.visit, installation.settings.issuer
    if visit.problem:
        yield fault(str(visit.problem), visit.problem.remedy)
        return
    if visit.issuer != issuer:
        yield fault(
            "The metadata at KEYTURN_ISSUER names another issuer.",
            "Set the same KEYTURN_ISSUER for the servers and this command: the URL at which clients reach them.",
        )
    if installation.has_schema and not all(kids & our_kids() for kids in visit.kids):
        yield fault(
            "A JWKS at KEYTURN_ISSUER has none of the keys in this database: the servers use another one.",
            "Set the same KEYTURN_DATABASE_URL for all servers and this command. If a cache is in front, it is stale.",
        )


def our_kids() -> set[str]:
    return {row.kid for row in keystore.published()}


def check_visibility(installation: Installation) -> Iterator[Finding]:
    """The servers show what they see to anyone who has their secret keys."""
    if installation.visit.without:
        total = len(installation.visit.kids)
        yield fault(
            f"{installation.visit.without} of {total} responses at KEYTURN_ISSUER are of a server that does not have "
            "this command's KEYTURN_SECRET_KEYS, or is of another release.",
            "Run this command with the servers' settings; give all servers the same secret keys, and let the proxy "
            "pass the header X-Keyturn-Doctor.",
        )


def check_proxies(installation: Installation) -> Iterator[Finding]:
    """The https of the client, and its address, arrive at the server; judged by the server's own setting."""
    is_https = installation.settings.issuer.startswith("https:")
    yield from dict.fromkeys(found for each in installation.visit.sightings for found in of_arrival(each, is_https))


def of_arrival(seen: Sighting, is_https: bool) -> Iterator[Finding]:
    trusted, added = int(seen.settings[TRUSTED]), seen.proxies
    if is_https and seen.scheme != "https":
        yield fault(
            "Requests to the issuer arrive as plain http, and production refuses them.",
            f"Set {TRUSTED}, now {trusted}, to the number of proxies in front ({added} can be seen), and let each set "
            "X-Forwarded-Proto and X-Forwarded-For: docs/behind-a-proxy.md.",
        )
    elif added > trusted:
        yield fault(
            f"{added} proxies add to X-Forwarded-For, and {TRUSTED} is {trusted}: all clients have the address of a "
            "proxy, and share one limit.",
            f"Set {TRUSTED}={added} on every server.",
        )
    elif added < trusted:
        yield fault(
            f"{TRUSTED} is {trusted}, and {added} proxies add to X-Forwarded-For: a client can send any address and "
            "scheme as its own.",
            f"Set {TRUSTED}={added}, or let each proxy set the header.",
        )
    if not seen.has_address:
        yield fault(
            "The servers do not know the address of a client, so KEYTURN_LIMIT_ADDRESS does not apply.",
            f"Over a unix socket {TRUSTED} must be 1 or more.",
        )


def check_gunicorn(installation: Installation) -> Iterator[Finding]:
    """The servers run with our gunicorn.conf.py, and its worker."""
    remedy = "Start gunicorn in the project's directory, or with --config and --chdir; docs/deploy.md has the unit."
    for each in {each.host: each for each in installation.visit.sightings}.values():
        if not each.is_gunicorn:
            yield warning(f"{each.host} is not served by gunicorn, which all of Keyturn is tested with.", remedy)
        elif not each.worker:
            yield fault(
                f"{each.host} serves without Keyturn's gunicorn.conf.py: it lacks the time-outs and the upkeep.", remedy
            )
        elif each.worker != OUR_WORKER:
            yield fault(f"{each.host} serves with gunicorn's {each.worker}: one slow client can hold it up.", remedy)


def check_clocks(installation: Installation) -> Iterator[Finding]:
    """This machine's clock, the database's and each server's agree."""
    remedy = "Synchronize the clocks of all machines, by chrony or systemd-timesyncd."
    for host, ahead in installation.visit.ahead.items():
        if abs(ahead) > LEEWAY_SECONDS:
            direction = "ahead of" if ahead > 0 else "behind"
            yield fault(
                f"The clock of {host} is {abs(ahead)} seconds {direction} this machine's: others refuse its tokens.",
                remedy,
            )
    if installation.has_database and (sentence := conditions.clock()):
        yield fault(f"{sentence.partition(': ')[0]}.", remedy)


def check_same_settings(installation: Installation) -> Iterator[Finding]:
    """The servers have the settings of this command, secrets aside."""
    own = comparable(installation.settings)
    for each in {each.host: each for each in installation.visit.sightings}.values():
        other = [name for name, value in own.items() if each.settings.get(name, value) != value]
        if other:
            yield warning(
                f"{each.host} serves with other settings than this command's: {', '.join(other)}.",
                "Set them alike on all machines, restart what has the old ones, and run commands with them: "
                "some checks here judge by this command's.",
            )


def check_limits(installation: Installation) -> Iterator[Finding]:
    """Limits are counted where all workers count."""
    settings, servers = installation.settings, installation.visit.servers()
    if settings.redis_url:
        yield from of_redis(installation)
    elif all(each.has_redis for each in installation.visit.sightings):
        return  # of the servers; that this command has no address of it does not matter
    elif any(getattr(settings, rate) for rate in RATES) and servers.total() > 1:
        yield warning(
            f"Each of {servers.total()} workers ({', '.join(sorted(servers))}) counts limits separately: a client is "
            f"allowed up to {servers.total()} times as much.",
            "Set KEYTURN_REDIS_URL if the limits have to be exact.",
        )


def of_redis(installation: Installation) -> Iterator[Finding]:
    import redis  # here, as it takes as long to import as Flask, and no other command needs it

    remedy = "Start Redis, or correct KEYTURN_REDIS_URL. Until then each worker counts separately."
    options = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    try:
        with redis.Redis.from_url(installation.settings.redis_url, **options) as connection:
            connection.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        yield fault(f"Redis does not respond: {type(error).__name__}.", remedy)
    for host in sorted({each.host for each in installation.visit.sightings if each.counts_alone}):
        yield fault(f"Redis does not respond to {host}.", remedy)
    for host in sorted({each.host for each in installation.visit.sightings if not each.has_redis}):
        yield fault(f"{host} serves without KEYTURN_REDIS_URL, and counts limits separately.", "Set it there too.")
    yield note("Limits are counted in Redis.")
