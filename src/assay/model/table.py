"""Tables and views: plain functions with a declaration beside them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import WRAPPER_ASSIGNMENTS
from typing import Any, Protocol, get_args, runtime_checkable

import narwhals as nw

from assay.model.check import Check, CrossCheck, OwnCheck, RowCheck
from assay.model.errors import DeclarationError
from assay.model.given import listed, name_of, shown
from assay.model.rows import Grain, Groups, Same
from assay.model.source import POSITION
from assay.model.write import Keep, Overwrite, Write

RUN = "run"
"""The parameter that gives a function the run's own facts; every other parameter names an upstream."""


@runtime_checkable
class Deferred(Protocol):
    """A result that an engine evaluates later; in a unit test it evaluates itself."""

    def evaluate(self) -> nw.LazyFrame[Any]:
        """Evaluate outside any run and return an ordinary frame."""


@dataclass(frozen=True, eq=False)
class Node:
    """A function of the pipeline's graph: its parameters name what it reads."""

    name: str
    function: Callable[..., Any]
    inputs: Mapping[str, str]
    """Parameter -> name of the upstream table, view or source; `run` is left out."""
    rows: Grain = field(default_factory=Same)

    def __post_init__(self) -> None:
        # A table reads as the function it was made of: name, docstring and signature stay.
        for attribute in WRAPPER_ASSIGNMENTS:
            if hasattr(self.function, attribute):
                object.__setattr__(self, attribute, getattr(self.function, attribute))
        object.__setattr__(self, "__wrapped__", self.function)
        object.__setattr__(self, "__name__", self.name)

    @property
    def wants_run(self) -> bool:
        """Whether the function depends on the run's date."""
        return RUN in inspect.signature(self.function).parameters

    @property
    def upstream(self) -> tuple[str, ...]:
        """The names of what this reads, each once, in the order of the parameters."""
        return tuple(dict.fromkeys(self.inputs.values()))

    def __call__(self, *frames: Any, **named: Any) -> Any:
        """Run the function alone, as a unit test does: Polars, pandas or Arrow frames in, the same kind out."""
        bound = dict(inspect.signature(self.function).bind(*frames, **named).arguments)
        if (several := _several(self.function)) is not None:
            bound |= bound.pop(several, {})
        wrapped = {name: _as_lazy(value) for name, value in bound.items()}
        result = self.function(**{name: frame for name, (frame, _) in wrapped.items()})
        if isinstance(result, Deferred):
            result = result.evaluate()
        return _as_given(result, [restore for _, restore in wrapped.values() if restore])


@dataclass(frozen=True, eq=False)
class View(Node):
    """A shared step: computed once a run, never published."""


