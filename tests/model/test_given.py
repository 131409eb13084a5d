"""What a function is given and does not know, or takes for something else, is refused in words that tell the remedy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, cast

import pytest

import assay
from assay import Pipeline, UsageError, Workflow, csv, part, table
from assay.model.given import check_arguments
from assay.orchestrators.opening import options_of
from assay.platform import RunArguments, options
from assay.syncing import SyncArguments, mirror_of


@table()
def bronze_a(numbers: Any) -> Any:
    """Every number."""
    return numbers


SHOP = Pipeline("shop", tables=[bronze_a], sources={"numbers": csv("a.csv", columns={"n": "BIGINT"})})
NIGHT = Workflow("night", phases={"all": [SHOP]})
DAY = dt.date(2024, 12, 1)
ONE = "write {0}=['bronze'], not 'bronze'."


def told(call: Callable[[], Any]) -> str:
    with pytest.raises(UsageError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize(
    ("function", "first", "name", "meant"),
    [
        (assay.run, SHOP, "warehous", " Did you mean 'warehouse'?"),
        (assay.plan, SHOP, "selct", " Did you mean 'select'?"),
        (assay.run_workflow, NIGHT, "ful", " Did you mean 'full'?"),
        (assay.plan_workflow, NIGHT, "asof", " Did you mean 'as_of'?"),
        (assay.resume_workflow, NIGHT, "redo", ""),
        (assay.prove, SHOP, "batch", " Did you mean 'batches'?"),
        (assay.sync, "env:SHOP", "table", " Did you mean 'tables'?"),
        (mirror_of, "env:SHOP", "layers", " Did you mean 'layer'?"),
    ],
)
def test_an_argument_that_a_function_has_not_is_refused(
    function: Callable[..., Any], first: Any, name: str, meant: str
) -> None:
    # Left out in silence, a misspelt warehouse= published to another one.
    message = told(lambda: function(first, **{name: "zz"}))
    assert message.startswith(f"{function.__name__}() takes no {name!r}.{meant} It takes: ")


def test_arguments_that_others_inherit_are_known() -> None:
    message = told(lambda: check_arguments("sync", {"zz": 1}, SyncArguments))
    assert "It takes: tables, mode, updated, deletes, layer, warehouse, migrate, full" in message
    check_arguments("sync", {"tables": ["orders"], "full": True}, SyncArguments)


@pytest.mark.parametrize("argument", ["select", "layers"])
@pytest.mark.parametrize(
    ("ask", "place"),
    [
        (lambda **asked: options(cast("RunArguments", asked)), "A run"),
        (lambda **asked: options_of(asked, DAY), "A run"),
        (lambda **asked: part("some", SHOP, **asked), "part('some')"),
    ],
    ids=["assay.run", "orchestrators", "part"],
)
def test_names_are_given_in_a_list(ask: Callable[..., Any], place: str, argument: str) -> None:
    assert told(lambda: ask(**{argument: "bronze"})) == f"{place}: {argument}= is a list: {ONE.format(argument)}"
    assert told(lambda: ask(**{argument: 3})) == f"{place}: {argument}= is a list of texts, not 3."
    assert told(lambda: ask(**{argument: [bronze_a]})) == (
        f"{place}: {argument}= is a list of texts, and bronze_a is none."
    )


def test_tables_of_a_mirror_are_given_in_a_list() -> None:
    assert told(lambda: mirror_of("env:SHOP", tables="orders")) == (
        "A mirror: tables= is a list: write tables=['orders'], not 'orders'."
    )
