"""Pages as they are tried: blocks in order, in a folder of the page's own, each shown output compared with the real.

A block with a title is written to that file; where the title ends in ", at its end" it is added to it, and where it
ends in ", NAME anew" it takes the place of that function. Without a title, `console` holds commands and what they
print, `python` is run, `pycon` is a session whose answers are compared, `toml` and `json` are parsed. `text` is for
reading alone, and there is nothing else. A page that "begins where [another](...) ends" begins with a copy of that
page's folder, and one that "begins in a clone of the repository" with what is there of pipelines and deploy. A command
that ends with another code than 0 is followed by `$ echo $?`, which shows the code.
"""

from __future__ import annotations

import ast
import contextlib
import datetime as dt
import doctest
import io
import json
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BIN = Path(sys.executable).parent
TODAY = "2026-11-21"
"""The day on which, as the pages have it, their commands were called."""
PLACE = "/srv/shop"
"""The folder in which they were called."""
LOADED = [
    "assay.cli.app",
    "assay.engines.duckdb.engine",
    "assay.engines.duckdb.reader",
    "assay.orchestrators.embedded",
    "assay.warehouses.iceberg.metadata",
    "assay.warehouses.iceberg.store",
    "narwhals.sql",
    "pydantic",
    "sqlite3",
]
_IN_CLONE = re.compile(r"begins in\s+a\s+clone\s+of\s+the\s+repository")
_BEGINS = re.compile(r"begins where\s+\[[^\]]*\]\(([^)]+)\)\s+ends")
_FENCE = re.compile(r"^( *)```(\w*) *(.*)$")
_PLAIN = re.compile(
    r"(?P<set>(?:ASSAY_\w+=[^\s$]+ )*)(?P<assay>assay [^|<>&;$`\n]*)(?:\| (?P<filter>grep [^|<>&;$`\n]*))?"
)
_TITLE = re.compile(r"(?P<path>[^,]+)(?P<end>, at its end)?(, (?P<name>\w+) anew)?")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its title, its text, and the line of the page it begins at."""

    language: str
    title: str
    text: str
    line: int


@dataclass
class Page:
    """A page while it is tried."""

    path: Path
    folder: Path
    fill: bool = False
    """Whether shown output that is not the real one is replaced by it."""
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__page__"})
    filled: dict[int, str] = field(default_factory=dict)

    def try_all(self) -> None:
        """Try every block, in order."""
        text = self.path.read_text()
        for block in blocks(text):
            self._try(block)
        if self.filled:
            self.path.write_text(_with_outputs(text, self.filled))

    def _try(self, block: Block) -> None:
        with _naming(f"{self.path.parent.name}/{self.path.name}:{block.line}"):
            match block.language:
                case _ if block.title:
                    self._save(block)
                case "console":
                    self._command(block)
                case "python" | "pycon":
                    with _inside(self.folder):
                        self._session(block) if block.language == "pycon" else self._script(block)
                case "toml":
                    tomllib.loads(block.text)
                case "json":
                    json.loads(block.text)
                case "text":
                    pass
                case other:
                    pytest.fail(f"a block of {other or 'no language'} runs in no test; is it text?", pytrace=False)

    def _save(self, block: Block) -> None:
        title = _TITLE.fullmatch(block.title)
        if not title:
            pytest.fail(f"{block.title!r} says of no file what to do with it", pytrace=False)
        path = self.folder / title["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if title["end"] or title["name"] else ""
        path.write_text(_replaced(before, title["name"], block.text) if title["name"] else before + block.text)

    def _command(self, block: Block) -> None:
        code, actual, printed = 0, "", []
        for command, expected in commands(block.text):
            if code and command != "echo $?":
                why = f"the command before `{command}` ended with {code}, which is not shown:"
                pytest.fail(f"{why}\n{actual}", pytrace=False)
            code, actual = call(command, self.folder, code)
            as_shown = matches(expected, actual)
            told = command.replace("\n", "\n> ")
            printed.append(f"$ {told}\n{expected if as_shown else _as_written(actual)}")
            if not self.fill and not as_shown:
                shown, real = settled(expected), settled(actual)
                pytest.fail(f"`{command}` is shown to print\n{shown}\n\nbut it prints\n{real}", pytrace=False)
        if code:
            pytest.fail(f"`{command}` ended with {code}:\n{actual}", pytrace=False)
        if self.fill and "".join(printed) != block.text:
            self.filled[block.line] = "".join(printed)

    def _script(self, block: Block) -> None:
        code = compile("\n" * block.line + block.text, str(self.path), "exec")
        exec(code, self.names)

    def _session(self, block: Block) -> None:
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        example = doctest.DocTestParser().get_doctest(block.text, self.names, self.path.name, str(self.path), 0)
        told = io.StringIO()
        runner.run(example, out=told.write, clear_globs=False)
        self.names.update(example.globs)
        if runner.failures:
            pytest.fail(told.getvalue(), pytrace=False)


def _replaced(module: str, name: str, function: str) -> str:
    """Return a module's text with another function in the place of the one of that name."""
    found = next(n for n in ast.parse(module).body if isinstance(n, ast.FunctionDef) and n.name == name)
    lines = module.splitlines(keepends=True)
    first = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)])
    return "".join([*lines[: first - 1], function, *lines[found.end_lineno :]])


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found, lines = [], iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence:
            indent, language, rest = fence.groups()
            title = re.search(r'title="([^"]+)"', rest)
            body = []
            for _, inner in lines:
                if inner.strip() == "```":
                    break
                body.append(inner.removeprefix(indent))
            found.append(Block(language, title[1] if title else "", "\n".join(body) + "\n", number))
    return found


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block with what it is shown to print; `>` continues a command."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        while shown.startswith("> "):
            line, _, shown = shown.partition("\n")
            command += "\n" + line[2:]
        yield command, shown


