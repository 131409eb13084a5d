"""The program dbt: a process of its own, from an environment of its own, with what it must know of the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.pq import Conninfo

from assay.engines.dbt import leash as leashed
from assay.engines.dbt.copying import PREFIX
from assay.engines.dbt.kept import Kept
from assay.model.errors import UsageError
from assay.model.secrets import without_secrets

PROFILES = "profiles.yml"
_PROFILE = "assay"
_QUIETLY = ("--no-use-colors", "--log-level", "warn", "--log-level-file", "none")
"""What dbt has to say is told once, and nobody would read a log of it."""
_PARTS = ("host", "port", "user", "dbname")
"""What dbt must be told itself; all else of an address its driver knows by variables."""
_WATCHED = "-c client_connection_check_interval=1000"
"""The server looks, while it works for dbt, whether that still waits; it cannot tell so by itself."""
_SECRET = b"PGPASSWORD"
_PASSWORD = "DBT_ENV_SECRET_ASSAY_PASSWORD"  # pragma: allowlist secret
"""A variable whose value dbt never shows."""


@dataclass(slots=True)
class Program:
    """How dbt is called for one project."""

    path: str
    project: Path
    """A folder with the project, and its profile."""
    target: Path
    """Where it writes what it has done."""
    kept: Kept
    """What is kept of this content of the project."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Those of the environment that the project asks for."""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)
    stopped: bool = False

    def call(self, *arguments: str, prefix: str = "", url: str = "") -> tuple[int, str]:
        """Run dbt to its end; return its exit code and what it has said."""
        self.kept.lend_parse(self.target, prefix)
        leash = [sys.executable, "-IS", leashed.__file__, str(os.getpid())]
        command = [*leash, self.path, *_QUIETLY, *arguments, "--profile", _PROFILE]
        with subprocess.Popen(
            [*command, "--project-dir", str(self.project), "--profiles-dir", str(self.project)],
            env=self._environment(prefix, url),
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C on a terminal reaches whoever started it, and that ends it in order.
            start_new_session=True,
        ) as self.process:
            try:
                if self.stopped:
                    self.stop()
                said, _ = self.process.communicate()
            finally:
                self.process.kill()
        self.kept.keep_parse(self.target, prefix)
        return self.process.returncode, without_secrets(said)

    def stop(self) -> None:
        """End the process, or see to it that none begins; what it has asked of the server ends with its schemas."""
        self.stopped = True
        if self.process is not None:
            self.process.kill()

    def _environment(self, prefix: str, url: str) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "PYTHON"))}
        kept = {name: value for name, value in os.environ.items() if name.startswith("DBT_ENV_")}
        return {
            **own,
            **kept,
            **self.variables,
            **_address(url),
            PREFIX: prefix,
            # By this what it has asked of the server is found and ended, should nobody wait for it any more.
            "PGAPPNAME": prefix,
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(self.target / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_VERSION_CHECK": "false",
        }


def _address(url: str) -> dict[str, str]:
    """Return the variables by which the profile and the driver know a database, and all that its address asks for."""
    asked = {part.keyword: part.val for part in Conninfo.parse(url.encode()) if part.val is not None}
    known = {part.keyword: asked.get(part.keyword, part.val) or b"" for part in Conninfo.get_defaults()}
    by_driver = {part.envvar: known[part.keyword] for part in Conninfo.get_defaults() if part.keyword in asked}
    return {
        **{name.decode(): value.decode() for name, value in by_driver.items() if name not in (None, _SECRET)},
        "PGOPTIONS": f"{known[b'options'].decode()} {_WATCHED}".strip(),
        **{f"DBT_ASSAY_{part.upper()}": known[part.encode()].decode() for part in _PARTS},
        _PASSWORD: known[b"password"].decode(),
    }


def environment(names: Iterable[str]) -> dict[str, str]:
    """Return the values of variables; what is not set is left out."""
    return {name: os.environ[name] for name in names if name in os.environ}


def found(name: str, folder: Path) -> str:
    """Return the path of dbt; raises UsageError where there is none of this name."""
    path = str(folder / name) if os.sep in name else name
    if (program := shutil.which(path)) is None:
        raise UsageError(
            f"{name}: there is no such program, and this pipeline has a dbt project. Install dbt into an environment "
            "of its own (pip install 'dbt-core<1.12' dbt-postgres), and name it by the setting dbt: .venv-dbt/bin/dbt."
        )
    return program


def profiles(threads: int) -> Mapping[str, object]:
    """Return the profile that leads dbt into the database of the run: what is secret stays in its environment."""
    output: dict[str, object] = {
        "type": "postgres",
        "host": "{{ env_var('DBT_ASSAY_HOST') }}",
        "port": "{{ env_var('DBT_ASSAY_PORT') | int }}",
        "user": "{{ env_var('DBT_ASSAY_USER') }}",
        "password": f"{{{{ env_var('{_PASSWORD}') }}}}",
        "dbname": "{{ env_var('DBT_ASSAY_DBNAME') }}",
        "schema": "public",
        # Left to its driver: what changes in a profile from run to run makes dbt parse anew.
        "application_name": "",
        "threads": threads,
    }
    return {_PROFILE: {"target": "assay", "outputs": {"assay": output}}}


def last_lines(said: str, count: int = 5) -> str:
    """Return the end of what dbt has said, in one line."""
    lines: Sequence[str] = [line.strip() for line in said.splitlines() if line.strip()]
    return " ".join(lines[-count:])
