"""How a command tells people of its run and of errors: as its options and the settings say."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from traceback import format_exception
from typing import Any, NoReturn, get_args

import click

from assay import assembly
from assay.model.errors import AssayError, UsageError, describe
from assay.model.event import Event, Observer, RunEnded, WorkflowEnded, WorkflowStarted
from assay.observe.json_log import log_error
from assay.observe.saying import say
from assay.observe.watching import watching
from assay.settings import Log

_EXIT_FAILED = 1
_EXIT_SIGNAL = 128
"""With the number of a signal: 130 for Ctrl-C, 143 for SIGTERM."""


@dataclass(slots=True)
class Telling:
    """What one command was asked to tell; filled in while its options are read, also for errors among them."""

    debug: bool = False
    log: Log | None = None
    signal: int | None = None
    """The signal that came, if one did."""
    running: bool = False
    """Whether the command makes a run."""
    workflow: str | None = None
    """The workflow that the command runs, if it does; others may stand in its phases."""
    settled: bool = False
    """Whether what the command was to do is done: a signal that comes later changes nothing any more."""

    def fail(self, error: BaseException) -> int:
        """Tell what ended the command, and return its exit code."""
        if self.signal:
            # Libraries have errors of their own for what a signal breaks off.
            return self.interrupt()
        if isinstance(error, click.ClickException):
            if self.log == "json":
                log_error(error.format_message(), exit_code=UsageError.exit_code)
            else:
                shown = io.StringIO()
                error.show(shown)
                say(shown.getvalue().rstrip())
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
        code = _EXIT_SIGNAL + (self.signal or signal.SIGINT)
        message = "interrupted."
        if self.running:
            message = "interrupted; nothing was published."
        if self.workflow:
            message = "interrupted; what ended before is published, what was under way is not."
        if self.log == "json":
            log_error(message, exit_code=code)
        else:
            say(f"assay: {message}")
        return code

    def listen(self) -> None:
        """End the command in order at SIGTERM, which schedulers and shutdowns send, as at Ctrl-C."""
        for number in _signals():
            signal.signal(number, self._heard)
        sys.unraisablehook = _tell_thrown_away

    def leave(self, code: int) -> NoReturn:
        """End the process with this exit code, which no later signal may replace.

        After a signal it ends at once: threads of the engine may still be at work, which fail as the interpreter goes.
        """
        for number in _signals():
            signal.signal(number, signal.SIG_IGN)
        if self.signal:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(code)
        sys.exit(code)

    def _heard(self, number: int, _: Any) -> None:
        if not self.settled:
            self.signal = number
            raise KeyboardInterrupt

    def observe(self, event: Event) -> None:
        """Take notice of the end of a run, and end one whose signal was lost.

        Python throws away what is raised while it frees an object; a signal that comes in that moment is lost there.
        """
        if isinstance(event, WorkflowStarted):
            self.workflow = self.workflow or event.workflow
        if isinstance(event, RunEnded | WorkflowEnded):
            name = event.result.workflow if isinstance(event, WorkflowEnded) else None
            if event.result.ok and name == self.workflow:
                self.settled = True
        elif self.signal:
            raise KeyboardInterrupt


def _tell_thrown_away(thrown: sys.UnraisableHookArgs) -> None:
    """Tell of an error that Python threw away as it freed an object, but for the signals of `Telling`."""
    if not issubclass(thrown.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(thrown)


def _signals() -> list[signal.Signals]:
    """Return those that end a command; who started it may have it ignore one of them, as nohup and "&" do."""
    return [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) != signal.SIG_IGN]


@contextmanager
def watch(*, quiet: bool) -> Iterator[tuple[Observer, ...]]:
    """Give the observers of this command's run; `quiet` for a command that prints one document."""
    telling = click.get_current_context().ensure_object(Telling)
    telling.log = telling.log or assembly.current_settings().log
    telling.running = True
    with watching(telling.log, quiet=quiet, debug=telling.debug) as observers:
        yield (telling.observe, *observers)


def settle() -> None:
    """Say that this command has done what it was to do, and only has to tell it."""
    click.get_current_context().ensure_object(Telling).settled = True


def advise(text: str) -> None:
    """Say what to do next, where people read it: a log has lines of one kind."""
    if click.get_current_context().ensure_object(Telling).log != "json":
        say(text)


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
