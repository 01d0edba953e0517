"""The tools from npm: pinned, with a hash for each, and no address of a registry."""

from __future__ import annotations

import json
import re

from tests.support import npm

LOCK = json.loads(npm.LOCK.read_text(encoding="utf-8"))


def test_every_tool_is_pinned_to_one_version() -> None:
    wanted = json.loads((npm.FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]

    assert LOCK["packages"][""]["dependencies"] == wanted, "run `python -m tests.support.npm`"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())


def test_the_lock_has_a_hash_for_each_package_and_no_address() -> None:
    assert "://" not in npm.LOCK.read_text(encoding="utf-8")
    for path, package in LOCK["packages"].items():
        if path and not package.get("inBundle"):  # what is in another package has that package's hash
            assert package["integrity"].startswith("sha512-"), path
            assert set(package) <= set(npm.MEMBERS), path
