"""The options of commands of analysis that say which exams are meant."""

from __future__ import annotations

import pytest
import typer

from doseatlas.cli.selected import known
from doseatlas.reference import patient_groups, procedures


def test_an_id_of_the_reference_tables_is_taken() -> None:
    assert known("ct-head", procedures()) == "ct-head"
    assert known("adult", patient_groups()) == "adult"


def test_an_id_that_is_not_known_is_wrong_usage_and_likely_ones_are_named() -> None:
    with pytest.raises(typer.BadParameter, match="'ct-hed' is not known: ct-head"):
        known("ct-hed", procedures())
