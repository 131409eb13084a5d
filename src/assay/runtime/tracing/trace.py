"""Tracing: each function is called once on empty frames, which tells its schema and what it computes."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, assert_never

from assay.model.check import CrossCheck, Reconciles, References, RowCheck, Unique
from assay.model.errors import DeclarationError, TableError, describe, near_miss
from assay.model.pipeline import Pipeline
from assay.model.place import is_raised_by_own_code, place_of, place_of_function
from assay.model.ports import Engine, Frame, Session
from assay.model.rows import Free, Groups, Lookup, Same, Times, counted_inputs
from assay.model.run import Run
from assay.model.schema import NO_PARTITION, SYSTEM_PREFIX, Schema
from assay.model.source import POSITION, SYSTEM_COLUMNS, Source
from assay.model.table import RUN, Node, Table, View
from assay.model.write import STAMPS, FirstInSource, Latest, Merge
from assay.quality.checks import broken, columns_of, flags_of

FORMAT = 1
"""Raised when assay computes tables differently, so that all are computed again."""
INPUT = "input_"
"""Tables of a definition are named so, with the parameter behind it."""
_HOW = ("path", "mirror", "load", "database", "updated", "deletes", "mode", "publish", "kinds", "comments")
"""Where a source is and how it is followed: neither changes what its rows are."""
_NO_DATE = dt.date(2000, 1, 1)
"""Stands for the run's date while tracing: a table's definition does not change with the day."""


@dataclass(frozen=True, slots=True)
class Traced:
    """What tracing tells of one table, view or source."""

    schema: Schema
    """What the function returns."""
    stored: Schema
    """What is stored: with the surrogate key and the stamps that assay adds."""
    seen: Schema
    """What the functions downstream get: what is stored, without stamps."""
    fingerprint: str
    """Equal for equal computations and declarations."""
    places_unique: bool = True
    """Whether no two of its rows share a position: a function that multiplies rows gives several of them one."""
    definition: str = ""
    """What a function computes, as the engine's text over tables named after its parameters."""
    judged: str = ""
    """The same with what its row checks look at, which may be other rows: what must be local to be narrowed."""


def trace(pipeline: Pipeline, engine: Engine) -> Mapping[str, Traced]:
    """Return schema and fingerprint of every source, view and table, by name.

    Raises DeclarationError naming the table whose function fails on its inputs' columns, or whose declaration does
    not fit what it returns.
    """
    traced = {name: trace_source(source) for name, source in pipeline.sources.items()}
    with engine.session() as session:
        for node in pipeline.nodes.values():
            traced[node.name] = _trace_node(node, traced, pipeline.views, session)
    for table in pipeline.tables.values():
        for check in table.checks:
            if isinstance(check, References | Reconciles):
                _check_other_side(table, check, traced)
    return traced


def call(node: Node, frames: Mapping[str, Frame], run: Run) -> Any:
    """Call a node's function with its inputs by parameter; raises TableError where it leaves instead of returning."""
    arguments: dict[str, Any] = dict(frames)
    if node.wants_run:
        arguments[RUN] = run
    try:
        return node.function(**arguments)
    except SystemExit as error:
        # It would end the command too, and with the code 0 as if all were well.
        raise TableError(
            f"{node.name}: its function called sys.exit({error.code!r}); let it return its rows, or raise an error."
        ) from error


def trace_source(source: Source) -> Traced:
    """Return schema and fingerprint of a source, as it is declared."""
    declared = {each.name: repr(getattr(source, each.name)) for each in fields(source) if each.name not in _HOW}
    schema = source.schema
    return Traced(schema, schema, schema, _digest({"source": type(source).__name__} | declared))


