from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from doseatlas.analysis import Selection, mart_table, typical_values
from doseatlas.analysis.drl import Draws, Request, compute_levels, data_version, save_computed
from doseatlas.analysis.population import Frequency, population_dose
from doseatlas.dosimetry import with_dosimetry
from doseatlas.exchange import (
    Accepted,
    ExchangeError,
    LevelsAsked,
    Merged,
    Release,
    ReleaseCell,
    export_nation,
    is_merged,
    load_agreement,
    load_key,
    make_key,
    make_release,
    merged_exams,
    registry_levels,
    submit,
    write_merged,
)
from doseatlas.exchange.disclosure import shown_quantile
from doseatlas.reference import drl_method

from .conftest import LATER, NOW, Site, ct_exams, new_registry, write_mart

Send = Callable[..., Accepted]


def released(registry: Path, until: str = "2025-06", now: dt.datetime = NOW) -> Release:
    return make_release(registry, since="2025-01", until=until, now=now, version="test")


def cell_of(release: Release, procedure: str = "ct-chest", quantity: str = "dlp_mgy_cm") -> ReleaseCell:
    found = [c for c in release.cells if (c.procedure, c.patient_group, c.quantity) == (procedure, "adult", quantity)]
    assert len(found) == 1
    return found[0]


@pytest.fixture
def facilities(tmp_path: Path) -> Callable[..., tuple[Path, list[Site]]]:
    """Make a registry of facilities, each with log-normal chest CTs over the months of 2025's first quarter."""

    def make(count: int, patients: int, seed: int = 1, name: str = "reg") -> tuple[Path, list[Site]]:
        rng = np.random.default_rng(seed)
        sites = []
        for number in range(count):
            level = 400 * np.exp(rng.normal(0, 0.3))
            doses = level * np.exp(rng.normal(0, 0.45, patients))
            months = [f"2025-0{1 + i % 3}" for i in range(patients)]
            table = ct_exams(doses)
            table = table.set_column(table.schema.get_field_index("month"), "month", pa.array(months))
            key = tmp_path / f"{name}-{number}.pem"
            make_key(key)
            sites.append(Site(f"{name}-{number}", key, write_mart(tmp_path / f"{name}-mart-{number}", table)))
        return new_registry(tmp_path / name, [(site.id, site.key) for site in sites]), sites

    return make


def exact_medians(sites: list[Site]) -> list[float]:
    return [float(np.median(doses_of(site))) for site in sites]


def doses_of(site: Site) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Read a site's DLPs from its files, without the analysis."""
    (file,) = site.mart.rglob("*.parquet")
    return np.asarray(pq.read_table(file, columns=["dlp_mgy_cm"])["dlp_mgy_cm"].to_numpy())


@pytest.mark.parametrize(("count", "patients"), [(30, 100), pytest.param(20, 2000, marks=pytest.mark.nightly)])
def test_a_national_drl_from_sketches_alone_is_within_1_percent_of_the_exact_one(
    facilities: Callable[..., tuple[Path, list[Site]]], send: Send, count: int, patients: int
) -> None:
    registry, sites = facilities(count, patients)
    for site in sites:
        send(registry, site)
    cell = cell_of(released(registry))
    assert (cell.facilities, cell.exams) == (count, count * patients)
    assert cell.p75 == pytest.approx(float(np.quantile(exact_medians(sites), 0.75)), rel=0.01)
    pooled = np.concatenate([doses_of(site) for site in sites])
    assert cell.pooled_p75 == pytest.approx(float(np.quantile(pooled, 0.75)), rel=0.01)


def test_exams_and_summaries_of_the_same_facilities_give_the_same_release(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], send: Send
) -> None:
    for number, site in enumerate(sites):
        send(registry, site, kind="exams" if number % 2 else "summaries")
    mixed = released(registry)
    plain = new_registry(tmp_path / "plain", [(site.id, site.key) for site in sites])
    for site in sites:
        send(plain, site)
    shown = [cell for cell in mixed.cells if cell.suppressed is None]
    assert len(shown) > 10
    assert mixed.cells == released(plain).cells
    assert {cell.averaged_over for cell in shown} == {3}


