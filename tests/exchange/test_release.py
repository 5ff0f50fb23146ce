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
from doseatlas.exchange import (
    Accepted,
    ExchangeError,
    Release,
    ReleaseCell,
    export_nation,
    load_agreement,
    load_key,
    make_key,
    make_release,
    submit,
    write_merged,
)

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


@pytest.mark.parametrize(("count", "patients"), [(30, 100), (8, 5000)])
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
        registry, sites = facilities(4, 40, seed=number, name=f"{name}-registry")
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
    assert (cell.facilities, cell.countries, cell.exams) == (12, 3, 480)
    assert cell.p75 == pytest.approx(float(np.quantile(medians, 0.75)))
    national = [np.quantile(medians[i : i + 4], 0.75) for i in (0, 4, 8)]
    assert cell.regional == pytest.approx(float(np.median(national)))


def test_the_merged_exams_are_a_mart_that_the_analysis_reads(
    tmp_path: Path, registry: Path, sites: tuple[Site, ...], send: Send
) -> None:
    for site in sites:
        send(registry, site, kind="exams")
    assert write_merged(registry, tmp_path / "merged") == len(sites)
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
