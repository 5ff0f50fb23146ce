"""An import that dies at any moment: what it reported is kept, nothing is half done, running it again finishes it."""

from __future__ import annotations

import datetime as dt
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest
from sqlalchemy import text

from doseatlas.dicom.simulate import plan, write_objects
from doseatlas.settings import Settings
from doseatlas.store import Store, import_paths
from doseatlas.store.archive import read_index, read_original

Listed = Callable[[Store], list[str]]
DOSEATLAS = str(Path(sys.executable).with_name("doseatlas"))
DAY = dt.date(2024, 3, 5)

# Imports, and dies at the n-th moment, before or after a step that leaves something on disk. Prints what was reported.
DYING_IMPORT = """
import os, sys
from pathlib import Path
from sqlalchemy.engine.default import DefaultDialect
from doseatlas.settings import load_settings
from doseatlas.store import Store, import_paths, importing

left = int(sys.argv[2])

def moment():
    global left
    left -= 1
    if left == 0:
        os._exit(9)

def mortal(action):
    def step(*given, **named):
        moment()
        result = action(*given, **named)
        moment()
        return result
    return step

def report(outcomes):
    print(*(outcome.path for outcome in outcomes), sep="\\n", flush=True)

for name in ("fsync", "replace", "unlink", "link"):
    setattr(os, name, mortal(getattr(os, name)))
DefaultDialect.do_commit = mortal(DefaultDialect.do_commit)
importing.BATCH_OBJECTS = 8
with Store.from_settings(load_settings().settings) as store:
    import_paths(store, [Path(sys.argv[1])], committed=report)
"""
STEPS = 66


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 24 small reports."""
    return _simulated(tmp_path_factory.mktemp("few"), 24)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough small reports to keep two workers busy."""
    return _simulated(tmp_path_factory.mktemp("many"), 510)


@pytest.fixture(scope="module")
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The exams of an import that nothing disturbed."""
    with Store.from_settings(Settings(data_dir=str(tmp_path_factory.mktemp("undisturbed")), jobs=1)) as store:
        import_paths(store, [many])
        return [msgspec.json.encode(exam).decode() for exam in store.exams()]


def _simulated(folder: Path, exams: int) -> Path:
    write_objects(plan("facility", exams=exams, seed=4, start=DAY, end=DAY, device_classes=("ct",)), folder)
    return folder


def _environment(settings: Settings) -> dict[str, str]:
    jobs = {"DOSEATLAS_JOBS": str(settings.jobs), "DOSEATLAS_STORE": settings.store}
    return {**os.environ, "DOSEATLAS_DATA_DIR": settings.data_dir, **{k: v for k, v in jobs.items() if v}}


def _die(settings: Settings, folder: Path, step: int) -> list[str]:
    """Have an import die at a step; returns the paths that it had reported."""
    done = subprocess.run(
        [sys.executable, "-c", DYING_IMPORT, str(folder), str(step)],
        env=_environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 9), done.stderr
    return done.stdout.split("\n")[:-1]


def _assert_whole(store: Store) -> None:
    """Everything that the tables speak of is there: originals in the archive, exams of objects, objects of exams."""
    with store.database.reading() as connection:
        rows = connection.execute(
            text("SELECT digest, name, pack_offset, pack_length FROM objects JOIN packs ON packs.id = pack_id")
        ).all()
        lonely = connection.execute(
            text("SELECT count(*) FROM exams WHERE exam_id NOT IN (SELECT exam_id FROM objects)")
        )
        missing = connection.execute(
            text("SELECT count(*) FROM objects WHERE exam_id NOT IN (SELECT exam_id FROM exams)")
        )
        assert (lonely.scalar(), missing.scalar()) == (0, 0)
    assert len(rows) == store.counts().objects
    for _, name, offset, length in rows:
        assert read_original(store.archive.file(name), offset, length)[128:132] == b"DICM"


def _assert_finished(store: Store, folder: Path) -> None:
    import_paths(store, [folder])
    _assert_whole(store)
    assert store.archive.is_settled()
    packed = [one.digest for name in store.archive.names() for one in read_index(store.archive.file(name)).originals]
    assert len(packed) == len(set(packed)) == store.counts().objects


OFTEN = random.Random(2).sample(range(1, STEPS), 6)
ALL_STEPS = [step if step in OFTEN else pytest.param(step, marks=pytest.mark.nightly) for step in range(1, STEPS)]


@pytest.mark.parametrize("step", ALL_STEPS)
def test_dying_at_any_step_loses_nothing_that_was_reported(
    settings: Settings, few: Path, step: int, tmp_path: Path, listed: Listed
) -> None:
    reported = _die(settings, few, step)
    with Store.from_settings(settings) as store:
        with store.database.reading() as connection:
            held = set(connection.execute(text("SELECT path FROM objects")).scalars())
        assert held >= {path for path in reported if not path.endswith("-2.dcm")}  # duplicates are held once
        _assert_whole(store)
        _assert_finished(store, few)
        finished = listed(store)
    with Store.from_settings(Settings(data_dir=str(tmp_path / "undisturbed"), jobs=1)) as store:
        import_paths(store, [few])
        assert listed(store) == finished


def test_the_steps_that_are_tried_reach_beyond_the_end_of_the_import(settings: Settings, few: Path) -> None:
    assert len(_die(settings, few, STEPS)) == len(list(few.rglob("*.dcm")))


@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=pytest.mark.nightly)])
def test_an_import_killed_again_and_again_ends_like_one_that_was_not(
    settings: Settings, many: Path, undisturbed: list[str], listed: Listed, kills: int
) -> None:
    settings = msgspec.structs.replace(settings, jobs=2)
    chance = random.Random(kills)
    for _ in range(kills):
        process = subprocess.Popen(
            [DOSEATLAS, "import", str(many)],
            env=_environment(settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.2, 1.6))
        workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait()
        assert not psutil.wait_procs(workers, timeout=20)[1], "a worker outlived its import"
        with Store.from_settings(settings) as store:
            _assert_whole(store)
    with Store.from_settings(settings) as store:
        _assert_finished(store, many)
        assert listed(store) == undisturbed


def test_two_imports_at_once_do_not_disturb_each_other(
    settings: Settings, few: Path, tmp_path: Path, listed: Listed
) -> None:
    command = [DOSEATLAS, "import", str(few), "--format", "jsonl"]
    environment = _environment(settings)
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    counts = []
    for process in running:
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        rows = [msgspec.json.decode(line) for line in output.splitlines()]
        counts.append({row["objects"]: row["count"] for row in rows})
    with Store.from_settings(settings) as store:
        held = store.counts().objects
        assert sum(count["imported"] for count in counts) == held
        _assert_finished(store, few)
        assert store.counts().objects == held
        finished = listed(store)
    with Store.from_settings(Settings(data_dir=str(tmp_path / "undisturbed"), jobs=1)) as store:
        import_paths(store, [few])
        assert listed(store) == finished
