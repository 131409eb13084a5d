"""Operates a server of Prefect and its workers, for deploy/prefect.mk.

python -m tools.prefect start
python -m tools.prefect with assay deploy prefect
python -m tools.prefect workers 3
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.prefect.access import Access, OperatingError
from tools.prefect.scaling import supervise
from tools.prefect.server import ROOT, Server, program


def main(arguments: list[str] | None = None) -> None:
    """Do what is asked for, and tell it."""
    options = _options(arguments)
    try:
        for line in _done(Server(options.place), options):
            print(line, flush=True)
    except OperatingError as error:
        sys.exit(f"{options.what}: {error}")


def _done(server: Server, options: argparse.Namespace) -> Iterator[str]:
    match options.what:
        case "serve":
            server.serve(options.port, options.password_file)
        case "start":
            yield f"Prefect answers at {server.start(options.port, options.password_file).access.url}"
        case "restart":
            before = server.running
            server.stop()
            port, file = (before.port, before.password_file) if before else (options.port, options.password_file)
            yield f"Prefect answers at {server.start(port, file).access.url}"
        case "stop":
            yield "Prefect was stopped" if server.stop() else "Prefect was not at work"
        case "clean":
            server.clean()
            yield f"{options.place} was removed"
        case "logs":
            os.execvp("tail", ["tail", "-n", "100", "-F", str(server.log)])
        case "ui":
            found = server.start(options.port, options.password_file)
            yield f"Prefect shows its pages at {found.access.url.removesuffix('/api')}"
        case "password":
            yield from _tried(server.access())
        case "with":
            path = f"{program('prefect').parent}{os.pathsep}{os.environ['PATH']}"
            given = {**os.environ, **server.home, **server.access().environment, "PATH": path}
            os.execvpe(options.command[0], options.command, given)
        case "workers":
            supervise(server, options.count, options.limit, options.most)


def _tried(access: Access) -> Iterator[str]:
    """Try what a server does with those who have no password, a wrong one, and the right one."""
    password = access.password
    if not password:
        raise OperatingError("There is no password to try: name its file, AUTH_FILE=..., as the server starts")
    for told, given, wanted in (
        ("without a password", None, False),
        ("with a wrong one", f"{password}!", False),
        ("with the right one", password, True),
    ):
        if access.lets_in(given) is not wanted:
            raise OperatingError(f"A call {told} is {'refused' if wanted else 'let in'}, at {access.url}")
        yield f"a call {told} is {'let in' if wanted else 'refused'}"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tools.prefect", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--place", type=Path, default=ROOT / "build/prefect", help="folder of the server")
    kinds = parser.add_subparsers(dest="what", required=True)
    for name, told in (
        ("serve", "serve until Ctrl-C"),
        ("start", "start the server in the background"),
        ("restart", "stop it, and start it again"),
        ("ui", "start it where it is not at work, and tell where its pages are"),
    ):
        kind = kinds.add_parser(name, help=told)
        kind.add_argument("--port", type=int, default=4200, help="where it answers (4200)")
        kind.add_argument(
            "--password-file", type=os.path.abspath, help="file with user:password, which it then asks for"
        )
    kinds.add_parser("stop", help="stop the server")
    kinds.add_parser("clean", help="stop the server, and remove all that it has kept")
    kinds.add_parser("logs", help="show what the server tells, until Ctrl-C")
    kinds.add_parser("password", help="try whether the server refuses who has no password")
    run = kinds.add_parser("with", help="run a command that finds the server")
    run.add_argument("command", nargs=argparse.REMAINDER)
    workers = kinds.add_parser("workers", help="run workers until Ctrl-C; who dies is started again")
    workers.add_argument("count", type=int, nargs="?", default=2, help="how many (2), and one for what waits")
    workers.add_argument("--most", type=int, default=0, help="up to how many while flow runs wait for one (as many)")
    workers.add_argument("--limit", type=int, default=1, help="flow runs of each at once (1)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
