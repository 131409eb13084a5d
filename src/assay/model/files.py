"""Files as sources, as they are declared: text, Parquet, data frames that become such, and rows that were read once."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, ClassVar, Literal, Self, get_args

from assay.model.errors import DeclarationError
from assay.model.given import check_flags, listed, path_of, shown
from assay.model.schema import Schema
from assay.model.source import check_names, columns_in, with_system_columns


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
        return with_system_columns(self.columns)

    def at(self, path: str) -> Self:
        """Return the source, read from other files."""
        return replace(self, path=path)


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
        return with_system_columns(self.columns)

    def at(self, path: str) -> Self:
        """Return the source, read from other files."""
        return replace(self, path=path)


@dataclass(frozen=True, slots=True)
class DataFrame:
    """The data frame that a function returns, of any library that narwhals knows; it is one slice, named as the source.

    It is written as a Parquet file when a run looks at its sources, and read as one is from then on.
    """

    load: Callable[[], Any]
    columns: Mapping[str, str]
    """Name in the frame -> SQL type. Other columns of the frame are left out."""
    path: ClassVar[str] = ""
    mirror: ClassVar[bool] = False

    @property
    def schema(self) -> Schema:
        """The declared columns, and then those that assay adds to every row."""
        return with_system_columns(self.columns)

    def at(self, path: str) -> Parquet:
        """Return the source, read from Parquet files."""
        return Parquet(path, self.columns)


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
        return with_system_columns(self.columns)

    def at(self, path: str) -> Self:
        """Return the source, read from other files."""
        return replace(self, path=path)


Columnar = Parquet | DataFrame
"""Sources whose files are Parquet when they are read."""
FileSource = Csv | Columnar | Frozen


def csv(
    path: str | PathLike[str],
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
    path = path_of("csv", path)
    place = f"csv({path!r})"
    if not columns:
        raise DeclarationError(f"{place} declares no columns: types guessed from files drift between files.")
    _check_marks(place, delimiter, quote)
    try:
        codecs.lookup(encoding)
    except (LookupError, TypeError):
        raise DeclarationError(f"{place}: {shown(encoding)} is no encoding that Python knows.") from None
    check_flags(place, mirror=mirror)
    typed = {name.strip(): kind for name, kind in columns_in(place, columns).items()}
    check_names(place, [name.strip() for name in columns])
    return Csv(path, typed, delimiter, quote, listed(place, "nulls", nulls, tuple), encoding, mirror)


def _check_marks(place: str, delimiter: Any, quote: Any) -> None:
    """Raise DeclarationError where a line could not be told apart by them."""
    if not isinstance(delimiter, str) or not isinstance(quote, str) or len(delimiter) != 1 or len(quote) > 1:
        raise DeclarationError(f"{place}: delimiter and quote are one character each.")
    if delimiter == quote:
        raise DeclarationError(f"{place}: delimiter and quote are both {quote!r}; one of them must be another.")


def parquet(
    path: str | PathLike[str],
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
    path = path_of("parquet", path)
    place = f"parquet({path!r})"
    if not columns:
        raise DeclarationError(f"{place} declares no columns: those of files drift between files.")
    if damaged not in get_args(Damaged):
        raise DeclarationError(f"{place}: damaged= is 'refuse' or 'quarantine', not {damaged!r}.")
    check_flags(place, repeats=repeats, mirror=mirror)
    return Parquet(path, columns_in(place, columns), damaged, repeats, mirror)


def dataframe(load: Callable[[], Any], *, columns: Mapping[str, str]) -> DataFrame:
    """Declare a source whose rows are the data frame that a function returns: pandas, Polars, Arrow, DuckDB, ...

    `load` takes no arguments; it is called when a run, or a plan, looks at its sources. A frame of the same content is
    no news, another one takes the place of the one before. `columns` maps names in the frame to SQL types; a column
    fits where each of its values is one of that type. Raises DeclarationError for no function, no columns or an unknown
    type.
    """
    if not callable(load):
        raise DeclarationError(
            f"dataframe() takes a function that returns the frame, not {type(load).__name__}: dataframe(lambda: frame)."
        )
    place = f"dataframe({getattr(load, '__name__', type(load).__name__)})"
    if not columns:
        raise DeclarationError(f"{place} declares no columns: those of frames drift between runs.")
    return DataFrame(load, columns_in(place, columns))
