"""Runs the snippets of the playground's step "take it home", each with its own tool."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, curl, missing

STATIC = ROOT / "app" / "playground" / "static"
GENERATE = f"""
import {{ snippets }} from {json.dumps((STATIC / "snippets.js").as_uri())};
let text = "";
for await (const part of process.stdin) text += part;
const {{ request, data }} = JSON.parse(text);
console.log(JSON.stringify(snippets(request, data)));
"""
NEWMAN = ["npx", "--yes", "newman@6.2.2", "run"]


def node() -> str:
    """The path of Node.js, or the test is skipped."""
    found = shutil.which("node")
    if found is None:
        missing("Node.js", install="it runs the snippets of the playground (apt install nodejs npm)")
    return str(found)


def generated(request: dict[str, Any], issuer: str) -> dict[str, str | None]:
    """The snippets for a request of the bench, by name, without a browser."""
    data = {"issuer": issuer, "endpoints": {"token": f"{issuer}/oauth/token"}}
    script = [node(), "--input-type=module", "--eval", GENERATE]
    given = json.dumps({"request": request, "data": data})
    done = subprocess.run(script, input=given, capture_output=True, text=True, check=True)
    return {each["name"]: each["text"] for each in json.loads(done.stdout)}


def run(name: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a snippet as a learner does: pasted into a terminal, or saved in a file."""
    if name == "curl":
        curl()
        command = ["bash", "-c", text]
    elif name in ("requests", "authlib"):
        command = [sys.executable, str(saved(folder / "request.py", text))]
    elif name in ("fetch", "openid-client"):
        command = [node(), str(saved(folder / "request.mjs", text))]
    else:
        node()
        command = [*NEWMAN, str(saved(folder / "request.json", text)), "--reporters", "json"]
        command += ["--reporter-json-export", str(folder / "report.json")]
    direct = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment = os.environ if name == "postman" else direct  # npx may need the proxy in order to fetch newman
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment)


def saved(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file
