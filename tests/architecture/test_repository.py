"""Nothing in the repository is secret, or true of one machine only."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SECRETS = re.compile(
    r"AKIA[0-9A-Z]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|glpat-[\w-]{20}"
    r"|sk-[A-Za-z0-9_-]{32,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
)
# A password in an address, unless it is a placeholder (${PASSWORD}, <password>, {password}, ***) or one of these words.
PASSWORDS = re.compile(r"://[^\s/:@'\"]+:(?![$<{*%]|(?:assay|example|password|postgres|secret)@)[^\s/@'\"]+@")
MACHINE_PATHS = re.compile(
    r"(?<![\w.\-/}:])/(?:root|work|farm|Users/\w+|home/(?!airflow\b)\w+|opt/(?!airflow\b|spark\b)\w+|tmp/bash_\w+)/"
)
INDEX_HOSTS = re.compile(r"pypi[.]org|pythonhosted[.]org|https?://[\w.:-]+/simple\b")


def kept_files() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str], skip: tuple[str, ...] = ()) -> list[str]:
    found = []
    for path in kept_files():
        name = path.relative_to(ROOT).as_posix()
        if name not in skip:
            text = path.read_text(errors="replace")
            found += [f"{name}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]}" for hit in pattern.finditer(text)]
    return found


def test_no_file_holds_what_looks_like_a_secret() -> None:
    assert lines_with(SECRETS) == []
    assert lines_with(PASSWORDS) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert lines_with(MACHINE_PATHS) == []


def test_no_file_but_the_lock_names_a_package_index() -> None:
    assert lines_with(INDEX_HOSTS, skip=("uv.lock",)) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (SECRETS, "AKIA" + "ABCDEFGHIJ234567"),
        (SECRETS, "token = 'ghp" + "_0123456789abcdefghijABCDEFGHIJ012345'"),
        (SECRETS, "-----BEGIN RSA " + "PRIVATE KEY-----"),
        (PASSWORDS, "postgresql://me:" + "hunter2@db/shop"),
        (MACHINE_PATHS, "see '/" + "root/notes/x'"),
        (MACHINE_PATHS, "/" + "home/ann/data"),
        (INDEX_HOSTS, "--index-url http://mirror.local:8080" + "/simple"),
    ],
)
def test_the_search_finds(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (PASSWORDS, "postgresql://${USER}:${PASSWORD}@db/shop"),
        (PASSWORDS, "postgresql://assay:password@localhost/shop"),
        (MACHINE_PATHS, "/home/airflow/dags, build/home/ann/x, https://example.org/home/ann/x, /tmp/lake"),
        (INDEX_HOSTS, "a simple/plain text"),
    ],
)
def test_the_search_passes_over(pattern: re.Pattern[str], text: str) -> None:
    assert not pattern.search(text)
