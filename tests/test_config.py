"""Settings: read, checked, and every fault named at once, without repeating a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import read_settings

GOOD_KEY = "RkVSTkVULUtFWS1PRi0zMi1CWVRFUy1GT1ItVEVTVFM="


def faults(**given: str) -> tuple[str, ...]:
    return read_settings({f"KEYTURN_{name}": value for name, value in given.items()}).faults


def test_without_any_variable_the_defaults_hold() -> None:
    settings = read_settings({})

    assert settings.faults == ()
    assert (settings.env, settings.issuer, settings.audience) == (
        "development",
        "http://127.0.0.1:8000",
        settings.issuer,
    )
    assert [resource.audience for resource in settings.resources] == [settings.issuer, "http://127.0.0.1:8001"]


def test_the_issuer_follows_the_port_and_the_audience_follows_the_issuer() -> None:
    assert read_settings({"PORT": "8123"}).issuer == "http://127.0.0.1:8123"
    settings = read_settings({"PORT": "8123", "KEYTURN_ISSUER": "https://auth.example.com"})
    assert settings.audience == settings.resources[0].audience == "https://auth.example.com"


@pytest.mark.parametrize("port", ["abc", "0", "999999"])
def test_a_bad_port_is_a_fault_that_names_it(port: str) -> None:
    (sentence,) = read_settings({"PORT": port}).faults

    assert "(PORT sets its port)" in sentence


def test_each_variable_is_named_once() -> None:
    found = faults(ENV="production", ISSUER="nonsense", SECRET_KEYS="nonsense")

    assert [sentence.split()[0] for sentence in found] == ["KEYTURN_ISSUER", "KEYTURN_SECRET_KEYS"]


def test_an_empty_variable_is_not_set() -> None:
    assert read_settings({"KEYTURN_ISSUER": "", "KEYTURN_ENV": ""}) == read_settings({})


def test_an_empty_limit_is_none_and_one_that_is_not_set_has_its_default() -> None:
    assert read_settings({"KEYTURN_LIMIT_FAILURES": ""}).limit_failures == ""
    assert read_settings({}).limit_failures == "60/minute"


def test_every_fault_is_named_at_once() -> None:
    found = faults(ENV="staging", ISSUER="nonsense", SIGNING_ALG="none", TRUSTED_PROXIES="-1", FILE="/nowhere.toml")

    assert [sentence.partition(" ")[0] for sentence in found] == [
        "KEYTURN_ENV",
        "KEYTURN_ISSUER",
        "KEYTURN_SIGNING_ALG",
        "KEYTURN_TRUSTED_PROXIES",
        "KEYTURN_FILE",
    ]
    assert all(" must be " in sentence and sentence.endswith(".") for sentence in found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ISSUER", "http://example.com"),
        ("ISSUER", "https://example.com/"),
        ("ISSUER", "https://example.com/a/"),
        ("ISSUER", "https://example.com?x=1"),
        ("ISSUER", "https://example.com#x"),
        ("ISSUER", "https://user@example.com"),
        ("ISSUER", "https://EXAMPLE.com"),
        ("ISSUER", "https://"),
        ("ISSUER", "https://..."),
        ("ISSUER", "https://example.com/.."),
        ("ISSUER", "https://example.com/" + "x" * 200),
        ("AUDIENCE", "not a uri"),
        ("AUDIENCE", "https://example.com#fragment"),
        ("AUDIENCE", "relative/path"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "sqlite:///file::memory:?uri=true"),
        ("DATABASE_URL", "sqlite:///file:x?mode=memory&uri=true"),
        ("DATABASE_URL", "postgresql://localhost"),
        ("DATABASE_URL", "postgresql://localhost:port/x"),
        ("DATABASE_URL", "nonsense"),
        ("SECRET_KEYS", "short"),
        ("SECRET_KEYS", f"{GOOD_KEY},short"),
        ("SECRET_KEYS", ","),
        ("SIGNING_ALG", "HS256"),
        ("ACCESS_TOKEN_SECONDS", "0"),
        ("ACCESS_TOKEN_SECONDS", "86401"),
        ("ACCESS_TOKEN_SECONDS", "1h"),
        ("ACCESS_TOKEN_SECONDS", "\uff13\uff16"),
        ("TRUSTED_PROXIES", "eleven"),
        ("LIMIT_FAILURES", "60"),
        ("LIMIT_FAILURES", "60/fortnight"),
        ("LIMIT_ADDRESS", "0/minute"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://:hush/hush@localhost:6379/0"),
        ("REDIS_URL", "redis://localhost:6379/0?socket_timeout=abc"),
        ("REDIS_URL", "redis://[::1/0"),
        ("REDIS_URL", "redis://localhost:99999/0"),
        ("AUDIT_DAYS", "0"),
        ("AUDIT_ROWS", "10"),
        ("MAX_BODY_BYTES", "10"),
        ("MAX_BODY_BYTES", "9999999999"),
    ],
)
def test_a_bad_value_is_refused_with_what_would_be_right(name: str, value: str) -> None:
    (sentence,) = faults(**{name: value})

    assert sentence.startswith(f"KEYTURN_{name} must be ")


def test_no_fault_repeats_what_may_be_a_secret() -> None:
    text = " ".join(
        faults(
            DATABASE_URL="mysql://me:hush-hush@host/x",
            SECRET_KEYS="hush-hush",
            ISSUER="//hush-hush",
            REDIS_URL="redis://:hush/hush@h",
        )
    )

    assert text.count("must be") == 4
    assert "hush" not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ISSUER", "http://localhost:8000"),
        ("ISSUER", "http://[::1]:8000"),
        ("ISSUER", "https://example.com:8443/auth/eu"),
        ("AUDIENCE", "urn:example:api"),
        ("SECRET_KEYS", f"{GOOD_KEY}, {GOOD_KEY}"),
        ("REDIS_URL", "redis://localhost"),
        ("REDIS_URL", "rediss://user:pass%2Fword@redis.internal:6380/3"),
        ("REDIS_URL", "redis://[::1]:6379/0"),
        ("LIMIT_FAILURES", "1/second"),
        ("DATABASE_URL", "postgresql://user:password@localhost/keyturn"),
        ("DATABASE_URL", "sqlite:////var/lib/keyturn/keyturn.db"),
    ],
)
def test_a_good_value_is_taken(name: str, value: str) -> None:
    assert faults(**{name: value}) == ()


def test_R079_production_needs_https_and_secret_keys() -> None:
    assert [sentence.split()[0] for sentence in faults(ENV="production")] == ["KEYTURN_ISSUER", "KEYTURN_SECRET_KEYS"]
    assert faults(ENV="production", ISSUER="https://auth.example.com", SECRET_KEYS=GOOD_KEY) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[resources]",
        "[resources.a]",
        "resources = 5",
        "[resources.a.scopes]",
        '[resources.a.scopes]\n"two words" = "x"',
        '[resources.a.scopes]\nx = ""\n[resources.b]\naudience = "b:b"\n[resources.b.scopes]\nx = "y"',
        "[resources.a.scopes]\nx = 5",
        '[resources.a]\naudience = "not absolute"\n[resources.a.scopes]\nx = "y"',
        '[resources.a]\naudience = 5\n[resources.a.scopes]\nx = "y"',
        '[resources.a.scopes]\nx = "y"\n[resources.b.scopes]\nz = "y"',
    ],
)
def test_a_bad_keyturn_toml_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keyturn.toml"
    file.write_text(text)

    (sentence,) = faults(FILE=str(file))

    assert sentence.startswith("KEYTURN_FILE must be ")
