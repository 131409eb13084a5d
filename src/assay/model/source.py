"""Where rows come from, as declared; and the names of the columns that every source gives its rows."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from assay.model.errors import DeclarationError
from assay.model.schema import SYSTEM_PREFIX, Schema, canonical_type

POSITION = "_assay_position"
"""BIGINT: where the row stands: 22 bits of slice number, 5 of part (see `stack`), 36 of row number in its file."""
SOURCE_FILE = "_assay_file"
"""VARCHAR: the name of the slice that delivered the row."""
EXTRACTED_ON = "_assay_extracted_on"
"""DATE: the as-of date of the run that delivered the row; kept when the row is computed again."""

LINE = "_assay_line"
REASONS = "_assay_reasons"

PART_BIT = 36
SLICE_BIT = 41
SYSTEM_COLUMNS = {POSITION: "BIGINT", SOURCE_FILE: "VARCHAR", EXTRACTED_ON: "DATE"}


@dataclass(frozen=True, slots=True)
class Csv:
    """Delimited text files with a header line; `.gz` is unpacked while reading."""

    path: str
    """A file, or a pattern with `*`, `?` or `**`; each file is one slice."""
    columns: Mapping[str, str]
    """Name in the header (spaces around it do not count) -> SQL type. Other columns of the file are left out."""
    delimiter: str = ","
    quote: str = '"'
    nulls: tuple[str, ...] = ("",)
    """Texts that mean null when they stand alone in a field."""
    encoding: str = "utf-8"
    mirror: bool = False
    """Whether rows of a file that is gone leave; by default deliveries accumulate."""

    @property
    def schema(self) -> Schema:
        """The declared columns, and then those that assay adds to every row."""
        return _with_system_columns(self.columns)


Damaged = Literal["refuse", "quarantine"]


@dataclass(frozen=True, slots=True)
class Parquet:
    """Parquet files, of which each column that is declared has the type declared, or one that fits it."""

    path: str
    """A file, or a pattern with `*`, `?` or `**`; each file is one slice."""
    columns: Mapping[str, str]
    """Name in the file -> SQL type. Other columns of the file are left out."""
    damaged: Damaged = "refuse"
    """What becomes of a file that cannot be read to its end: it stops the run, or goes to the quarantine as a whole."""
    repeats: bool = False
    """Whether files of equal content are deliveries each, as daily snapshots are; by default the second is refused."""
    mirror: bool = False
    """Whether rows of a file that is gone leave; by default deliveries accumulate."""

    @property
    def schema(self) -> Schema:
        """The declared columns, and then those that assay adds to every row."""
        return _with_system_columns(self.columns)


@dataclass(frozen=True, slots=True)
class Frozen:
    """Rows of any source as they were read once: each comes with the position, file and date that it was given then."""

    path: str
    """A pattern; each Parquet file is one slice."""
    columns: Mapping[str, str]
    """Those of the source that was read."""
    mirror: bool = False

    @property
    def schema(self) -> Schema:
        """The columns of the source that was read, and then those that assay has added to every row."""
        return _with_system_columns(self.columns)


Source = Csv | Parquet | Frozen


def _with_system_columns(columns: Mapping[str, str]) -> Schema:
    return Schema.of([*columns.items(), *SYSTEM_COLUMNS.items()])


def csv(
    path: str,
    *,
    columns: Mapping[str, str],
    delimiter: str = ",",
    quote: str = '"',
    nulls: tuple[str, ...] = ("",),
    encoding: str = "utf-8",
    mirror: bool = False,
) -> Csv:
    """Declare a source of delimited text files.

    `columns` maps the names in the header to SQL types: "VARCHAR", "BIGINT", "DECIMAL(12,2)", "DATE", ...
    Raises DeclarationError for no columns, an unknown type, or a delimiter that is not one character.
    """
    if not columns:
        raise DeclarationError(f"csv({path!r}) declares no columns: types guessed from files drift between files.")
    if len(delimiter) != 1 or len(quote) > 1:
        raise DeclarationError(f"csv({path!r}): delimiter and quote are one character each.")
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise DeclarationError(f"csv({path!r}): {encoding!r} is no encoding that Python knows.") from None
    typed = {name.strip(): canonical_type(kind) for name, kind in columns.items()}
    _check_names(f"csv({path!r})", [name.strip() for name in columns])
    return Csv(path, typed, delimiter, quote, nulls, encoding, mirror)


def parquet(
    path: str,
    *,
    columns: Mapping[str, str],
    damaged: Damaged = "refuse",
    repeats: bool = False,
    mirror: bool = False,
) -> Parquet:
    """Declare a source of Parquet files.

    `columns` maps the names in the files to SQL types: "VARCHAR", "BIGINT", "DECIMAL(12,2)", "DATE", ... A file fits
    where it has each of them in that type, or in one whose every value fits: INTEGER for BIGINT, fewer digits for more.
    With `damaged="quarantine"` a file that is no Parquet or cannot be read to its end goes to the quarantine, and the
    others are read; by default it stops the run. With `repeats` files of equal content count each, as daily snapshots
    do. Raises DeclarationError for no columns or an unknown type.
    """
    place = f"parquet({path!r})"
    if not columns:
        raise DeclarationError(f"{place} declares no columns: those of files drift between files.")
    if damaged not in get_args(Damaged):
        raise DeclarationError(f"{place}: damaged= is 'refuse' or 'quarantine', not {damaged!r}.")
    _check_names(place, list(columns))
    return Parquet(path, {name: canonical_type(kind) for name, kind in columns.items()}, damaged, repeats, mirror)


def _check_names(place: str, names: Sequence[str]) -> None:
    """Refuse names that cannot be columns of a table, which are told apart without regard to case."""
    for number, name in enumerate(names):
        if not name or "\0" in name or not is_text(name):
            raise DeclarationError(f"{place}: {name!r} is no name of a column.")
        if name.lower().startswith(SYSTEM_PREFIX):
            raise DeclarationError(f"{place}: {name!r} begins as the columns that assay adds.")
        if name.lower() in {earlier.lower() for earlier in names[:number]}:
            raise DeclarationError(f"{place}: {name!r} is declared twice; upper and lower case are one name.")


def is_text(name: str) -> bool:
    """Return whether a name can be stored: that of a file on Linux may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What tells a file's content: its size and times now, and its sha256."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Slice:
    """One delivered file of a source: its name (path relative to the source's root), number, content and rows."""

    name: str
    number: int
    identity: FileIdentity
    extracted_on: str
    extracted_at_ns: int
    rows: int = 0
    starts: tuple[tuple[int, int], ...] = ()
    """Row and line of each row that does not stand one line behind the one before it; empty where not known."""
    header: tuple[str, ...] = ()
    """The names that its file has for its columns."""
    mends: str | None = None
    """The slice of which this one mends some lines."""
    mended_lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Mended:
    """A file with mended lines of one slice, kept in the warehouse, that a run is to load as a slice of its own."""

    source: str
    name: str
    """Of the new slice."""
    path: str
    mends: str
    sha256: str
    """The content of the slice that it mends: what is delivered anew is not what was mended."""
    lines: tuple[int, ...]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Mended:
        """Rebuild it from what `asdict` made of it."""
        return cls(**{**body, "lines": tuple(body["lines"])})


def slice_to_json(part: Slice) -> dict[str, Any]:
    """Return a slice as plain data; of thousands, `asdict` would copy every text."""
    identity = {each.name: getattr(part.identity, each.name) for each in fields(part.identity)}
    return {each.name: getattr(part, each.name) for each in fields(part)} | {"identity": identity}


def slice_from_json(body: Mapping[str, Any]) -> Slice:
    """Rebuild a slice from `slice_to_json`."""
    rebuilt = {
        "identity": FileIdentity(**body["identity"]),
        "starts": starts_from_json(body["starts"]),
        "header": tuple(body["header"]),
        "mended_lines": tuple(body["mended_lines"]),
    }
    return Slice(**{**body, **rebuilt})


def starts_from_json(pairs: Iterable[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """Rebuild what tells the lines of a slice's rows."""
    return tuple((row, line) for row, line in pairs)
