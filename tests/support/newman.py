"""Runs collections with newman, and reads its report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.npm import Npm


@dataclass
class Report:
    """What newman found: its exit code, what it printed, and its JSON report."""

    code: int
    printed: str
    run: dict[str, Any]

    @property
    def stats(self) -> dict[str, dict[str, int]]:
        return dict(self.run["stats"])

    @property
    def names(self) -> list[str]:
        """The name of each request that was sent, in order."""
        return [execution["item"]["name"] for execution in self.run["executions"]]

    @property
    def failed(self) -> list[str]:
        """Each assertion that failed, and each script that ended with an error, with the name of its request."""
        failures = self.run["failures"]
        return [f"{each['source'].get('name', 'a request')}: {each['error']['message']}" for each in failures]

    def assert_green(self) -> None:
        assert (self.code, self.failed) == (0, []), self.printed[-6_000:]
        assert self.stats["assertions"]["total"] > 3 * len(self.names)


def run(npm: Npm, collection: Path, folder: Path, *options: str) -> Report:
    """Run a collection; the report is written into a folder of the test."""
    file = folder / "newman.json"
    command = ["run", str(collection), "--reporters", "cli,json", "--reporter-json-export", str(file), "--color", "off"]
    done = npm.run("newman", *command, *options)
    assert file.exists(), done.stdout + done.stderr
    report = json.loads(file.read_text(encoding="utf-8"))["run"]
    file.unlink()
    return Report(done.returncode, done.stdout + done.stderr, report)
