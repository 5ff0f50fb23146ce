"""Which level do all patients of an area give, pooled whatever their facility?

The level is an exact percentile of the patients. Its interval respects that the patients of one facility are alike:
facilities are drawn. A draw in which a share d more than in the data lies at or below the level has its percentile p
where the data have p - d (the inversion of Woodruff, Journal of the American Statistical Association 47 (1952) 635-646,
with shares drawn instead of a normal approximation). Only shares and a few dozen percentiles leave the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from doseatlas.analysis.drl.bootstrap import FEWEST_UNITS, Draws, Interval, drawn_units, interval
from doseatlas.analysis.drl.levels import Figures, finish
from doseatlas.analysis.drl.records import ComputedLevel
from doseatlas.analysis.drl.units import GROUP
from doseatlas.analysis.reference_levels import ReferenceLevels
from doseatlas.analysis.tables import level_quantities

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt

    from doseatlas.reference import DrlMethod, DrlRule

    Floats = npt.NDArray[np.float64]

MOST_EXAMS = 10_000_000
"""The engine holds the doses of so many exams at once: about half a gigabyte. Of more, group after group is asked."""
FINE = 15
"""How far on either side of a level's percentile percentiles are fetched one by one; beyond, one in five."""
Key = tuple[str, str, int, str]


class Grid(NamedTuple):
    """Some percentiles of a sample, rising, and their values."""

    percentiles: Floats
    values: Floats

    def at(self, percentile: float) -> float:
        """Return a percentile: exact where it was fetched, linear between."""
        import numpy as np

        return float(np.interp(percentile, self.percentiles, self.values))


def levels_of_patients(
    exams: ibis.Table, area: str, method: DrlMethod, previous: ReferenceLevels, draws: Draws
) -> Iterator[ComputedLevel]:
    """Yield the levels of pooled patients of :func:`exams_by_rule`, all of one area."""
    for part in _parts(exams):
        percentiles = pooled_percentiles(part, method)
        shares = _shares(part, percentiles, method) if percentiles else {}
        for key in sorted(percentiles):
            procedure, group, phantom_cm, quantity = key
            rule = method.rule(procedure, group)
            if rule is not None:
                figures = _figures(percentiles[key], shares[key], rule, draws)
                yield finish((area, procedure, group, quantity, phantom_cm), figures, rule, previous)


def _parts(exams: ibis.Table) -> Iterator[ibis.Table]:
    """Yield whole groups of exams, as many together as fit into the memory: an exact percentile needs all its doses."""
    import ibis

    counts = exams.group_by(["procedure", "patient_group"]).agg(n=exams.count())
    parts = _packed(counts.order_by("procedure", "patient_group").to_pyarrow().to_pylist())
    if len(parts) == 1:
        yield exams
        return
    for part in parts:
        of_part = [
            (exams.procedure == row["procedure"]) & (exams.patient_group == row["patient_group"]) for row in part
        ]
        yield exams.filter(ibis.or_(*of_part))


