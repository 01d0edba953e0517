"""Settings: how they are read and checked; every fault is named at once, without repeating a value."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from app.settings import read_settings
from tests.conftest import ROOT

GOOD_KEY = "RkVSTkVULUtFWS1PRi0zMi1CWVRFUy1GT1ItVEVTVFM="
SECRET = "hush-hush"
KUBERNETES = {
    "KEYTURN_PORT": "tcp://10.0.0.1:8000",
    "KEYTURN_SERVICE_HOST": "10.0.0.1",
    "KEYTURN_SERVICE_PORT": "8000",
    "KEYTURN_SERVICE_PORT_HTTP": "8000",
    "KEYTURN_PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "KEYTURN_PORT_8000_TCP_ADDR": "10.0.0.1",
    "KEYTURN_REDIS_PORT": "tcp://10.0.0.2:6379",
    "KEYTURN_REDIS_SERVICE_HOST": "10.0.0.2",
}


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
    settings = read_settings(
        {"PORT": "8123", "KEYTURN_ISSUER": "https://auth.example.com", "KEYTURN_ENV": "development"}
    )
    assert settings.audience == settings.resources[0].audience == "https://auth.example.com"


@pytest.mark.parametrize("port", ["abc", "0", "99999", "999999", "-1", " 8000", "8000.0"])
@pytest.mark.parametrize("issuer", ["", "http://127.0.0.1:8000"])
def test_a_bad_port_is_named_by_its_own_name(port: str, issuer: str) -> None:
    (sentence,) = read_settings({"PORT": port, "KEYTURN_ISSUER": issuer}).faults

    assert sentence == "PORT must be a whole number from 1 to 65535."


def test_each_variable_is_named_once() -> None:
    found = faults(ENV="production", ISSUER="nonsense", SECRET_KEYS="nonsense")

    assert [sentence.split()[0] for sentence in found] == ["KEYTURN_ISSUER", "KEYTURN_SECRET_KEYS"]


def test_an_empty_variable_is_not_set() -> None:
    assert read_settings({"KEYTURN_ISSUER": "", "KEYTURN_ENV": "", "PORT": ""}) == read_settings({})


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
    ("variable", "advice"),
    [
        ("KEYTURN_ENVIRONMENT", "Did you mean KEYTURN_ENV?"),
        ("KEYTURN_DATABSE_URL", "Did you mean KEYTURN_DATABASE_URL?"),
        ("KEYTURN_LIMIT_FAILURE", "Did you mean KEYTURN_LIMIT_FAILURES?"),
        ("KEYTURN_PORT", "Did you mean PORT?"),
        ("keyturn_issuer", "Did you mean KEYTURN_ISSUER?"),
        ("KEYTURN_BANANA", "Remove it"),
    ],
)
def test_a_variable_that_is_no_setting_is_a_fault_and_the_one_that_was_meant_is_named(
    variable: str, advice: str
) -> None:
    (sentence,) = read_settings({variable: SECRET}).faults

    assert sentence.startswith(f"{variable} is not a setting. {advice}")
    assert SECRET not in sentence


def test_what_kubernetes_sets_beside_a_service_of_this_name_is_no_fault() -> None:
    assert read_settings(KUBERNETES).faults == ()


@pytest.mark.parametrize(
    "sign",
    [
        pytest.param({"KEYTURN_ISSUER": "https://auth.example.com"}, id="https"),
        pytest.param({"KEYTURN_TRUSTED_PROXIES": "1"}, id="proxy"),
    ],
)
@pytest.mark.parametrize("env", [None, "", "producton"])
def test_with_a_sign_of_production_the_environment_must_be_set(sign: dict[str, str], env: str | None) -> None:
    given = sign if env is None else sign | {"KEYTURN_ENV": env}

    assert [sentence.split()[0] for sentence in read_settings(given).faults] == ["KEYTURN_ENV"]
    assert read_settings(sign | {"KEYTURN_ENV": "development"}).faults == ()


@pytest.mark.parametrize(
    ("issuer", "wrong"),
    [
        ("http://keyturn:8000", "http:// is for 127.0.0.1, [::1] and localhost only, so use https://"),
        ("http://localhost.evil.example", "http:// is for 127.0.0.1, [::1] and localhost only, so use https://"),
        ("http://127.0.0.1:8000/", "it ends with a slash"),
        ("https://example.com/", "it ends with a slash"),
        ("https://example.com/a/", "it ends with a slash"),
        ("https://example.com/a//b", "its path has two slashes in a row"),
        ("https://example.com?x=1", "it has a query or a fragment"),
        ("https://example.com#x", "it has a query or a fragment"),
        ("https://user@example.com", "it contains a user or a password"),
        ("https://EXAMPLE.com", "its host has upper case letters"),
        ("HTTPS://example.com", "it does not begin with https://, in lower case"),
        ("auth.example.com", "it does not begin with https://, in lower case"),
        ("https://my_host.example", "its host has an underscore"),
        ("https://[2001:db8::1]", "its host is an IPv6 address: use a name"),
        ("https://[::1]", "its host is an IPv6 address: use a name"),
        ("https://m\u00fcller.example", "it contains a character that is not ASCII"),
        ("https://example.com\n", "it contains white space"),
        ("https://example.com:0", "its port is not a number from 1 to 65535"),
        ("https://example.com:99999", "its port is not a number from 1 to 65535"),
        ("https://example.com:port/a", "its port is not a number from 1 to 65535"),
        ("https://...", "its host is not a name"),
        ("https://a..b", "its host is not a name"),
        ("https://example.com/..", "a part of its path begins with a dot"),
        ("https://example.com/a%20b", "its path has a character other than letters, digits and . _ ~ -"),
        ("https://example.com/" + "x" * 200, "it is longer than 200 characters"),
    ],
)
def test_of_a_bad_issuer_the_part_is_named_that_is_wrong(issuer: str, wrong: str) -> None:
    (sentence,) = faults(ISSUER=issuer, ENV="development")

    assert sentence.startswith("KEYTURN_ISSUER must be https://HOST[:PORT][/PATH] without a trailing slash")
    assert sentence.endswith(f": {wrong}.")


AT = "a / ? # or @ in the user or the password is %2F %3F %23 or %40"
NO_OTHER = "and no other"


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("sqlite:///k.db\n", "it contains white space"),
        ("sqlite:///k.db ", "it contains white space"),
        ("sqlite:///k.db\t", "it contains white space"),
        ("sqlite:///k.db\r\n", "it contains white space"),
        ("\u00a0sqlite:///k.db", "it contains white space"),
        ("sqlite:///a b.db", "a space is %20"),
        ("sqlite:///a%0Ab.db", "it contains a control character"),
        ("sqlite:///p%q.db", "a % is %25"),
        ("sqlite:///a?b.db", "a ? in the file's name is %3F"),
        ("sqlite:///k.db?timeout=5", "SQLite takes no parameters"),
        ("sqlite:///~/k.db", "~ is not expanded"),
        ("sqlite:///folder/", "it names no file"),
        ("sqlite://", "it names no file"),
        ("sqlite:///:memory:", "it names no file"),
        ("sqlite:///file::memory:?uri=true", "SQLite takes no parameters"),
        ("sqlite:///file:x?mode=memory&uri=true", "SQLite takes no parameters"),
        ("postgresql://me:x@host/x\n", "it contains white space"),
        ("postgresql://me:x@host /x", "it contains white space"),
        ("postgres://me:x@host/x", "write postgresql:// instead of postgres://"),
        ("postgresql+psycopg2://me:x@host/x", "without a driver"),
        ("postgresql://localhost:port/x", "a port is a number from 1 to 65535"),
        ("postgresql://localhost:0/x", "a port is a number from 1 to 65535"),
        ("postgresql://localhost:65536/x", "a port is a number from 1 to 65535"),
        ("postgresql://me:x@a:5432,b:5433/x", "/DATABASE?host=A:5432&host=B:5432"),
        ("postgresql://me:p@ss@host/x", AT),
        ("postgresql://me:p/ss@host/x", AT),
        ("postgresql://me:p?ss@host/x", AT),
        ("postgresql://me:p#ss@host/x", AT),
        ("postgresql://me:x@host/x?prepare_threshold=5", NO_OTHER),
        ("postgresql://me:x@host/x?prepare_threshold=None", NO_OTHER),
        ("postgresql://me:x@host/x?row_factory=x", NO_OTHER),
        ("postgresql://me:x@host/x?client_encoding=sql_ascii", NO_OTHER),
        ("postgresql://me:x@host/x?options=-csearch_path%3Ds", NO_OTHER),
        ("postgresql://me:x@host/x?connect_timeout=1", NO_OTHER),
        ("postgresql://me:x@host/x?%73slmode=disable", NO_OTHER),
        ("postgresql://me:x@host/x?sslmode=require&", NO_OTHER),
        ("postgresql://me:x@host/x?sslmode=", "its sslmode must be one of disable"),
        ("postgresql://me:x@host/x?sslmode", "its sslmode must be one of disable"),
        ("postgresql://me:x@host/x?sslmode=bogus", "its sslmode must be one of disable"),
        ("postgresql://me:x@host/x?sslmode=require&sslmode=disable", "it has sslmode twice"),
        ("postgresql://me:x@host/x?sslrootcert=/nowhere.pem", "absolute path of a file that this user can read"),
        ("postgresql://me:x@host/x?sslcert=README.md", "absolute path of a file that this user can read"),
        ("postgresql://me:x@host/x?target_session_attrs=read-only", "one of any, read-write, primary"),
        ("postgresql://me:x@host/x?application_name=", "1 to 63 printable ASCII characters"),
        ("postgresql://me:x@host/x?host=other", "it has the host or the port twice"),
        ("postgresql://me:x@host:1/x?port=2", "it has the host or the port twice"),
        ("postgresql://me:x@/x?host=a,b&port=1,2,3", "its hosts and ports do not fit together"),
        ("postgresql://me:x@/x?host=a:1,b:2", "its host must be"),
    ],
)
def test_of_a_bad_database_url_the_part_is_named_that_is_wrong(url: str, wrong: str) -> None:
    (sentence,) = faults(DATABASE_URL=url)

    assert sentence.startswith("KEYTURN_DATABASE_URL must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST")
    assert wrong in sentence


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:password@localhost/keyturn",
        "postgresql://user:p%40%2F%3F%23%25ss@localhost:5433/key%20turn",
        "postgresql://user:with:colon@localhost/keyturn",
        "postgresql://[::1]:5432/keyturn",
        "postgresql:///keyturn",
        "postgresql://a,b/keyturn?target_session_attrs=read-write",
        "postgresql://user@/keyturn?host=a:5432&host=b:5433&target_session_attrs=primary",
        "postgresql://user@/keyturn?host=a,b&port=5432,5433",
        "postgresql://user@/keyturn?host=/var/run/post%20gresql&port=5433",
        "postgresql://user@host/keyturn?sslmode=verify-full&sslrootcert=system&channel_binding=require",
        f"postgresql://user@host/keyturn?sslmode=verify-ca&sslrootcert={ROOT}/README.md&application_name=key+turn%201",
        "sqlite:////var/lib/keyturn/keyturn.db",
        "sqlite:///p%25q/a%3Fb%20c#d.db",
    ],
)
def test_a_good_database_url_is_accepted(url: str) -> None:
    assert faults(DATABASE_URL=url) == ()


def test_of_several_hosts_the_first_that_responds_is_used_and_the_parameters_arrive(postgresql: str) -> None:
    socket = make_url(postgresql).query["host"]
    url = postgresql.format(name="postgres").partition("?")[0]
    url += f"?host=127.0.0.1:1&host={socket}&target_session_attrs=primary&application_name=key+turn&sslmode=prefer"
    assert faults(DATABASE_URL=url) == ()

    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        name = connection.scalar(text("SELECT current_setting('application_name')"))
    engine.dispose()

    assert name == "key turn"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ISSUER", "https://"),
        ("AUDIENCE", "not a uri"),
        ("AUDIENCE", "https://example.com#fragment"),
        ("AUDIENCE", "relative/path"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "postgresql://localhost"),
        ("DATABASE_URL", "postgresql://localhost/x#y"),
        ("DATABASE_URL", "nonsense"),
        ("SECRET_KEYS", "short"),
        ("SECRET_KEYS", f"{GOOD_KEY},short"),
        ("SECRET_KEYS", GOOD_KEY + GOOD_KEY),
        ("SECRET_KEYS", GOOD_KEY + "newer"),
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
        ("REDIS_URL", "redis://localhost:0/0"),
        ("AUDIT_DAYS", "0"),
        ("AUDIT_ROWS", "10"),
        ("MAX_BODY_BYTES", "10"),
        ("MAX_BODY_BYTES", "9999999999"),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", " "])
def test_a_bad_value_is_refused_with_what_would_be_right(name: str, value: str, end: str) -> None:
    (sentence,) = faults(**{name: value + end}, ENV="development")

    assert sentence.startswith(f"KEYTURN_{name} must be ")


def test_no_fault_repeats_what_may_be_a_secret() -> None:
    text = " ".join(
        faults(
            DATABASE_URL=f"postgresql://me:{SECRET}@host/x?password={SECRET}&sslmode={SECRET}",
            SECRET_KEYS=SECRET,
            ISSUER=f"https://me:{SECRET}@host",
            REDIS_URL="redis://:hush/hush@h",
            ENV=SECRET,
            SECRET_KEY=SECRET,
        )
    )

    assert text.count("must be") == 5
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
        ("REDIS_URL", "redis://[::1]:65535/0"),
        ("LIMIT_FAILURES", "1/second"),
    ],
)
def test_a_good_value_is_accepted(name: str, value: str) -> None:
    assert faults(**{name: value}, ENV="development") == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENV", "development"),
        ("ISSUER", "http://localhost:8000"),
        ("AUDIENCE", "urn:example:api"),
        ("DATABASE_URL", "sqlite:///keyturn.db"),
        ("SIGNING_ALG", "ES256"),
        ("ACCESS_TOKEN_SECONDS", "60"),
        ("TRUSTED_PROXIES", "0"),
        ("FILE", str(ROOT / "keyturn.toml")),
        ("LIMIT_FAILURES", "1/second"),
        ("REDIS_URL", "redis://localhost"),
        ("AUDIT_DAYS", "5"),
    ],
)
@pytest.mark.parametrize("around", ["{}\n", "{} ", " {}", "{}\r\n", "{}\t"])
def test_white_space_around_a_good_value_is_a_fault(name: str, value: str, around: str) -> None:
    (sentence,) = faults(**{name: around.format(value)})

    assert sentence.startswith(f"KEYTURN_{name} must be ")


PRODUCTION = {"KEYTURN_ENV": "production", "KEYTURN_ISSUER": "https://auth.example.com"}
IN_FILES = {
    "KEYTURN_DATABASE_URL": f"postgresql://me:{SECRET}@host/keyturn",
    "KEYTURN_SECRET_KEYS": GOOD_KEY,
    "KEYTURN_REDIS_URL": f"redis://:{SECRET}@host/0",
}


@pytest.fixture
def credentials(tmp_path: Path) -> dict[str, str]:
    """The settings of production, with every secret in a file, as an editor writes it."""
    for variable, value in IN_FILES.items():
        (tmp_path / variable).write_text(f"{value}\n", encoding="utf-8")
    return PRODUCTION | {f"{variable}_FILE": str(tmp_path / variable) for variable in IN_FILES}


def test_a_secret_can_be_in_a_file_and_a_newline_at_its_end_does_no_harm(credentials: dict[str, str]) -> None:
    settings = read_settings(credentials)

    assert settings.faults == ()
    assert (settings.database_url, settings.secret_keys, settings.redis_url) == (
        IN_FILES["KEYTURN_DATABASE_URL"],
        (GOOD_KEY,),
        IN_FILES["KEYTURN_REDIS_URL"],
    )


def test_a_bare_name_is_a_credential_of_systemd(tmp_path: Path, credentials: dict[str, str]) -> None:
    by_name = PRODUCTION | {f"{variable}_FILE": variable for variable in IN_FILES}
    folder = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert read_settings(by_name | folder) == replace(
        read_settings(credentials), **{f"{name.lower()[8:]}_file": name for name in IN_FILES}
    )
    found = [*read_settings(by_name).faults, *read_settings(folder | {"KEYTURN_REDIS_URL_FILE": "../x"}).faults]
    assert [sentence.rpartition(": ")[2] for sentence in found] == [
        *["CREDENTIALS_DIRECTORY is not set, as systemd sets it for LoadCredential=."] * 3,
        "a relative path depends on the working directory.",
    ]


@pytest.mark.parametrize("variable", IN_FILES)
@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        pytest.param(None, "there is no such file", id="missing"),
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b" \n\n", "the file is empty", id="blank"),
        pytest.param(SECRET.encode("utf-16"), "the file is not text in UTF-8", id="binary"),
        pytest.param(SECRET.encode() * 10_000, "the file is larger than 65,536 bytes", id="large"),
    ],
)
def test_of_a_bad_file_the_variable_is_named_and_never_what_it_contains(
    credentials: dict[str, str], variable: str, content: bytes | None, wrong: str
) -> None:
    file = Path(credentials[f"{variable}_FILE"])
    file.unlink() if content is None else file.write_bytes(content)

    (sentence,) = read_settings(credentials).faults

    assert sentence == (
        f"{variable}_FILE must be the absolute path of a file, or the name of a systemd credential: {wrong}."
    )


def test_a_file_that_this_user_cannot_read_is_named(credentials: dict[str, str]) -> None:
    Path(credentials["KEYTURN_SECRET_KEYS_FILE"]).chmod(0)
    user = os.geteuid()

    try:
        os.seteuid(65_534 if user == 0 else user)  # root reads everything
        (sentence,) = faults(SECRET_KEYS_FILE=credentials["KEYTURN_SECRET_KEYS_FILE"])
    finally:
        os.seteuid(user)

    assert sentence.endswith(": this user cannot read it.")


def test_a_folder_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path, tmp_path / "pipe"):
        (sentence,) = faults(REDIS_URL_FILE=str(path))
        assert sentence.endswith(": it is not a file.")


@pytest.mark.parametrize("variable", IN_FILES)
def test_a_value_and_a_file_for_it_are_a_fault_together(credentials: dict[str, str], variable: str) -> None:
    (sentence,) = read_settings(credentials | {variable: IN_FILES[variable]}).faults

    assert sentence == f"{variable}_FILE must be unset, because {variable} is set: it is one or the other."


@pytest.mark.parametrize("variable", IN_FILES)
def test_a_bad_value_in_a_file_is_named_after_the_file_and_is_not_repeated(
    credentials: dict[str, str], variable: str
) -> None:
    Path(credentials[f"{variable}_FILE"]).write_text(f"nonsense {SECRET}", encoding="utf-8")

    (sentence,) = read_settings(credentials).faults

    assert sentence.startswith(f"What {variable}_FILE contains must be ")
    assert SECRET not in sentence


@pytest.mark.parametrize("between", [",", ", ", "\n", " ", "\r\n", ",\n"])
def test_no_secret_key_is_lost_however_they_are_separated(between: str) -> None:
    other = GOOD_KEY.replace("R", "S")

    assert read_settings({"KEYTURN_SECRET_KEYS": between.join([GOOD_KEY, other])}).secret_keys == (GOOD_KEY, other)


def test_R079_production_needs_https_and_secret_keys() -> None:
    assert [sentence.split()[0] for sentence in faults(ENV="production")] == ["KEYTURN_ISSUER", "KEYTURN_SECRET_KEYS"]
    assert faults(ENV="production", ISSUER="https://auth.example.com", SECRET_KEYS=GOOD_KEY) == ()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("", "it declares no resource"),
        ("nonsense", "line 1: "),
        ("[resources]", "it declares no resource"),
        ("[resources.a]", "[resources.a.scopes] is missing or empty"),
        ("resources = 5", "it declares no resource"),
        ("[resources]\na = 5", "resources.a is not a table"),
        ("[resources.a.scopes]", "[resources.a.scopes] is missing or empty"),
        ("[resources.a]\nscopes = 'x y'", "[resources.a.scopes] is missing or empty"),
        ('[resources.a.scopes]\n"two words" = "x"', "line 2: a scope is printable ASCII without spaces"),
        ('[resources.a.scopes]\nread:logs = "x"', 'line 2: a scope is in quotes: "read:logs" = "…"'),
        ('[resources.a.scopes]\nread.logs = "x"', 'line 2: a scope with a dot is in quotes: "read.…" = "…"'),
        ("[resources.a.scopes]\nx = 5", "line 2: a scope is followed by its description, in quotes"),
        ('[resources.a.scopes]\nx = "y', "line 2: "),
        (
            '[resources.a]\naudiance = "b:b"\n[resources.a.scopes]\nx = "y"',
            "line 2: audiance is unknown; did you mean audience?",
        ),
        ('[resources.a.scope]\nx = "y"', "line 1: scope is unknown; did you mean scopes?"),
        ('\n\n[resource.a.scopes]\nx = "y"', "line 3: resource is unknown; did you mean resources?"),
        ('title = "x"\n[resources.a.scopes]\nx = "y"', "line 1: title is unknown."),
        (
            '[resources.a.scopes]\nx = ""\n[resources.b]\naudience = "b:b"\n[resources.b.scopes]\nx = "y"',
            "the scope x is in a and in b, and must be in only one of them",
        ),
        (
            '[resources.a]\naudience = "not absolute"\n[resources.a.scopes]\nx = "y"',
            "line 2: the audience of a is not an absolute URI without a fragment",
        ),
        (
            '[resources.a]\naudience = 5\n[resources.a.scopes]\nx = "y"',
            "line 2: the audience of a is not an absolute URI without a fragment",
        ),
        ('[resources.a.scopes]\nx = "y"\n[resources.b.scopes]\nz = "y"', "no two resources have one audience"),
        ('[resources.a.scopes]\n"x" = "Lagerbestände"'.encode("latin-1"), "line 2: a character is not UTF-8"),
        ('[resources.a.scopes]\n"x" = "y"'.encode("utf-16"), "it is not UTF-8 but UTF-16"),
        ('[resources.a.scopes]\n"x" = "y"'.encode("utf-16-le"), "it is not UTF-8 but UTF-16"),
    ],
)
def test_of_a_bad_keyturn_toml_the_line_is_named_and_what_is_wrong(
    tmp_path: Path, content: str | bytes, wrong: str
) -> None:
    file = tmp_path / "keyturn.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())

    (sentence,) = faults(FILE=str(file))

    assert sentence.startswith("KEYTURN_FILE must be ")
    assert wrong in sentence


def test_a_byte_order_mark_of_an_editor_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "keyturn.toml").write_bytes('[resources.a.scopes]\n"x" = "y"'.encode("utf-8-sig"))

    assert faults(FILE=str(tmp_path / "keyturn.toml")) == ()


def test_keyturn_toml_is_read_as_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    (tmp_path / "keyturn.toml").write_text('[resources.a.scopes]\n"x" = "Bestände und Läden"', encoding="utf-8")
    script = "import os, app.settings; print(ascii(app.settings.read_settings(os.environ).resources[0].scopes['x']))"
    environment = os.environ | {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment |= {"KEYTURN_FILE": str(tmp_path / "keyturn.toml")}

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == ascii("Bestände und Läden")
