"""Code of users that is wrong: each fault is told in one line with its file and line, and exit code 2."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import assay
from assay.loading import find_pipeline
from assay.model.errors import DeclarationError
from assay.settings import Settings
from tests.conformance.processes import call
from tests.conformance.project import make, told

MODULES = {
    "a name that is not there": ("x = 1\ny = z\n", "wrong.py:2: NameError: name 'z' is not defined"),
    "a key that is not there": ("def f():\n    return {}['x']\nf()\n", "wrong.py:2: KeyError: 'x'"),
    "an argument that is not there": (
        "import assay\n\n@assay.table(writ=1)\ndef bronze_a(b):\n    return b\n",
        "wrong.py:3: TypeError: table() got an unexpected keyword argument 'writ'",
    ),
    "a module that is not there": ("import wrongly\n", "wrong.py:1: ModuleNotFoundError: No module named 'wrongly'"),
    "one that begins like it": ("import wron\n", "wrong.py:1: ModuleNotFoundError: No module named 'wron'"),
    "a name that a library lacks": ("import json\njson.nope\n", "wrong.py:2: AttributeError: module 'json' has no"),
    "an error in a library": ("import json\n\njson.loads('{')\n", "wrong.py:3: JSONDecodeError: "),
    "no Python": ("x = 1\ndef f(:\n", "wrong.py:2: SyntaxError: invalid syntax"),
    "no indentation": ("def f():\nreturn 1\n", "wrong.py:2: IndentationError: expected an indented block"),
    "an unfinished string": ("x = '''\n\n", "wrong.py:1: SyntaxError: unterminated triple-quoted string literal"),
    "a NUL byte": ("x = 1\0\n", "wrong"),
    "an end of the program": ("import sys\nsys.exit(0)\n", "wrong.py:2: SystemExit: 0"),
    "a password": (
        "x = 1\nraise OSError('postgresql://me:password@db')\n",
        "wrong.py:2: OSError: postgresql://me:***@db",
    ),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    sys.modules.pop("wrong", None)


@pytest.mark.parametrize("fault", MODULES)
def test_a_module_that_cannot_be_loaded_is_told_by_its_line(here: Path, fault: str) -> None:
    text, said = MODULES[fault]
    (here / "wrong.py").write_text(text)
    with pytest.raises(DeclarationError, match=f"^{re.escape(said)}") as caught:
        find_pipeline("wrong:orders", Settings())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "../wrong", "a b", ".wrong", "wrong.", "wrong/x", "\x1b[2J"])
def test_what_is_no_name_of_a_module_is_refused(here: Path, name: str) -> None:
    with pytest.raises(DeclarationError, match="is no name of a module"):
        find_pipeline(f"{name}:orders", Settings())


def test_a_function_that_raises_is_told_apart_from_one_that_does_not_fit_its_columns(tmp_path: Path) -> None:
    project = make(tmp_path / "project")
    lines = (project / "shop_orders.py").read_text().count("\n")
    functions = ("raise ValueError('not yet')", "return bronze_order.select('amuont')", "return assay.sql('selec 1')")
    with (project / "shop_orders.py").open("a") as module:
        for number, body in enumerate(functions):
            module.write(f"@table()\ndef silver_{number}(bronze_order):\n    {body}\n")
            module.write(f"wrong{number} = Pipeline('w', tables=[bronze_order, silver_{number}], sources=sources)\n")
    place = f"(shop_orders.py:{lines + 3})"
    told(call("run", "shop_orders:wrong0", cwd=project), 2, f"The table silver_0 raises ValueError: not yet {place}\n")
    words = ("The table silver_1 fails on the columns of its inputs: ", "amuont", f"(shop_orders.py:{lines + 7})\n")
    told(call("run", "shop_orders:wrong1", cwd=project), 2, *words)
    # SQL is read by the engine, when the function has returned: the place is the function.
    told(call("run", "shop_orders:wrong2", cwd=project), 2, "syntax error", f"(shop_orders.py:{lines + 9})\n")


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("select cast('x' || count(*) as int) as n from b", "ConversionException"),
        ("select 9223372036854775807 + count(*) as n from b", "OutOfRangeException"),
        ("select cast(error('no') as int) as n from b", "InvalidInputException"),
    ],
)
def test_what_the_data_breaks_would_break_again_and_is_not_tried_again(here: Path, query: str, kind: str) -> None:
    @assay.table()
    def bronze_order(orders: object) -> object:
        return orders

    @assay.table(rows=assay.free("a count"))
    def gold_count(bronze_order: object) -> object:
        return assay.sql(query, b=bronze_order)

    (here / "a.csv").write_text("id\n1\n")
    source = assay.csv("a.csv", columns={"id": "BIGINT"})
    pipeline = assay.Pipeline("counts", tables=[bronze_order, gold_count], sources={"orders": source})
    result = assay.run(pipeline, warehouse=here / "lake", settings=Settings(folder=str(here)))
    node = result.tables["gold_count"]
    assert (result.state, node.attempts, node.retried) == ("failed", 1, ())
    assert result.problems[0].startswith(f"gold_count failed: {kind}: ")
