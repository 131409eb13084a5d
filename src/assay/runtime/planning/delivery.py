"""Deliveries: which files of a source are new, replaced, known or gone, and the slices they become."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from assay.model.errors import SourceError, UsageError
from assay.model.files import FileSource, Frozen, Parquet
from assay.model.pipeline import Pipeline
from assay.model.published import State
from assay.model.run import RunOptions
from assay.model.source import Mended, Slice
from assay.sources import files, looks


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What a run does with one source."""

    slices: tuple[Slice, ...]
    """All slices as they will stand, in order of their numbers; rows of those to be read are not known yet."""
    to_read: frozenset[str]
    """Names of the slices that must be read."""
    gone: frozenset[str]
    """Names of slices that leave."""
    reason: str
    damaged: Mapping[str, str] = field(default_factory=dict)
    """Of the slices to be read, those that go to the quarantine as a whole, and why."""
    held: tuple[object, ...] = ()
    """What keeps the files that data frames were written to, as long as the plan is used."""
    surely: bool = True
    """Whether it is known that anything has changed, and not only that it is to be looked."""
    whole: bool = False
    """Whether all of a database's table is to be read, whatever has been read of it."""

    @property
    def changes(self) -> bool:
        """Whether any slice comes, changes or leaves."""
        return bool(self.to_read or self.gone)


def plan_source(
    pipeline: Pipeline, name: str, fingerprint: str, state: State, options: RunOptions, folder: Path
) -> SourcePlan:
    """Compare a source's files with the published slices, or only add what was mended, or leave it as it is stored.

    Raises SourceError for a file that cannot be read as declared, or one whose content is known under another name.
    """
    if options.mended:
        return mended_source(pipeline, name, fingerprint, state, options)
    return (
        stored_source(pipeline, name, state)
        if options.backfill
        else _delivered(pipeline, name, fingerprint, state, options, folder)
    )


def _delivered(
    pipeline: Pipeline, name: str, fingerprint: str, state: State, options: RunOptions, folder: Path
) -> SourcePlan:
    dataset = pipeline.dataset_of(name)
    source = pipeline.files[name]
    known = {part.name: part for part in state.slices.get(dataset, ())}
    version = state.versions.get(dataset)
    reread = options.full or (version is not None and version.fingerprint != fingerprint)
    found = [files.identify(d, None if reread else known.get(d.name)) for d in looks.deliveries(name, source, folder)]
    undone = frozenset() if options.redo else state.undone.get(dataset, frozenset())
    left_out = [d.name for d in found if (d.name, d.identity.sha256) in undone]
    found = [d for d in found if d.name not in left_out]
    found += [
        files.identify(files.at(part.name, part.identity.path), None if reread else part) for part in _mends(known)
    ]
    if left_out and not found and version is None:
        raise SourceError(f"Source {name!r} has just what was undone: {', '.join(left_out)}. --redo loads it again.")
    if version is not None and version.fingerprint != fingerprint:
        _check_all_there(name, known, found)
    fresh = [d for d in found if reread or d.name not in known or d.identity.sha256 != known[d.name].identity.sha256]
    gone = frozenset(known) - {d.name for d in found} - set(left_out) if source.mirror else frozenset()
    # A file that comes anew, or goes, takes along what was mended of it.
    moved = gone | {d.name for d in fresh if d.name in known and d.identity.sha256 != known[d.name].identity.sha256}
    gone |= {part.name for part in _mends(known) if part.mends in moved}
    fresh = [d for d in fresh if d.name not in gone]
    damaged = _looked_at(source, name, fresh, known, gone, options)
    slices = _slices(fresh, known, gone, options)
    reason = _reason(fresh, known, gone, reread=reread)
    if left_out:
        reason += f"; {', '.join(left_out)} was undone and stays out (--redo loads it again)"
    held = tuple(d.held for d in fresh)
    return SourcePlan(slices, frozenset(d.name for d in fresh), gone, reason, damaged, held)


def stored_source(pipeline: Pipeline, name: str, state: State) -> SourcePlan:
    """Return the plan of a source that is not looked at; raises SourceError where nothing of it is stored."""
    dataset = pipeline.dataset_of(name)
    if dataset not in state.versions:
        raise SourceError(f"Source {name!r} was never loaded, so there is nothing to compute from; run the pipeline.")
    return SourcePlan(state.slices.get(dataset, ()), frozenset(), frozenset(), "its stored deliveries are read")


def mended_source(pipeline: Pipeline, name: str, fingerprint: str, state: State, options: RunOptions) -> SourcePlan:
    """Return the plan of a source that gains mended lines, and is not looked at otherwise.

    Raises UsageError where these lines are not what they were when they were mended.
    """
    stored = stored_source(pipeline, name, state)
    known = {part.name: part for part in stored.slices}
    new = [each for each in options.mended if each.source == name and each.name not in known]
    if new and state.versions[pipeline.dataset_of(name)].fingerprint != fingerprint:
        raise UsageError(f"Source {name!r} is declared differently than it was read; replay without --with first.")
    for each in new:
        _check_mendable(each, known)
    fresh = [files.identify(files.at(each.name, each.path), None) for each in new]
    slices = _slices(fresh, known, frozenset(), options)
    by_name = {each.name: each for each in new}
    marked = (
        replace(part, mends=by_name[part.name].mends, mended_lines=by_name[part.name].lines)
        if part.name in by_name
        else part
        for part in slices
    )
    reason = f"mended lines of {', '.join(each.mends for each in new)}" if new else "its mended lines are loaded"
    return SourcePlan(tuple(marked), frozenset(by_name), frozenset(), reason)


