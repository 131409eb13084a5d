"""Standard error, where observers and errors speak: whole lines, at once, no passwords, nothing a terminal obeys."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress

from assay.model.secrets import without_secrets

_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_IN_A_CELL = re.compile(f"[\t\n]|{_COMMANDS.pattern}")


def say(text: str) -> None:
    """Write text as lines of their own; where nobody reads them any more, a run goes on without."""
    try:
        sys.stderr.write(f"{harmless(without_secrets(text))}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        _speak_to_nobody()


def _speak_to_nobody() -> None:
    """Lead standard error to nowhere: what it holds would be tried again at the end, and fail the command."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stderr.fileno())
        os.close(nowhere)


def harmless(text: str) -> str:
    r"""Return text of many lines with what a terminal would obey written out: an escape is \u001b, also in JSON.

    These are control characters, those that turn the direction of writing, and halves of characters.
    """
    return _COMMANDS.sub(_written_out, text)


def harmless_cell(text: str) -> str:
    """Return text that stays in its line and column."""
    # All that is written out is not printable; to ask that is several times faster, where most text is.
    return text if text.isprintable() else _IN_A_CELL.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
