"""Numbers that lie far from the others."""

from __future__ import annotations

from typing import Any, Literal, assert_never

import narwhals as nw
from narwhals import LazyFrame, col

By = Literal["iqr", "zscore"]
_LOW, _HIGH = "_assay_low", "_assay_high"


def with_outliers(
    frame: LazyFrame[Any], column: str, by: By = "iqr", *, factor: float | None = None, into: str = "is_outlier"
) -> LazyFrame[Any]:
    """Return the frame with a BOOLEAN column that is true for outliers, and false for nulls.

    iqr: more than `factor` (1.5) times the distance of the quartiles away from them (Tukey 1977). zscore: more than
    `factor` (3) standard deviations of the sample away from the mean.
    """
    number = col(column).cast(nw.Float64())
    match by:
        case "iqr":
            first, third = (number.quantile(share, interpolation="linear") for share in (0.25, 0.75))
            found = frame.select(_assay_q1=first, _assay_q3=third)
            reach = (col("_assay_q3") - col("_assay_q1")) * (1.5 if factor is None else factor)
            bounds = found.select((col("_assay_q1") - reach).alias(_LOW), (col("_assay_q3") + reach).alias(_HIGH))
        case "zscore":
            found = frame.select(_assay_mean=number.mean(), _assay_std=number.std(ddof=1))
            reach = col("_assay_std") * (3.0 if factor is None else factor)
            bounds = found.select((col("_assay_mean") - reach).alias(_LOW), (col("_assay_mean") + reach).alias(_HIGH))
        case _:
            assert_never(by)
    outside = ((number < col(_LOW)) | (number > col(_HIGH))).fill_null(value=False)
    return frame.join(bounds, how="cross").with_columns(outside.alias(into)).drop(_LOW, _HIGH)
