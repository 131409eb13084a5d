"""Every error assay raises on purpose, as one family.

AssayError
├── UsageError            exit 2: the command, a declaration or an input as a whole is wrong
│   ├── DeclarationError  a pipeline, table, view, source or check contradicts itself or its neighbours
│   ├── SourceError       a file, folder or database cannot be read as declared
│   ├── SettingsError     assay.toml or an ASSAY_* variable cannot be understood
│   └── WarehouseError    a warehouse cannot be opened, or holds what assay did not write
│       └── OwnerError    a table belongs to another pipeline
└── RunError              exit 1: a run was made and could not be published
    ├── TableError        a table's function, checks or ledger failed
    ├── ConflictError     another run published in the meantime
    └── LeaseError        another run of this pipeline is at work, or has taken over
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from assay.model.secrets import without_secrets


class AssayError(Exception):
    """The base of every error that assay raises on purpose."""

    exit_code = 1


class UsageError(AssayError):
    """The command, a declaration or an input as a whole is wrong; nothing was changed."""

    exit_code = 2


class DeclarationError(UsageError):
    """A pipeline, table, view, source or check contradicts itself or its neighbours."""


class SourceError(UsageError):
    """A file, folder or database cannot be read as it was declared."""


class SettingsError(UsageError):
    """`assay.toml` or an `ASSAY_*` variable cannot be understood."""


class WarehouseError(UsageError):
    """A warehouse cannot be opened, or holds what assay did not write."""


class OwnerError(WarehouseError):
    """A table belongs to another pipeline."""

    def __init__(self, dataset: str, owner: str, pipeline: str) -> None:
        """Name the dataset, the pipeline that writes it, and the one that would."""
        super().__init__(
            f"{dataset} is written by the pipeline {owner!r}; {pipeline!r} cannot write it too. Use another warehouse, "
            "or rename one of the tables."
        )


class RunError(AssayError):
    """A run was made and could not be published; the published tables are as before."""


class TableError(RunError):
    """A table's function, its checks or its ledger failed."""


class ConflictError(RunError):
    """Another run published something that this run had read or wanted to write."""


class LeaseError(RunError):
    """Another run of the same pipeline is at work, or has taken this one over."""


def near_miss(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the closest of the known names, or an empty string."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def describe(error: BaseException) -> str:
    """Return an error in one line, without passwords: its kind, unless it is one of assay's own, and its first line."""
    text = without_secrets(str(error)).strip().splitlines()
    first = text[0] if text else ""
    return first if isinstance(error, AssayError) else f"{type(error).__name__}: {first}".rstrip(": ")
