"""A computation tells what it is made of, and gives the same figures again from the same data."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from doseatlas.analysis import Selection
from doseatlas.analysis.areas import load_places
from doseatlas.analysis.drl import (
    Computed,
    Draws,
    Request,
    compute_levels,
    data_version,
    load_run,
    peer_standing,
    pooled,
    save_computed,
)
from doseatlas.model import StoreError, TableError
from doseatlas.reference import drl_method, load_drl_csv


def facilities(count: int, *, country: str = "", each: int = 25, seed: int = 1, **more: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "facility": f"{country} {number:02}",
            "device": "CT",
            "procedure": "ct-chest",
            "patient_group": "adult",
            "phantom_cm": 32,
            "dlp_mgy_cm": round(float(np.exp(rng.normal(5.5 + 0.03 * number, 0.4))), 1),
            **more,
        }
        for number in range(count)
        for _ in range(each)
    ]


Write = Callable[..., Path]
Run = Callable[..., Computed]


def test_the_same_data_give_the_same_run_wherever_and_whatever_the_files_are(
    registry: Write, computed: Run, tmp_path: Path
) -> None:
    root = registry({"": facilities(22)})
    first = computed(root, "icrp-135-national").run
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)
    for number, path in enumerate(sorted(moved.rglob("*.parquet"))):
        path.rename(path.with_name(f"z{99 - number}.parquet"))
    assert msgspec.json.encode(computed(moved, "icrp-135-national").run) == msgspec.json.encode(first)


def test_another_dose_is_another_version(registry: Write) -> None:
    rows = facilities(3)
    before = data_version(registry({"": rows}))
    assert data_version(registry({"": rows})) == before
    assert data_version(registry({"": [*rows[:-1], {**rows[-1], "dlp_mgy_cm": 1.0}]})).digest != before.digest


@pytest.mark.parametrize("method", ["icrp-135-national", "japan-2025", "ncrp-172", "belgium-nuclear-medicine"])
@pytest.mark.parametrize("dose", [math.nan, math.inf])
def test_a_dose_that_is_no_number_moves_no_level_and_is_told_as_implausible(
    registry: Write, computed: Run, dose: float, method: str
) -> None:
    sound = facilities(22, weight_kg=60.0)
    run = computed(registry({"": sound}), method).run
    # As many as would move a median, if they were taken for large doses.
    spoilt = [{**row, "dlp_mgy_cm": dose, "ctdi_vol_mgy": 5.0} for row in sound[::2]]
    other = computed(registry({"": [*sound, *spoilt]}), method).run
    assert other.levels == run.levels
    (counts,), (before,) = other.exams, run.exams
    assert (counts.exams, counts.implausible) == (before.exams + len(spoilt), len(spoilt))
    assert counts.counted == before.counted


def test_exams_that_do_not_count_are_told_by_the_first_reason(registry: Write, computed: Run) -> None:
    sound = facilities(22)
    out = [
        {**sound[0], "plausible": False, "procedure": None},
        {**sound[0], "plausible": None},
        {**sound[0], "procedure": None, "patient_group": None},
        {**sound[0], "patient_group": None},
        {**sound[0], "dlp_mgy_cm": None},
    ]
    run = computed(registry({"": [*sound, *out]}), "icrp-135-national").run
    assert run.levels == computed(registry({"": sound}), "icrp-135-national").run.levels
    (counts,) = run.exams
    assert (counts.implausible, counts.unmapped, counts.without_group, counts.without_dose) == (2, 1, 1, 1)
    assert counts.counted == len(sound)


def test_a_run_and_its_levels_are_read_back(registry: Write, computed: Run, tmp_path: Path) -> None:
    found = computed(registry({"": facilities(22)}), "icrp-135-national")
    paths = {path.name: path for path in save_computed(found, tmp_path / "out", year=2026)}
    assert set(paths) == {"run.json", "levels.csv", "units.parquet"}
    assert load_run(paths["run.json"]) == found.run
    (row,) = load_drl_csv(paths["levels.csv"]).rows
    (level,) = found.run.levels
    assert (row.procedure, row.patient_group, row.quantity, row.phantom_cm) == ("ct-chest", "adult", "dlp_mgy_cm", 32)
    assert row.value == level.value
    assert row.achievable == level.guides[0].value
    assert found.run.data.digest in row.source


def test_a_facility_sees_where_it_stands_among_its_peers(registry: Write, computed: Run, tmp_path: Path) -> None:
    rows = facilities(22) + facilities(1, country="few", each=5)
    found = computed(registry({"": rows}), "icrp-135-national")
    save_computed(found, tmp_path / "out", year=2026)
    medians = sorted(
        float(np.median([row["dlp_mgy_cm"] for row in rows if row["facility"] == f" {i:02}"])) for i in range(22)
    )
    own = float(np.median([row["dlp_mgy_cm"] for row in rows if row["facility"] == " 07"]))
    (one,) = peer_standing(tmp_path / "out", " 07")
    assert (one.value, one.peers, one.place) == (own, 22, medians.index(own) + 1)
    assert [one.p25, one.median, one.p75] == pytest.approx(list(np.quantile(medians, [0.25, 0.5, 0.75])))
    assert one.p75 == pytest.approx(found.run.levels[0].percentile_value)
    assert peer_standing(tmp_path / "out", "few 00") == peer_standing(tmp_path / "out", "nobody") == ()
    with pytest.raises(TableError, match=r"units\.parquet is not there"):
        peer_standing(tmp_path, "A")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"method": 1}')
    with pytest.raises(TableError, match="is no computation of reference levels"):
        load_run(tmp_path / "run.json")
    with pytest.raises(TableError, match="cannot be read"):
        load_run(tmp_path / "absent.json")


def test_too_few_facilities_have_a_percentile_but_no_level(registry: Write, computed: Run) -> None:
    (level,) = computed(registry({"": facilities(19)}), "icrp-135-national").run.levels
    assert (level.value, level.status, level.units, level.min_units) == (None, "too few units", 19, 20)
    assert level.percentile_value is not None


def test_where_no_facility_counts_there_is_no_percentile_of_those_left_out(registry: Write, computed: Run) -> None:
    (level,) = computed(registry({"": facilities(7, each=5)}), "icrp-135-national").run.levels
    assert (level.value, level.status, level.units, level.patients) == (None, "too few units", 0, 0)
    assert (level.percentile_value, level.low, level.high, level.guides) == (None, None, None, ())
    assert [(one.patients, one.reason) for one in level.left_out] == [(5, "fewer than 20 patients")] * 7


def test_areas_whose_names_differ_in_signs_only_have_a_file_each(
    registry: Write, computed: Run, tmp_path: Path
) -> None:
    by_country = {name: facilities(20, country=name, seed=seed) for seed, name in enumerate(("A B", "A-B", "C"))}
    found = computed(registry(by_country), "icrp-135-national")
    sets = [load_drl_csv(path) for path in save_computed(found, tmp_path, year=2026) if path.suffix == ".csv"]
    assert {level.value for level in found.run.levels} == {row.value for one in sets for row in one.rows}
    assert len({one.id for one in sets}) == len(sets) == 3


def test_phantoms_are_never_pooled(registry: Write, computed: Run) -> None:
    rows = facilities(20) + facilities(20, seed=2, phantom_cm=16) + facilities(20, seed=3, phantom_cm=None)
    levels = computed(registry({"": rows}), "icrp-135-national").run.levels
    assert [level.phantom_cm for level in levels] == [None, 16, 32]
    assert {level.patients for level in levels} == {500}


def test_the_exams_that_do_not_count_are_counted_by_reason(registry: Write, computed: Run) -> None:
    bad: list[dict[str, Any]] = [
        {"plausible": False},
        {"procedure": None},
        {"patient_group": None},
        {"dlp_mgy_cm": None},
        {"weight_kg": 95.0},
        {"weight_kg": None},
    ]
    good = facilities(12, each=10, weight_kg=60.0)
    rows = [*good, *({**good[0], **one} for one in bad)]
    (count,) = computed(registry({"": rows}), "japan-2025").run.exams
    assert (count.exams, count.counted) == (126, 120)
    assert (count.implausible, count.unmapped, count.without_group) == (1, 1, 1)
    assert (count.without_dose, count.outside_weight) == (1, 2)


def test_a_level_that_moves_little_is_kept_where_the_method_says_so(
    registry: Write, computed: Run, levels: Callable[..., Any]
) -> None:
    # The published case: p75 922 MBq, and the level of 1100 stays.
    rows = facilities(12, each=10, procedure="ct-head", phantom_cm=16, weight_kg=60.0)
    for row in rows:
        row["dlp_mgy_cm"] = 922.0
    root = registry({"": rows})
    (kept,) = computed(root, "japan-2025", previous=levels(dlp_mgy_cm=(1100.0, 16))).run.levels
    assert (kept.value, kept.percentile_value, kept.status, kept.previous) == (1100.0, 922.0, "kept", 1100.0)
    (moved,) = computed(root, "japan-2025", previous=levels(dlp_mgy_cm=(1300.0, 16))).run.levels
    assert (moved.value, moved.status, moved.previous) == (922.0, "set", 1300.0)
    (other,) = computed(root, "austria-mean-of-10", previous=levels(dlp_mgy_cm=(1100.0, 16))).run.levels
    assert other.value == pytest.approx(922.0)


def test_countries_come_from_folders_or_from_a_sheet_of_places(registry: Write, computed: Run, tmp_path: Path) -> None:
    by_country = {name: facilities(20, country=name, seed=seed) for seed, name in enumerate(("Utopia", "Erewhon"))}
    by_folder = computed(registry(by_country), "icrp-135-national").run
    sheet = tmp_path / "places.csv"
    lines = [f"{row['facility']},{name},North" for name, rows in by_country.items() for row in rows[::25]]
    sheet.write_text("\n".join(("facility,country,region", *lines)) + "\n")
    root = registry({"": [row for rows in by_country.values() for row in rows]})
    places = load_places(sheet)
    by_sheet = computed(root, "icrp-135-national", places=places).run
    assert {level.area for level in by_folder.levels} == {"Erewhon", "Utopia"}
    assert by_sheet.levels == by_folder.levels
    assert by_sheet.places_digest == places.digest
    (region,) = computed(root, "icrp-135-regional-sample", places=places).run.levels
    assert (region.area, region.units) == ("North", 40)
    with pytest.raises(TableError, match=r"pooled over Erewhon, Utopia"):
        computed(root, "ncrp-172", places=places)


def test_a_facility_beside_folders_of_countries_is_not_overlooked(registry: Write, computed: Run) -> None:
    root = registry({"Utopia": facilities(2)})
    stray = root / "exams" / "facility=9"
    shutil.copytree(next((root / "exams" / "country=Utopia").iterdir()), stray)
    with pytest.raises(StoreError, match=r"facility=9 lies beside folders of countries"):
        computed(root, "icrp-135-national")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hospital,country\nA,B\n", "missing columns facility"),
        ("facility,country\nA,B\nA,C\n", "line 3, column facility: 'A' is empty or stands twice"),
    ],
)
def test_a_wrong_sheet_of_places_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "places.csv").write_text(text)
    with pytest.raises(TableError, match=message):
        load_places(tmp_path / "places.csv")


def test_a_region_of_too_few_countries_says_which_have_no_level(registry: Write, computed: Run) -> None:
    by_country = {name: facilities(20, country=name, seed=seed) for seed, name in enumerate(("A", "B", "C"))}
    by_country["D"] = facilities(3, country="D")
    (level,) = computed(registry(by_country), "icrp-135-regional-medians").run.levels
    assert (level.units, level.status) == (3, "set")
    assert [(one.unit, one.reason) for one in level.left_out] == [("D", "3 of 20 units needed")]


def test_a_region_without_any_national_level_says_which_countries_have_none(registry: Write, computed: Run) -> None:
    by_country = {name: facilities(3, country=name, seed=seed) for seed, name in enumerate(("A", "B"))}
    (level,) = computed(registry(by_country), "icrp-135-regional-medians").run.levels
    assert (level.value, level.units, level.status) == (None, 0, "too few units")
    assert [(one.unit, one.reason) for one in level.left_out] == [(name, "3 of 20 units needed") for name in "AB"]


def test_pooling_patients_and_taking_centres_differ_on_the_same_exams(registry: Write, computed: Run) -> None:
    # A large centre with high doses pulls pooled patients up, and is one of many in the other method.
    rows = facilities(8, each=20, procedure="xa-coronary-angiography", patient_group="child-weight-5-15")
    for row in rows:
        row["kap_gy_cm2"], row["dlp_mgy_cm"], row["phantom_cm"] = row["dlp_mgy_cm"] / 100, None, None
    large = [{**row, "facility": "large", "kap_gy_cm2": 9.0 + 0.01 * i} for i, row in enumerate(rows * 2)]
    root = registry({"": rows + large})
    (pooled,) = computed(root, "opripalc-pooled").run.levels
    (centres,) = computed(root, "opripalc-centres").run.levels
    assert pooled.percentile_value is not None
    assert centres.percentile_value is not None
    assert pooled.percentile_value == pytest.approx(np.quantile([r["kap_gy_cm2"] for r in rows + large], 0.75))
    assert pooled.percentile_value > 1.5 * centres.percentile_value
    assert pooled.low is not None
    assert pooled.high is not None
    assert pooled.low < pooled.percentile_value < pooled.high


def test_a_selection_limits_the_exams(registry: Write) -> None:
    root = registry({"": facilities(2)})
    request = Request(drl_method("icrp-135-national"), selection=Selection(facility=" 00"), draws=Draws(100, 1))
    (level,) = compute_levels(root, request, data=data_version(root), code_version="test").run.levels
    assert level.units == 1


def test_an_empty_registry_has_no_levels(tmp_path: Path, computed: Run) -> None:
    for name in ("icrp-135-national", "ncrp-172", "icrp-135-regional-medians"):
        assert computed(tmp_path, name).run.levels == ()


def test_levels_of_corrected_doses_are_those_of_the_doses_corrected_and_say_so(registry: Write, tmp_path: Path) -> None:
    rows = facilities(22)
    calibrated = [{**row, "dlp_corrected_mgy_cm": 2 * row["dlp_mgy_cm"], "calibration": "one"} for row in rows]
    doubled = [{**row, "dlp_mgy_cm": 2 * row["dlp_mgy_cm"]} for row in rows]
    for method in ("icrp-135-national", "ncrp-172"):
        request = Request(drl_method(method), draws=Draws(100, 1))
        corrected, wanted = (
            compute_levels(root, asked, data=data_version(root), code_version="test")
            for root, asked in (
                (registry({"": calibrated}), request._replace(dose_values="corrected")),
                (registry({"": doubled}), request),
            )
        )
        assert corrected.run.levels == wanted.run.levels
        assert (corrected.run.dose_values, wanted.run.dose_values) == ("corrected", "stated")
        save_computed(corrected, tmp_path, year=2026)
        assert "corrected dose values" in (tmp_path / "levels.csv").read_text()


def test_rules_written_down_from_memory_are_named_in_the_run_and_in_its_set(
    registry: Write, computed: Run, tmp_path: Path
) -> None:
    root = registry({"": facilities(22)})
    assert computed(root, "icrp-135-national").run.unverified == ()
    recalled = computed(root, "ncrp-172")
    assert [source.split(" (")[0] for source in recalled.run.unverified] == ["NCRP Report 172"]
    save_computed(recalled, tmp_path, year=2026)
    assert "the method's rule was not verified against its document" in (tmp_path / "levels.csv").read_text()


def test_pooled_patients_of_more_groups_than_fit_into_the_memory_give_the_same_levels(
    registry: Write, computed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {**row, "procedure": procedure, "patient_group": group}
        for procedure in ("ct-chest", "ct-head")
        for group in ("adult", "child-age-1-6y")
        for row in facilities(12, seed=len(procedure + group))
    ]
    root = registry({"A": rows[::2], "B": rows[1::2]})
    at_once = computed(root, "opripalc-pooled").run.levels + computed(root, "ncrp-172").run.levels
    assert len(at_once) > 4
    monkeypatch.setattr(pooled, "MOST_EXAMS", 200)
    assert computed(root, "opripalc-pooled").run.levels + computed(root, "ncrp-172").run.levels == at_once


def test_a_regional_curve_is_of_the_children_of_all_countries_whose_facilities_are_read_country_by_country(
    registry: Write, computed: Run
) -> None:
    rng = np.random.default_rng(4)
    children = [
        {
            **row,
            "patient_group": "child-weight-15-30",
            "weight_kg": weight,
            "dlp_mgy_cm": 50 * float(np.exp(0.03 * weight)),
        }
        for row in facilities(8, each=12)
        for weight in [float(rng.uniform(15, 30))]
    ]
    half = len(children) // 2
    together = computed(registry({"": children}), "icrp-135-regional-sample").run
    apart = computed(registry({"A": children[:half], "B": children[half:]}), "icrp-135-regional-sample").run
    (curve,) = {curve.percentile: curve for curve in apart.curves if curve.percentile == 75}.values()
    assert (curve.area, curve.facilities, curve.patients) == ("all", 8, 96)
    assert [curve.a, curve.b] == pytest.approx([50, 0.03], rel=1e-6)
    assert apart.curves == together.curves
    assert apart.levels == together.levels
