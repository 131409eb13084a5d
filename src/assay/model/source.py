"""Where rows come from, as declared; and the names of the columns that every source gives its rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

from assay.model.errors import DeclarationError
from assay.model.given import shown
from assay.model.schema import SYSTEM_PREFIX, Schema, canonical_type

POSITION = "_assay_position"
"""BIGINT: where the row stands: 22 bits of slice number, 5 of part (see `stack`), 36 of row number in its file."""
SOURCE_FILE = "_assay_file"
"""VARCHAR: the name of the slice that delivered the row."""
EXTRACTED_ON = "_assay_extracted_on"
"""DATE: the as-of date of the run that delivered the row; kept when the row is computed again."""

LINE = "_assay_line"
REASONS = "_assay_reasons"
UNCHANGED = "_assay_unchanged"
"""VARCHAR: the names of columns that a change of a row does not bring, as a JSON array of what `among` returns."""

PART_BIT = 36
SLICE_BIT = 41
SYSTEM_COLUMNS = {POSITION: "BIGINT", SOURCE_FILE: "VARCHAR", EXTRACTED_ON: "DATE"}


class Source(Protocol):
    """Where rows come from, as declared."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def path(self) -> str:
        """Where that is, as users write it; empty where it has no place."""

    @property
    def columns(self) -> Mapping[str, str]:
        """Name there -> SQL type."""

    @property
    def mirror(self) -> bool:
        """Whether rows of a file that is gone leave."""

    @property
    def schema(self) -> Schema:
        """The declared columns, and then those that assay adds to every row."""

    def at(self, path: str) -> Source:
        """Return the source, read from another place."""


def among(name: str) -> str:
    """Return a name as it stands among others in a JSON array.

    A tab stands on either side: inside of a JSON text there is none, so that no part of another name is taken for it.
    """
    return f"\t{json.dumps(name, ensure_ascii=False)}\t"


def with_system_columns(columns: Mapping[str, str]) -> Schema:
    """Return the declared columns, and then those that assay adds to every row."""
    return Schema.of([*columns.items(), *SYSTEM_COLUMNS.items()])


def unfit(name: str) -> str:
    """Return the column that tells whether a value of a database does not fit the type of its column."""
    return f"{SYSTEM_PREFIX}unfit_{name}"


def as_text(name: str) -> str:
    """Return the column that has such a value as the server wrote it."""
    return f"{SYSTEM_PREFIX}text_{name}"


def check_names(place: str, names: Sequence[str]) -> None:
    """Refuse names that cannot be columns of a table, which are told apart without regard to case."""
    for number, name in enumerate(names):
        if not name or "\0" in name or not is_text(name):
            raise DeclarationError(f"{place}: {name!r} is no name of a column.")
        if name.lower().startswith(SYSTEM_PREFIX):
            raise DeclarationError(f"{place}: {name!r} begins as the columns that assay adds.")
        if name.lower() in {earlier.lower() for earlier in names[:number]}:
            raise DeclarationError(f"{place}: {name!r} is declared twice; upper and lower case are one name.")


def columns_in(place: str, columns: Any) -> dict[str, str]:
    """Return declared columns with the one spelling of their types; raises DeclarationError that names the place."""
    if not isinstance(columns, Mapping):
        raise DeclarationError(
            f"{place}: columns= maps names to SQL types: write columns={{'id': 'BIGINT'}}, not {shown(columns)}."
        )
    for name, kind in columns.items():
        if not isinstance(name, str):
            raise DeclarationError(f"{place}: {shown(name)} is no name of a column.")
        if not isinstance(kind, str):
            raise DeclarationError(
                f"{place}: the type of {name!r} is a text, such as 'BIGINT' or 'VARCHAR', not {shown(kind)}."
            )
    check_names(place, list(columns))
    try:
        return {name: canonical_type(kind) for name, kind in columns.items()}
    except DeclarationError as error:
        raise DeclarationError(f"{place}: {error}") from None


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
    watermark: str | None = None
    """Of a table of a database: how far it has been read."""


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
