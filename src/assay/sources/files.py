"""Files as a source: which there are, and what tells their content."""

from __future__ import annotations

import fnmatch
import hashlib
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from assay.model.errors import SourceError
from assay.model.source import FileIdentity, Slice, Source, is_text
from assay.sources.physical import CHUNK, is_packed, opened

_WILD = set("*?[")
_RACY_NS = 2_000_000_000
"""A file written within this time of being read may change again without its times changing."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One file found: its slice's name and what tells its content."""

    name: str
    identity: FileIdentity
    held: object = None
    """What keeps the file of a data frame in being."""

    @property
    def place(self) -> str:
        """How errors name it."""
        return f"source {self.name!r}" if self.held else self.identity.path


def find(source: Source, base: Path) -> list[Delivery]:
    """Return the files of a source, by name, without reading them; sha256 is left empty.

    A relative path counts from `base`; slices are named from the last folder before any wildcard. Raises SourceError
    for a path that is missing, a folder, or no match.
    """
    pattern = Path(source.path).expanduser()
    # What it counts from is no part of the pattern, however that folder is called.
    root = Path(pattern.anchor) if pattern.is_absolute() else base.absolute()
    parts = [part for part in pattern.parts if part != pattern.anchor]
    while len(parts) > 1 and not _WILD & set(parts[0]):
        root /= parts.pop(0)
    if not _WILD & set("".join(parts)) or (len(parts) == 1 and _is_called(root / parts[0])):
        paths = [root.joinpath(*parts)]
    else:
        # A pattern with two ** finds a file more than once.
        paths = sorted(set(_matching(root, parts)))
        if not paths:
            raise SourceError(f"No file matches {source.path}.")
    for path in paths:
        if not is_text(str(path)):
            raise SourceError(f"{str(path)!r}: its name is no UTF-8; give it another.")
    return [Delivery(PurePosixPath(p.relative_to(root)).as_posix(), _stat(p)) for p in paths]


def at(name: str, path: str) -> Delivery:
    """Return the file at a path as a delivery of this name; sha256 is left empty."""
    return Delivery(name, _stat(Path(path)))


def identify(delivery: Delivery, known: Slice | None) -> Delivery:
    """Return the delivery with its sha256, taken from the known slice where the file cannot have changed since.

    Raises SourceError for a file that cannot be read or unpacked to its end: found later, that would cost a run.
    """
    now = delivery.identity
    if known is not None and _untouched(now, known):
        return replace(delivery, identity=replace(now, sha256=known.identity.sha256))
    try:
        with Path(now.path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(now.path, error) from None
    if is_packed(now.path):
        with opened(now.path) as unpacked:
            while unpacked.read(CHUNK):
                pass
    return replace(delivery, identity=replace(now, sha256=digest))


def unchanged_since(identity: FileIdentity) -> bool:
    """Return whether a file still is what it was when it was identified, by its size, times and inode."""
    try:
        now = _stat(Path(identity.path))
    except SourceError:
        return False
    return _marks(now) == _marks(identity)


def _is_called(path: Path) -> bool:
    """Return whether there is a file of a name that also is a pattern, as copies are called: orders[1].csv."""
    return not {"*", "?"} & set(path.name) and path.is_file()


def _matching(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Yield the files under a folder that a pattern matches, in its parts, as `glob` does.

    Raises SourceError for a folder that cannot be looked into, in which `glob` would find nothing: files that are not
    found count as gone where a source mirrors its folder.
    """
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _matching(folder, rest or ("*",))
        part, rest = "*", parts
    for path in [folder / part] if not _WILD & set(part) else _listed(folder, part):
        if _is(path, stat.S_ISDIR if rest else stat.S_ISREG):
            yield from _matching(path, rest) if rest else (path,)


def _listed(folder: Path, part: str) -> Iterator[Path]:
    try:
        found = {path.name: path for path in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unreadable(folder, error) from None
    for name in fnmatch.filter(found, part):
        if part.startswith(".") or not name.startswith("."):
            yield found[name]


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    """Return whether a path is of a kind; one that leads nowhere is of none."""
    try:
        return kind(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path | str, error: OSError) -> SourceError:
    return SourceError(f"{path}: {error.strerror or error}.")


def _stat(path: Path) -> FileIdentity:
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    if stat.S_ISDIR(found.st_mode):
        raise SourceError(f"{path}: is a folder; name a file, or a pattern such as {path.name}/*.csv.")
    return FileIdentity(str(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, "")


def _untouched(now: FileIdentity, known: Slice) -> bool:
    then = known.identity
    settled = max(then.mtime_ns, then.ctime_ns) + _RACY_NS < known.extracted_at_ns
    return settled and _marks(now) == _marks(then)


def _marks(identity: FileIdentity) -> Mapping[str, int]:
    return {
        "size": identity.size,
        "mtime": identity.mtime_ns,
        "ctime": identity.ctime_ns,
        "inode": identity.inode,
    }
