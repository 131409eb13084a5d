"""Settings as numbers."""

from __future__ import annotations

import pytest

from assay.settings import Settings


@pytest.mark.parametrize(
    ("size", "number"),
    [("1GB", 10**9), ("1.5 GiB", 3 * 2**29), (" 500mb ", 5 * 10**8), ("64KiB", 2**16), ("2TB", 2 * 10**12)],
)
def test_a_size_is_a_number_of_bytes(size: str, number: int) -> None:
    assert Settings(memory_limit=size).memory_bytes == number
