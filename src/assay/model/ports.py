"""What a run needs from outside: an engine that evaluates, a warehouse that keeps, an observer that shows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from narwhals import LazyFrame

from assay.model.data import DataFile, Manifest, TableMetadata
from assay.model.database import Spooled
from assay.model.files import Columnar, Csv
from assay.model.leases import Leases
from assay.model.outcome import UnitRun
from assay.model.past import PastRun, RecordedRun, Undone
from assay.model.published import Life, Opened, Rows, State, TableShape, Verified
from assay.model.run import NodeRun, RunHandle, RunResult
from assay.model.schema import Schema
from assay.model.source import Slice
from assay.model.vacuum import Retention, Vacuumed
from assay.model.workshop import Workshop

Frame = LazyFrame[Any]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where and how a frame is written: a folder under the warehouse, and the names files get there."""

    root: str
    folder: str
    """Relative to root; paths of the files written are relative to root too."""
    prefix: str
    """Begins every file name: it tells run and attempt apart."""
    schema: Schema
    partition_by: tuple[str, ...] = ()
    temporary: bool = False
    """A file that only this run reads: written for speed, not for size."""
    even_empty: bool = False
    """Whether a file is written for no rows, too."""
    slices: Mapping[int, str] = field(default_factory=dict)
    """Number -> name of the slices that the rows of a source are of: each gets files of its own."""
    row_bytes: int = 0
    """Bytes of a row on average, where they are known: wide ones are not collected in such numbers as narrow ones."""


@dataclass(frozen=True, slots=True)
class Rejects:
    """Rows on their way to the quarantine, and how they name themselves there."""

    run: int
    node: str
    reason_columns: Mapping[str, str]
    """Boolean column of the frame -> name of the check it stands for."""
    slices: Sequence[Slice] = ()
    """Those that the rows may be of: they tell the lines that rows stand in."""


