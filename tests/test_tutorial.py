"""The tutorial, followed word by word on a copy of the project: its commands, its files, its edits, its code."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from collections.abc import Iterator
from functools import singledispatchmethod
from pathlib import Path

import click
import psutil
import pytest

import config
from app import create_app
from app.lesson.steps import STEPS
from app.settings import read_settings
from tests.conftest import ROOT, curl, free_port, wait_for
from tests.support.excerpts import REFERENCE, filled
from tests.support.leaks import suite
from tests.support.page_steps import Command, Edit, NewFile, Stop, steps
from tests.support.pages import pattern
from tests.support.walkthrough import Reader
from tests.test_house import CORE
from tests.test_start import copied, outside

FOLDER = ROOT / "docs" / "tutorial"
INDEX = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
PAGES = {file.stem: file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.md"))}
EVERYTHING = {"../tutorial": INDEX} | PAGES
# The environment is up to date: nothing is installed.
SERVER = ("make", "--old-file=.venv/ready", "run")
# A program is run as a module or by its path: the scripts in .venv/bin contain the path at which they were installed.
PYTHON = shlex.quote(sys.executable)
LOG_LINE = re.compile(r'^\{"time": .*\n', re.MULTILINE)
RELOADED = re.compile("(?<!not )reloaded: ")
WORDS, COMMANDS, LINES = 230, 8, 60  # that a reader reads, types and reads in a minute
HALF_AN_HOUR = 34  # minutes, of the pages that come before those for later


class Learner:
    """Reads the pages in their order, each once, and does what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        project = copied(folder / "keyturn")
        (project / ".venv").symlink_to(sys.prefix)
        here = {}
        for port in ("8000", "8001", "8002", "8003"):
            free = free_port()
            here |= {f"{place}{port}": f"{place}{free}" for place in ("127.0.0.1:", "--port ", "port=")}
        url = f"http://{here['127.0.0.1:8000']}"
        environment = outside() | {"PORT": url.rpartition(":")[2], "ISSUER": url}
        self.reader = Reader(project, environment, here)
        self.unread = list(PAGES)

    def read(self, name: str) -> None:
        """Follow a page, after those before it."""
        while name in self.unread:
            for step in steps(PAGES[self.unread.pop(0)]):
                self.do(step)

    @singledispatchmethod
    def do(self, step: Command) -> None:
        if step.text == "make run":
            self.start(step, [*SERVER])
        elif step.text.startswith((".venv/bin/python examples/", ".venv/bin/python mock")):
            self.start(step, [sys.executable, *shlex.split(self.reader.here(step.text))[1:]])
        else:
            printed = self.reader.type(step.text.replace(".venv/bin/flask", f"{PYTHON} -m flask"))
            # In a terminal, a command writes no line of the log.
            printed = LOG_LINE.sub("", printed)
            assert pattern(step.shown).fullmatch(printed.strip()), f"{step.text} printed {printed}"

    @do.register
    def _(self, _: Stop) -> None:
        self.reader.stop_last()

    @do.register
    def _(self, file: NewFile) -> None:
        self.reader.create(file)

    @do.register
    def _(self, edit: Edit) -> None:
        server = self.reader.running[0]
        before, workers = len(RELOADED.findall(server.printed())), self.workers()
        self.reader.change(edit)
        wait_for(lambda: len(RELOADED.findall(server.printed())) > before, seconds=60)
        wait_for(lambda: not workers & self.workers(), seconds=60)

    def workers(self) -> set[psutil.Process]:
        """The processes that serve the code as it is; a reload replaces them."""
        (gunicorn,) = psutil.Process(self.reader.running[0].process.pid).children()
        return set(gunicorn.children())

    def start(self, step: Command, command: list[str]) -> None:
        """Start a program, and wait until it has printed what the page shows."""
        program = self.reader.start(command, self.next_log())

        def as_shown() -> bool:
            return bool(pattern(step.shown).fullmatch(self.reader.as_on_the_page(program.printed()).strip()))

        wait_for(lambda: as_shown() or program.process.poll() is not None, seconds=60)
        assert as_shown(), program.printed()

    def next_log(self) -> Path:
        return self.folder / f"{len(list(self.folder.glob('*.log')))}.log"

    def close(self) -> None:
        self.reader.close()
        for secret in re.findall(r"kt[as]_[\w-]{43,51}|eyJ[\w-]+\.[\w-]+\.[\w-]+", self.reader.seen):
            suite.remember(secret)
        for log in self.folder.glob("*.log"):
            suite.record(log.read_text(encoding="utf-8", errors="replace"))


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learner]:
    curl()
    made = Learner(tmp_path_factory.mktemp("tutorial"))
    yield made
    made.close()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_tutorial_prints_what_is_shown(learner: Learner, page: str) -> None:
    learner.read(page)


def test_the_code_of_each_step_is_the_code_of_the_server() -> None:
    shown = {name: {found[1] for found in REFERENCE.findall(page)} for name, page in PAGES.items()}

    assert [name for name, page in PAGES.items() if filled(page) != page] == [], "run `make docs`"
    assert set(CORE) <= shown["06-the-code"]


