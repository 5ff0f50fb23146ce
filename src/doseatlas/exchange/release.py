"""Which figures may a registry show? Typical values over facilities, with cells of too few suppressed.

Two releases must not betray by their difference what one alone would not: where the exams in which two releases differ
are of too few patients or facilities, the later one repeats the earlier figures, or shows none (``docs/registry.md``).
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from doseatlas.analysis.tables import minimum_sample
from doseatlas.exchange.disclosure import MOST_OF_ONE, QUARTILES_FROM, averaged_over, rounded, shown_quantile
from doseatlas.exchange.merge import Cell, FacilityCell, facility_cells
from doseatlas.exchange.records import Agreement, ExchangeError, Release, ReleaseCell, check_months
from doseatlas.exchange.registry import load_agreement
from doseatlas.exchange.sketch import Weighted, quantile, together
from doseatlas.store.files import make_folder, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_COUNTRIES = 3
FIGURES = ("facilities", "countries", "exams", "averaged_over", "p25", "median", "p75", "pooled_p75", "regional")

Basis = dict[tuple[str, str], tuple[int, int]]
"""What a released cell was made of: number of exams and digest of their values, by facility and month."""


class Earlier(NamedTuple):
    """A release made before: what it showed, and what each shown cell was made of."""

    release: Release
    basis: Mapping[Cell, Basis]


def make_release(registry: Path, *, since: str, until: str, now: dt.datetime, version: str) -> Release:
    """Make the next release of a registry and keep it in ``releases/N``.

    ``public`` of that folder is what may be shown (``release.json``, ``release.csv``); ``basis.parquet`` beside it is
    for comparing later releases and stays in the registry.

    Raises:
        ExchangeError: the period is none, or a file of the registry is damaged.

    """
    check_months(since, until)
    if until < since:
        raise ExchangeError(f"The release would end in {until}, before it begins in {since}.")
    agreement = load_agreement(registry)
    earlier = _earlier(registry)
    made = Release(
        registry=agreement.id,
        number=max((one.release.number for one in earlier), default=0) + 1,
        since=since,
        until=until,
        made_at=now,
        version=version,
        dose_values=agreement.dose_values,
        minimum_exams=agreement.minimum_exams,
        minimum_facilities=agreement.minimum_facilities,
    )
    cells, basis = release_cells(facility_cells(registry, since, until), agreement, earlier, made)
    made = msgspec.structs.replace(made, cells=cells)
    _keep(registry, made, basis)
    return made


def release_cells(
    found: Iterable[FacilityCell], agreement: Agreement, earlier: Sequence[Earlier], made: Release
) -> tuple[tuple[ReleaseCell, ...], dict[Cell, Basis]]:
    """Return the cells of a release, and what each shown one is made of."""
    by_cell: dict[Cell, list[FacilityCell]] = {}
    for one in found:
        by_cell.setdefault(one.cell, []).append(one)
    cells, shown = [], {}
    for cell, members in sorted(by_cell.items()):
        needed = minimum_sample(cell[0], cell[1]).minimum_n
        enough = [one for one in members if one.n >= needed]
        made_of: Basis = {(one.facility, p.month): (p.n, p.digest) for one in enough for p in one.parts}
        result = _cell(cell, enough, needed, agreement)
        if result.suppressed is None:
            result, made_of = _against_differencing(result, cell, made_of, agreement, earlier, made)
        if result.suppressed is None:
            shown[cell] = made_of
        cells.append(result)
    return tuple(cells), shown


def _cell(cell: Cell, members: Sequence[FacilityCell], needed: int, agreement: Agreement) -> ReleaseCell:
    empty = ReleaseCell(procedure=cell[0], patient_group=cell[1], quantity=cell[2], phantom_cm=cell[3] or None)
    exams = sum(one.n for one in members)
    if len(members) < agreement.minimum_facilities or exams < agreement.minimum_exams:
        return msgspec.structs.replace(
            empty, suppressed=f"fewer than {agreement.minimum_facilities} facilities with at least {needed} exams"
        )
    medians = [one.median for one in members]
    return msgspec.structs.replace(
        empty,
        facilities=len(members),
        countries=len({one.country for one in members}),
        exams=exams,
        averaged_over=averaged_over(len(members)),
        p25=shown_quantile(medians, 0.25),
        median=shown_quantile(medians, 0.5),
        p75=shown_quantile(medians, 0.75),
        pooled_p75=_pooled_p75(members, exams),
        regional=_regional(members, agreement.minimum_facilities),
    )


def _pooled_p75(members: Sequence[FacilityCell], exams: int) -> float | None:
    """Return the p75 of all exams, of enough facilities of which none has most of the exams."""
    if len(members) < QUARTILES_FROM or max(one.n for one in members) > MOST_OF_ONE * exams:
        return None
    return rounded(quantile(pooled([one.sample for one in members], [one.n for one in members]), 0.75))


def pooled(samples: Sequence[Weighted], exams: Sequence[int]) -> Weighted:
    """Return the exams of all facilities together; each facility counts as its number of exams."""
    return together(
        [
            sample._replace(weights=sample.weights * (n / sample.weights.sum()))
            for sample, n in zip(samples, exams, strict=True)
        ]
    )


def _regional(members: Sequence[FacilityCell], fewest: int) -> float | None:
    """Return the median of the countries' p75 (RDRL of ICRP 135), of at least 3 countries of enough facilities."""
    by_country: dict[str, list[float]] = {}
    for one in members:
        by_country.setdefault(one.country, []).append(one.median)
    national = [shown_quantile(medians, 0.75) for medians in by_country.values() if len(medians) >= fewest]
    known = [value for value in national if value is not None]
    return rounded(median(known)) if len(known) >= max(fewest, FEWEST_COUNTRIES) else None