class Session(Protocol):
    """One worker's own place in an engine: frames of two sessions cannot be mixed."""

    def scan(self, root: str, files: Sequence[DataFile], schema: Schema, name: str) -> Frame:
        """Open stored files, all written with these columns, in the schema's types; none give an empty frame."""

    def blank(self, schema: Schema, name: str) -> Frame:
        """Return an empty frame of the schema that definitions call by the name."""

    def files_with(
        self, root: str, files: Sequence[DataFile], schema: Schema, keys: Frame, key: Sequence[str]
    ) -> tuple[str, ...]:
        """Return the paths, as given, of those files that hold a row with one of the keys."""

    def resolve(self, result: Any, node: str) -> Frame:
        """Return the frame that a function's result stands for; raises TableError where it is none."""

    def columns(self, frame: Frame) -> list[tuple[str, str]]:
        """Return names and SQL types as the engine sees them."""

    def definition(self, frame: Frame) -> str:
        """Return the text of what the frame computes, equal for equal computations."""

    def cast(self, frame: Frame, schema: Schema) -> Frame:
        """Return the schema's columns in its order and types."""

    def unfit(self, frame: Frame, schema: Schema) -> Frame:
        """Return the rows that `cast` would fail for: those with a value that is none of its column's type."""

    def hold(self, frame: Frame) -> Frame:
        """Compute the frame once, for several uses in this session."""

    def spelled(self, text: str, kind: str) -> str:
        """Return a text as a value of a SQL type is written ("10.5" as "10.50"); itself where it stands for none."""

    def same_rows(self, one: Frame, other: Frame, *, exactly: bool = False) -> bool:
        """Return whether two frames of one schema hold equal rows equally often; DOUBLE within 1e-9, or exactly."""

    def only_in(self, one: Frame, other: Frame) -> Frame:
        """Return the rows of one frame that another of its schema does not hold as often; DOUBLE within 1e-9."""

    def digest(self, frame: Frame) -> str:
        """Return a text that is equal for frames of equal rows equally often, in any order; DOUBLE to nine digits."""

    def fetch(self, frame: Frame) -> list[tuple[Any, ...]]:
        """Return the rows of a small frame."""

    def write(self, frame: Frame, to: Destination) -> tuple[DataFile, ...]:
        """Write the frame as Parquet; rows and sizes are read back from the files' footers."""

    def rejected_rows(self, frame: Frame, rejects: Rejects) -> Frame:
        """Return rejected rows as rows of the quarantine: each whole, as JSON, with its reasons."""

    def rejected_apart(self, rejected: Frame, keys: Frame, kinds: Schema) -> Frame:
        """Return the rows of the quarantine that have none of the keys, whose columns are of these types."""

    def rejected_keys(self, rejected: Frame, kinds: Schema) -> Frame:
        """Return the keys of rows of the quarantine, in columns of these types."""

    def open_csv(self, source: Csv, header: Sequence[str], part: Slice, newline: str) -> Frame:
        """Read a plain delimited file; a row that does not fit its declared types has no position.

        Lines that are no records are left out; `lines_left_out` counts them once the frame was used.
        """

    def lines_left_out(self) -> int:
        """Return how many faults the last reading of a plain file found, and forget them."""

    def open_parquet(self, source: Columnar, parts: Sequence[Slice]) -> Frame:
        """Read Parquet files of equal columns, which were found to fit."""

    def open_spool(self, spooled: Spooled, columns: Mapping[str, str]) -> Frame:
        """Read rows of a database, with these columns in their types, and those that assay adds to every row.

        A column that the file does not have is null. `_assay_unchanged` has the names of columns that a row does not
        bring, as a JSON array, or nothing. For a type that does not hold all that a database may,
        `_assay_unfit_<column>` tells where it does not, and `_assay_text_<column>` has what is there.
        """

    def open_mended(self, source: Csv, header: Sequence[str], part: Slice, path: str) -> Frame:
        """Read a file whose lines begin with record and line number.

        Beside the columns of the source it has `_assay_line`, and `_assay_reasons`: a JSON array of why the row does
        not fit its declared types, null where it does.
        """

    def open_json_lines(self, path: str, schema: Schema) -> Frame:
        """Read a file of one JSON object a line."""


class Engine(Protocol):
    """What evaluates frames; `room` is a folder for files of this process, which goes with it, however that ends."""

    room: str

    def session(self) -> AbstractContextManager[Session]:
        """Open a session for one worker."""

    def stopping(self, stop: Callable[[], None]) -> AbstractContextManager[None]:
        """Have something called where what is done within is to stop; how that ends is told as an interruption."""

    def interrupt(self) -> None:
        """Make all that is at work within a session or `stopping` stop, with an error; nothing more begins there."""


@dataclass(frozen=True, slots=True)
class Publication:
    """All that one run publishes, in one transaction."""

    pipeline: str
    manifests: Mapping[str, Manifest]
    """By dataset; those that changed are published, those that did not are checked to stand."""
    reads: Mapping[str, int | None]
    """The plan-time version of every dataset read or written; None where there was none."""
    result: RunResult

    @property
    def changes(self) -> bool:
        """Whether any dataset gets new content: a table, or what stands delivered, numbered or rejected."""
        return any(manifest.changed for manifest in self.manifests.values())


