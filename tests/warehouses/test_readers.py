"""A state that is read is locked, whoever reads it and whoever vacuums; what keeps it from being locked is told."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assay.model.errors import WarehouseError
from assay.warehouses import layout, readers
from tests.conformance.processes import ROOT, SECONDS

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")
# Another process: it becomes a user when all is loaded, since the Python of these tests may stand where nobody else can
# look. The lake is where it is started.
USER = f"""
import os, pwd, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from assay.warehouses import readers
user = pwd.getpwnam(sys.argv[1])
os.setgroups([])
os.setresgid(*[user.pw_gid] * 3)
os.setresuid(*[user.pw_uid] * 3)
os.umask(int(sys.argv[2], 8))
"""
READS = """
held = readers.hold(Path(), "7")
print(held.descriptor is not None, flush=True)
sys.stdin.read()
held.close()
"""
LOOKS = "print(sorted(readers.held(Path())))"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake whose readers may be of any user."""
    folder = tmp_path / "lake"
    (folder / layout.READERS).mkdir(parents=True)
    for path in (folder, folder / layout.OWN, folder / layout.READERS):
        path.chmod(0o777)
    return folder


@contextmanager
def reading(lake: Path, user: str, umask: str = "022") -> Iterator[subprocess.Popen[str]]:
    """Let a user read state 7 until the block ends."""
    command, pipe = [sys.executable, "-c", USER + READS, user, umask], subprocess.PIPE
    with subprocess.Popen(command, cwd=lake, text=True, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "True\n", "it is not locked"
            yield process
            process.communicate(timeout=SECONDS)
        finally:
            process.kill()


def seen(lake: Path, user: str) -> str:
    """Return what a user finds locked, or the error."""
    command = [sys.executable, "-c", USER + LOOKS, user, "022"]
    done = subprocess.run(command, cwd=lake, text=True, capture_output=True, timeout=SECONDS, check=False)
    return done.stdout.strip() or done.stderr.splitlines()[-1]


def files(lake: Path) -> list[str]:
    return [path.name for path in (lake / layout.READERS).iterdir()]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@needs_root
def test_users_hold_one_state_side_by_side_and_each_sees_the_others(lake: Path) -> None:
    with reading(lake, "nobody"):
        with reading(lake, "daemon"):
            assert {seen(lake, user) for user in ("nobody", "daemon", "root")} == {"['7']"}
        assert {seen(lake, user) for user in ("nobody", "daemon", "root")} == {"['7']"}
    assert files(lake) == []


@needs_root
@pytest.mark.parametrize(("mode", "left"), [(0o777, []), (0o1777, ["7"])], ids=["removed", "left to its owner"])
def test_what_the_killed_reader_of_another_user_left_holds_nothing(lake: Path, mode: int, left: list[str]) -> None:
    (lake / layout.READERS).chmod(mode)
    with reading(lake, "daemon") as reader:
        reader.kill()
        reader.wait()
    assert files(lake) == ["7"]
    assert (seen(lake, "nobody"), files(lake)) == ("[]", left)


@needs_root
def test_a_lock_that_another_user_may_not_even_see_is_named(lake: Path) -> None:
    with reading(lake, "daemon", umask="077"):
        why = "cannot be locked for those who read: Permission denied."
        assert seen(lake, "nobody") == f"assay.model.errors.WarehouseError: {layout.READERS}/7: {why}"


@needs_root
def test_where_nothing_can_be_written_a_state_is_read_without_a_lock(lake: Path) -> None:
    (lake / layout.READERS).chmod(0o755)
    with pytest.raises(AssertionError, match="it is not locked"), reading(lake, "nobody"):
        pass
    assert files(lake) == []


def test_who_has_no_file_left_to_open_is_told_which_one_it_is_about(tmp_path: Path) -> None:
    (tmp_path / layout.READERS).mkdir(parents=True)
    (tmp_path / layout.READERS / "7").touch()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(WarehouseError) as held:
            readers.hold(tmp_path, "7")
        with pytest.raises(WarehouseError) as seen:
            readers.held(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    why = "cannot be locked for those who read: Too many open files."
    assert str(held.value) == f"{tmp_path / layout.READERS}/7: {why}"
    assert str(seen.value) == f"{tmp_path / layout.READERS}: {why}"


def test_a_reader_that_is_interrupted_while_it_waits_leaves_nothing_open(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / layout.READERS).mkdir(parents=True)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with (tmp_path / layout.READERS / "7").open("w") as vacuum:
            fcntl.flock(vacuum, fcntl.LOCK_EX)
            there = descriptors()
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                readers.hold(tmp_path, "7")
            assert descriptors() == there
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
