"""Running the command line as a user does: a real process with a data folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

DOSEATLAS = str(Path(sys.executable).with_name("doseatlas"))
Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of simulated dose objects."""
    folder = tmp_path_factory.mktemp("objects")
    _run(folder, "simulate", str(folder / "dose"), "--exams", "60", "--seed", "5")
    return folder / "dose"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run doseatlas with a data folder of its own."""
    return lambda *arguments, **environment: _run(tmp_path, *arguments, **environment)


def _run(home: Path, *arguments: str, **environment: str) -> Result:
    env = {**os.environ, "DOSEATLAS_DATA_DIR": str(home / "data"), "HOME": str(home), **environment}
    env.pop("DOSEATLAS_DEBUG", None)
    done = subprocess.run(
        [DOSEATLAS, *arguments], env=env, cwd=home, capture_output=True, text=True, timeout=300, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done
