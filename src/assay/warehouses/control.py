"""The control tables: runs, versions, files, manifests, ledger and lease, in the catalog's own database."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

FORMAT = 3
"""Raised when these tables change; a warehouse of another format is refused by name."""

METADATA = MetaData()

# SQLite numbers rows by itself only where the type is INTEGER.
_ID = BigInteger().with_variant(Integer, "sqlite")

FORMATS = Table("assay_format", METADATA, Column("format", Integer, primary_key=True))

RUNS = Table(
    "assay_run",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("pipeline", String, nullable=False),
    Column("state", String, nullable=False),
    Column("as_of", String, nullable=False),
    Column("started_at", String, nullable=False),
    Column("ended_at", String),
    Column("seq", BigInteger, unique=True),
    Column("plan", JSON, nullable=False),
    Column("result", JSON),
    sqlite_autoincrement=True,
)
"""`seq` is the order of publishing; null for a run that published nothing."""

LEASES = Table(
    "assay_lease",
    METADATA,
    Column("pipeline", String, primary_key=True),
    Column("run", BigInteger),
    Column("token", BigInteger, nullable=False),
    Column("owner", String, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("expires_up", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
)
"""One row a pipeline, kept after release so that its token only grows; `expires_at` in epoch seconds, `expires_up` in
those since the owner's machine was started, `seq` the last publish when it was taken."""

DATASETS = Table(
    "assay_dataset",
    METADATA,
    Column("name", String, primary_key=True),
    Column("pipeline", String, nullable=False),
    Column("version", ForeignKey("assay_run.id"), nullable=False),
)
"""The pointers: the version of each dataset that readers see."""

VERSIONS = Table(
    "assay_version",
    METADATA,
    Column("dataset", String, primary_key=True),
    Column("run", ForeignKey("assay_run.id"), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("next_field_id", Integer, nullable=False),
    Column("partition_by", JSON, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("as_of", String),
    Column("metadata_location", String),
    Column("metadata_files", JSON, nullable=False),
    Column("key", JSON, nullable=False),
    Column("stamps", Boolean, nullable=False),
)
"""`metadata_files` are the manifests of a table's snapshot and their list: relative to the lake, as data files are."""

FILES = Table(
    "assay_file",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("dataset", String, nullable=False),
    Column("path", String, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("partition", JSON, nullable=False),
    Column("slice", String),
    Column("added_seq", BigInteger, nullable=False),
    Column("removed_seq", BigInteger),
    Index("assay_file_live", "removed_seq", "dataset"),
)
"""A file belongs to every version from added_seq on, up to but not including removed_seq."""

SLICES = Table(
    "assay_slice",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("dataset", String, nullable=False),
    Column("name", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("path", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("ctime_ns", BigInteger, nullable=False),
    Column("inode", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("extracted_on", String, nullable=False),
    Column("extracted_at_ns", BigInteger, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("starts", JSON, nullable=False),
    Column("header", JSON, nullable=False),
    Column("mends", String),
    Column("mended_lines", JSON, nullable=False),
    Column("watermark", String),
    Column("added_seq", BigInteger, nullable=False),
    Column("removed_seq", BigInteger),
    UniqueConstraint("dataset", "name", "added_seq"),
    Index("assay_slice_live", "removed_seq", "dataset"),
)

UNDONE = Table(
    "assay_undone",
    METADATA,
    Column("dataset", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("sha256", String, primary_key=True),
    Column("run", ForeignKey("assay_run.id"), nullable=False),
)
"""Deliveries that an undo took away: they are not loaded again unless that is asked for."""

MANIFESTS = Table(
    "assay_manifest",
    METADATA,
    Column("run", ForeignKey("assay_run.id"), primary_key=True),
    Column("dataset", String, primary_key=True),
    Column("body", JSON, nullable=False),
)
"""What counts as staged is what stands here, whatever files exist."""

NODES = Table(
    "assay_node_run",
    METADATA,
    Column("run", ForeignKey("assay_run.id"), primary_key=True),
    Column("node", String, primary_key=True),
    Column("status", String, nullable=False),
    Column("body", JSON, nullable=False),
)

LEDGER = Table(
    "assay_ledger",
    METADATA,
    Column("run", ForeignKey("assay_run.id"), primary_key=True),
    Column("node", String, primary_key=True),
    Column("line", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("row_count", BigInteger, nullable=False),
)
"""Of failed runs too: the run's state says that they were not published."""

CHECKS = Table(
    "assay_check",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("run", ForeignKey("assay_run.id"), nullable=False),
    Column("node", String, nullable=False),
    Column("name", String, nullable=False),
    Column("action", String, nullable=False),
    Column("broken", BigInteger, nullable=False),
    Column("detail", String, nullable=False),
)

QUARANTINE_FILES = Table(
    "assay_quarantine",
    METADATA,
    Column("run", ForeignKey("assay_run.id"), primary_key=True),
    Column("path", String, primary_key=True),
    Column("node", String, nullable=False),
)

RETENTION = Table(
    "assay_retention",
    METADATA,
    Column("oldest_seq", BigInteger, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("days", Float, nullable=False),
    Column("vacuumed_at", String, nullable=False),
)
"""One row, from the first vacuum on: the oldest state that can still be read, and what was asked to be kept."""
