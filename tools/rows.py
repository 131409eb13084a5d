"""Prints which rows of the feature table are proven by tests or documents, and fails where one called done is not."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

DECLARATION = Path("docs/rows.toml")


class Outcome(TypedDict):
    """What tests/conftest.py writes of one test: the rows it proves, and passed, failed or skipped."""

    rows: list[str]
    outcome: str


@dataclass(frozen=True)
class Declaration:
    """What docs/rows.toml says: rows called done, the documents that are rows, and how many rows a system has."""

    done: frozenset[str]
    documents: Mapping[str, str]
    systems: Mapping[str, int]

    @classmethod
    def read(cls, path: Path) -> Declaration:
        """Read the file; a row named twice in `done` is an error."""
        content = tomllib.loads(path.read_text())
        twice = [row for row, times in Counter(content["done"]).items() if times > 1]
        if twice:
            sys.exit(f"{path}: named twice in done: {', '.join(twice)}")
        return cls(frozenset(content["done"]), content["documents"], content["systems"])

    def knows(self, row: str) -> bool:
        """Whether the id is NNN-NN and within its system's number of rows."""
        match = re.fullmatch(r"(\d{3})-(\d{2})", row)
        return match is not None and 1 <= int(match[2]) <= self.systems.get(match[1], 0)


@dataclass(frozen=True)
class Row:
    """One row of the feature table with what speaks for it."""

    id: str
    done: bool
    tests: Mapping[str, str]
    document: str | None
    document_exists: bool

    @property
    def fault(self) -> str | None:
        """Why the row is not as declared, or None."""
        failing = [test for test, outcome in self.tests.items() if outcome == "failed"]
        if self.document and not self.document_exists:
            return f"document {self.document} is missing or empty"
        if self.done and failing:
            return f"done, but failing: {', '.join(failing)}"
        if self.done and "passed" not in self.tests.values() and not self.document_exists:
            return "done, but no test of it passes"
        return None

    @property
    def evidence(self) -> str:
        """The tests by outcome and the document, in words."""
        counts = Counter(self.tests.values())
        words = [f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped") if counts[outcome]]
        return ", ".join(words + ([self.document] if self.document else [])) or "nothing"


def assemble(declared: Declaration, report: Mapping[str, Outcome]) -> list[Row]:
    """Return every row that is declared or marked, in the order of ids."""
    tests: dict[str, dict[str, str]] = defaultdict(dict)
    for test, outcome in report.items():
        for row in outcome["rows"]:
            tests[row][test] = outcome["outcome"]
    rows = []
    for row in sorted(declared.done | set(declared.documents) | set(tests)):
        document = declared.documents.get(row)
        exists = document is not None and Path(document).is_file() and Path(document).stat().st_size > 0
        rows.append(Row(row, row in declared.done, tests[row], document, exists))
    return rows


def faults(declared: Declaration, rows: list[Row]) -> list[str]:
    """Return what must be mended, one sentence each."""
    unknown = [row for row in rows if not declared.knows(row.id)]
    wrong = [f"{row.id}: no such row (in {', '.join(row.tests) or DECLARATION})" for row in unknown]
    return wrong + [f"{row.id}: {row.fault}" for row in rows if row.fault]


def main(reports: list[str]) -> int:
    """Print the table and what is wrong; return 1 where something is."""
    declared = Declaration.read(DECLARATION)
    outcomes: dict[str, Outcome] = {}
    for report in reports:
        if not Path(report).is_file():
            print(f"{report} is missing: `make test` and `make test-faults` write them.", file=sys.stderr)
            return 1
        outcomes |= json.loads(Path(report).read_text())
    rows = assemble(declared, outcomes)
    for row in rows:
        print(f"{row.id}  {'done' if row.done else '':4}  {row.evidence}")
        for test, outcome in sorted(row.tests.items()):
            print(f"              {outcome:7} {test}")
    print(f"{len(declared.done)} of {sum(declared.systems.values())} rows are done.")
    wrong = faults(declared, rows)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