@dataclass(frozen=True, eq=False)
class Table(Node):
    """A stored result, `<layer>_<entity>`."""

    write: Write = field(default_factory=Overwrite)
    key: tuple[str, ...] = ()
    keep: Keep | None = None
    checks: tuple[Check, ...] = ()
    partition_by: tuple[str, ...] = ()

    @property
    def layer(self) -> str:
        """The part of the name before the first underscore."""
        return self.name.partition("_")[0]

    @property
    def entity(self) -> str:
        """The part of the name after the first underscore."""
        return self.name.partition("_")[2]

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that tell its rows apart, which every run proves: its key, or what it is grouped by."""
        return self.key or (self.rows.keys if isinstance(self.rows, Groups) else ())

    def named(self, name: str, **inputs: str) -> Table:
        """Return the same table under another name, with parameters bound to other upstreams.

        So one function serves many like tables: `[load.named(f"bronze_{n}", rows=n) for n in names]`. A function with
        `**tables` gets as many as are named here: `total.named("gold_total", **{n: f"bronze_{n}" for n in names})`.
        """
        if (unknown := set(inputs) - set(self.inputs)) and _several(self.function) is None:
            raise DeclarationError(f"{self.name} has no parameter {sorted(unknown)[0]!r} to bind.")
        return replace(self, name=name, inputs={**self.inputs, **inputs})


def table(
    function: None = None,
    /,
    *,
    write: Write | None = None,
    key: str | Sequence[str] = (),
    keep: Keep | None = None,
    checks: Sequence[Check] = (),
    rows: Grain | None = None,
    partition_by: str | Sequence[str] = (),
) -> Callable[[Callable[..., Any]], Table]:
    """Make a function a table named after it: `bronze_order` is stored as `bronze.order`.

    Args:
        write: `Overwrite()` (default), `Append()` or `Merge()`.
        key: the columns that tell rows apart; they must not be null.
        keep: which of several rows with one key stays: `first_in_source()` or `latest(column)`.
            Without it, two rows with one key block the publish.
        checks: rules over rows or the table; what breaks them warns, is rejected, or blocks the publish.
        rows: how many rows the function returns for those it reads; `same()` by default.
        partition_by: columns whose values split the stored files.
    """
    if function is not None:
        raise DeclarationError("Write @table() with its parentheses.")

    def declare(function: Callable[..., Any]) -> Table:
        name = name_of(function, "table")
        _check_kinds(name, {"write": write, "keep": keep, "rows": rows, "checks": checks})
        return Table(
            name=name,
            function=function,
            inputs=_inputs_of(function),
            rows=rows or Same(),
            write=write or Overwrite(),
            key=_names(name, "key", key),
            keep=keep,
            checks=tuple(checks),
            partition_by=_names(name, "partition_by", partition_by),
        )

    return declare


def view(function: None = None, /, *, rows: Grain | None = None) -> Callable[[Callable[..., Any]], View]:
    """Make a function a view: a step that several tables share, computed once a run and never published."""
    if function is not None:
        raise DeclarationError("Write @view() with its parentheses.")

    def declare(function: Callable[..., Any]) -> View:
        name = name_of(function, "view")
        _check_kinds(name, {"rows": rows})
        return View(name, function, _inputs_of(function), rows or Same())

    return declare


_KINDS: Mapping[str, tuple[type, ...]] = {
    "write": get_args(Write),
    "keep": get_args(Keep),
    "rows": get_args(Grain),
    "checks": (RowCheck, *get_args(OwnCheck), *get_args(CrossCheck)),
}
_WORDS = {
    "write": "Overwrite(), Append() or Merge()",
    "keep": "first_in_source() or latest('column')",
    "rows": "same(), times(n), lookup(...), groups(...) or free('why')",
    "checks": "a list of checks such as not_null('column')",
}


def _check_kinds(name: str, given: Mapping[str, Any]) -> None:
    """Raise where an argument is of another kind than the words that assay has for it."""
    for argument, value in given.items():
        if argument == "checks":
            fits = isinstance(value, Sequence) and all(isinstance(check, _KINDS[argument]) for check in value)
        else:
            fits = value is None or isinstance(value, _KINDS[argument])
        if not fits:
            raise DeclarationError(f"{name}: {argument}= is {_WORDS[argument]}, not {_told(value)}.")


def _told(value: Any) -> str:
    """Return what was given for an argument of another kind: of a list, what in it is no check."""
    if isinstance(value, RowCheck | OwnCheck | CrossCheck):
        return f"{value.name} without brackets"
    in_list = value if isinstance(value, list | tuple) else []
    others = [each for each in in_list if not isinstance(each, RowCheck | OwnCheck | CrossCheck)]
    return f"one with {shown(others[0])} in it" if others else shown(value)


def _names(name: str, argument: str, value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else listed(name, argument, value)


def _inputs_of(function: Callable[..., Any]) -> dict[str, str]:
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    inputs = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        if parameter.kind not in named:
            raise DeclarationError(
                f"{function.__name__}: *{parameter.name} names no upstream; each parameter is a table, view or source."
            )
        if parameter.name != RUN:
            inputs[parameter.name] = parameter.name
    return inputs


def _several(function: Callable[..., Any]) -> str | None:
    """Return the name of the parameter that takes any number of inputs, if the function has one: `**tables`."""
    parameters = inspect.signature(function).parameters.values()
    return next((each.name for each in parameters if each.kind is inspect.Parameter.VAR_KEYWORD), None)


def _as_lazy(value: Any) -> tuple[Any, Callable[[nw.LazyFrame[Any]], Any] | None]:
    """Return the value as a lazy frame with a position, and how to turn a result back into the value's kind."""
    frame = nw.from_native(value, pass_through=True)
    if not isinstance(frame, nw.DataFrame | nw.LazyFrame):
        return value, None
    lazy = isinstance(frame, nw.LazyFrame)
    held = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    # Functions under test read `position()`, though the frames of a test rarely spell it out.
    added = POSITION not in held.columns
    if added:
        held = held.with_row_index(POSITION).with_columns(nw.col(POSITION).cast(nw.Int64()) + 1)

    def restore(result: nw.LazyFrame[Any]) -> Any:
        collected = result.collect(backend=held.implementation)
        if added:
            collected = collected.drop([c for c in collected.columns if c.startswith(POSITION)])
        back = collected.lazy() if lazy else collected
        return back if frame is value else back.to_native()

    return held.lazy(), restore


def _as_given(result: Any, restores: Sequence[Callable[[nw.LazyFrame[Any]], Any]]) -> Any:
    if not isinstance(result, nw.LazyFrame) or not restores:
        return result
    return restores[0](result)
