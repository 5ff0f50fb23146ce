"""How many doses has each unit, and what are mean and spread of their logarithm? The sums that leagues, funnels and the
decomposition of variance are made of: the engine reduces millions of exams to a few rows a unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.compare.comparison import unit_dose_values
from doseatlas.analysis.compare.records import UnitKind
from doseatlas.analysis.dose_values import PEERS

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


class Peers(NamedTuple):
    """What the units of one table share: procedure, patient group, quantity, and phantom (0: none)."""

    procedure: str
    patient_group: str
    quantity: str
    phantom_cm: int


class UnitLogs(NamedTuple):
    """Units by name, with n, median dose, and mean and sum of squared deviations of the logarithm of the dose."""

    units: list[str]
    n: Floats
    median: Floats
    log_mean: Floats
    log_squares: Floats

    @property
    def spread_within(self) -> float:
        """The standard deviation of the logarithm of the dose within units, pooled; NaN where no unit has two exams."""
        import numpy as np

        freedom = float((self.n - 1).sum())
        return float(np.sqrt(self.log_squares.sum() / freedom)) if freedom > 0 else float("nan")


def unit_logs_table(exams: ibis.Table, by: UnitKind) -> ibis.Table:
    """Return one row a unit and ``PEERS``: ``n``, ``median``, ``log_mean`` and ``log_variance`` (of the sample)."""
    values = unit_dose_values(exams, by, None)
    positive = values.filter(values.value > 0)
    log = positive.value.log()
    return positive.group_by([*PEERS, "unit"]).agg(
        n=positive.count(), median=positive.value.quantile(0.5), log_mean=log.mean(), log_variance=log.var(how="pop")
    )


def unit_logs(exams: ibis.Table, by: UnitKind) -> dict[Peers, UnitLogs]:
    """Return the units of each exam, group, quantity and phantom. Doses of 0 have no logarithm and are left out."""

    found: dict[Peers, list[tuple[str, float, float, float, float]]] = {}
    for row in unit_logs_table(exams, by).order_by([*PEERS, "unit"]).to_pyarrow().to_pylist():
        key = Peers(row["procedure"], row["patient_group"], row["quantity"], row["phantom_cm"])
        squares = row["n"] * (row["log_variance"] or 0.0)
        found.setdefault(key, []).append((row["unit"], row["n"], row["median"], row["log_mean"], squares))
    return {key: _unit_logs(rows) for key, rows in found.items()}


def _unit_logs(rows: list[tuple[str, float, float, float, float]]) -> UnitLogs:
    import numpy as np

    n, median, log_mean, log_squares = np.array([row[1:] for row in rows], dtype=np.float64).T
    return UnitLogs([row[0] for row in rows], n, median, log_mean, log_squares)
