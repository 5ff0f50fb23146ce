"""What a CSV states, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from doseatlas.context import read_sheet
from doseatlas.context.sheet import SheetError
from doseatlas.settings import Settings
from doseatlas.store import ContextValues, Store


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder / "context.csv"
    file.write_bytes(text.encode(encoding))
    return file


def test_rows_name_exams_and_columns_name_units(tmp_path: Path) -> None:
    text = "\ufeffaccession_number;height_m;weight_lb;procedure;remark\r\nA0;1.7;154;CT Schädel;x\r\nA1;;;;\r\n"
    (one,) = read_sheet(write(tmp_path, text))
    assert one.accession_number == "A0"
    assert one.values == ContextValues(height_cm=170, weight_kg=69.8532, procedure="CT Schädel")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "needs a column 'accession_number'"),
        ("patient,weight_kg\n1,70\n", "needs a column 'accession_number'"),
        ("accession_number,weight\nA0,70\n", "column 'weight' whose unit is not known"),
        ("accession_number,weight_stone\nA0,11\n", "whose unit is not known; write one of weight_kg"),
        ("accession_number,weight_kg,weight_lb\nA0,70,1\n", "two columns"),
        ("accession_number,age\nA0,70\n", "no column with a height"),
        ("accession_number,weight_kg\nA0,70\n,71\n", "line 3: it names no exam"),
        ("accession_number;weight_kg\nA0;70,5\n", "line 2: the weight is no plain number with a decimal point"),
        ("accession_number,height_cm\nA0,1.7\n", "line 2: the height in its unit is out of what patients have"),
        ("accession_number,height_cm\nA0,170\nA0,171\n", "line 3: it names the same exam as line 2"),
        ("accession_number,height_cm\nA0,170,9\n", "line 2: the number of columns"),
        ("accession_number,height_cm\nA0\n", "line 2: the number of columns"),
        ("study_instance_uid,height_cm\n1.2.x,170\n", "line 2: the study UID is none"),
        (f"accession_number,height_cm\n{'A' * 65},170\n", "more than 64 characters"),
        (f"accession_number,procedure\nA0,{'x' * 5000}\n", "more than 4000 characters"),
        ('accession_number,procedure\nA0,"x"y\n', "is not CSV"),
        ("accession_number,height_cm\n" + "A0,1\n" * 12, "line 2: .*; and 2 more lines. Nothing was taken"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SheetError, match=says):
        read_sheet(write(tmp_path, text))


def test_another_encoding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="Save it as 'CSV UTF-8'"):
        read_sheet(write(tmp_path, "accession_number,procedure\nA0,Schädel\n", "latin-1"))


def test_the_command_previews_takes_lists_and_undoes(
    store: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from doseatlas.cli.app import app

    monkeypatch.setenv("DOSEATLAS_DATA_DIR", settings.data_dir)
    monkeypatch.setenv("DOSEATLAS_IDENTITY", settings.identity)
    file = str(write(tmp_path, "accession_number,weight_kg\nA0,81\nA2,90\nA9,50\n"))
    before = list(store.exams())

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["context", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert '"field":"weight_kg","after":"81"' in run("preview", file, "--format", "jsonl")
    assert list(store.exams()) == before
    assert "3 statements taken as batch csv-" in " ".join(run("import", file).split())
    assert [exam.patient.weight_kg for exam in store.exams()] == [81, None, 70]
    batch = run("list", "--format", "csv").splitlines()[1].split(",")[0]
    run("undo", batch)
    assert list(store.exams()) == before
    assert run("list", "--format", "csv").splitlines()[1].endswith(",3,undone")
