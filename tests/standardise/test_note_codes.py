from __future__ import annotations

import csv
from importlib.resources import files


def test_every_code_that_standardising_gives_is_documented() -> None:
    table = files("doseatlas.reference") / "data" / "note_codes.csv"
    rows = {row["code"]: row for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())}
    for code in (
        "merged",
        "replaced",
        "superseded",
        "reports-overlap",
        "total-incomplete",
        "total-largest",
        "phantoms-mixed",
        "patient-differs",
        "devices-differ",
        "implausible-dose",
        "implausible-age",
        "implausible-height",
        "implausible-weight",
    ):
        assert rows[code]["room"] == "standardise"
        assert rows[code]["meaning"]