def _trace_node(node: Node, traced: Mapping[str, Traced], views: Mapping[str, View], session: Session) -> Traced:
    frames = {
        parameter: session.blank(traced[name].seen, f"{INPUT}{parameter}") for parameter, name in node.inputs.items()
    }
    try:
        frame = session.resolve(call(node, frames, Run(_NO_DATE)), node.name)
        columns = session.columns(frame)
    except DeclarationError as error:
        raise DeclarationError(f"{node.name}: {error}") from error
    except TableError as error:
        raise DeclarationError(str(error)) from error
    except Exception as error:
        raise DeclarationError(_explain(node, error, traced)) from error
    schema = _schema_of(node, columns)
    computes = session.definition(frame)
    definition: dict[str, Any] = {
        "format": FORMAT,
        "computes": computes,
        "reads": {name: traced[name].seen.to_json() for name in node.upstream},
        "columns": schema.to_json(),
        "rows": repr(node.rows),
        "wants_run": node.wants_run,
        "inputs": dict(node.inputs),
        # Tables upstream are told apart by their versions; what has no version of its own counts here.
        "views": {name: traced[name].fingerprint for name in node.upstream if name in views},
    }
    if not isinstance(node, Table):
        _check_grain(node, schema, traced)
        return Traced(schema, schema, schema, _digest(definition), _places_unique(node, traced), computes, computes)
    _check_declaration(node, schema)
    definition["checks"] = _check_definitions(node, frame, schema, session)
    definition |= {name: repr(getattr(node, name)) for name in ("write", "key", "keep", "partition_by")}
    _check_grain(node, schema, traced)
    stored, seen = _stored(node, schema)
    apart = all(_is_of_its_row(text) for _, _, text in definition["checks"])
    judged = computes if apart else _judged(node, frame, session)
    return Traced(schema, stored, seen, _digest(definition), _places_unique(node, traced), computes, judged)


def _places_unique(node: Node, traced: Mapping[str, Traced]) -> bool:
    counted = counted_inputs(node.rows, node.upstream)
    alone = isinstance(node.rows, Same | Lookup) and len(counted) == 1
    return alone and traced[counted[0]].places_unique


def _schema_of(node: Node, columns: list[tuple[str, str]]) -> Schema:
    names = [name for name, _ in columns]
    if not columns:
        raise DeclarationError(f"{node.name} returns no columns.")
    for name in names:
        if not name.strip() or name.lower() in {n.lower() for n in names[: names.index(name)]}:
            raise DeclarationError(f"{node.name} returns two columns named {name!r}, or one without a name.")
        # A join of two frames gives the second's columns a suffix.
        if name.lower().startswith(SYSTEM_PREFIX) and not name.startswith(tuple(SYSTEM_COLUMNS)):
            raise DeclarationError(f"{node.name} returns {name!r}, which begins as the columns that assay adds.")
    try:
        return Schema.of(columns)
    except DeclarationError as error:
        raise DeclarationError(f"{node.name}: {error}") from None


def _stored(table: Table, schema: Schema) -> tuple[Schema, Schema]:
    flags = flags_of(table)
    pairs = [(column.name, column.type) for column in schema if column.name not in flags]
    surrogate = table.write.surrogate if isinstance(table.write, Merge) else None
    stamps = STAMPS if table.write.stamps else ()
    taken = {name.lower() for name in schema.names}
    for name in (*([surrogate] if surrogate else []), *stamps):
        if name.lower() in taken:
            raise DeclarationError(f"{table.name}: assay adds the column {name!r}, but the function returns one too.")
        taken.add(name.lower())
    if surrogate:
        pairs.insert(0, (surrogate, "BIGINT"))
    seen = Schema.of(pairs)
    return Schema.of([*pairs, *((name, "TIMESTAMP") for name in stamps)]), seen


