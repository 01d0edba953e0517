"""Guards of the whole project: which way imports point, how big modules are, what is public."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from flask import Flask

from tests.conftest import ROOT
from tests.support.house import APP, FILES, ORDER, imports, room_of

CORE = [
    "config.py",
    "app/oauth/server.py",
    "app/oauth/token_endpoint.py",
    "app/api/guard.py",
    "app/api/routes.py",
]
# Open without a token: three endpoints where a client authenticates, descriptions, and in development the playground.
PUBLIC = {
    "POST /oauth/token",
    "POST /oauth/introspect",
    "POST /oauth/revoke",
    "GET /.well-known/oauth-authorization-server",
    "GET /.well-known/oauth-protected-resource",
    "GET /.well-known/jwks.json",
    "GET /errors/",
    "GET /errors/<code>",
    "GET /openapi.json",
    "GET /health/live",
    "GET /health/ready",
    "GET /",
    "GET /playground/<file>",
    "GET /playground/style.css",
    "GET /playground/data.json",
    "GET /playground/progress.json",
    "POST /playground/keys",
}


def test_every_part_has_its_place_in_the_order() -> None:
    assert {room_of(file) for file in FILES} - {"migrations", "serving"} == set(ORDER)


@pytest.mark.parametrize(
    "file",
    [f for f in FILES if room_of(f) not in ("__init__", "migrations", "serving")],
    ids=lambda f: str(f.relative_to(APP)),
)
def test_imports_point_one_way(file: Path) -> None:
    allowed = set(ORDER[: ORDER.index(room_of(file)) + 1])

    assert imports(file) <= allowed


def test_config_imports_nothing_of_the_app_and_the_app_nothing_of_the_tests() -> None:
    assert imports(ROOT / "config.py") == set()
    assert not [file for file in FILES if re.search(r"^(from|import) (tests|wsgi)\b", file.read_text(), re.MULTILINE)]


def test_the_conformance_runner_imports_nothing_of_the_app_or_its_tests() -> None:
    for file in (ROOT / "conformance").glob("*.py"):
        assert not re.search(r"^(from|import) (app|tests|config|wsgi)\b", file.read_text(), re.MULTILINE), file


def test_serving_imports_nothing_of_the_app_and_gunicorn_alone_imports_it() -> None:
    assert {name for file in (APP / "serving").glob("*.py") for name in imports(file)} == {"serving"}
    assert [file for file in FILES if room_of(file) != "serving" and "serving" in imports(file)] == []
    assert "app.serving.gunicorn_worker" in (ROOT / "gunicorn.conf.py").read_text()


def test_no_two_files_share_a_name() -> None:
    names = Counter(file.name for file in FILES if file.name not in ("__init__.py", "env.py"))

    assert [name for name, count in names.items() if count > 1] == []


def lines(files: list[Path]) -> int:
    return sum(len(file.read_text().splitlines()) for file in files)


def test_what_the_guide_shows_can_be_read_in_220_lines() -> None:
    assert lines([ROOT / name for name in CORE if name != "config.py"]) <= 220


def test_the_core_switches_no_check_of_types_off_and_reaches_behind_no_proxy() -> None:
    texts = {name: (ROOT / name).read_text() for name in CORE}

    assert [name for name, text in texts.items() if re.search("type: ignore|_get_current_object", text)] == []


def test_the_product_stays_small() -> None:
    assert [file.name for file in FILES if len(file.read_text().splitlines()) > 200] == []


def test_every_module_says_what_it_is() -> None:
    for file in [
        *FILES,
        *(ROOT / "tests").glob("test_*.py"),
        *(ROOT / name for name in ("config.py", "wsgi.py", "gunicorn.conf.py")),
    ]:
        assert ast.get_docstring(ast.parse(file.read_text())), file


def test_every_route_is_guarded_or_declared_public(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD"}:
            path = rule.rule.replace("<sku>", "pallet")
            if f"{method} {rule.rule}" not in PUBLIC:
                response = app.test_client().open(path, method=method)
                assert response.status_code == 401
                assert response.headers["WWW-Authenticate"].startswith('Bearer realm="keyturn", resource_metadata=')


def published() -> list[str]:
    """The files of the repository; in an archive without .git, all except those that working with it creates."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return listed.stdout.rstrip("\0").split("\0")
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().split()}
    found = (file.relative_to(ROOT) for file in ROOT.rglob("*"))
    return [str(file) for file in found if file.parts[0] != ".git" and not ignored & set(file.parts)]


def is_text(file: Path) -> bool:
    return file.is_file() and file.suffix != ".png"


def test_no_file_names_a_registry_and_none_holds_a_secret_that_is_not_a_demo() -> None:
    texts = {name: (ROOT / name).read_text() for name in published() if is_text(ROOT / name)}

    assert [name for name, text in texts.items() if re.search(r"https?://[\w.-]*(pypi|npmjs|debian)", text)] == []
    for name, text in texts.items():
        for found in re.findall(r"kts_[A-Za-z0-9_-]{43}|-----BEGIN [A-Z ]*PRIVATE", text):
            assert name.startswith("tests/"), f"{name}: {found[:8]}…"


def test_keys_and_signatures_are_joserfcs_and_not_authlibs_deprecated_ones() -> None:
    assert not [file for file in FILES if "authlib.jose" in file.read_text()]


def test_the_sources_hold_nothing_unfinished() -> None:
    for file in FILES:
        assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b|pragma: no cover", file.read_text()), file
