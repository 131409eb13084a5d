"""Measuring commands as whole processes: wall, CPU and peak memory, several commands in turn."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Command = Callable[[Path], Sequence[str]]
"""Given a folder that is not there yet, what to run."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of a command took: seconds, and MB at its peak."""

    wall: float
    user: float
    system: float
    peak: float
    output: str
    """What it printed."""

    @property
    def cpu(self) -> float:
        """CPU seconds, also of its children."""
        return self.user + self.system

    def to_json(self) -> dict[str, float]:
        """Return the figures, without what was printed."""
        return {name: value for name, value in asdict(self).items() if name != "output"} | {"cpu": self.cpu}


def measure(command: Sequence[str], folder: Path = ROOT) -> Sample:
    """Run a command in a folder to its end; one that fails ends the benchmark with what it said.

    A child's peak is never below its parent's at that moment: whoever measures must not be large itself.
    """
    with subprocess.Popen(
        command, cwd=folder, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        began = time.perf_counter()
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{output}\n{' '.join(command)}\nended with {process.returncode}: nothing was measured.")
    return Sample(wall, used.ru_utime, used.ru_stime, used.ru_maxrss / 1024, output)


def in_turn(commands: Mapping[str, Command], runs: int, scratch: Path) -> dict[str, list[Sample]]:
    """Run the commands one after another, `runs` times, each in a new folder; those of the last turn are left."""
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for turn in range(runs):
        for name, command in commands.items():
            shutil.rmtree(scratch / name, ignore_errors=True)
            sample = measure(command(scratch / name))
            samples[name].append(sample)
            progress = f"{name} {turn + 1} of {runs}: {sample.wall:.2f} s wall, {sample.cpu:.2f} s CPU"
            print(f"  {progress}, {sample.peak:.0f} MB", file=sys.stderr, flush=True)
    return samples


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this repository."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def assay(*arguments: object) -> list[str]:
    """Return a command line of assay, as it is installed beside this Python."""
    return [str(Path(sys.executable).with_name("assay")), *map(str, arguments)]


def _environment() -> dict[str, str]:
    # Only the defaults are measured: without PYTHONDONTWRITEBYTECODE, which makes every start a first one, for example.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "PYTHON"))}
    return own | {"PYTHONPATH": str(ROOT)}
