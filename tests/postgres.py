"""A real PostgreSQL of its own, on loopback, for as long as a test needs it."""

import contextlib
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.deployment import free_port

_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
"""Debian keeps the server's programs off PATH."""
_START_SECONDS = 60
_numbers = itertools.count()


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([*map(str, reversed(_DEBIAN)), "/usr/local/bin", "/usr/bin"]))


needs_postgres = pytest.mark.skipif(
    _program("initdb") is None, reason="PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
)


def _run(*command: str) -> None:
    # initdb and postgres refuse root; the package makes this user.
    user = "postgres" if os.getuid() == 0 else None
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
    done = subprocess.run(
        command,
        user=user,
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=_START_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr or done.stdout


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """A server; the URL of its maintenance database."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    assert initdb is not None
    assert pg_ctl is not None
    folder = Path(tempfile.mkdtemp(prefix="backspace-pg-"))
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    data, port = str(folder / "data"), free_port()
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c fsync=off"
    try:
        _run(initdb, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
        # Without a log file the server would keep this process's pipes open.
        _run(pg_ctl, "-D", data, "-l", str(folder / "log"), "-w", "-o", options, "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run(pg_ctl, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def database(maintenance_url: str) -> Iterator[str]:
    """A database of its own in that server, gone at the end whoever is connected."""
    name = f"backspace_{next(_numbers)}"
    with psycopg.connect(maintenance_url, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
        try:
            yield maintenance_url.rpartition("/")[0] + f"/{name}"
        finally:
            connection.execute(f'drop database "{name}" with (force)')


@contextlib.contextmanager
def locked_out(maintenance_url: str, url: str) -> Iterator[None]:
    """While it holds, nobody can use that database: its connections are cut and new ones refused."""
    name = url.rpartition("/")[2]
    with psycopg.connect(maintenance_url, autocommit=True) as connection:
        connection.execute(f'alter database "{name}" with allow_connections false')
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        try:
            yield
        finally:
            connection.execute(f'alter database "{name}" with allow_connections true')
