"""Reading and checking the settings of `config.py`, from the environment.

All faults are reported at once. No message repeats a value: it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from app.per_app import PerApp
from app.settings import setting_forms
from app.settings.credential_file import read_credential
from app.settings.database_url import checked_database_url
from app.settings.issuer_tables import without_https
from app.settings.keyturn_file import Declared, declared
from config import Form, OneOf, Settings, Whole

ROOT = Path(__file__).parent.parent.parent
VARIABLES = {each.metadata["variable"]: each for each in fields(Settings) if each.metadata}
FILES = [variable for variable, each in VARIABLES.items() if each.metadata["check"] is Form.CREDENTIAL]
# Kubernetes sets these in every container beside a service whose name begins with `keyturn`: no misspelt settings.
OF_KUBERNETES = re.compile(
    r"KEYTURN_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)=|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=|PORT=[a-z]+://)"
)
FORMS: Mapping[Form, Callable[[str], object]] = {
    Form.ISSUER: setting_forms.issuer,
    Form.ABSOLUTE_URI: setting_forms.absolute_uri,
    Form.DATABASE: checked_database_url,
    Form.REDIS: setting_forms.redis_url,
    Form.FERNET_KEYS: setting_forms.fernet_keys,
    Form.RATE: setting_forms.rate,
    Form.NAME: setting_forms.name,
    Form.RESOURCES: declared,
    Form.CREDENTIAL: str,  # `read_files` has checked it
    Form.ADDRESS: setting_forms.address,
}

current_settings = PerApp[Settings]("settings")


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read all settings; an empty variable counts as not set, but an empty limit means no limit.

    Every fault is one sentence in `Settings.faults`, and the setting has its default instead:
    `flask keys new-secret` runs whatever is wrong. The server and the other commands refuse faults.
    """
    given = {name: text for name, text in environ.items() if text or "_LIMIT_" in name}
    contents, faults = read_files(given)
    values, others = read_each(given | contents)
    settings = Settings(**values, env_is_set="KEYTURN_ENV" in given)
    if "issuer" not in values:
        settings = replace(settings, issuer=f"http://127.0.0.1:{settings.port}")
    audience = settings.audience or settings.issuer
    resources = tuple(replace(each, audience=each.audience or audience) for each in settings.resources)
    file = environ.get("KEYTURN_FILE") or str(ROOT / "keyturn.toml")
    settings = replace(settings, audience=audience, resources=resources, resources_file=file)
    faults = contradictions(settings) | others | faults  # of two faults of one variable, its own is reported
    names = {direct: f"What {direct}_FILE contains" for direct in contents}
    sentences = [f"{names.get(variable, variable)} must be {wanted}." for variable, wanted in faults.items()]
    return replace(settings, faults=(*sentences, *unknown_variables(given)))


def read_files(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The values that are in files, by the variables that they stand for, and what each `…_FILE` must be."""
    contents: dict[str, str] = {}
    faults: dict[str, str] = {}
    for variable in [each for each in FILES if each in given]:
        direct = variable.removesuffix("_FILE")
        try:
            if direct in given:
                raise ValueError(f"unset, because {direct} is set: it is one or the other")
            contents[direct] = read_credential(given[variable], given)
        except ValueError as error:
            faults[variable] = str(error)
    return contents, faults


def read_each(given: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The value of each setting that is given and valid, and what each invalid variable must be."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for variable, each in VARIABLES.items():
        text = given.get(variable, str(ROOT / "keyturn.toml") if each.name == "resources" else None)
        if text is not None:
            try:
                values[each.name] = perform(each.metadata["check"], text)
            except ValueError as error:
                faults[variable] = str(error)
    values |= values.pop("resources", Declared())._asdict()
    return values, faults


def contradictions(settings: Settings) -> dict[str, str]:
    """What variables must be, given others."""
    faults = {}
    if not settings.env_is_set and (sign := sign_of_production(settings)):
        faults["KEYTURN_ENV"] = f"set to production, or to development if that is meant, because {sign}"
    if settings.is_production and not settings.issuer.startswith("https://"):
        faults["KEYTURN_ISSUER"] = "an https URL in production"
    if settings.is_production and not (settings.secret_keys or settings.secret_keys_file):
        faults["KEYTURN_SECRET_KEYS"] = "set in production: `flask keys new-secret` prints one"
    if len({each.audience for each in settings.resources}) < len(settings.resources):
        faults["KEYTURN_FILE"] = "a file in which no two resources have one audience (samples: KEYTURN_AUDIENCE)"
    if settings.is_production and (address := without_https(settings.issuers)):
        faults["KEYTURN_FILE"] = f"a file whose issuers are https in production, and {address} is not"
    if any(each.issuer == settings.issuer for each in settings.issuers):
        faults["KEYTURN_FILE"] = (
            "a file without this server (KEYTURN_ISSUER) among the issuers: its tokens are no proof"
        )
    return faults


def sign_of_production(settings: Settings) -> str | None:
    """Why this server seems to be public, and must not have the demo clients by accident; None if it does not."""
    if settings.issuer.startswith("https://"):
        return "KEYTURN_ISSUER is https"
    if settings.trusted_proxies:
        return "KEYTURN_TRUSTED_PROXIES is not 0"
    return None


def unknown_variables(given: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like one of ours and is not: it would be ignored."""
    names = {variable.removeprefix("KEYTURN_"): variable for variable in VARIABLES}
    sentences = []
    for variable, text in sorted(given.items()):
        is_like_ours = variable.upper().startswith("KEYTURN_") and not OF_KUBERNETES.match(f"{variable}={text}")
        if variable in VARIABLES or not is_like_ours:
            continue
        name = variable.upper().removeprefix("KEYTURN_")
        meant = get_close_matches(name, names, n=1) or [each for each in names if name.startswith(each)]
        advice = f"Did you mean {names[meant[0]]}?" if meant else "Remove it, or see docs/settings.md."
        sentences.append(f"{variable} is not a setting. {advice}")
    return sentences


def perform(check: Whole | OneOf | Form, text: str) -> object:
    """The value of a text, by the check of its setting.

    Raises:
        ValueError: If it is not valid; the message says what it must be.
    """
    if isinstance(check, Whole):
        if not re.fullmatch(r"[0-9]{1,9}", text) or not check.low <= int(text) <= check.high:
            raise ValueError(f"a whole number from {check.low} to {check.high}" + f" ({check.unit})" * bool(check.unit))
        return int(text)
    if isinstance(check, OneOf):
        if text not in check.words:
            raise ValueError(" or ".join(check.words))
        return text
    return FORMS[check](text)
