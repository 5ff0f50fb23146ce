from __future__ import annotations

import pytest

from doseatlas.standardise.words import _adult_words, is_for_adults, plain_words, role_by_name, scan_roles


def test_words_are_plain() -> None:
    assert plain_words("Crâne_sans-injection 5mm (DOROŚLI)") == ("crane", "sans", "injection", "mm", "dorosli")


@pytest.mark.parametrize(
    "name",
    [
        "Thorax (Adult)",
        "ThoraxRoutineAdult",
        "THORAX (ADULTE)",
        "Schädel (Erw)",
        "Schädel Erwachsene",
        "Cráneo (ADULTO)",
        "Głowa (DOROSLY)",
        "Głowa dorośli",
        "HLAVA dospělý",
        "Голова взрослые",
        "Yetişkin toraks",
        "Felnőtt koponya",
    ],
)
def test_a_name_for_adults_is_recognised_in_many_languages(name: str) -> None:
    assert is_for_adults(name)


@pytest.mark.parametrize("name", ["Thorax (Child)", "Abdomen erweitert", "Kopf", "", "12345"])
def test_other_names_are_not_for_adults(name: str) -> None:
    assert not is_for_adults(name)


def test_the_tables_fit_their_schema() -> None:
    whole, begins = _adult_words()
    assert whole
    assert begins
    assert set(scan_roles("code").values()) == {"scan", "localiser", "stationary"}
    assert all(plain_words(word) == (word,) for word in scan_roles("word"))


def test_a_protocol_name_tells_localisers_and_bolus_tracking() -> None:
    assert role_by_name("1.1 SCOUT AP") == "localiser"
    assert role_by_name("SmartPrep") == "tracking"
    assert role_by_name("ThorMonitoring") == "tracking"
    assert role_by_name("Thorax") is None
