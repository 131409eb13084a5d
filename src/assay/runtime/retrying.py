"""Trying again: what fails is called anew after a while, and each error that was tried again is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina

from assay.model.errors import describe

_T = TypeVar("_T")


def tried(
    call: Callable[[int], _T],
    *,
    retries: int,
    seconds: float,
    may_pass: Callable[[Exception], bool],
    retried: list[str],
) -> _T:
    """Return what a call returns, which is given the number of its attempt, from 1; the last error is raised.

    After an error that `may_pass` it is called again in so many seconds, as often as there are retries; the error is
    added to `retried`.
    """

    def passes(error: BaseException) -> bool:
        # Who leaves by sys.exit, or is interrupted, is not called again.
        return isinstance(error, Exception) and may_pass(error)

    attempts = stamina.retry_context(
        on=passes,
        attempts=retries + 1,
        timeout=None,
        wait_initial=seconds,
        wait_max=seconds,
        wait_jitter=0,
        wait_exp_base=1,
    )
    for attempt in attempts:
        with attempt:
            try:
                return call(attempt.num)
            except Exception as error:
                if attempt.num <= retries and may_pass(error):
                    retried.append(describe(error))
                raise
    raise AssertionError("a retry context ends by returning or raising")
