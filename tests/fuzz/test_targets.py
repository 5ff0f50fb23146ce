"""What is promised of any bytes holds for the seeds, for what a search found once, and for what a new search tries."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz.seeds import seeds
from fuzz.targets import TARGETS

SEARCH_SECONDS = 60
FOUND = [
    ("stow", b"multipart/related; boundary*=utf-8''x\n\x5a--x\r\n\r\nabc\r\n--x--\r\n"),  # a parameter in parts
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What is refused is logged, thousands of times."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_and_their_beginnings_keep_the_promise(target: str) -> None:
    found = list(seeds(target))
    assert len(found) > 5
    for seed in found:
        for length in (len(seed), len(seed) // 2, len(seed) - 3):
            TARGETS[target](seed[:length])


@pytest.mark.parametrize(("target", "data"), FOUND)
def test_what_broke_the_promise_once_keeps_it(target: str, data: bytes) -> None:
    TARGETS[target](data)


@pytest.mark.nightly
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed (no wheel for here)")
@pytest.mark.parametrize("target", TARGETS)
def test_a_search_finds_nothing_that_breaks_the_promise(target: str, tmp_path: Path) -> None:
    limits = [f"-max_total_time={SEARCH_SECONDS}", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", target, *limits],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=SEARCH_SECONDS + 300,
        check=False,
    )
    found = [f"{file.name}: {file.read_bytes()!r}" for file in tmp_path.iterdir()]
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}\n{found}"