def call(command: str, folder: Path, code: int) -> tuple[int, str]:
    """Run a command and return its exit code and all that it prints; `code` is what `$?` holds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "PYTEST_"))}
    # As on a terminal, where progress leaves nothing behind.
    environment |= {"ASSAY_LOG": "none"}
    environment |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120", "PYTHONDONTWRITEBYTECODE": "1"}
    target = folder / ".printed"
    plain = _PLAIN.fullmatch(command)
    if plain:
        # Where assay is called and nothing else but a filter, a fork of a process that has loaded it saves most of
        # the time.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(LOADED)
        given = dict(assignment.split("=", 1) for assignment in plain["set"].split())
        words = shlex.split(plain["assay"])
        process = context.Process(target=_assay, args=(words[1:], str(folder), environment | given, str(target)))
        process.start()
        process.join()
        code, printed = process.exitcode or 0, target.read_text()
        script, fed = plain["filter"] or "", printed
    else:
        script, fed = f"(exit {code})\n{command}", ""
    if script:
        shell = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            input=fed,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        code, printed = shell.returncode, shell.stdout
    target.unlink(missing_ok=True)
    return code, printed.replace(str(folder), PLACE)


def _assay(arguments: list[str], folder: str, environment: dict[str, str], target: str) -> None:
    from assay.cli.app import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:] = [path for path in sys.path if path and Path(path) != ROOT]
    sys.dont_write_bytecode = True
    with Path(target).open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), write_through=True)
    sys.argv = [str(BIN / "assay"), *arguments]
    main(arguments)


def matches(expected: str, actual: str) -> bool:
    """Return whether a command printed what is shown; `...` stands for anything."""
    pattern = re.escape(settled(expected)).replace(re.escape("..."), ".*?")
    return re.fullmatch(pattern, settled(actual), re.DOTALL) is not None


def settled(text: str) -> str:
    """Return a text without what differs from one call to the next: today's date, and how long something took.

    So is how wide a column gets by the path of the page's folder.
    """
    text = text.replace(dt.datetime.now(dt.UTC).date().isoformat(), TODAY)
    text = re.sub(rf"{TODAY}T\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?", f"{TODAY}T08:00:00", text)
    text = re.sub(r"\b\d+\.\d+ ?s\b", "0.1 s", text)
    text = re.sub(r"\b[\d.]+ k?B\b", "1 kB", text)
    text = re.sub(" {3,}", "  ", text) if PLACE in text else text
    lines, counted = [], False
    for line in text.splitlines():
        counted = bool(line) and (counted or line.endswith("  seconds"))
        lines.append((re.sub(r" +\d+\.\d\d\b", "  0.01", line) if counted else line).rstrip())
    return "\n".join(lines).strip()


def _as_written(printed: str) -> str:
    lines = "\n".join(line.rstrip() for line in printed.replace(_today(), TODAY).splitlines()).rstrip()
    return f"{lines}\n" if lines else ""


def _today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


def _with_outputs(text: str, filled: dict[int, str]) -> str:
    lines = text.splitlines()
    for line, printed in sorted(filled.items(), reverse=True):
        end = next(n for n in range(line, len(lines)) if lines[n].strip() == "```")
        lines[line:end] = printed.splitlines()
    return "\n".join(lines) + "\n"


def begins_with(path: Path) -> Path | None:
    """Return the page whose end is this page's beginning."""
    found = _BEGINS.search(path.read_text())
    return (path.parent / found[1]).resolve() if found else None


def tried(path: Path, room: Path, *, fill: bool = False) -> Path:
    """Try a page and return a copy of its folder as it is then; a page whose end others begin with is tried once.

    All pages have their turn in one folder: a lake's files name each other by their whole paths.
    """
    end = room / "-".join(path.with_suffix("").parts[-2:])
    if end.exists():
        return end
    before = begins_with(path)
    begin = tried(before, room, fill=fill) if before else None
    folder = room / "page"
    shutil.rmtree(folder, ignore_errors=True)
    if begin:
        shutil.copytree(begin, folder)
    else:
        folder.mkdir()
    if _IN_CLONE.search(path.read_text()):
        shutil.copytree(ROOT / "pipelines", folder / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("local"))
        shutil.copy(ROOT / "assay.toml", folder)
    Page(path, folder, fill).try_all()
    return Path(shutil.copytree(folder, end))


@contextlib.contextmanager
def _naming(place: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"in the block at {place}")
        raise
    except pytest.fail.Exception as error:
        raise pytest.fail.Exception(f"{place}: {error.msg}", pytrace=False) from None


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Let code run as if it was started in the folder, and forget the modules that it imported from there."""
    before, path, modules = Path.cwd(), list(sys.path), set(sys.modules)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path
        sys.dont_write_bytecode = bytecode
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