def _check_declaration(table: Table, schema: Schema) -> None:
    """Check that what the declaration names is returned by the function."""
    named = [("key", name) for name in table.key] + [("partition_by", name) for name in table.partition_by]
    if isinstance(table.keep, Latest):
        named.append(("keep", table.keep.column))
    for check in table.checks:
        named += [(f"check {check.name}", name) for name in columns_of(check) if name not in _added(table)]
    for where, name in named:
        if name not in schema:
            raise DeclarationError(
                f"{table.name}: {where} names {name!r}, which the function does not return."
                f"{near_miss(name, schema.names)} It returns: {', '.join(schema.names)}."
            )
    for name in flags_of(table):
        if schema[name].type != "BOOLEAN" or name in (*table.key, *table.partition_by):
            raise DeclarationError(f"{table.name}: flagged({name!r}) needs a BOOLEAN column of its own.")
    grouped = (*table.key, *(name for check in table.checks if isinstance(check, Unique) for name in check.columns))
    for name in grouped:
        if "." in name:
            # Rows are grouped by it, and narwhals takes what stands before the point for a table.
            raise DeclarationError(f"{table.name}: key or unique() names {name!r}; rename it, without the point.")
    for name in table.partition_by:
        if schema[name].type in NO_PARTITION:
            raise DeclarationError(
                f"{table.name}: partition_by names {name!r}, a {schema[name].type}; tables are partitioned by text, "
                "whole numbers, decimals, dates or times."
            )
    if isinstance(table.keep, FirstInSource) and POSITION not in schema:
        raise DeclarationError(
            f"{table.name}: keep=first_in_source() needs the rows' position; add assay.position() to the select."
        )


def _added(table: Table) -> tuple[str, ...]:
    surrogate = (table.write.surrogate,) if isinstance(table.write, Merge) and table.write.surrogate else ()
    return (*surrogate, *(STAMPS if table.write.stamps else ()))


def _check_grain(node: Node, schema: Schema, traced: Mapping[str, Traced]) -> None:
    match node.rows:
        case Groups(keys=keys, totals=totals, count=count, lookup=joined):
            (base,) = set(node.upstream) - set(joined)
            for name in (*keys, *totals, *([count] if count else [])):
                if name not in schema:
                    raise DeclarationError(
                        f"{node.name}: rows=groups(...) names {name!r}, which the function does not return."
                        f"{near_miss(name, schema.names)}"
                    )
            for name in totals.values():
                if name not in traced[base].seen:
                    raise DeclarationError(
                        f"{node.name}: rows=groups(total=...) reads {name!r}, which {base} does not have."
                        f"{near_miss(name, traced[base].seen.names)}"
                    )
        case Same() | Times() | Lookup() | Free():
            pass
        case _:
            assert_never(node.rows)


def _check_definitions(table: Table, frame: Frame, schema: Schema, session: Session) -> list[list[str]]:
    found = []
    for check in table.checks:
        text = repr(check)
        if isinstance(check, RowCheck):
            try:
                text = session.definition(frame.select(broken(check).alias("broken")))
            except Exception as error:
                raise DeclarationError(
                    f"{table.name}: check {check.name!r} cannot be judged: {_first_line(error)} "
                    f"The columns are: {', '.join(schema.names)}."
                ) from error
        found.append([check.name, check.action, text])
    return found


def _is_of_its_row(definition: str) -> bool:
    """Return whether no window can be in a text; one that has the word for another reason is looked at, too."""
    return "over" not in definition.lower()


def _judged(table: Table, frame: Frame, session: Session) -> str:
    """Return what the function computes, with a column for each of its row checks."""
    checks = (check for check in table.checks if isinstance(check, RowCheck))
    columns = {f"{SYSTEM_PREFIX}broken_{n}": broken(check) for n, check in enumerate(checks)}
    return session.definition(frame.with_columns(**columns))


def _check_other_side(table: Table, check: CrossCheck, traced: Mapping[str, Traced]) -> None:
    seen = traced[check.other].seen
    if check.other_column is not None and check.other_column not in seen:
        raise DeclarationError(
            f"{table.name}: check {check.name!r} looks at {check.other_column!r}, which {check.other} does not have."
            f"{near_miss(check.other_column, seen.names)}"
        )


def _explain(node: Node, error: Exception, traced: Mapping[str, Traced]) -> str:
    kind = "view" if isinstance(node, View) else "table"
    if is_raised_by_own_code(error):
        return f"The {kind} {node.name} raises {describe(error)} ({place_of(error)})"
    place = place_of(error) or place_of_function(node.function)
    lines = [f"The {kind} {node.name} fails on the columns of its inputs: {_first_line(error)} ({place})"]
    lines += [f"  {name} has: {', '.join(traced[name].seen.names)}" for name in node.upstream]
    return "\n".join(lines)


def _first_line(error: Exception) -> str:
    # What narwhals leaves out, such as the name of a column, the engine's own error tells.
    text = str(error.__context__ or error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
