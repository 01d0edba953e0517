"""Runs the collection's assertions over mutations of recorded responses, all in one run of newman.

A collection of its own has one request for each mutation, with the tests of its case. A small server returns the
mutated response. A request that no assertion fails for is a mutation that the collection does not notice.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from conformance.cases import CASES, Case
from tests.conftest import build_app, close, free_port
from tests.support import collection, newman, scripts
from tests.support.mutations import Mutation, Recorded
from tests.support.npm import Npm
from tests.support.runner import Runner

NUMBER = "X-Mutation"


class Recording:
    """The responses of a real app to all cases, and the tokens in them."""

    def __init__(self, database_url: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        app = build_app(database_url=database_url, issuer=self.url)
        self.runner = Runner(app)
        self.runner.known |= collection.variables(self.url)
        self.responses = {case.name: self.response(case) for case in CASES}
        self.tokens = {name: self.runner.known[name] for name in collection.SAVERS}
        close(app)

    def response(self, case: Case) -> Recorded:
        response = self.runner.send(case)
        return Recorded(response.status_code, dict(response.headers), response.text)


@contextmanager
def served(port: int, responses: list[Recorded]) -> Iterator[None]:
    """A server that returns the response whose number the request names."""

    class Mock(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            response = responses[int(self.headers[NUMBER])]
            body = b"" if self.command == "HEAD" else response.body.encode()
            self.send_response_only(response.status)
            for name, value in (response.headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = respond  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Mock)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def item(number: int, mutation: Mutation, tokens: dict[str, str]) -> dict[str, Any]:
    """The request of a mutation, with the tests of its case, and without what comes before it."""
    request = collection.request(mutation.case)
    request["header"].append({"key": NUMBER, "value": str(number)})
    # The tests before may have saved other tokens.
    known = {name: tokens[name] for name in scripts.USES.get(mutation.case.shows, ())} | mutation.variables
    before = [f"pm.collectionVariables.set({scripts.js(name)}, {scripts.js(value)});" for name, value in known.items()]
    events = [scripts.event("test", scripts.after(mutation.case))]
    if before:
        events.append(scripts.event("prerequest", before))
    return {"name": str(number), "request": request, "event": events}


def noticed(npm: Npm, recording: Recording, mutations: list[Mutation], folder: Path) -> list[list[str]]:
    """For each mutation, the assertions that failed."""
    document = collection.around([item(n, mutation, recording.tokens) for n, mutation in enumerate(mutations)])
    known = collection.own_variables(recording.url) | {"origin": recording.url, "path": ""} | recording.tokens
    document["variable"] = [{"key": key, "value": value} for key, value in known.items()]
    file = folder / "mutations.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    with served(recording.port, [mutation.response for mutation in mutations]):
        report = newman.run(npm, file, folder, "--reporters", "json")
    found: list[list[str]] = [[] for _ in mutations]
    assert report.names == [str(number) for number in range(len(mutations))]
    for execution in report.run["executions"]:
        failed = [each["assertion"] for each in execution.get("assertions", []) if each.get("error")]
        found[int(execution["item"]["name"])] = failed
    return found
