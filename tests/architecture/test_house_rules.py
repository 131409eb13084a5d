"""The house rules that no linter knows: sizes, names, module state, imports, and what pipelines may use."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]

FILE_LINES, CLASS_LINES, FUNCTION_LINES, PARAMETERS = 300, 150, 45, 7
FORBIDDEN_NAMES = {"common", "helper", "helpers", "misc", "util", "utils"}
PIPELINES_MAY_IMPORT = {"assay", "narwhals", "pipelines", *sys.stdlib_module_names}
PIPELINES_MAY_OPEN = {"assay.orchestrators", "assay.quality", "assay.transform"}

_WHEN_USED = "assembly names the concrete classes; `assay --help` must not load an engine or a warehouse"

_PARSER = "a run that narrows no table need not load what parses SQL: a tenth of a second"
_EXTRA = "a pipeline that reads no database need not have its driver, nor load it"

# Places that may break a rule, as "path" or "path::name", each with its reason. One that is no longer needed fails.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "too_large": {},
    "module_state": {},
    "imports_in_functions": {
        "src/assay/transform/sql.py::evaluate": "a unit test evaluates SQL in a DuckDB of its own, a run never does",
        "src/assay/platform.py::connect": _WHEN_USED,
        "src/assay/platform.py::connect_confined": _WHEN_USED,
        "src/assay/cli/reporting.py::report": "`assay --help` must not load what serves pages, which is an extra",
        "src/assay/runtime/planning/databases.py::_plan_tables": _EXTRA,
        "src/assay/runtime/execute.py::_follow": _EXTRA,
        "src/assay/runtime/execute.py::_build": _EXTRA,
        "src/assay/runtime/planning/modelling.py::with_models": _EXTRA,
        "src/assay/runtime/computing/narrow.py::_is_local": _PARSER,
        "src/assay/runtime/planning/period.py::period_of": _PARSER,
        "src/assay/runtime/computing/compute.py::_rows_of": _PARSER,
        "src/assay/runtime/computing/account.py::_is_grouped": _PARSER,
        "src/assay/runtime/computing/changes.py::_within": _PARSER,
        "src/assay/sources/postgres/asking.py::ask": "a DAG file with a task that asks must not load the driver",
        "src/assay/cli/upkeep.py::migrate": "`assay --help` must not load what parses SQL",
        "src/assay/cli/syncing.py::sync": _EXTRA,
        "src/assay/cli/deploying.py::prefect": "Prefect has an environment of its own",
        "src/assay/cli/validating.py::validate": "`assay --help` must not load what parses SQL",
        "src/assay/cli/proving.py::prove": "`assay --help` must not load what parses SQL",
        "src/assay/cli/proving.py::crashtest": "`assay --help` must not load what starts processes",
        "src/assay/sources/looks.py::_parquet": "a run that reads no Parquet need not load what looks at it",
        "src/assay/sources/looks.py::_dataframes": "a run that reads no data frame need not load what looks at it",
        "src/assay/queries.py::_told": _WHEN_USED,
        "src/assay/queries.py::ask_there": _WHEN_USED,
        "src/assay/queries.py::profile": _WHEN_USED,
        "src/assay/queries.py::diff": _WHEN_USED,
        "src/assay/platform.py::embedded": _WHEN_USED,
        "src/assay/phasing.py::_phased": _WHEN_USED,
        "src/assay/assembly.py::engine": _WHEN_USED,
        "src/assay/assembly.py::warehouse": _WHEN_USED,
        "src/assay/assembly.py::_database": _WHEN_USED,
        "src/assay/assembly.py::_lake": _WHEN_USED,
        "src/assay/assembly.py::server": _WHEN_USED,
        "src/assay/assembly.py::scripts": _WHEN_USED,
        "src/assay/assembly.py::grounds": _WHEN_USED,
        "src/assay/warehouses/postgres/definitions.py::read": "a run that publishes no models need not load Arrow",
        "src/assay/warehouses/postgres/tables.py::copy_rows": "a run that publishes no rows need not load Arrow: 25 MB",
        "src/assay/observe/progress.py::progress": "a command in a pipe shows no progress, and need not load rich",
    },
    "foreign_imports": {
        "pipelines/retail/generate.py": "its sample data is Parquet, which the standard library lacks",
        "pipelines/shop/generate.py": "its sample data is a database, which needs a driver",
        "pipelines/table_fleet/generate.py": "its sample data is a database, which needs a driver",
    },
    "reads_environment": {
        "src/assay/sources/postgres/connection.py": "an address with a password in it is kept nowhere else",
        "src/assay/assembly.py": "hands it to the settings, and knows where this machine keeps copies",
        "src/assay/engines/dbt/program.py": "what it starts runs in it, but for what would lead it elsewhere",
    },
}

CONTAINERS = {"Counter", "OrderedDict", "bytearray", "defaultdict", "deque", "dict", "list", "set"}
MUTATING = {
    *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft"),
    *("remove", "reverse", "setdefault", "sort", "update"),
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Finding = tuple[str, int, str]  # the name it is about, or "" for the file; line; what is wrong
Rule = Callable[[str, ast.Module, str], Iterator[Finding]]


def too_large(_: str, tree: ast.Module, text: str) -> Iterator[Finding]:
    """Files, classes and functions by lines, functions by parameters."""
    if (lines := len(text.splitlines())) > FILE_LINES:
        yield "", 1, f"{lines} lines, at most {FILE_LINES}"
    for node in ast.walk(tree):
        if not isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        allowed = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
        if lines > allowed:
            yield node.name, node.lineno, f"{lines} lines, at most {allowed}"
        if isinstance(node, FUNCTIONS) and (count := _parameters(node)) > PARAMETERS:
            yield node.name, node.lineno, f"{count} parameters, at most {PARAMETERS}"


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    bound = bool(named) and named[0].arg in ("self", "cls")
    return len(named) - bound + bool(node.args.vararg) + bool(node.args.kwarg)


def empty_names(path: str, _: ast.Module, __: str) -> Iterator[Finding]:
    """Modules and packages whose name says nothing of what is in them."""
    for part in Path(path).with_suffix("").parts:
        if FORBIDDEN_NAMES & set(part.split("_")):
            yield "", 1, f"{part!r} says nothing of what is in it"


def no_docstring(_: str, tree: ast.Module, __: str) -> Iterator[Finding]:
    """Modules that do not say what they are."""
    if not ast.get_docstring(tree):
        yield "", 1, "no docstring that says what the file is"


def module_state(_: str, tree: ast.Module, __: str) -> Iterator[Finding]:
    """Containers at module level that are named like variables, or changed anywhere in the file."""
    changed = set(_changed_names(tree))
    for statement in _module_level(tree):
        match statement:
            case ast.Assign(targets=targets, value=value):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                names = [name]
            case _:
                continue
        for name in names:
            if _is_container(value) and name != "__all__" and (not name.isupper() or name in changed):
                yield name, statement.lineno, "mutable state at module level"
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield ", ".join(node.names), node.lineno, "mutable state at module level (global)"


def _module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.ExceptHandler)):
            pending = [*ast.iter_child_nodes(node), *pending]
        elif isinstance(node, ast.stmt):
            yield node


def _is_container(value: ast.expr | None) -> bool:
    match value:
        case ast.List() | ast.Dict() | ast.Set() | ast.ListComp() | ast.DictComp() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name in CONTAINERS
    return False


def _changed_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in MUTATING:
                yield name
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                yield name
            case ast.AugAssign(target=ast.Name(id=name)):
                yield name


def imports_in_functions(_: str, tree: ast.Module, __: str) -> Iterator[Finding]:
    """Imports that run when a function is called: they hide circles and slow starts."""
    for function in ast.walk(tree):
        if isinstance(function, FUNCTIONS):
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    yield function.name, node.lineno, f"`{ast.unparse(node)}` inside a function"


def reads_environment(_: str, tree: ast.Module, __: str) -> Iterator[Finding]:
    """Environment variables read deep inside, where no one looks for them."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "getenv"):
                yield "", node.lineno, "reads the environment"
            case ast.ImportFrom(module="os", names=names) if {"environ", "getenv"} & {name.name for name in names}:
                yield "", node.lineno, "reads the environment"


