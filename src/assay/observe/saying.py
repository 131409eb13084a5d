"""Standard error, where observers and errors speak: whole lines, at once, and no passwords."""

from __future__ import annotations

import re
import sys
from contextlib import suppress

_SECRETS = (
    # In an address: postgresql://user:password@host.
    re.compile(r"""(://[^/\s:@"']*:)[^/\s@"']+(?=@)"""),
    # Among the words of a connection: password=..., token=...
    re.compile(r"""(?i)(\b\w*(?:password|passwd|pwd|secret|token)=)(?:'[^']*'|[^\s&;,"'\\]+)"""),
)


def say(text: str) -> None:
    """Write text as lines of their own; where nobody reads them any more, a run goes on without."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{without_secrets(text)}\n")
        sys.stderr.flush()


def without_secrets(text: str) -> str:
    """Return the text with the passwords in it as ***: errors of drivers repeat what they were told."""
    for secret in _SECRETS:
        text = secret.sub(r"\1***", text)
    return text
