"""The quarantine: where rejected rows and lines are kept, each with all of its reasons."""

from __future__ import annotations

from assay.model.schema import Schema

QUARANTINE = Schema.of(
    [
        ("run", "BIGINT"),
        ("node", "VARCHAR"),
        ("position", "BIGINT"),
        ("source_file", "VARCHAR"),
        ("line", "BIGINT"),
        ("raw", "VARCHAR"),
        ("raw_encoding", "VARCHAR"),
        ("row", "VARCHAR"),
        ("reasons", "VARCHAR"),
    ]
)
"""`raw` is set for lines of a file that could not be read, `row` (JSON) for rows a check rejected, `line` where it is
known; `reasons` is a JSON array of texts."""