def _against_differencing(
    result: ReleaseCell,
    cell: Cell,
    made_of: Basis,
    agreement: Agreement,
    earlier: Sequence[Earlier],
    made: Release,
) -> tuple[ReleaseCell, Basis]:
    """Return the cell as it may be shown beside all earlier releases, and what the shown figures are made of."""
    if all(_may_differ(made_of, one.basis[cell], agreement) for one in earlier if cell in one.basis):
        return result, made_of
    for one in reversed(earlier):
        same_period = (one.release.since, one.release.until) == (made.since, made.until)
        if same_period and cell in one.basis:
            old = next(c for c in one.release.cells if _key(c) == cell)
            number = old.carried_from or one.release.number
            return msgspec.structs.replace(old, carried_from=number), one.basis[cell]
    reason = "its difference to an earlier release would show too few facilities or exams"
    hidden = dict.fromkeys(FIGURES)
    return msgspec.structs.replace(result, **hidden, suppressed=reason), made_of


def _may_differ(now: Basis, before: Basis, agreement: Agreement) -> bool:
    """Return whether the difference of two made-up cells is nothing, or of enough facilities and exams."""
    changed = {key for key in now.keys() | before.keys() if now.get(key) != before.get(key)}
    if not changed:
        return True
    facilities = {facility for facility, _ in changed}
    # A month with as many exams but other values: at least one exam was corrected.
    exams = sum(max(abs(now.get(key, (0, 0))[0] - before.get(key, (0, 0))[0]), 1) for key in changed)
    return len(facilities) >= agreement.minimum_facilities and exams >= agreement.minimum_exams


def _key(cell: ReleaseCell) -> Cell:
    return cell.procedure, cell.patient_group, cell.quantity, cell.phantom_cm or 0


def _keep(registry: Path, made: Release, basis: Mapping[Cell, Basis]) -> None:
    """Write a release; the basis first, so that no release is ever shown that later ones are not compared with."""
    import pyarrow.parquet as pq

    folder = registry / "releases" / str(made.number)
    make_folder(folder / "public")
    write_whole(folder / "basis.parquet", lambda file: pq.write_table(_basis_table(basis), file, compression="zstd"))
    write_whole(folder / "public" / "release.csv", _csv(made).encode())
    write_whole(folder / "public" / "release.json", msgspec.json.format(msgspec.json.encode(made), indent=1))


def _csv(made: Release) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ReleaseCell.__struct_fields__, lineterminator="\n")
    writer.writeheader()
    writer.writerows(msgspec.structs.asdict(cell) for cell in made.cells)
    return stream.getvalue()


_BASIS_COLUMNS = ("procedure", "patient_group", "quantity", "phantom_cm", "facility", "month", "n", "digest")


def _basis_table(basis: Mapping[Cell, Basis]) -> pa.Table:
    import pyarrow as pa

    rows = [(*cell, *key, *value) for cell, made_of in basis.items() for key, value in made_of.items()]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_BASIS_COLUMNS)
    types = [*[pa.string()] * 3, pa.int32(), pa.string(), pa.string(), pa.int64(), pa.int64()]
    return pa.table({name: pa.array(values, t) for name, values, t in zip(_BASIS_COLUMNS, columns, types, strict=True)})


def _earlier(registry: Path) -> list[Earlier]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for folder in sorted((registry / "releases").glob("[0-9]*"), key=lambda folder: int(folder.name)):
        file = folder / "public" / "release.json"
        if not file.exists():
            continue  # a release that was cut off before it could be shown
        try:
            made = msgspec.json.decode(file.read_bytes(), type=Release)
            rows = pq.read_table(folder / "basis.parquet").to_pylist()
        except (msgspec.MsgspecError, pa.ArrowException, OSError) as error:
            raise ExchangeError(f"{folder}: a release is damaged ({error}). Restore it from a backup.") from error
        basis: dict[Cell, Basis] = {}
        for row in rows:
            cell = (row["procedure"], row["patient_group"], row["quantity"], row["phantom_cm"])
            basis.setdefault(cell, {})[row["facility"], row["month"]] = (row["n"], row["digest"])
        found.append(Earlier(made, basis))
    return found
