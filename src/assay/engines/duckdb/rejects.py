"""The SELECTs that make rows of the quarantine of rejected ones, and read them again."""

from __future__ import annotations

from collections.abc import Sequence

from duckdb import DuckDBPyRelation

from assay.engines.duckdb import quoting
from assay.model.ports import Rejects
from assay.model.schema import Schema
from assay.model.source import PART_BIT, POSITION, SLICE_BIT, SOURCE_FILE, SYSTEM_COLUMNS, Slice


def quarantined_query(relation: DuckDBPyRelation, rejects: Rejects) -> str:
    """Return a SELECT of rejected rows as rows of the quarantine: whole, as JSON, with reasons and line."""
    kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
    own = [c for c in relation.columns if c not in rejects.reason_columns]
    # A number of JSON holds the digits of a DOUBLE, not those of a DECIMAL.
    values = {
        c: f"r.{quoting.name(c)}{'::varchar' if kinds[c].startswith('DECIMAL') else ''}"
        for c in own
        if c not in SYSTEM_COLUMNS
    }
    reasons = ", ".join(
        f"case when r.{quoting.name(column)} then {quoting.text(check)} end"
        for column, check in rejects.reason_columns.items()
    )
    line, starts = _line(own, rejects.slices)
    return (
        f"select {rejects.run}::bigint as run, {quoting.text(rejects.node)} as node, "
        f"{_or_null(POSITION, own, 'bigint')} as position, {_or_null(SOURCE_FILE, own, 'varchar')} as source_file, "
        f"{line} as line, null::varchar as raw, null::varchar as raw_encoding, "
        f"to_json({quoting.struct(values)})::varchar as row, "
        f"to_json(list_filter([{reasons}], lambda x: x is not null))::varchar as reasons "
        f"from ({relation.sql_query()}) r {starts}"
    )


def apart_query(rejected: DuckDBPyRelation, keys: DuckDBPyRelation, kinds: Schema) -> str:
    """Return a SELECT of the rows of the quarantine that have none of the keys, whose columns are of these types."""
    on = " and ".join(f"{_in_quarantine(c.name, c.type)} = k.{quoting.name(c.name)}" for c in kinds)
    return f"select * from ({rejected.sql_query()}) q anti join ({keys.sql_query()}) k on {on}"


def keys_query(rejected: DuckDBPyRelation, kinds: Schema) -> str:
    """Return a SELECT of the keys that rows of the quarantine have, in columns of these types."""
    keys = ", ".join(f"{_in_quarantine(c.name, c.type)} as {quoting.name(c.name)}" for c in kinds)
    return f"select {keys} from ({rejected.sql_query()})"


def _in_quarantine(column: str, kind: str) -> str:
    """Return SQL for the value that a row of the quarantine has in a column, in its type; null where it has none."""
    path = quoting.text("$." + quoting.name(column).replace('""', '\\"'))
    return f"try_cast(json_extract_string(row, {path}) as {kind})"


def _line(columns: Sequence[str], slices: Sequence[Slice]) -> tuple[str, str]:
    """Return SQL for the line of each row, and the join that it needs."""
    starts = [
        f"({quoting.text(part.name)}, {part.number}, {row}, {line})" for part in slices for row, line in part.starts
    ]
    if not starts or POSITION not in columns or SOURCE_FILE not in columns:
        return "null::bigint", ""
    position = f"r.{quoting.name(POSITION)}"
    row = f"({position} & {(1 << PART_BIT) - 1})"
    join = (
        f"asof left join (select * from (values {', '.join(starts)}) s(file, number, first_row, first_line)) s "
        f"on r.{quoting.name(SOURCE_FILE)} = s.file and ({position} >> {SLICE_BIT}) = s.number and {row} >= s.first_row"
    )
    return f"s.first_line + {row} - s.first_row", join


def _or_null(column: str, columns: Sequence[str], kind: str) -> str:
    return f"r.{quoting.name(column)}" if column in columns else f"null::{kind}"
