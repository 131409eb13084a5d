"""Which observers watch a run from the command line: by what was asked for, and where standard error goes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from assay.model.event import Observer
from assay.observe.json_log import json_log
from assay.observe.lines import lines, tell_traceback
from assay.observe.progress import progress
from assay.settings import Log


@contextmanager
def watching(log: Log, *, quiet: bool, debug: bool) -> Iterator[tuple[Observer, ...]]:
    """Give a run's observers until the block ends.

    Args:
        log: `auto` is a live display on a terminal and lines elsewhere; the others are what they are called.
        quiet: whether `auto` is nothing, for commands that print one document.
        debug: whether the tracebacks of failed tables are told.
    """
    if log == "json":
        yield (json_log(tracebacks=debug),)
        return
    tracebacks = (tell_traceback,) if debug else ()
    if log == "none" or (log == "auto" and quiet):
        yield tracebacks
    elif log == "lines" or not sys.stderr.isatty():
        yield (lines(), *tracebacks)
    else:
        with progress() as shown:
            yield (*shown, *tracebacks)