def silenced_types(_: str, __: ast.Module, text: str) -> Iterator[Finding]:
    """Type errors that were silenced instead of mended."""
    for number, line in enumerate(text.splitlines(), 1):
        if "type: ignore" in line:
            yield "", number, "silences a type error"


def foreign_imports(path: str, tree: ast.Module, _: str) -> Iterator[Finding]:
    """What a pipeline imports besides assay's public names, narwhals and the standard library."""
    if not path.startswith("pipelines/"):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [name.name for name in names]
            case ast.ImportFrom(module=str(module)):
                modules = [module]
            case _:
                continue
        for module in modules:
            inside = ".".join(module.split(".")[:2])
            closed = module.startswith("assay.") and inside not in PIPELINES_MAY_OPEN
            if closed or module.split(".")[0] not in PIPELINES_MAY_IMPORT:
                yield "", node.lineno, f"a pipeline may not import {module}"


RULES: list[Rule] = [
    too_large,
    empty_names,
    no_docstring,
    module_state,
    imports_in_functions,
    reads_environment,
    silenced_types,
    foreign_imports,
]


def sources() -> list[Path]:
    return sorted([*ROOT.glob("src/assay/**/*.py"), *ROOT.glob("pipelines/**/*.py")])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rule(rule: Rule) -> None:
    excused, used, broken = EXCEPTIONS.get(rule.__name__, {}), set(), []
    for source in sources():
        path, text = source.relative_to(ROOT).as_posix(), source.read_text()
        for name, line, what in rule(path, ast.parse(text), text):
            keys = {path, f"{path}::{name}"} & excused.keys()
            used |= keys
            if not keys:
                broken.append(f"{path}:{line}: {f'{name}: ' if name else ''}{what}")
    broken += [f"{key}: excused from {rule.__name__} without need" for key in excused.keys() - used]
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)


