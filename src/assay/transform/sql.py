"""SQL where narwhals has no word for it: a result that an engine evaluates in its own connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw


@dataclass(frozen=True, slots=True, eq=False)
class Sql:
    """A SELECT over named inputs, in DuckDB's dialect; deferred until an engine binds it."""

    text: str
    inputs: Mapping[str, Any]

    def evaluate(self) -> nw.LazyFrame[Any]:
        """Evaluate in a DuckDB of its own, as a unit test does; returns a frame held in memory."""
        import duckdb  # the engine of a run brings its own connection; only a test needs one here

        connection = duckdb.connect(config={"python_enable_replacements": "false"})
        for name, given in self.inputs.items():
            frame = given.evaluate() if isinstance(given, Sql) else nw.from_native(given)
            eager = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
            connection.register(name, eager.to_arrow())
        result: nw.LazyFrame[Any] = nw.from_native(connection.sql(self.text).to_arrow_table()).lazy()
        return result


def sql(text: str, **inputs: Any) -> Sql:
    """Return a deferred SELECT: `return sql("select ... from b", b=bronze_order)`.

    The text is a constant of the pipeline: build no SQL from data. The inputs are frames or other `sql` results.
    """
    return Sql(text, inputs)
