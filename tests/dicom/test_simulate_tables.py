"""Every row of the simulator's tables fits its schema and its neighbours."""

from __future__ import annotations

import math

import pytest

from doseatlas.dicom.simulate import tables
from doseatlas.model import TableError


def test_shares_of_each_class_of_device_add_up_to_one() -> None:
    for device_class in tables.DEVICE_CLASSES:
        shares = [p.share for p in tables.protocols().values() if p.device_class == device_class]
        assert sum(shares) == pytest.approx(1)


def test_every_procedure_has_typical_values_of_the_quantities_its_kind_needs() -> None:
    needed = {"ct": {"CTDIvol", "DLP"}, "mammography": {"DG"}, "nuclear": {"Administered activity"}}
    for protocol in tables.protocols().values():
        for name in protocol.views or (protocol.procedure,):
            quantities = set(tables.typical_values()[name, "adult"])
            assert quantities >= needed.get(protocol.device_class, set())
            if protocol.device_class not in needed:
                assert quantities & {"PKA", "Ka,r"}


def test_every_procedure_has_a_name_in_every_language() -> None:
    languages = {place.language for place in tables.places()}
    assert languages == set(tables.age_words())
    for procedure in tables.protocols():
        assert all(tables.names()[procedure, language] for language in languages)


def test_names_name_only_known_procedures() -> None:
    assert {procedure for procedure, _ in tables.names()} == set(tables.protocols())


def test_typical_values_are_positive_and_ct_has_a_phantom() -> None:
    for quantities in tables.typical_values().values():
        for value in quantities.values():
            assert value.median > 0
            assert 1 < value.gsd < 3
            assert (value.phantom_cm in (16, 32)) == (value.quantity in ("CTDIvol", "DLP"))


def test_a_published_75th_percentile_is_the_75th_percentile_of_the_distribution() -> None:
    value = tables.typical_values()["ct-chest", "adult"]["CTDIvol"]
    assert value.median * math.exp(0.6745 * math.log(value.gsd)) == pytest.approx(8.5, rel=1e-3)


def test_every_class_of_device_has_a_model_of_at_least_two_makers() -> None:
    for device_class in tables.DEVICE_CLASSES:
        makers = {model.dialect for model in tables.models() if model.device_class == device_class}
        assert len(makers) >= 2


def test_meanings_of_concepts_are_unique_in_each_language_and_fit_the_standard() -> None:
    # The standard itself has two concepts of this meaning: of a CT scan (113806) and of an X-ray event (113611).
    known = [concept for key, concept in tables.concepts().items() if key != "stationary-ct"]
    assert len({concept.meaning for concept in known}) == len({concept.meaning_fr for concept in known}) == len(known)
    assert all(len(text) <= 64 for concept in known for text in (concept.meaning, concept.meaning_fr))
    assert all(len(concept.value) <= 16 and len(concept.old_value) <= 16 for concept in known)


def test_facilities_and_faults_are_named_once() -> None:
    assert len({place.facility for place in tables.places()}) == len(tables.places()) == 36
    assert all(0 < fault.rate < 1 and fault.meaning for fault in tables.faults().values())


def test_nuclear_procedures_have_an_agent() -> None:
    nuclear = {p.procedure for p in tables.protocols().values() if p.device_class == "nuclear"}
    assert nuclear == set(tables.agents())
    for agent in tables.agents().values():
        assert {agent.agent, agent.radionuclide} <= set(tables.concepts())


def test_a_table_with_another_header_or_an_unfit_row_is_refused() -> None:
    with pytest.raises(TableError, match=r"faults\.csv: the columns are"):
        tables._read("faults", ("fault",), lambda row: row)
    columns = ("fault", "rate", "applies_to", "meaning", "source")
    with pytest.raises(TableError, match=r"faults\.csv, line 2"):
        tables._read("faults", columns, lambda row: int(row["meaning"]))
