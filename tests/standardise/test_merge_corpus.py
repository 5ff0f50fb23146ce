"""Merging what real objects of one study state."""

from __future__ import annotations

from pathlib import Path

import pytest

from doseatlas.dicom import read_bytes
from doseatlas.model import Exam
from doseatlas.standardise import merge


def read(corpus: Path, *names: str) -> list[Exam]:
    return [read_bytes((corpus / name).read_bytes(), path=name).exam for name in names]


def test_a_study_continued_on_a_second_console_entry_adds_up(corpus: Path) -> None:
    found = read(corpus, "rdsr/CT-RDSR-Siemens-Continued-1.dcm", "rdsr/CT-RDSR-Siemens-Continued-2.dcm")
    merged = merge(found)
    assert merged.totals.dlp_mgy_cm == pytest.approx(60.17 + 56.44)
    assert len(merged.events) == 4
    assert merge(found[::-1]) == merged


def test_one_dose_in_two_files_of_one_instance_uid_counts_once(corpus: Path) -> None:
    names = ("rdsr/CT-RDSR-Philips_Ingenuity.dcm", "rdsr/CT-RDSR-Philips_Ingenuity-same-dose-other-encoding.dcm")
    merged = merge(read(corpus, *names))
    assert merged.totals.dlp_mgy_cm == pytest.approx(802.9)
    assert len(merged.events) == 3
    assert "replaced" not in {note.code for note in merged.notes}


def test_a_mammogram_for_presentation_and_for_processing_is_one_exposure(corpus: Path) -> None:
    names = ("images/MG-Im-GE_Seno_1_ForPresentation.dcm", "images/MG-Im-GE_Seno_1_ForProcessing.dcm")
    merged = merge(read(corpus, *names))
    assert len(merged.events) == 1
    assert merged.totals.agd_left_mgy == pytest.approx(0.547)


def test_two_pet_images_of_one_injection_state_it_once(corpus: Path) -> None:
    found = read(corpus, "images/NM-PetIm-Siemens.dcm", "images/NM-PetIm-Siemens-2.dcm")
    merged = merge(found)
    assert len(merged.events) == 1
    assert merged.totals.administered_activity_mbq == found[0].totals.administered_activity_mbq