@pytest.mark.parametrize(
    ("rule", "path", "text", "found"),
    [
        (too_large, "src/assay/a.py", "x = 1\n" * 301, ["301 lines, at most 300"]),
        (too_large, "src/assay/a.py", "def f():\n" + "    x = 1\n" * 45, ["46 lines, at most 45"]),
        (too_large, "src/assay/a.py", "class A:\n" + "    x = 1\n" * 150, ["151 lines, at most 150"]),
        (too_large, "src/assay/a.py", "def f(a, b, /, c, d, *e, f, g, **h): ...", ["8 parameters, at most 7"]),
        (too_large, "src/assay/a.py", "class A:\n def f(self, a, b, c, d, e, f, g): ...", []),
        (empty_names, "src/assay/csv_utils.py", "", ["'csv_utils' says nothing of what is in it"]),
        (empty_names, "src/assay/helpers/a.py", "", ["'helpers' says nothing of what is in it"]),
        (no_docstring, "src/assay/a.py", "x = 1", ["no docstring that says what the file is"]),
        (module_state, "src/assay/a.py", "cache = {}", ["mutable state at module level"]),
        (module_state, "src/assay/a.py", "if x:\n  seen: list = list()", ["mutable state at module level"]),
        (module_state, "src/assay/a.py", "A = {}\ndef f(): A['x'] = 1", ["mutable state at module level"]),
        (module_state, "src/assay/a.py", "A = []\ndef f(): A.append(1)", ["mutable state at module level"]),
        (module_state, "src/assay/a.py", "def f():\n  global A", ["mutable state at module level (global)"]),
        (module_state, "src/assay/a.py", "A = {}\n__all__ = []\ndef f(): seen = []", []),
        (imports_in_functions, "src/assay/a.py", "def f():\n  import csv", ["`import csv` inside a function"]),
        (imports_in_functions, "src/assay/a.py", "if x:\n  import csv", []),
        (reads_environment, "src/assay/a.py", "import os\nos.environ['A']", ["reads the environment"]),
        (reads_environment, "src/assay/a.py", "from os import getenv", ["reads the environment"]),
        (silenced_types, "src/assay/a.py", "x = 1  # type: ignore[x]", ["silences a type error"]),
        (foreign_imports, "pipelines/a.py", "import polars", ["a pipeline may not import polars"]),
        (foreign_imports, "pipelines/a.py", "from assay.runtime import x", ["a pipeline may not import assay.runtime"]),
        (foreign_imports, "pipelines/a.py", "import csv, narwhals as nw\nfrom assay import table", []),
        (foreign_imports, "src/assay/a.py", "import polars", []),
    ],
)
def test_each_rule_finds_what_it_is_for(rule: Rule, path: str, text: str, found: list[str]) -> None:
    text = dedent(text)
    assert [what for _, _, what in rule(path, ast.parse(text), text)] == found
