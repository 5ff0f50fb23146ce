"""A registry with made-up facilities: keys, an agreement, and marts from the simulator."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from doseatlas.dicom.simulate import mart_arrow
from doseatlas.exchange import Accepted, Agreement, export_facility, load_agreement, load_key, make_key, submit
from doseatlas.store.mart import SCHEMA

NOW = dt.datetime(2025, 7, 1, 12, 0, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)


class Site(NamedTuple):
    """A made-up sender: its id, its key, and its mart."""

    id: str
    key: Path
    mart: Path


def write_mart(folder: Path, table: pa.Table) -> Path:
    """Write exams as a mart; columns that are not given are null."""
    place = folder / "exams" / "a"
    place.mkdir(parents=True)
    there = set(table.schema.names)
    columns = [
        table[field.name].cast(field.type) if field.name in there else pa.nulls(table.num_rows, field.type)
        for field in SCHEMA
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), place / "part.parquet")
    return folder


def ct_exams(values: Iterable[float], **other: Any) -> pa.Table:
    """Return chest CTs of adults with these DLPs."""
    usual = {
        "facility": "somewhere",
        "month": "2025-03",
        "kind": "ct",
        "procedure": "ct-chest",
        "patient_group": "adult",
        "plausible": True,
        "phantom_cm": 32,
        "device": "Maker Model Station7",
        "flags": [],
    }
    rows = [{**usual, "exam_id": str(i), "dlp_mgy_cm": value, **other} for i, value in enumerate(values)]
    return pa.Table.from_pylist(rows, SCHEMA)


@pytest.fixture(scope="session")
def simulated() -> pa.Table:
    """Exams of six made-up facilities in the first half of 2025."""
    return mart_arrow("country", 4000, 5, start=dt.date(2025, 1, 1), end=dt.date(2025, 6, 30))


@pytest.fixture
def sites(tmp_path: Path, simulated: pa.Table) -> tuple[Site, ...]:
    """The facilities of the simulator, each with a key and its own mart."""
    found = []
    for number, name in enumerate(sorted(simulated["facility"].unique().to_pylist())):
        key = tmp_path / f"site-{number}.pem"
        make_key(key)
        mart = write_mart(tmp_path / f"mart-{number}", simulated.filter(pc.equal(simulated["facility"], name)))
        found.append(Site(f"site-{number}", key, mart))
    return tuple(found)


def new_registry(folder: Path, senders: Iterable[tuple[str, Path]], head: str = "", sends: str = "one") -> Path:
    """Make a registry whose agreement names these senders, all of one country unless the id says another (XX-...)."""
    from doseatlas.exchange import public_text

    folder.mkdir(parents=True)
    text = f'schema = 1\nid = "{folder.name}"\nname = "a registry"\n{head}\n'
    for sender, key in senders:
        country = sender.split("-")[0] if re.match(r"[A-Z]{2}-", sender) else "Norland"
        text += f'[[senders]]\nid = "{sender}"\ncountry = "{country}"\nsends = "{sends}"\n'
        text += f'public_key = "{public_text(load_key(key))}"\n'
    (folder / "registry.toml").write_text(text)
    return folder


@pytest.fixture
def registry(tmp_path: Path, sites: tuple[Site, ...]) -> Path:
    """A registry of the simulator's facilities."""
    return new_registry(tmp_path / "national", [(site.id, site.key) for site in sites])


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., Path]:
    """Write a submission of a site for a registry and return its file."""

    def write(registry: Path, site: Site, **changes: Any) -> Path:
        path = tmp_path / f"{site.id}-{len(list(tmp_path.iterdir()))}.zip"
        agreement: Agreement = load_agreement(registry)
        asked: dict[str, Any] = {
            "kind": "summaries",
            "since": "2025-01",
            "until": "2025-06",
            "now": NOW,
            "version": "test",
        } | changes
        export_facility(site.mart, path, sender=site.id, agreement=agreement, key=load_key(site.key), **asked)
        return path

    return write


@pytest.fixture
def send(export: Callable[..., Path]) -> Callable[..., Accepted]:
    """Export and submit."""

    def both(registry: Path, site: Site, **changes: Any) -> Accepted:
        return submit(registry, export(registry, site, **changes), changes.get("now", NOW))

    return both