def test_the_code_comes_in_the_order_of_the_guide() -> None:
    headings = re.findall(r"^## \d\. .*`(.+)`$", PAGES["06-the-code"], re.MULTILINE)

    assert headings == CORE


def test_every_place_in_the_code_that_a_table_names_is_there() -> None:
    named = [pair for page in PAGES.values() for pair in re.findall(r"`([\w/]+\.py): (\w+)`", page)]
    missing = [
        f"{file}: {name}"
        for file, name in named
        if not re.search(rf"^(?:(?:async )?def|class) {name}\b|^{name}\b.*=", (ROOT / file).read_text(), re.MULTILINE)
    ]

    assert len(named) > 25
    assert missing == []


def test_every_link_leads_to_a_file() -> None:
    for name, page in EVERYTHING.items():
        links = re.findall(r"\]\((?!http)([^)#]+)", page)
        assert links
        assert [link for link in links if not (FOLDER / f"{name}.md").parent.joinpath(link).exists()] == []


def test_the_index_lists_every_page_with_its_minutes_and_its_steps() -> None:
    rows = re.findall(r"^\| \[(.+)\]\(tutorial/(.+)\.md\) \| (\d+) \|(?: ([\d to]*?) ?\|)?", INDEX, re.MULTILINE)

    assert [name for _, name, _, _ in rows] == list(PAGES)
    for title, name, minutes, numbers in rows:
        heading, facts = PAGES[name].splitlines()[0], PAGES[name].splitlines()[2]
        found = re.findall(r"^## Step (\d+):", PAGES[name], re.MULTILINE)
        assert heading == f"# {title}"
        assert f"· {minutes} minutes" in facts
        assert numbers == (f"{found[0]} to {found[-1]}" if len(found) > 1 else "".join(found))
    assert sum(int(minutes) for _, _, minutes, _ in rows[:7]) <= HALF_AN_HOUR


@pytest.mark.parametrize("name", PAGES)
def test_the_minutes_of_a_page_are_those_that_its_words_commands_and_code_take(name: str) -> None:
    page = PAGES[name]
    words = len(re.sub(r"```.*?```", "", page, flags=re.DOTALL).split())
    commands = sum(isinstance(step, Command) for step in steps(page))
    code = sum(block.count("\n") for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL))

    stated = re.search(r"· (\d+) minutes", page)

    assert stated
    assert abs(int(stated[1]) - (words / WORDS + commands / COMMANDS + code / LINES)) <= 1


def test_every_page_leads_to_the_one_before_it_and_the_one_after_it() -> None:
    titles = {name: page.splitlines()[0].removeprefix("# ") for name, page in PAGES.items()}
    names = list(PAGES)
    for place, name in enumerate(names):
        top, bottom = PAGES[name].splitlines()[2], PAGES[name].splitlines()[-1]
        for other, words in ((place - 1, "[{}]({}.md)"), (place + 1, "next: [{}]({}.md)")):
            if 0 <= other < len(names):
                link = words.format(titles[names[other]], names[other])
                assert link in top
                assert link in bottom


def test_the_scenarios_have_the_demo_clients_and_scopes_of_config_py() -> None:
    registered = {demo.client_id: demo.scope for demo in config.DEMO_CLIENTS}
    rows = re.findall(r"\| `(demo-\w+)` \| `(.+?)` \|", PAGES["01-the-flow"])

    assert len(rows) == 3
    assert {client: registered[client] for client, _ in rows} == dict(rows)


def test_every_flask_command_in_the_text_is_there() -> None:
    """Those in console blocks are run; these are in sentences and tables."""
    app = create_app(read_settings({}))
    for page in PAGES.values():
        for text in re.findall(r"`(?:\.venv/bin/)?flask ([^`]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL)):
            words, command = text.split(), None
            group: click.Command = app.cli
            while words and isinstance(group, click.Group) and words[0] in group.commands:
                group = command = group.commands[words.pop(0)]
            assert command, text
            known = {name for each in command.params for name in each.opts}
            assert {word for word in words if word.startswith("--")} <= known, text


def test_the_steps_are_those_of_the_lesson() -> None:
    headings = [pair for page in PAGES.values() for pair in re.findall(r"^## Step (\d+): (.+)$", page, re.MULTILINE)]

    assert headings == [(str(step.number), step.title) for step in STEPS]


def test_following_the_tutorial_does_every_step_of_the_lesson(learner: Learner) -> None:
    learner.read(list(PAGES)[-1])

    done = {
        step["title"]: step["done"]
        for step in json.loads(learner.reader.type(f"{PYTHON} -m flask lesson --json"))["steps"]
    }

    assert done == dict.fromkeys(done, True)
    assert len(done) == 12


def test_every_module_that_the_reader_writes_is_python() -> None:
    written = [step for page in PAGES.values() for step in steps(page) if isinstance(step, NewFile)]

    assert [file.name for file in written] == ["take_apart.py", "invoices.py", "check.sh", "mock_server.py"]
    for file in written:
        if file.name.endswith(".py"):
            ast.parse(file.text)
