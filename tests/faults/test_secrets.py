"""A password planted wherever one can be given is in no output, log, traceback, record or file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.disk import Disk

WORD = "pa55-hunter2"
ADDRESS = f"postgresql://me:{WORD}" + "@db:5432/shop"
SECRETS = [
    ADDRESS,
    f"https://me:{WORD}" + f"@host/x.csv?token={WORD}&sig=1",
    f"https://host/x.csv?X-Amz-Signature={WORD}",
    f"s3://key:{WORD}/{WORD}" + "@bucket/orders.csv",
    f"host=db password={WORD} user=me",
    f"{{'user': 'me', 'password': '{WORD}'}}",
    f'{{"api_key": "{WORD}"}}',
    f"AccountKey={WORD};EndpointSuffix=x",
    f"AWS_SECRET_ACCESS_KEY={WORD}",
    f"Authorization: Bearer {WORD}",
]
SOME_FAST = [pytest.param(s, marks=() if n in (0, 5) else pytest.mark.faults, id=str(n)) for n, s in enumerate(SECRETS)]
FAILS = """
import assay, os
calls = []
@table()
def gold_python(silver_order):
    calls.append(1)
    if len(calls) > 1:
        password = "PLANTED"
        raise OSError("no way to " + os.environ["PLANTED"])
    return silver_order
@table()
def gold_engine(silver_order):
    told = os.environ["PLANTED"].replace("'", '"')
    return assay.sql("select cast(error('no way to " + told + "') as int) as x from s", s=silver_order)
fails = Pipeline("orders", tables=[*good, gold_python, gold_engine], sources=sources)
if "RAISES" in os.environ:
    raise OSError("no way to " + os.environ["PLANTED"])
"""


def assert_kept_secret(folder: Path, said: str) -> None:
    assert WORD not in said
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc") and path.name != "assay.toml":
            assert WORD.encode() not in path.read_bytes(), path
        assert WORD not in path.name


@pytest.mark.parametrize("secret", SOME_FAST)
def test_an_error_that_repeats_a_password_is_told_and_kept_without_it(
    folder: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    with (folder / "shop_orders.py").open("a") as module:
        module.write(FAILS.replace('PLANTED"\n', f'{WORD}"\n'))
    for more in (("--debug",), ("--debug", "--json"), ("--debug", "--log", "json")):
        end = disk.call("run", "shop_orders:fails", *more, cwd=folder, variables={"PLANTED": secret}, retries="1")
        assert (end.code, "no way to" in end.out + end.err, "***" in end.out + end.err) == (1, True, True), end
        assert_kept_secret(folder, end.out + end.err)
    shown = disk.call("history", "--json", cwd=folder)
    assert "no way to" in shown.out
    assert WORD not in shown.out
    raised = disk.call("run", "shop_orders:fails", "--debug", cwd=folder, variables={"PLANTED": secret, "RAISES": "1"})
    assert (raised.code, "no way to" in raised.err) == (2, True)
    assert_kept_secret(folder, raised.err)


@pytest.mark.faults
@pytest.mark.parametrize("secret", SECRETS[:4], ids=range(4))
def test_an_address_with_a_password_that_is_given_where_it_does_not_belong_is_not_repeated(
    folder: Path, disk: Disk, secret: str
) -> None:
    settings = (folder / "assay.toml").read_text()
    for more in ((), ("--debug",), ("--json",), ("--log", "json")):
        for command in (
            ("run", "orders", "--source", f"orders={secret}"),
            ("run", "orders", "--source", secret),
            ("run", "orders", "--warehouse", secret),
            ("run", secret),
            ("plan", "orders", "--warehouse", secret),
        ):
            if command[0] == "run" or more != ("--log", "json"):
                end = disk.call(*command, *more, cwd=folder)
                assert end.code == 2, (command, end)
                assert_kept_secret(folder, end.out + end.err)
        end = disk.call("run", "orders", *more, cwd=folder, warehouse=secret)
        assert end.code == 2
        assert_kept_secret(folder, end.out + end.err)
        for line in (f'password = "{WORD}"', f'workers = "{secret}"', f'warehouse = "{secret}"'):
            (folder / "assay.toml").write_text(line + "\n" + settings.replace('warehouse = "lake"', ""))
            end = disk.call("run", "orders", *more, cwd=folder)
            assert end.code == 2
            assert_kept_secret(folder, end.out + end.err)
        (folder / "assay.toml").write_text(settings)
