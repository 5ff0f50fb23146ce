"""The command line as a user meets it: real processes, real exit statuses, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

DOSEATLAS = str(Path(sys.executable).with_name("doseatlas"))
Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]


def test_help_names_every_command_and_the_exit_statuses(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("read", "import", "report", "exams", "refused", "mapping", "drl", "rebuild", "simulate", "doctor"):
        assert command in done.stdout
    assert "Exit status" in done.stdout


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, doseatlas, doseatlas.cli.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"pydicom", "pyarrow", "duckdb", "ibis", "sqlalchemy", "alembic", "matplotlib", "numpy", "pandas", "jinja2"}
    assert not heavy & set(loaded)


def test_from_a_folder_to_the_report_in_one_command(run: Run, objects: Path, tmp_path: Path) -> None:
    done = run("report", str(objects), "--output", "out")
    assert done.returncode in (0, 1), done.stderr
    html = tmp_path / "out" / "report.html"
    assert html.is_file()
    assert str(html) in done.stdout
    assert (tmp_path / "out" / "report.xlsx").is_file()
    assert list((tmp_path / "out" / "csv").glob("*.csv"))


def test_importing_the_same_objects_again_changes_nothing(run: Run, objects: Path) -> None:
    first = run("import", str(objects), "--format", "jsonl")
    before = run("exams", "--format", "jsonl").stdout
    second = run("import", str(objects), "--format", "jsonl")
    counts = {row["objects"]: row["count"] for row in map(json.loads, second.stdout.splitlines())}
    assert first.returncode == second.returncode
    assert counts["imported"] == 0
    assert counts["already there"] > 0
    assert run("exams", "--format", "jsonl").stdout == before


def test_exams_as_json_lines_follow_the_reading_contract(run: Run, objects: Path) -> None:
    run("import", str(objects))
    exams = [json.loads(line) for line in run("exams", "--format", "jsonl").stdout.splitlines()]
    assert exams
    for exam in exams:
        assert exam["kind"] in {"ct", "projection", "mammography", "nuclear"}
        assert exam["study_instance_uid"]
        assert None not in exam.values()


def test_read_prints_json_lines_and_nothing_else(run: Run, objects: Path) -> None:
    file = next(objects.rglob("*.dcm"))
    done = run("read", str(file), "--format", "jsonl")
    assert done.returncode == 0
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["path"] == str(file)


def test_a_refused_object_gives_exit_status_1_and_a_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.dcm").write_bytes(b"this is not DICOM")
    done = run("read", "bad.dcm", "--format", "jsonl")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"]
    assert error["message"].endswith(".")


def test_asking_what_was_refused_makes_no_store_and_no_key(run: Run, tmp_path: Path) -> None:
    for arguments in (("refused",), ("refused", "--again")):
        assert run(*arguments).returncode == 0
        assert not (tmp_path / "data").exists()


def test_wrong_usage_gives_exit_status_2(run: Run) -> None:
    assert run("read").returncode == 2
    assert run("nonsense").returncode == 2
    assert run("doctor", DOSEATLAS_IDENTITY="both").returncode == 2
    assert run("report", "--drl-set", "atlantis-1900").returncode == 2


def test_a_data_folder_that_cannot_be_written_is_said_in_a_sentence(run: Run, objects: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run("import", str(objects), DOSEATLAS_DATA_DIR=str(tmp_path / "file"))
    assert done.returncode == 3
    assert str(tmp_path / "file") in done.stderr


def test_doctor_tells_where_the_service_listens_and_what_differs_from_the_default(run: Run) -> None:
    done = run("doctor", "--format", "csv")
    listens = next(line for line in done.stdout.splitlines() if line.startswith("service,"))
    assert "dicom 127.0.0.1:11112, http 127.0.0.1:8080" in listens
    assert "Settings(" not in done.stdout


def test_doctor_tells_what_is_set_and_hides_passwords(run: Run) -> None:
    done = run("doctor", "--format", "csv", DOSEATLAS_STORE="postgresql+psycopg://dose:secret@127.0.0.1:1/dose")
    assert "secret" not in done.stdout + done.stderr
    assert done.returncode == 3
    assert run("doctor").returncode == 0


def test_mapping_decisions_go_out_and_come_back_as_csv(run: Run, objects: Path, tmp_path: Path) -> None:
    run("import", str(objects))
    assert run("mapping", "export", "names.csv").returncode == 0
    header, *_ = (tmp_path / "names.csv").read_text(encoding="utf-8").splitlines()
    assert "procedure" in header.split(",")
    assert run("mapping", "apply", "names.csv").returncode == 0
    (tmp_path / "names.csv").write_text("key,procedure\nsome key,not-a-procedure\n", encoding="utf-8")
    wrong = run("mapping", "apply", "names.csv")
    assert wrong.returncode == 3
    assert "not-a-procedure" in wrong.stderr


def test_the_reader_of_a_pipe_may_leave_early(objects: Path, tmp_path: Path) -> None:
    command = f"{DOSEATLAS} read {objects} --format jsonl | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
