"""Reference levels, comparison, variation and findings as a user meets them: real processes, real files."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from doseatlas.dicom.simulate import mart_arrow

DOSEATLAS = str(Path(sys.executable).with_name("doseatlas"))
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def mart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mart")
    (folder / "exams").mkdir()
    pq.write_table(mart_arrow("world", 20_000, 1), folder / "exams" / "all.parquet")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "DOSEATLAS_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)}
        done = subprocess.run(
            [DOSEATLAS, *arguments], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


def test_computing_levels_twice_writes_the_same_bytes_and_a_set_to_compare_with(
    run: Run, mart: Path, tmp_path: Path
) -> None:
    command = ("drl", "compute", "--mart", str(mart), "--replicates", "200", "--year", "2026", "--format", "jsonl")
    first = run(*command, "--output", "one")
    run(*command, "--output", "two")
    assert first.returncode == 0, first.stderr
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["levels.csv", "run.json", "units.parquet"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    printed = [json.loads(line) for line in first.stdout.splitlines()]
    assert sum(row["status"] == "set" for row in printed) == sum("level" in row for row in printed) > 5
    assert run("drl", "check", "one/levels.csv").returncode == 0
    facility = pq.read_table(tmp_path / "one" / "units.parquet")["facility"][0].as_py()
    standing = run("drl", "standing", "one", facility, "--minimum", "1", "--format", "jsonl")
    (first_place, *_) = [json.loads(line) for line in standing.stdout.splitlines()]
    assert 1 <= first_place["place"] <= first_place["peers"]
    assert "No units of 'nobody'" in run("drl", "standing", "one", "nobody").stderr


LISTS = [
    (("compare", "levels", "--procedure", "ct-head"), "verdict"),
    (("compare", "changes"), "changed in week of"),
    (("variation", "fold", "--procedure", "ct-head"), "fold"),
    (("compare", "league", "--procedure", "ct-head"), "place"),
    (("compare", "funnel", "--all"), "signal"),
    (("compare", "before-after", "2025-01-01", "--procedure", "ct-head"), "ratio"),
    (("variation", "components", "--procedure", "ct-head", "--patient-group", "adult"), "share"),
    (("variation", "drivers", "--procedure", "ct-chest"), "explained"),
    (("variation", "practice"), "habit"),
]
EVERY_LIST = [pytest.param(*one, marks=[pytest.mark.nightly] * (i > 2)) for i, one in enumerate(LISTS)]


@pytest.mark.parametrize(("command", "column"), EVERY_LIST)
def test_comparison_and_variation_print_lists(run: Run, mart: Path, command: tuple[str, ...], column: str) -> None:
    done = run(*command, "--mart", str(mart), "--format", "csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert rows[0][column] is not None


def test_pictures_are_drawn_beside_the_list(run: Run, mart: Path, tmp_path: Path) -> None:
    command = ("compare", "funnel", "--mart", str(mart), "--procedure", "ct-head", "--all", "--format", "csv")
    alone, drawn = run(*command), run(*command, "--output", "funnel.html")
    assert drawn.stdout == alone.stdout
    assert str(tmp_path / "funnel.html") in drawn.stderr
    page = (tmp_path / "funnel.html").read_text()
    peers = {
        (row["procedure"], row["patient_group"], row["quantity"], row["phantom_cm"])
        for row in csv.DictReader(drawn.stdout.splitlines())
    }
    assert page.count('<svg class="chart funnel"') == len(peers) > 0
    changes = run("compare", "changes", "--mart", str(mart), "--format", "csv", "--output", "changes.html")
    assert changes.returncode == 0, changes.stderr
    series = len(list(csv.DictReader(changes.stdout.splitlines())))
    assert (tmp_path / "changes.html").read_text().count('<svg class="chart control"') == series
    for place, said in ((".", "is a folder"), ("nowhere/page.html", "is missing")):
        refused = run("compare", "changes", "--mart", str(mart), "--output", place)
        assert refused.returncode == 3
        assert said in refused.stderr


def test_lists_say_which_dose_values_they_count_and_what_corrected_ones_rest_on(run: Run, mart: Path) -> None:
    command = ("compare", "levels", "--mart", str(mart), "--procedure", "ct-head", "--format", "csv")
    corrected, stated = run(*command, "--dose-values", "corrected"), run(*command)
    assert {row["dose_values"] for row in csv.DictReader(corrected.stdout.splitlines())} == {"corrected"}
    assert {row["dose_values"] for row in csv.DictReader(stated.stdout.splitlines())} == {"stated"}
    # This mart came without corrections, so that there is nothing to correct and no uncertainty to tell of.
    assert "By certificates: 0 exams" in corrected.stderr
    assert "no uncertainty known: 0." not in corrected.stderr
    assert "as the devices state them" in stated.stderr


def test_a_population_dose_is_printed_with_what_is_missing(run: Run, mart: Path, tmp_path: Path) -> None:
    header = "procedure,modality,annual_number,effective_dose_msv"
    (tmp_path / "sheet.csv").write_text(f"{header}\nct-head,CT,40000,2\ndx-hand,radiography,90000,\n")
    done = run("population", "sheet.csv", "--population", "1000000", "--mart", str(mart), "--format", "jsonl")
    everything = json.loads(done.stdout.splitlines()[0])
    assert everything["collective man Sv"] == pytest.approx(80)
    assert "dx-hand" in done.stderr


def test_a_finding_is_opened_followed_and_closed_from_the_command_line(run: Run, mart: Path) -> None:
    exams = pq.read_table(mart / "exams" / "all.parquet", columns=["facility", "procedure"])
    heads = [row["facility"] for row in exams.to_pylist() if row["procedure"] == "ct-head"]
    unit, registry = max(set(heads), key=heads.count), ("--mart", str(mart))
    what = ("--unit", unit, "--procedure", "ct-head", "--quantity", "dlp_mgy_cm", "--by", "a physicist", *registry)
    without_phantom = run("findings", "open", "above the level", *what)
    assert without_phantom.returncode == 2
    assert "16 or 32 cm" in without_phantom.stderr
    nobody = run("findings", "open", "above the level", "--phantom-cm", "16", *what, "--unit", "nobody")
    assert nobody.returncode == 2
    opened = run("findings", "open", "above the level", "--phantom-cm", "16", *what)
    finding = opened.stdout.strip()
    assert opened.returncode == 0, opened.stderr
    early = run("findings", "close", finding, "dose moved", "yes")
    assert early.returncode == 3
    assert "no action yet" in early.stderr
    for step in (("assign", "physicist"), ("cause", "protocol", "long scans"), ("action", "shorter")):
        more = ("--from", "2025-01-01") if step[0] == "action" else ()
        assert run("findings", step[0], finding, *step[1:], *more).returncode == 0
    shown = run("findings", "show", finding, *registry, "--format", "csv")
    assert "median_before" in shown.stdout
    closed = run("findings", "close", finding, "dose moved", "yes", *registry)
    assert closed.returncode == 0
    assert "do not bear this out: no change shown" in closed.stderr.replace("\n", " ")
    (row,) = [json.loads(line) for line in run("findings", "list", "--format", "jsonl").stdout.splitlines()]
    assert (row["finding"], row["status"], row["outcome"]) == (finding, "closed", "dose moved")
    history = run("findings", "show", finding, "--format", "csv").stdout
    assert "no change shown" in history
    assert [line.split(",")[2] for line in history.splitlines()[1:]] == [
        "opened",
        "assigned",
        "cause",
        "action",
        "closed",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("drl", "compute", "--method", "utopia"),
        ("drl", "compute", "--mart", "."),
        ("compare", "levels", "--procedure", "ct-hed"),
        ("variation", "components", "--quantity", "dose"),
        ("findings", "show", "none"),
    ],
)
def test_what_is_not_known_is_said_in_a_sentence(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode in (2, 3)
    assert done.stderr.strip()
