"""The program dbt: a process of its own, from an environment of its own, with what it must know of the run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from assay.engines.dbt.copying import PREFIX
from assay.model.errors import UsageError
from assay.model.secrets import without_secrets

PROFILE = "profiles.yml"
_SECONDS_TO_END = 10.0
_PARTS = {"host": "HOST", "port": "PORT", "user": "USER", "dbname": "DBNAME"}
_PASSWORD = "DBT_ENV_SECRET_ASSAY_PASSWORD"
"""A variable whose value dbt never shows."""


@dataclass(slots=True)
class Program:
    """How dbt is called for one project."""

    path: str
    project: Path
    """A folder with the project, and its profile."""
    target: Path
    """Where it writes what it has done."""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def call(self, *arguments: str, prefix: str = "", url: str = "") -> tuple[int, str]:
        """Run dbt to its end; return its exit code and what it has said."""
        command = [self.path, "--no-use-colors", "--log-level", "warn", *arguments]
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
                said, _ = self.process.communicate()
            finally:
                self.stop()
        return self.process.returncode, without_secrets(said)

    def stop(self) -> None:
        """End the process where it is still at work: it cancels what it asks of the server."""
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS_TO_END)
        process.kill()

    def _environment(self, prefix: str, url: str) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "PYTHON"))}
        kept = {name: value for name, value in os.environ.items() if name.startswith("DBT_ENV_")}
        parts = conninfo_to_dict(url)
        told = {f"DBT_ASSAY_{name}": str(parts.get(part, "")) for part, name in _PARTS.items()}
        told["DBT_ASSAY_PORT"] = told["DBT_ASSAY_PORT"] or "5432"
        return {
            **own,
            **kept,
            **told,
            _PASSWORD: str(parts.get("password", "")),
            PREFIX: prefix,
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(self.target / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_VERSION_CHECK": "false",
        }


def found(name: str, folder: Path) -> str:
    """Return the path of dbt; raises UsageError where there is none of this name."""
    path = str(folder / name) if os.sep in name else name
    if (program := shutil.which(path)) is None:
        raise UsageError(
            f"{name}: there is no such program, and this pipeline has a dbt project. Install dbt into an environment "
            "of its own (pip install 'dbt-core<1.12' dbt-postgres), and name it by the setting dbt: .venv-dbt/bin/dbt."
        )
    return program


def profile(name: str, threads: int) -> Mapping[str, object]:
    """Return the profile that leads dbt into the database of the run: what is secret stays in its environment."""
    output: dict[str, object] = {
        "type": "postgres",
        "host": "{{ env_var('DBT_ASSAY_HOST') }}",
        "port": "{{ env_var('DBT_ASSAY_PORT') | int }}",
        "user": "{{ env_var('DBT_ASSAY_USER') }}",
        "password": f"{{{{ env_var('{_PASSWORD}') }}}}",
        "dbname": "{{ env_var('DBT_ASSAY_DBNAME') }}",
        "schema": "public",
        "threads": threads,
    }
    return {name: {"target": "assay", "outputs": {"assay": output}}}


def last_lines(said: str, count: int = 5) -> str:
    """Return the end of what dbt has said, in one line."""
    lines: Sequence[str] = [line.strip() for line in said.splitlines() if line.strip()]
    return " ".join(lines[-count:])
