"""Which SOP classes are spoken, and what their objects are."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from doseatlas.model import TableError
from doseatlas.network import sop_classes, transfer_syntaxes
from doseatlas.network.spoken import Group

DOSE_REPORT, TEXT_REPORT, SCREEN, IMAGE, VERIFICATION = (
    "1.2.840.10008.5.1.4.1.1.88.67",
    "1.2.840.10008.5.1.4.1.1.88.11",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.1.1",
)
JPEG, DEFLATED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1.99"


def test_each_class_has_its_group() -> None:
    groups = [sop_classes()[uid].group for uid in (DOSE_REPORT, TEXT_REPORT, SCREEN, IMAGE, VERIFICATION)]
    assert groups == ["dose-report", "report", "screen", "image", ""]
    assert {one.group for one in sop_classes().values()} == set(get_args(Group))


def test_images_come_compressed_and_reports_deflated_at_most() -> None:
    assert JPEG in transfer_syntaxes(IMAGE)
    assert JPEG in transfer_syntaxes(SCREEN)
    assert JPEG not in transfer_syntaxes(DOSE_REPORT)
    assert DEFLATED in transfer_syntaxes(TEXT_REPORT)
    assert DEFLATED not in transfer_syntaxes(VERIFICATION)
    assert transfer_syntaxes("1.2.3") == {}


@pytest.mark.parametrize(
    "rows",
    [
        "1.2.3,x,storage,,PS3.4\n",
        "1.2.3,x,verification,image,PS3.4\n",
        "1.2.3,x,storage,picture,PS3.4\n",
        "1.2.3,x,storage,image,\n",
        "1.2.3,x,storage,image,PS3.4\n" * 2,
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str) -> None:
    (tmp_path / "sop_classes.csv").write_text("uid,name,service,group,source\n" + rows)
    monkeypatch.setattr("doseatlas.network.spoken.TABLES", tmp_path)
    with pytest.raises(TableError, match=r"line [23]: the row of 1\.2\.3"):
        sop_classes.__wrapped__()