def test_a_release_of_the_same_data_has_the_same_figures(registry: Path, sites: tuple[Site, ...], send: Send) -> None:
    for site in sites:
        send(registry, site)
    first = released(registry)
    assert released(registry, now=LATER).cells == first.cells


def test_a_cell_of_too_few_facilities_shows_nothing(
    facilities: Callable[..., tuple[Path, list[Site]]], send: Send
) -> None:
    registry, sites = facilities(2, 50)
    for site in sites:
        send(registry, site)
    cell = cell_of(released(registry))
    assert cell.suppressed == "fewer than 3 facilities with at least 20 exams"
    assert (cell.facilities, cell.exams, cell.median, cell.p75, cell.pooled_p75) == (None,) * 5


def test_one_facility_that_joins_between_two_releases_is_not_betrayed_by_their_difference(
    facilities: Callable[..., tuple[Path, list[Site]]], send: Send
) -> None:
    registry, sites = facilities(8, 50)
    for site in sites[:4]:
        send(registry, site)
    first = cell_of(released(registry))
    send(registry, sites[4])
    second = cell_of(released(registry))
    assert second.carried_from == 1
    assert (second.facilities, second.exams, second.p75) == (first.facilities, first.exams, first.p75)
    # Three that join together hide each other.
    for site in sites[5:7]:
        send(registry, site)
    third = cell_of(released(registry))
    assert third.carried_from is None
    assert (third.facilities, third.exams) == (7, 350)


def test_a_facility_that_leaves_corrects_or_adds_a_few_exams_is_not_betrayed(
    tmp_path: Path, facilities: Callable[..., tuple[Path, list[Site]]], send: Send
) -> None:
    registry, sites = facilities(5, 50)
    for site in sites:
        send(registry, site)
    released(registry)
    more = pa.concat_tables([mart_table(sites[0].mart).to_pyarrow(), ct_exams([9000.0])])
    send(registry, sites[0]._replace(mart=write_mart(tmp_path / "more", more)), now=LATER)
    assert cell_of(released(registry)).carried_from == 1


def test_a_longer_period_is_compared_with_the_shorter_one_too(
    facilities: Callable[..., tuple[Path, list[Site]]], send: Send
) -> None:
    registry, sites = facilities(5, 60)
    for number, site in enumerate(sites):
        send(registry, site, until="2025-03" if number == 0 else "2025-02")
    assert cell_of(released(registry, until="2025-02")).suppressed is None
    # Only one facility has March: the difference of the two periods would be its exams.
    cell = cell_of(released(registry, until="2025-03"))
    assert cell.suppressed == "its difference to an earlier release would show too few facilities or exams"
    assert cell.median is None


def test_what_is_public_names_no_facility(registry: Path, sites: tuple[Site, ...], send: Send) -> None:
    for site in sites:
        send(registry, site)
    released(registry)
    public = registry / "releases" / "1" / "public"
    assert sorted(file.name for file in public.iterdir()) == ["release.csv", "release.json"]
    for file in public.iterdir():
        assert "site-" not in file.read_text()


def test_nations_hand_their_registries_to_the_world_under_codes_and_the_world_finds_the_same_medians(
    tmp_path: Path, facilities: Callable[..., tuple[Path, list[Site]]], send: Send
) -> None:
    nations = []
    everyone: list[Site] = []
    for number, name in enumerate(("AA", "BB", "CC")):
        registry, sites = facilities(6, 40, seed=number, name=f"{name}-registry")
        for site in sites:
            send(registry, site, kind="exams" if number == 0 else "summaries")
        key = tmp_path / f"{name}.pem"
        make_key(key)
        nations.append((f"{name}-nation", key, registry))
        everyone += sites
    world = new_registry(tmp_path / "world", [(name, key) for name, key, _ in nations], sends="many")
    for name, key, registry in nations:
        path = tmp_path / f"{name}.zip"
        asked: dict[str, Any] = {"since": "2025-01", "until": "2025-06", "now": NOW, "version": "test"}
        export_nation(registry, path, sender=name, agreement=load_agreement(world), key=load_key(key), **asked)
        assert b"registry-0" not in path.read_bytes()
        submit(world, path, NOW)
    cell = cell_of(released(world))
    medians = exact_medians(everyone)
    assert (cell.facilities, cell.countries, cell.exams, cell.averaged_over) == (18, 3, 720, 3)
    assert cell.p75 == shown_quantile(medians, 0.75)
    national = [shown_quantile(medians[i : i + 6], 0.75) or 0.0 for i in (0, 6, 12)]
    assert cell.regional == pytest.approx(float(np.median(national)))


