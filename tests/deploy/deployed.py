"""The source and the target as the containers are, without them: two servers, and the load between their roles."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

import psycopg

from tests.deploy.files import BIN, ROOT


@dataclass(frozen=True)
class Deployed:
    """The source and the target, as their administrator reaches them."""

    source: str
    target: str

    def sync(self, role: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Bring the source's tables into the target, as one of its roles."""
        environment = os.environ | {"SHOP_URL": as_role(self.source, "reader"), "ASSAY_LOG": "none"}
        warehouse = ("--warehouse", as_role(self.target, role), "--json")
        command = [BIN / "assay", "sync", "env:SHOP_URL", *warehouse, *options]
        return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)


def as_role(url: str, role: str) -> str:
    return url.replace("//assay@", f"//{role}@")


def asked(url: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(sql.encode())
        return done.fetchall() if done.description else []
