"""``doseatlas study`` and ``doseatlas registry`` as a user meets them: real processes, real exit statuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import openpyxl
import pytest

Run = Callable[..., CompletedProcess[str]]


def with_participants(file: Path) -> None:
    lines = "".join(f'{{ id = "site-{i}", country = "JP" }},\n' for i in range(3))
    file.write_text(file.read_text().replace("participants = [", f"participants = [\n{lines}"))


def test_a_study_goes_from_a_template_to_a_report(run: Run, tmp_path: Path) -> None:
    assert "haematuria-stones" in run("study", "templates").stdout
    assert run("study", "new", "s.toml", "--template", "regulation-survey").returncode == 0
    assert run("study", "new", "s.toml").returncode == 2  # never overwritten
    with_participants(tmp_path / "s.toml")
    assert "3 participants in 1 country" in run("study", "check", "s.toml").stdout
    assert run("study", "workbook", "s.toml", "--each", "-o", "books").returncode == 0
    book = tmp_path / "books" / "regulation-survey-site-1.xlsx"
    filled = openpyxl.load_workbook(book)
    filled["site"]["C3"] = "yes"
    filled.save(book)
    done = run("study", "collect", "s.toml", "books/regulation-survey-site-1.xlsx", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    assert '"answers":1' in done.stdout
    done = run("study", "report", "s.toml", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "1 site in 1 country replied" in done.stdout
    assert (tmp_path / "out" / "study.html").is_file()
    assert (tmp_path / "out" / "study.json").is_file()


def test_a_bad_source_is_refused_cell_by_cell_and_the_others_are_taken(run: Run, tmp_path: Path) -> None:
    run("study", "new", "s.toml", "--template", "regulation-survey")
    with_participants(tmp_path / "s.toml")
    run("study", "workbook", "s.toml", "--each", "-o", "books")
    bad = tmp_path / "books" / "regulation-survey-site-0.xlsx"
    filled = openpyxl.load_workbook(bad)
    filled["site"]["C3"] = "perhaps"
    filled.save(bad)
    (tmp_path / "half.xlsx").write_bytes(bad.read_bytes()[:1000])
    done = run("study", "collect", "s.toml", str(bad), "half.xlsx", "books/regulation-survey-site-1.xlsx")
    assert done.returncode == 1
    assert "sheet 'site', cell C3: Is access to a medical physicist" in done.stderr
    assert "half.xlsx: not a whole .xlsx file" in done.stderr
    assert [file.name for file in (tmp_path / "s-data").iterdir()] == ["site-1.parquet"]


def test_a_study_file_with_problems_is_told_all_of_them(run: Run, tmp_path: Path) -> None:
    run("study", "new", "s.toml", "--template", "paediatric-ct")
    text = (tmp_path / "s.toml").read_text().replace('"ct-head"', '"ct-heed"')
    (tmp_path / "s.toml").write_text(text.replace('since = "2025-01"', 'since = "2026-01"'))
    done = run("study", "check", "s.toml")
    assert done.returncode == 3
    assert "no standard procedure 'ct-heed'; near it: ct-head" in done.stderr
    assert "until 2025-12 is before since 2026-01" in done.stderr


def test_a_workbook_that_a_spreadsheet_would_not_open_is_not_made(run: Run, tmp_path: Path) -> None:
    run("study", "new", "s.toml", "--template", "regulation-survey")
    with_participants(tmp_path / "s.toml")
    done = run("study", "workbook", "s.toml", "-o", "books")
    assert done.returncode == 2
    assert "end it in .xlsx" in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "books").exists()
    assert run("study", "workbook", "s.toml", "-o", "book.xlsx").returncode == 0


def test_a_study_without_a_site_that_is_analysed_says_why(run: Run, tmp_path: Path) -> None:
    run("study", "new", "s.toml", "--template", "paediatric-ct")
    with_participants(tmp_path / "s.toml")
    done = run("study", "report", "s.toml", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "0 sites in 0 countries analysed" in done.stdout
    assert "Why: of 3 sites (asked to take part) none is left: no reply." in done.stdout


def test_a_facility_submits_to_a_registry_and_withdraws(run: Run, objects: Path, tmp_path: Path) -> None:
    assert run("import", str(objects)).returncode == 0
    public = run("registry", "key", "mine.pem").stdout.strip()
    assert run("registry", "new", "reg", "--id", "national").returncode == 0
    agreement = tmp_path / "reg" / "registry.toml"
    agreement.write_text(
        agreement.read_text() + f'[[senders]]\nid = "me"\ncountry = "Norland"\npublic_key = "{public}"\n'
    )
    who = ("--agreement", "reg/registry.toml", "--key", "mine.pem", "--sender", "me")
    done = run("registry", "export", *who, "--since", "2025-01", "--until", "2025-12", "-o", "sent.zip")
    assert done.returncode == 0, done.stderr
    assert run("registry", "check", "sent.zip", "--agreement", "reg/registry.toml").returncode == 0
    assert "taken" in run("registry", "submit", "reg", "sent.zip").stdout
    assert "already held" in run("registry", "submit", "reg", "sent.zip").stdout
    done = run("registry", "release", "reg", "--since", "2025-01", "--until", "2025-12", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("procedure,patient_group,quantity")
    assert len(done.stdout.splitlines()) == 1  # one facility alone is never shown
    done = run("registry", "withdraw", *who, "--month", "2025-01", "-o", "w.zip")
    assert done.returncode == 0, done.stderr
    assert run("registry", "submit", "reg", "w.zip").returncode in (0, 1)
    (tmp_path / "half.zip").write_bytes((tmp_path / "sent.zip").read_bytes()[:500])
    done = run("registry", "submit", "reg", "half.zip")
    assert done.returncode == 1
    assert "not a whole submission" in done.stderr


@pytest.mark.nightly
def test_the_world_of_the_demo_is_released_and_studied(run: Run, tmp_path: Path) -> None:
    done = run("demo-world", "--exams", "20000", "--output", "world")
    assert done.returncode == 0, done.stderr
    assert "Release of world:" in done.stdout
    assert (tmp_path / "world" / "study" / "study.html").is_file()
    assert (tmp_path / "world" / "norland" / "releases" / "1" / "public" / "release.csv").is_file()
