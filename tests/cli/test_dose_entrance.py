"""``doseatlas dose entrance``: the kerma of one exposure by the output of its tube, with the file in the docs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

DOCS = Path(__file__).parents[2] / "docs" / "dosimetry.md"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The file of a tube's output that the documentation gives as an example."""
    examples = DOCS.read_text(encoding="utf-8").split("```toml\n")[1:]
    text = next(one.partition("```")[0] for one in examples if "[tube_output]" in one)
    file = tmp_path / "output.toml"
    file.write_text(text, encoding="utf-8")
    return file


def _values(text: str) -> dict[str, Any]:
    return {row["quantity"]: row["value"] for row in map(json.loads, text.splitlines())}


def test_a_distance_measured_and_a_table_less_thickness_give_one_kerma(run: Run, output: Path) -> None:
    beam = ("dose", "entrance", str(output), "--kv", "70", "--mas", "12.5", "--field", "24x30", "--format", "jsonl")
    direct = run(*beam, "--source-to-skin", "800")
    assert direct.returncode == 0, direct.stderr
    found = _values(direct.stdout)
    assert found["incident_air_kerma_mgy"] == pytest.approx(0.0412 * 12.5 / 0.8**2, rel=1e-3)
    assert 1.2 < found["entrance_surface_air_kerma_mgy"] / found["incident_air_kerma_mgy"] < 1.5
    assert _values(run(*beam, "--source-to-table", "1050", "--thickness", "250").stdout) == found


def test_a_beam_that_was_not_measured_has_no_kerma_and_the_reason_is_said(run: Run, output: Path) -> None:
    beam = ("dose", "entrance", str(output), "--mas", "2", "--source-to-skin", "1550", "--format", "jsonl")
    for wrong in (("--kv", "120"), ("--kv", "75", "--added-cu", "0.2")):
        done = run(*beam, *wrong)
        assert done.returncode == 1
        assert "the output was measured" in _values(done.stdout)["entrance_kerma_method"].lower()


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ("--source-to-table", "1050"),
        ("--source-to-table", "1050", "--thickness", "1050"),
        ("--source-to-skin", "800", "--thickness", "200"),
        ("--source-to-skin", "800", "--field", "24"),
        ("--source-to-skin", "800", "--field", "0x30"),
    ],
)
def test_a_distance_or_field_that_is_not_clear_is_refused(run: Run, output: Path, wrong: tuple[str, ...]) -> None:
    assert run("dose", "entrance", str(output), "--kv", "70", "--mas", "10", *wrong).returncode == 2


def test_a_certificate_of_a_display_is_no_output(run: Run, output: Path) -> None:
    text = output.read_text(encoding="utf-8").replace("tube_output_mgy_per_mas", "kap_gy_cm2", 1)
    output.write_text(text, encoding="utf-8")
    done = run("dose", "entrance", str(output), "--kv", "70", "--mas", "10", "--source-to-skin", "800")
    assert done.returncode == 3
    assert "go together" in done.stderr