def test_what_three_facilities_release_is_no_facilitys_figure(
    facilities: Callable[..., tuple[Path, list[Site]]], send: Send
) -> None:
    registry, sites = facilities(3, 50)
    for site in sites:
        send(registry, site)
    cell = cell_of(released(registry))
    medians = exact_medians(sites)
    assert (cell.facilities, cell.exams) == (3, 150)
    assert (cell.p25, cell.p75, cell.pooled_p75) == (None, None, None)
    assert cell.median == pytest.approx(float(np.mean(medians)), rel=0.005)
    assert all(abs((cell.median or 0.0) / one - 1) > 0.01 for one in medians)


def test_a_pooled_percentile_that_is_nearly_one_facilitys_is_not_shown(
    facilities: Callable[..., tuple[Path, list[Site]]], send: Send, tmp_path: Path
) -> None:
    registry, sites = facilities(7, 50)
    for site in sites[1:]:
        send(registry, site)
    assert cell_of(released(registry)).pooled_p75 is not None
    many = pa.concat_tables([mart_table(sites[0].mart).to_pyarrow()] * 40)
    other = new_registry(tmp_path / "other", [(site.id, site.key) for site in sites])
    send(other, sites[0]._replace(mart=write_mart(tmp_path / "many", many)))
    for site in sites[1:]:
        send(other, site)
    cell = cell_of(released(other))
    assert (cell.exams, cell.pooled_p75) == (2300, None)
    assert cell.p75 is not None


def asked(method: str = "icrp-135-national", since: str = "2025-01") -> LevelsAsked:
    return LevelsAsked(drl_method(method), since, "2025-06", None, Draws(200, 1))


def test_a_named_method_gives_the_same_levels_from_sketches_as_from_the_exams(
    facilities: Callable[..., tuple[Path, list[Site]]], send: Send, tmp_path: Path
) -> None:
    registry, sites = facilities(10, 30)
    for site in sites:
        send(registry, site)
    found = registry_levels(registry, asked("australia-2012"), code_version="test")
    (level,) = found.run.levels
    assert (level.area, level.procedure, level.quantity, level.phantom_cm) == ("Norland", "ct-chest", "dlp_mgy_cm", 32)
    assert (level.units, level.patients, level.status) == (10, 300, "set")
    assert level.percentile_value == pytest.approx(float(np.quantile(exact_medians(sites), 0.75)))
    assert registry_levels(registry, asked("australia-2012"), code_version="test").run == found.run
    files = {file.name for file in save_computed(found, tmp_path / "levels", year=2025)}
    assert files == {"run.json", "units.parquet", "levels.csv"}
    for site in sites:
        send(registry, site, kind="exams", now=LATER)
    write_merged(registry, tmp_path / "merged")
    request = Request(drl_method("australia-2012"), draws=Draws(200, 1))
    version = data_version(tmp_path / "merged")
    of_exams = compute_levels(tmp_path / "merged", request, data=version, code_version="test")
    assert of_exams.run.levels == found.run.levels


