"""What a run against a server found: a result for each clause, counted by level, as text, JSON and JUnit."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import Any
from xml.etree import ElementTree as Xml

from conformance.cases import Case
from conformance.clauses import CHAPTERS, CLAUSES, NOT_SUPPORTED
from conformance.endpoints import Endpoints
from conformance.exchange import Response
from conformance.finding import CHALLENGES, Finding, told

# Clauses of which one client sees only a part: one of two responses, one of several faults, one of many places.
IN_PART = set(
    "R004 R022 R024 R029 R041 R054 R056 R058 R059 R060 R061 R069 R076 R078 R079 R082 R083 R086 R087 R092 R093 R094 "
    "R100 R101 R106".split(" ")
)
PASS, PASS_IN_PART, FAIL, DIFFERS, NOT_TRIED = "pass", "pass in part", "FAIL", "differs", "not tried"
LEVELS = {"M": "MUST", "S": "SHOULD", "D": "Keyturn's own decision"}
UNREACHABLE = (
    "one client cannot try it from outside: it needs a second client, another time, the storage or an operator"
)
NOT_BUILT = "there is no case: Keyturn does not support it"


@dataclass(frozen=True)
class Result:
    """A clause's state. `level` is the clause's own, or that of the worst finding: M, S or D."""

    id: str
    level: str
    state: str
    source: str
    sentence: str
    findings: list[dict[str, str]]
    not_tried: list[str]

    def lines(self) -> list[str]:
        """What was found, each with its level and its cases; else why a case was not tried."""
        cases: dict[str, list[str]] = defaultdict(list)
        for each in self.findings:
            cases[f"{each['level']}  {each['text']}"].append(each["case"])
        return [f"{text} ({named(names)})" for text, names in cases.items()] or self.not_tried


def named(cases: list[str]) -> str:
    return cases[0] if len(cases) == 1 else f"{cases[0]}, and {len(cases) - 1} more"


class Results:
    """The findings of a run; the client's secret is in none of its texts."""

    def __init__(self, endpoints: Endpoints, secret: str) -> None:
        self.endpoints = endpoints
        self.secret = secret
        self.seen: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.left_out: dict[str, list[str]] = defaultdict(list)

    def add(self, case: Case, response: Response, findings: list[Finding], *, shows_all: bool) -> None:
        """Add what a case found; `shows_all` if its clauses without a finding hold."""
        for clause in case.clauses.split() + (["R058", "R059"] if response.status in {400, 401} else []):
            if not shows_all:
                self.left_out[clause].append(f"{case.name}: the response {told(response)} does not tell")
            elif clause in CHALLENGES and response.status != 401:
                self.left_out[clause].append(f"{case.name}: there was no 401, and so no challenge")
            else:
                self.seen[clause] += []
        for each in findings:
            # A text with fewer characters is no secret, and would be in any sentence.
            text = each.text.replace(self.secret, "…") if len(self.secret) >= 8 else each.text
            self.seen[each.clause].append({"level": each.level, "text": text, "case": case.name})

    def leave_out(self, case: Case, reason: str) -> None:
        for clause in case.clauses.split():
            self.left_out[clause].append(f"{case.name}: {reason}")

    def result(self, clause: str) -> Result:
        about = CLAUSES[clause]
        found = sorted(self.seen.get(clause, []), key=lambda each: "MSD".index(each["level"]))
        left_out = self.left_out.get(clause, [])
        level = found[0]["level"] if found else about.level
        if found:
            state = DIFFERS if level == "D" else FAIL
        elif clause in self.seen:
            state = PASS_IN_PART if clause in IN_PART or left_out else PASS
        else:
            state, left_out = NOT_TRIED, left_out or [NOT_BUILT if clause in NOT_SUPPORTED else UNREACHABLE]
        return Result(clause, level, state, about.source, about.sentence, found, left_out)

    def all(self) -> list[Result]:
        return [self.result(clause) for clause in CLAUSES]

    def counted(self) -> dict[str, dict[str, int]]:
        """How many clauses have each state, by level."""
        counts = {level: Counter(each.state for each in self.all() if each.level == level) for level in LEVELS}
        return {level: dict(sorted(counter.items())) for level, counter in counts.items()}

    @property
    def failed(self) -> bool:
        """Whether a MUST failed."""
        return FAIL in self.counted()["M"]

    def text(self) -> str:
        """The table, what was found for each clause, and the counts."""
        found, lines = {each.id: each for each in self.all()}, []
        for heading, clauses in CHAPTERS.items():
            lines += ["", heading]
            for clause in clauses:
                each = found[clause.id]
                lines.append(f"{each.id}  {each.level}  {each.source:28}{each.state:14}{each.sentence}")
                lines += [f"{'':9}{text}" for text in each.lines()]
        lines.append("")
        for level, states in self.counted().items():
            lines.append(
                f"{level}  {LEVELS[level]}: " + ", ".join(f"{count} {state}" for state, count in states.items())
            )
        return "\n".join([*lines, ""])

    def json(self) -> str:
        about: dict[str, Any] = {
            "issuer": self.endpoints.issuer,
            "metadata": self.endpoints.metadata_url,
            "endpoints": self.endpoints.addresses,
            "must_failed": self.failed,
            "counts": self.counted(),
            "clauses": [asdict(each) for each in self.all()],
        }
        return json.dumps(about, indent=2, ensure_ascii=False) + "\n"

    def junit(self) -> str:
        """A suite for each chapter, a case for each clause; only a MUST that failed is a failure."""
        root, found = Xml.Element("testsuites", name="conformance"), {each.id: each for each in self.all()}
        for heading, clauses in CHAPTERS.items():
            results = [found[clause.id] for clause in clauses]
            failures = sum(each.state == FAIL and each.level == "M" for each in results)
            skipped = sum(each.state == NOT_TRIED for each in results)
            counts = {"tests": len(results), "failures": failures, "errors": 0, "skipped": skipped}
            suite = Xml.SubElement(root, "testsuite", {"name": heading} | {n: str(c) for n, c in counts.items()})
            for each in results:
                add_testcase(suite, heading, each)
        Xml.indent(root)
        return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def add_testcase(suite: Xml.Element, heading: str, result: Result) -> None:
    case = Xml.SubElement(suite, "testcase", classname=heading, name=f"{result.id} {result.sentence}")
    text = "\n".join(result.lines())
    if result.state == FAIL and result.level == "M":
        Xml.SubElement(case, "failure", message=text, type="MUST").text = result.source
    elif result.state == NOT_TRIED:
        Xml.SubElement(case, "skipped", message=text)
    elif text:  # a case that was not tried, a SHOULD, or our own decision
        Xml.SubElement(case, "system-out").text = f"{result.state} ({LEVELS[result.level]}): {text}"
