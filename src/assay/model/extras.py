"""Libraries that are installed with one of assay's extras, where somebody needs what they are for."""

from __future__ import annotations

from importlib.util import find_spec

from assay.model.errors import UsageError


def require(extra: str, what: str, *libraries: str) -> None:
    """Raise UsageError that names the extra, where one of its libraries is not installed."""
    if any(find_spec(each) is None for each in libraries):
        raise UsageError(f"{what} more libraries: pip install 'assay[{extra}]'.")
