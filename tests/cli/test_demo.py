"""The demo: the main job from nothing, apart from the user's own store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

Run = Callable[..., CompletedProcess[str]]


def test_the_demo_makes_a_hospital_and_its_report(run: Run, tmp_path: Path) -> None:
    done = run("demo", "--exams", "40", "--output", "out")
    assert done.returncode == 0, done.stderr
    report = tmp_path / "out" / "made-up-40" / "report" / "report.html"
    assert report.is_file()
    assert done.stdout.rstrip().endswith(str(report))


def test_the_demo_leaves_the_store_of_the_settings_alone(run: Run, tmp_path: Path) -> None:
    run("demo", "--exams", "10", "--output", "out")
    assert not (tmp_path / "data").exists()


def test_a_demo_on_own_files_holds_nothing_but_them(run: Run, objects: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    file = next(objects.rglob("*.dcm"))
    (one / file.name).write_bytes(file.read_bytes())
    run("demo", "--exams", "10", "--output", "out")
    done = run("demo", str(one), "--output", "out")
    assert "1 exam" in done.stdout
    (folder,) = (tmp_path / "out").glob("one-*")
    assert (folder / "report" / "report.html").is_file()