def _packed(groups: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return rows of ``n`` exams in order, together up to :data:`MOST_EXAMS`."""
    parts: list[list[dict[str, Any]]] = [[]]
    for row in groups:
        if parts[-1] and sum(one["n"] for one in parts[-1]) + row["n"] > MOST_EXAMS:
            parts.append([])
        parts[-1].append(row)
    return parts


def percentiles_needed(method: DrlMethod) -> list[float]:
    """Return the percentiles that the method's levels, guide values and intervals need, rising."""
    around = {rule.percentile + by for rule in method.rules for by in range(-FINE, FINE + 1)}
    guides = {guide.percentile for rule in method.rules for guide in rule.guides}
    return sorted({p for p in around | guides if 0 <= p <= 100} | {5.0 * i for i in range(21)})


def pooled_quantiles(exams: ibis.Table, percentiles: Sequence[float]) -> ibis.Table:
    """Return one row a group, with the percentiles ``grid_Q`` of each quantity Q (null: no value)."""
    shares = [percentile / 100 for percentile in percentiles]
    return exams.group_by(GROUP).agg(**{f"grid_{q.name}": exams[q.name].quantile(shares) for q in level_quantities()})


def counts_at_or_below(exams: ibis.Table, thresholds: ibis.Table) -> ibis.Table:
    """Return one row a facility and group: for each quantity Q ``n_Q`` values, ``below_Q`` of them up to ``at_Q``.

    ``thresholds`` has a row a group with the columns of :data:`GROUP` and ``at_Q``.
    """
    joined = exams.join(thresholds, list(GROUP))
    figures = {}
    for quantity in level_quantities():
        figures[f"n_{quantity.name}"] = joined[quantity.name].count()
        figures[f"below_{quantity.name}"] = (joined[quantity.name] <= joined[f"at_{quantity.name}"]).sum()
    return joined.group_by(["facility", *GROUP]).agg(**figures)


def pooled_percentiles(exams: ibis.Table, method: DrlMethod) -> dict[Key, Grid]:
    """Return the percentiles of each group and quantity that the method has a rule for."""
    import numpy as np

    percentiles = percentiles_needed(method)
    found: dict[Key, Grid] = {}
    for row in pooled_quantiles(exams, percentiles).to_pyarrow().to_pylist():
        for quantity in level_quantities():
            grid = row[f"grid_{quantity.name}"]
            if grid and grid[0] is not None and method.rule(row["procedure"], row["patient_group"]):
                key = (row["procedure"], row["patient_group"], row["phantom_cm"], quantity.name)
                found[key] = Grid(np.array(percentiles), np.array(grid, dtype=np.float64))
    return found


def _shares(exams: ibis.Table, percentiles: Mapping[Key, Grid], method: DrlMethod) -> dict[Key, list[tuple[int, int]]]:
    """Return the patients of each facility, and how many of them lie at or below the level, for each key."""
    import ibis

    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    for (procedure, group, phantom_cm, quantity), grid in percentiles.items():
        rule = method.rule(procedure, group)
        key = (procedure, group, phantom_cm)
        row = rows.setdefault(key, dict(zip(GROUP, key, strict=True)))
        row[f"at_{quantity}"] = grid.at(rule.percentile) if rule else None
    counted = counts_at_or_below(exams, ibis.memtable(_threshold_table(list(rows.values()))))
    found: dict[Key, list[tuple[int, int]]] = {key: [] for key in percentiles}
    for row in counted.order_by("facility").to_pyarrow().to_pylist():
        for name in (one.name for one in level_quantities()):
            shares = found.get((row["procedure"], row["patient_group"], row["phantom_cm"], name))
            if row[f"n_{name}"] and shares is not None:
                shares.append((row[f"n_{name}"], row[f"below_{name}"]))
    return found


def _threshold_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    import pyarrow as pa

    keys = [("procedure", pa.string()), ("patient_group", pa.string()), ("phantom_cm", pa.int32())]
    fields = [*keys, *((f"at_{quantity.name}", pa.float64()) for quantity in level_quantities())]
    return pa.Table.from_pylist([dict(row) for row in rows], pa.schema(fields))


def _figures(grid: Grid, shares: Sequence[tuple[int, int]], rule: DrlRule, draws: Draws) -> Figures:
    return Figures(
        grid.at(rule.percentile),
        _woodruff(grid, shares, rule.percentile, draws),
        tuple((guide.name, guide.percentile, grid.at(guide.percentile)) for guide in rule.guides),
        len(shares),
        sum(n for n, _ in shares),
    )


def _woodruff(grid: Grid, shares: Sequence[tuple[int, int]], percentile: float, draws: Draws) -> Interval | None:
    import numpy as np

    if len(shares) < FEWEST_UNITS:
        return None
    n, below = np.array(shares, dtype=np.float64).T
    drawn = drawn_units(len(shares), draws)
    moved = below[drawn].sum(axis=1) / n[drawn].sum(axis=1) - below.sum() / n.sum()
    low, high = interval(moved)
    return Interval(grid.at(percentile - 100 * high), grid.at(percentile - 100 * low))