def test_levels_name_the_facilities_that_do_not_count(
    facilities: Callable[..., tuple[Path, list[Site]]], send: Send
) -> None:
    registry, sites = facilities(4, 19)
    for site in sites:
        send(registry, site)
    (level,) = registry_levels(registry, asked(), code_version="test").run.levels
    assert (level.value, level.status, level.units) == (None, "too few units", 0)
    assert {one.unit for one in level.left_out} == {site.id for site in sites}


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("ncrp-172", "is of single patients"),
        ("icrp-135-local", "is of single devices"),
        ("france-2011", "takes the mean of each facility"),
        ("japan-2025", "leaves patients out by their weight"),
        ("icrp-135-regional-medians", "takes the national levels of icrp-135-national"),
    ],
)
def test_a_method_that_needs_more_than_medians_of_facilities_is_refused_with_what_to_do(
    registry: Path, method: str, reason: str
) -> None:
    with pytest.raises(ExchangeError, match=f"{reason}.*registry merge, then doseatlas drl compute --method {method}"):
        registry_levels(registry, asked(method), code_version="test")


def test_levels_of_months_of_which_nothing_is_held_are_refused(registry: Path) -> None:
    with pytest.raises(ExchangeError, match="holds nothing of the months from 2025-02 to 2025-06"):
        registry_levels(registry, asked(since="2025-02"), code_version="test")


def test_a_registry_of_summaries_is_not_merged_into_an_empty_mart(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], send: Send
) -> None:
    with pytest.raises(ExchangeError, match="holds nothing; only exams"):
        write_merged(registry, tmp_path / "merged")
    send(registry, sites[0])
    with pytest.raises(ExchangeError, match=r"holds only summaries, of 1 senders; .*doseatlas registry levels"):
        write_merged(registry, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    send(registry, sites[1], kind="exams")
    assert write_merged(registry, tmp_path / "merged") == Merged(1, ("site-0",))


def test_a_population_dose_from_a_merged_registry_is_that_of_the_exams_it_was_sent(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], send: Send, simulated: pa.Table
) -> None:
    dosed = with_dosimetry(simulated)
    marts = [write_mart(tmp_path / f"dosed-{i}", part) for i, part in enumerate(parts_by_facility(dosed))]
    for site, mart in zip(sites, marts, strict=True):
        send(registry, site._replace(mart=mart), kind="exams")
    write_merged(registry, tmp_path / "merged")
    assert is_merged(tmp_path / "merged")
    assert not is_merged(marts[0])
    sheet = [Frequency(name, "CT", 1e5, 0.1, None, 0.0, "") for name in ("ct-head", "ct-chest", "ct-abdomen-pelvis")]
    everyone = write_mart(tmp_path / "everyone", dosed)
    ours = population_dose(mart_table(everyone), Selection(), sheet, population=10**6)
    theirs = population_dose(merged_exams(tmp_path / "merged"), Selection(), sheet, population=10**6)
    assert ours.coefficient_sets == theirs.coefficient_sets != ()
    assert len(theirs.ages) > 5
    for part in ("procedures", "ages", "sexes", "ages_and_sexes"):
        for mine, merged in zip(getattr(ours, part), getattr(theirs, part), strict=True):
            assert merged.name == mine.name
            assert merged.registry_exams == mine.registry_exams
            assert merged.mean_dose_msv == pytest.approx(mine.mean_dose_msv)
    assert theirs.collective_man_sv == pytest.approx(ours.collective_man_sv)


def parts_by_facility(table: pa.Table) -> list[pa.Table]:
    return [table.filter(pc.equal(table["facility"], n)) for n in sorted(table["facility"].unique().to_pylist())]


def test_the_merged_exams_are_a_mart_that_the_analysis_reads(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], send: Send
) -> None:
    for site in sites:
        send(registry, site, kind="exams")
    assert write_merged(registry, tmp_path / "merged") == Merged(len(sites), ())
    with pytest.raises(ExchangeError, match="name a new folder"):
        write_merged(registry, tmp_path / "merged")
    merged = mart_table(tmp_path / "merged")
    assert set(merged.select("facility").distinct().to_pyarrow()["facility"].to_pylist()) == {s.id for s in sites}
    one = sites[2]
    ours = typical_values(mart_table(one.mart), Selection())
    theirs = typical_values(merged, Selection(facility=one.id))
    assert [(v.procedure, v.quantity, v.n, v.median) for v in theirs] == [
        (v.procedure, v.quantity, v.n, v.median) for v in ours
    ]
    assert pc.sum(merged.exam_id.isnull().to_pyarrow()).as_py() == merged.count().to_pyarrow().as_py()
