"""What demonstrations share: a source on a server of its own, and commands that are shown as they are run."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from assay.warehouses.postgres.server.embedded import embedded

ROOT = Path(__file__).parents[1]


def say(text: str) -> None:
    """Tell what comes next."""
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Demo:
    """A demonstration, in a folder of `build` with its name."""

    name: str

    def assay(self, *arguments: str, expected: int = 0) -> None:
        """Run a command as it is shown; end with its code where that is not what was to come."""
        command = ["assay", *arguments, "--warehouse", f"postgresql:build/{self.name}/server"]
        say(f"$ {shlex.join(command)}")
        program = Path(sys.executable).with_name("assay")
        code = subprocess.run([program, *command[1:]], cwd=ROOT, check=False).returncode
        if code != expected:
            sys.exit(f"demo-{self.name}: that ended with {code}, and {expected} was to come.")

    def go(self, show: Callable[[psycopg.Connection[object]], None], variable: str) -> None:
        """Make both servers anew, and show it; the address of the source stands in the variable."""
        place = ROOT / "build" / self.name
        shutil.rmtree(place, ignore_errors=True)
        with embedded(place / "source") as url:
            address = url.replace("+psycopg", "", 1)
            os.environ[variable] = address
            with psycopg.connect(address, autocommit=True) as connection:
                show(connection)
