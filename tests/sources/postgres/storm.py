"""A storm over a shop: programs that write to it in every way, and runs of its pipeline that are killed at random."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

import assay
from tests.sources.postgres.shop import DAY, Shop

_KEYS = 400
_EMPTIED = 0.01
"""How often a change of a customer empties their table instead."""
_RUN = """
import sys
import time
from pathlib import Path
from tests.sources.postgres.shop import Shop
from tests.sources.postgres.storm import bring
url, lake, mode, into, seconds = sys.argv[1:]
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    print(bring(Shop(url, Path(lake), mode=mode, deletes=True), into).state, flush=True)
"""
Connection = psycopg.Connection[Any]


def bring(shop: Shop, into: str) -> assay.RunResult:
    """Run the shop's pipeline into its lake, or mirror all of its tables into a database, if one is given."""
    if not into:
        return shop.run()
    return assay.sync(shop.url, warehouse=into, mode=shop.mode, migrate=True, as_of=DAY)


@dataclass
class Storm:
    """What blows, and what it did."""

    shop: Shop
    into: str
    """The database that the tables are mirrored into; none for the shop's lake."""
    seed: int
    seconds: float
    done: Counter[str] = field(default_factory=Counter)

    def blow(self) -> None:
        """Write with four programs, run again and again, and kill runs, until the time is over."""
        end = time.monotonic() + self.seconds
        with self._writing(end):
            dice = random.Random(self.seed)
            while (left := end - time.monotonic()) > 0:
                self._run_and_kill(dice.uniform(1.0, 9.0), left)

    @contextmanager
    def _writing(self, end: float) -> Iterator[None]:
        failed: list[Exception] = []
        threads = [threading.Thread(target=self._write, args=(number, end, failed)) for number in range(4)]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join()
        assert failed == []

    def _run_and_kill(self, seconds: float, left: float) -> None:
        """Run a process that runs the pipeline again and again, and kill it."""
        words = [self.shop.url, str(self.shop.lake), self.shop.mode, self.into, str(left)]
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN, *words],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(seconds + 2.0, left))
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate()
        self.done["killed"] += 1
        for state in said.split():
            self.done[f"runs {state}"] += 1

    def _write(self, number: int, end: float, failed: list[Exception]) -> None:
        dice = random.Random(self.seed * 10 + number)
        try:
            with self.shop.connect() as connection:
                while time.monotonic() < end:
                    self._transaction(connection, dice)
        except Exception as error:  # told by the thread that waits
            failed.append(error)

    def _transaction(self, connection: Connection, dice: random.Random) -> None:
        """Write several rows in one transaction, some of it rolled back; now and then it takes its time."""
        try:
            connection.execute("begin")
            for _ in range(dice.randint(1, 6)):
                self._write_one(connection, dice)
                if dice.random() < 0.2:
                    connection.execute("savepoint s")
                    self._write_one(connection, dice)
                    connection.execute("rollback to s" if dice.random() < 0.5 else "release s")
                    self.done["savepoints"] += 1
            time.sleep(dice.choice([0.0, 0.0, 0.01, 0.05, 1.5 if dice.random() < 0.1 else 0.0]))
            connection.execute("rollback" if dice.random() < 0.1 else "commit")
            self.done["transactions"] += 1
        except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
            connection.execute("rollback")
            self.done["refused"] += 1

    def _write_one(self, connection: Connection, dice: random.Random) -> None:
        key, other = dice.randint(1, _KEYS), dice.randint(1, _KEYS)
        note = dice.choice([None, "", "a\nb", '"', str(dice.random())])
        kind = dice.choice(["insert", "insert", "update", "update", "update", "delete", "rekey", "customer"])
        match kind:
            case "insert":
                connection.execute(
                    "insert into orders (id, customer_id, amount, note) values (%s, %s, %s, %s) on conflict (id) "
                    "do update set amount = excluded.amount, note = excluded.note, updated_at = now()",
                    [key, other, dice.randint(0, 10**6) / 100, note],
                )
            case "update":
                connection.execute(
                    "update orders set status = %s, note = %s, updated_at = now() where id = %s",
                    [dice.choice(["open", "paid"]), note, key],
                )
            case "delete":
                connection.execute("delete from orders where id = %s", [key])
            case "customer" if dice.random() < _EMPTIED:
                kind = "truncate"
                connection.execute("truncate customers")
            case "customer":
                connection.execute(
                    "insert into customers values (%s, %s, now()) on conflict (id) do update set name = excluded.name, "
                    "updated_at = now()",
                    [key, note],
                )
            case _:
                connection.execute("update orders set id = %s, updated_at = now() where id = %s", [_KEYS + other, key])
        self.done[kind] += 1
