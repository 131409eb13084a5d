"""How a command tells people of its run and of errors: as its options and the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import format_exception
from typing import Any, get_args

import click

from assay import platform
from assay.model.errors import AssayError, UsageError, describe
from assay.model.event import Observer
from assay.observe.json_log import log_error
from assay.observe.saying import say
from assay.observe.watching import watching
from assay.settings import Log

_EXIT_FAILED = 1
_EXIT_INTERRUPTED = 130
_INTERRUPTED = "interrupted; nothing was published."


@dataclass(slots=True)
class Telling:
    """What one command was asked to tell; filled in while its options are read, also for errors among them."""

    debug: bool = False
    log: Log | None = None

    def fail(self, error: Exception) -> int:
        """Tell what ended the command, and return its exit code."""
        if isinstance(error, click.ClickException):
            if self.log == "json":
                log_error(error.format_message(), exit_code=UsageError.exit_code)
            else:
                error.show()
            return UsageError.exit_code
        traceback = "".join(format_exception(error)).rstrip() if self.debug else None
        code = error.exit_code if isinstance(error, AssayError) else _EXIT_FAILED
        message = str(error) if isinstance(error, AssayError) else describe(error)
        if self.log == "json":
            log_error(message, exit_code=code, traceback=traceback)
            return code
        if traceback:
            say(traceback)
        elif not isinstance(error, AssayError):
            message = f"{message} (run again with --debug for the traceback)"
        say(f"assay: {message}")
        return code

    def interrupt(self) -> int:
        """Tell that the command was interrupted, and return its exit code."""
        if self.log == "json":
            log_error(_INTERRUPTED, exit_code=_EXIT_INTERRUPTED)
        else:
            say(f"assay: {_INTERRUPTED}")
        return _EXIT_INTERRUPTED


@contextmanager
def watch(*, quiet: bool) -> Iterator[tuple[Observer, ...]]:
    """Give the observers of this command's run; `quiet` for a command that prints one document."""
    telling = click.get_current_context().ensure_object(Telling)
    telling.log = telling.log or platform.current_settings().log
    with watching(telling.log, quiet=quiet, debug=telling.debug) as observers:
        yield observers


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value:
        setattr(context.ensure_object(Telling), str(parameter.name), value)


# Read before all others, so that what is wrong with those is told as asked for.
debug = click.option(
    "--debug", is_flag=True, is_eager=True, expose_value=False, callback=_remember, help="Show errors with traceback."
)
log = click.option(
    "--log",
    type=click.Choice(get_args(Log)),
    is_eager=True,
    expose_value=False,
    callback=_remember,
    help="What is told of a run on standard error (default: progress on a terminal, else lines).",
)
