"""A real PostgreSQL server for tests: made in a temporary folder, on 127.0.0.1 only, gone with the test."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

USER = "book"
GUARDED = "guarded"  # the database that asks for a password, and there is none


def programs() -> Path:
    """The folder of initdb and pg_ctl; the test is skipped where there is none, but on CI it fails."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found or on_path:
        return found[-1].parent if found else Path(str(on_path)).resolve().parent
    reason = "no PostgreSQL server is installed (apt-get install postgresql): the store was not tested on one"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@contextmanager
def server() -> Iterator[str]:
    """Start a server, and yield the URL of its database; initdb and postgres refuse root, so root is another user."""
    binaries, folder, port = programs(), Path(tempfile.mkdtemp(prefix="companion_pg_")), free_port()
    other_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []

    def run(program: str, *arguments: object) -> None:
        words = [*other_user, str(binaries / program), *map(str, arguments)]
        subprocess.run(words, check=True, capture_output=True, cwd="/", timeout=120)

    try:
        if other_user:
            shutil.chown(folder, "postgres")
        data = folder / "data"
        run("initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        rules = data / "pg_hba.conf"
        rules.write_text(f"host {GUARDED} all 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        unsafe = "-c fsync=off -c full_page_writes=off"  # the server is thrown away
        options = f"-k {folder} -p {port} -c listen_addresses=127.0.0.1 {unsafe}"
        run("pg_ctl", "-D", data, "-w", "-t", 100, "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://{USER}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@contextmanager
def database(server_url: str, name: str) -> Iterator[str]:
    """Make an empty database on the server, and yield its URL."""
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
        yield sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
        connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')
    engine.dispose()