def _check_mendable(each: Mended, known: Mapping[str, Slice]) -> None:
    mended = known.get(each.mends)
    if mended is None or mended.identity.sha256 != each.sha256:
        raise UsageError(f"{each.mends} was delivered anew since its lines were mended; export them again.")
    done = {line for part in _mends(known) if part.mends == each.mends for line in part.mended_lines}
    if again := sorted(done & set(each.lines)):
        raise UsageError(f"{each.mends}: line {again[0]} was replayed in the meantime; replay the file again.")


def _mends(known: Mapping[str, Slice]) -> list[Slice]:
    """Return the slices that hold mended lines of others."""
    return [part for part in known.values() if part.mends]


def _slices(
    fresh: list[files.Delivery], known: Mapping[str, Slice], gone: frozenset[str], options: RunOptions
) -> tuple[Slice, ...]:
    now = time.time_ns()
    after = {name: part for name, part in known.items() if name not in gone}
    number = max((part.number for part in known.values()), default=0)
    for delivery in fresh:
        before = known.get(delivery.name)
        if before is None:
            number += 1
        same = before is not None and before.identity.sha256 == delivery.identity.sha256
        after[delivery.name] = Slice(
            name=delivery.name,
            # A replaced slice keeps its place among the others, and so its rows their rank.
            number=before.number if before else number,
            identity=delivery.identity,
            extracted_on=before.extracted_on if before and same else options.as_of.isoformat(),
            extracted_at_ns=now,
            mends=before.mends if before else None,
            mended_lines=before.mended_lines if before else (),
        )
    return tuple(sorted(after.values(), key=lambda part: part.number))


def _looked_at(
    source: FileSource,
    name: str,
    fresh: list[files.Delivery],
    known: Mapping[str, Slice],
    gone: frozenset[str],
    options: RunOptions,
) -> dict[str, str]:
    """Return the files that are damaged, and how; raise SourceError for one that is not as declared, known or emptied.

    Rows that are frozen passed these checks when they were read.
    """
    if isinstance(source, Frozen):
        return {}
    found = {delivery.name: looks.damage_of(source, delivery.identity.path) for delivery in fresh}
    damaged = {file: why for file, why in found.items() if why is not None}
    if not (options.allow_duplicates or (isinstance(source, Parquet) and source.repeats)):
        _refuse_duplicates(source, name, fresh, known, gone)
    if not options.allow_empty:
        _refuse_emptied(source, fresh, known, damaged)
    return damaged


def _refuse_duplicates(
    source: FileSource, name: str, fresh: list[files.Delivery], known: Mapping[str, Slice], gone: frozenset[str]
) -> None:
    """Refuse content that would stand under two names, unless it did before or has no rows."""
    moved = {delivery.name for delivery in fresh} | gone
    by_content = {part.identity.sha256: part.name for part in known.values() if part.name not in moved}
    for delivery in fresh:
        before = known.get(delivery.name)
        if before is not None and before.identity.sha256 == delivery.identity.sha256:
            continue
        twin = by_content.setdefault(delivery.identity.sha256, delivery.name)
        if twin != delivery.name and looks.has_rows(source, delivery.identity.path):
            raise SourceError(
                f"{delivery.identity.path}: source {name!r} already has this content as {twin!r}, and its rows would "
                "count twice. Leave the file out, or allow it by --allow-duplicates."
            )


def _refuse_emptied(
    source: FileSource, fresh: list[files.Delivery], known: Mapping[str, Slice], damaged: Mapping[str, str]
) -> None:
    """Refuse a delivery that would take away the rows of an earlier one by bringing none."""
    for delivery in fresh:
        before, path = known.get(delivery.name), delivery.identity.path
        if before is not None and before.rows and not looks.has_rows(source, path):
            what = damaged.get(delivery.name, "has no rows")
            raise SourceError(
                f"{delivery.place}: {what}, though {before.rows:,} were delivered under this name, and would take them "
                "away. Deliver it again, or allow it by --allow-empty."
            )


def _check_all_there(source: str, known: Mapping[str, Slice], found: list[files.Delivery]) -> None:
    missing = sorted(set(known) - {d.name for d in found})
    if missing:
        raise SourceError(
            f"Source {source!r} is declared differently than when {missing[0]!r} was read, so every delivery must be "
            f"read again, but {len(missing)} of them {'is' if len(missing) == 1 else 'are'} gone: {', '.join(missing)}."
        )


def _reason(fresh: list[files.Delivery], known: Mapping[str, Slice], gone: frozenset[str], *, reread: bool) -> str:
    new = [d.name for d in fresh if d.name not in known]
    replaced = [d.name for d in fresh if d.name in known]
    parts = []
    if new:
        parts.append(f"new delivery {', '.join(new[:3])}" + (f" and {len(new) - 3} more" if len(new) > 3 else ""))
    if replaced:
        one, many = ("is read again", "are read again") if reread else ("has new content", "have new content")
        parts.append(f"{', '.join(replaced[:3])} {one if len(replaced) == 1 else many}")
    if gone:
        parts.append("1 file is gone" if len(gone) == 1 else f"{len(gone)} files are gone")
    return "; ".join(parts) or "its files are as they were"