class Warehouse(Leases, Protocol):
    """Where tables live, with the control state beside them. `publish` is the one commit point."""

    url: str
    root: str
    """Where data files are written; paths in manifests are relative to it."""

    @property
    def workshop(self) -> Workshop | None:
        """What a database has for those who build in it themselves; a lake has none."""

    def state(self, at: int | dt.datetime | None = None) -> State:
        """Read every published pointer in one query; `at` is the last run seen, or the time."""

    def newest(self, pipeline: str) -> RecordedRun | None:
        """Return the newest run of a pipeline."""

    def record_plan(self, handle: RunHandle, plan: Mapping[str, Any]) -> None:
        """Record the plan that a run carries out, in the place of an earlier one."""

    def record(self, handle: RunHandle, *manifests: Manifest) -> None:
        """Record in one insert what one attempt staged; what an earlier attempt recorded stands, and this is left.

        Raises LeaseError where the run was taken over; so do `record_plan` and `record_node`.
        """

    def record_node(self, handle: RunHandle, node: NodeRun) -> None:
        """Record what a node did, also when it failed."""

    def record_unit(self, handle: RunHandle, unit: UnitRun) -> None:
        """Record what a step of a workflow did, also when it failed."""

    def manifests(self, run: int, datasets: Collection[str] | None = None) -> dict[str, Manifest]:
        """Return what a run has staged, by dataset; only of the datasets named, where some are."""

    def make_room(self, shapes: Sequence[TableShape]) -> None:
        """See to it that tables of these shapes can be published; raises UsageError that names what has to be done."""

    def local(self, files: Iterable[DataFile]) -> str:
        """Return the folder under which these files can be read; those that are kept elsewhere are brought there."""

    def folder(self, dataset: str, run: int) -> str:
        """Return the folder of a dataset's data files, relative to root; a view's is of its run."""

    def quarantine_folder(self) -> str:
        """Return the folder of the quarantine's files, relative to root."""

    def remove(self, files: Iterable[DataFile]) -> None:
        """Remove files that were written and that nothing refers to."""

    def open(self, at: int | dt.datetime | None = None) -> Opened:
        """Read a published state, and hold it against every vacuum; `at` is the last run seen, or the time."""

    def verify(self) -> Verified:
        """Read all that is published, and compare it with what was written."""

    def keep_delivery(self, dataset: str, name: str, content: bytes) -> str:
        """Keep a file that a source is to read as long as its slice stands, and return its path."""

    def missing(self) -> tuple[str, ...]:
        """Return what published tables refer to and is not there, or not in full."""

    def damaged(self, files: Iterable[DataFile]) -> tuple[str, ...]:
        """Return those files that are not byte for byte as they were written; all of them are read."""

    def prepare_ahead(self, run: int, datasets: Collection[str], state: State) -> None:
        """Do now what `prepare` would do for what a run has staged, while others compute; it may be for nothing."""

    def prepare(self, run: int, manifests: Mapping[str, Manifest], state: State) -> Mapping[str, TableMetadata]:
        """Make durable all that a publish refers to, and return the metadata of each table."""

    def publish(
        self, handle: RunHandle, publication: Publication, prepared: Mapping[str, TableMetadata], state: State
    ) -> None:
        """Publish everything in one transaction, or nothing; raises ConflictError or LeaseError."""

    def undo(self, run: int | None, *, patience: float) -> Undone:
        """Bring back what stood before a run and all later ones of its pipeline: of the newest, without a number.

        Raises UsageError where there is none, WarehouseError where a file of what stood before is gone.
        """

    def vacuum(self, retention: Retention | None, *, remove: bool) -> Vacuumed:
        """Remove what no state within the retention, no run at work and no reader needs; or just tell what would go.

        Without a retention every state stays, and just what belongs to none goes.
        """

    def close_run(self, handle: RunHandle, result: RunResult) -> None:
        """Record the end of a run that published nothing, and give the lease back."""

    def discard(self, run: int) -> None:
        """Remove the temporary files of a run."""

    def history(self, limit: int) -> list[PastRun]:
        """Return the newest runs first."""

    def look_up(self, run: int) -> tuple[PastRun, RecordedRun] | None:
        """Return a run as the history lists it, and with what it did; None for one that never was."""

    def lives(self, dataset: str) -> list[Life]:
        """Return every file that a dataset has and had, and that is still there."""

    def control_rows(self) -> Mapping[str, Rows]:
        """Return the control state that readers see as schema `meta`, by table."""

    def warm_up(self) -> None:
        """Load what a publish of changes needs, while the engine works; what is loaded is not loaded again."""
