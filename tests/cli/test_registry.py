"""``doseatlas registry`` and ``doseatlas population`` together: from facilities to a nation's levels and dose."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from doseatlas.dicom.simulate import mart_arrow
from doseatlas.dosimetry import with_dosimetry

from .conftest import Run

MONTHS = ("--since", "2000-01", "--until", "2030-12")


@pytest.fixture
def sent(run: Run, tmp_path: Path) -> list[Path]:
    """Make a registry of three facilities, and what each would submit, summaries first and then exams."""
    exams = with_dosimetry(mart_arrow("country", 4000, 5))
    assert run("registry", "new", "reg", "--id", "national").returncode == 0
    agreement, files = tmp_path / "reg" / "registry.toml", []
    facilities = sorted(exams["facility"].unique().to_pylist())[:3]
    for number, name in enumerate(facilities):
        public = run("registry", "key", f"{number}.pem").stdout.strip()
        text = f'[[senders]]\nid = "site-{number}"\ncountry = "Norland"\npublic_key = "{public}"\n'
        agreement.write_text(agreement.read_text() + text)
        (tmp_path / f"mart-{number}" / "exams").mkdir(parents=True)
        mine = exams.filter(pc.equal(exams["facility"], name))
        pq.write_table(mine, tmp_path / f"mart-{number}" / "exams" / "all.parquet")
    for kind in ("summaries", "exams"):
        for number in range(3):
            file = tmp_path / f"{kind}-{number}.zip"
            who = ("--agreement", str(agreement), "--key", f"{number}.pem", "--sender", f"site-{number}")
            done = run(
                *("registry", "export", *who, "--mart", f"mart-{number}", "--kind", kind, *MONTHS, "-o", str(file))
            )
            assert done.returncode == 0, done.stderr
            files.append(file)
    return files


def test_a_registry_gives_levels_from_summaries_and_a_population_dose_from_exams(
    run: Run, sent: list[Path], tmp_path: Path
) -> None:
    for file in sent[:3]:
        assert run("registry", "submit", "reg", str(file)).returncode == 0
    merged = run("registry", "merge", "reg", "--output", "merged")
    assert merged.returncode != 0
    assert "holds only summaries, of 3 senders" in merged.stderr
    assert "registry levels" in merged.stderr

    by_rule = ("--method", "nordic-regional", "--replicates", "100")
    done = run("registry", "levels", "reg", *MONTHS, *by_rule, "--output", "levels", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    assert {row["area"] for row in rows} == {"all"}
    assert (tmp_path / "levels" / "run.json").is_file()
    refused = run("registry", "levels", "reg", *MONTHS, "--method", "ncrp-172")
    assert refused.returncode != 0
    assert "single patients" in refused.stderr

    released = run("registry", "release", "reg", *MONTHS, "--format", "jsonl")
    assert "of too few facilities for quartiles" in released.stderr
    assert all("median" in json.loads(line) and "p75" not in json.loads(line) for line in released.stdout.splitlines())

    for file in sent[3:]:
        assert run("registry", "submit", "reg", str(file)).returncode == 0
    assert run("registry", "merge", "reg", "--output", "merged").stdout == "merged: exams of 3 submissions.\n"
    sheet = "procedure,modality,annual_number\nct-head,CT,40000\nct-chest,CT,20000\ndx-hand,radiography,90000\n"
    (tmp_path / "sheet.csv").write_text(sheet)
    dose = run("population", "sheet.csv", "--population", "1000000", "--mart", "merged", "--format", "jsonl")
    assert dose.returncode == 0, dose.stderr
    total, uncounted, *parts = [json.loads(line) for line in dose.stdout.splitlines()]
    assert (total["name"], total["exams a year"]) == ("counted procedures", 60_000)
    assert (uncounted["name"], uncounted["exams a year"]) == ("not counted", 90_000)
    assert "dx-hand (90000 exams a year)" in dose.stderr
    assert "aapm-96" in dose.stderr
    ages = [row for row in parts if row["part"] == "age"]
    assert len(ages) > 4
    assert len({round(row["mean dose mSv"], 3) for row in ages}) > 4
    assert sum(row["collective man Sv"] for row in ages) == pytest.approx(total["collective man Sv"])
    shown = run("population", "sheet.csv", "--population", "1000000", "--mart", "merged")
    heading, first, *_ = shown.stdout.splitlines()
    assert heading.split() == ["part", "name", "exams", "mSv", "man", "Sv", "low", "high", "wider"]
    assert first.split()[:4] == ["total", "counted", "procedures", "6e+04"]
