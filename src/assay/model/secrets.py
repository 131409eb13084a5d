"""Passwords in texts that are told or kept: errors of drivers repeat what they were told."""

from __future__ import annotations

import re

_WORD = r"[\w-]*(?:password|passwd|passphrase|pwd|secret|token|api_?key|access_?key|account_?key|signature)[\w-]*"
_SECRETS = (
    # In an address: postgresql://user:password@host, up to the last @, since passwords hold / and @ too. Where it was
    # taken for a path, one / is left.
    re.compile(r"""(:/{1,2}[^/\s:@"']*:)[^\s"']+(?=@)"""),
    # Among the words of a connection: password=..., token=...
    re.compile(rf"""(?i)(\b{_WORD}=)(?:'[^']*'|"[^"]*"|[^\s&;,"'\\]+)"""),
    # In a line of code, and in a document: password = "...", "password": "..."
    re.compile(rf"""(?i)(\b{_WORD}\s*=\s*)(?:'[^']*'|"[^"]*")"""),
    re.compile(rf"""(?i)(["']{_WORD}["']\s*:\s*)(?:'[^']*'|"[^"]*")"""),
    re.compile(r"(?i)(\bauthorization\W{1,4}(?:basic|bearer)\s+)[\w.~+/=-]+"),
)

_IN_ADDRESS = (
    # In a text that is an address and nothing else, a password has blanks and quotes too.
    re.compile(r"(?s)(:/{1,2}[^/?:@]*:).+(?=@)"),
    # What follows is hidden whole: nobody can tell where a password ends that was written by no rules.
    re.compile(rf"(?is)(\b{_WORD}\s*=).+"),
)


def without_secrets(text: str) -> str:
    """Return the text with the passwords in it as ***."""
    for secret in _SECRETS:
        text = secret.sub(r"\1***", text)
    return text


def address_without_secrets(address: str) -> str:
    """Return an address, be it one that nobody can read, with the passwords in it as ***."""
    for secret in _IN_ADDRESS:
        address = secret.sub(r"\1***", address)
    return without_secrets(address)
