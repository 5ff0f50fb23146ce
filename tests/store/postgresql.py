"""A PostgreSQL server of our own on loopback, which can be stopped and started like a real one."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest


class Postgresql:
    """A running server; a test is skipped where PostgreSQL is not installed."""

    def __init__(self) -> None:
        homes = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        if not homes:
            pytest.skip("PostgreSQL is not installed (Debian and Ubuntu: apt-get install postgresql)")
        self._bin = homes[-1].parent
        self._folder = Path(tempfile.mkdtemp(prefix="doseatlas-postgresql-"))
        self._user = _unprivileged(self._folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        password = secrets.token_hex(12)
        self.url = f"postgresql://dose:{password}@127.0.0.1:{self._port}/"  # without a database's name at its end
        (self._folder / "password").write_text(password)
        os.chmod(self._folder / "password", 0o644)  # noqa: PTH101
        login = ("-U", "dose", "-A", "scram-sha-256", f"--pwfile={self._folder / 'password'}")
        self._run("initdb", "-D", str(self._folder / "data"), *login, "--no-sync", "--encoding=UTF8")
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-h 127.0.0.1 -p {self._port} -k {self._folder} -c fsync=off -c max_connections=60"
        self._control("-l", str(self._folder / "log"), "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop it as a crash does: whoever is connected is cut off."""
        self._control("-m", "immediate", "stop")

    def remove(self) -> None:
        """Stop it for good."""
        self.stop()
        shutil.rmtree(self._folder)

    def new_database(self) -> str:
        """Make a database; returns its URL."""
        import psycopg

        name = f"dose_{secrets.token_hex(6)}"
        with psycopg.connect(f"{self.url}postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{self.url}{name}"

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments],
            user=self._user,
            group=self._user and pwd.getpwuid(self._user).pw_gid,
            extra_groups=[] if self._user else None,
            cwd=self._folder,
            check=True,
            stdout=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )


def _unprivileged(folder: Path) -> int | None:
    """As root, hand the folder to a user that PostgreSQL accepts, and let that user reach it."""
    if os.getuid() != 0:
        return None
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    shutil.chown(folder, user.pw_uid, user.pw_gid)
    return user.pw_uid
