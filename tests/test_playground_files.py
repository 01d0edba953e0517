"""The files of the playground: small enough to read, and with nothing that its policy would forbid."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from app.playground.claims import CLAIMS
from app.tokens.access_token import GENERATION
from tests.conftest import ROOT, Operator, demo

STATIC = ROOT / "app" / "playground" / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))
PAGE = (ROOT / "app" / "playground" / "templates" / "playground.html").read_text(encoding="utf-8")
STYLES = [*STATIC.glob("*.css"), ROOT / "app" / "discovery" / "templates" / "style.css"]


def member_names(token: str) -> set[str]:
    """The names in a JWT's header and claims."""
    parts = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2]]
    return {name for part in parts for name in part}


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_every_member_of_a_token_is_explained(new_app: Callable[..., Flask], alg: str) -> None:
    app = new_app(signing_alg=alg)
    Operator(app).run("keys", "rotate", "--now")
    Operator(app).run("tokens", "revoke", "--client", "demo-admin")  # so that the token has a generation

    names = member_names(demo(app, "demo-admin").token())

    assert GENERATION in names
    assert names <= CLAIMS.keys()


def test_every_claim_names_its_source_and_who_checks_it() -> None:
    for name, claim in CLAIMS.items():
        assert re.search(r"^RFC \d{4}, section \d|^our own", claim.source), name
        assert claim.sentence.endswith("."), name
        assert claim.checked_by.endswith("."), name


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_a_script_can_be_read_at_once_and_says_what_it_holds(file: Path) -> None:
    text = file.read_text(encoding="utf-8")

    assert len(text.splitlines()) < 200
    assert re.match(r"/\*\*? [A-Z]", text)


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_a_script_makes_no_html_of_text_and_runs_no_text(file: Path) -> None:
    text = file.read_text(encoding="utf-8")

    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|style:", text)
    assert "await import(" not in text
    assert all(name.startswith("./") for name in re.findall(r'^(?:import|} from).*"([^"]*)";$', text, re.MULTILINE))


def test_the_page_has_no_script_style_or_event_of_its_own_and_loads_only_its_files() -> None:
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|<form|<iframe|javascript:|data:", PAGE)
    loaded = re.findall(r'(?:src|href)="(?!#)([^"]*)"', PAGE)
    assert loaded
    for address in loaded:
        name = address.removeprefix("playground/")
        assert name == "style.css" or (STATIC / name).is_file(), address


def test_the_styles_load_nothing() -> None:
    for file in STYLES:
        assert not re.search(r"url\(|@import|https?:", file.read_text(encoding="utf-8")), file


def test_every_step_has_its_section_and_its_link() -> None:
    sections = re.findall(r'<section id="step-(\w+)" aria-labelledby="title-\1"', PAGE)

    assert sections == ["token", "inspect", "call", "break", "keys", "takehome"]
    assert re.findall(r'<li><a href="#step-(\w+)">', PAGE) == sections
    assert len(set(ids := re.findall(r'\bid="([^"]+)"', PAGE))) == len(ids)
