"""How many doses has each unit, and what are mean and spread of their logarithm? The sums that leagues, funnels and the
decomposition of variance are made of: the engine reduces millions of exams to a few rows a unit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.compare.comparison import unit_dose_values, with_units
from doseatlas.analysis.compare.records import UnitKind
from doseatlas.analysis.corrected import calibration_by
from doseatlas.analysis.dose_values import PEERS
from doseatlas.analysis.results import DoseValues

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MEDIAN_EFFICIENCY = math.sqrt(math.pi / 2)  # standard error of a normal sample's median over that of its mean


class Peers(NamedTuple):
    """What the units of one table share: procedure, patient group, quantity, and phantom (0: none)."""

    procedure: str
    patient_group: str
    quantity: str
    phantom_cm: int


class UnitLogs(NamedTuple):
    """Units by name, with n, median dose, and mean and sum of squared deviations of the logarithm of the dose.

    ``calibration`` is the relative standard uncertainty that the certificates leave to it; 0 for stated values.
    """

    units: list[str]
    n: Floats
    median: Floats
    log_mean: Floats
    log_squares: Floats
    calibration: Floats

    @property
    def spread_within(self) -> float:
        """The standard deviation of the logarithm of the dose within units, pooled; NaN where no unit has two exams."""
        import numpy as np

        freedom = float((self.n - 1).sum())
        return float(np.sqrt(self.log_squares.sum() / freedom)) if freedom > 0 else float("nan")

    @property
    def log_median_error(self) -> Floats:
        """The standard error of the logarithm of each median, from sampling and calibration."""
        import numpy as np

        return np.hypot(MEDIAN_EFFICIENCY * self.spread_within / np.sqrt(self.n), self.calibration)


def unit_logs_table(exams: ibis.Table, by: UnitKind) -> ibis.Table:
    """Return one row a unit and ``PEERS``: ``n``, ``median``, ``log_mean`` and ``log_variance`` (of the sample)."""
    values = unit_dose_values(exams, by, None)
    positive = values.filter(values.value > 0)
    log = positive.value.log()
    return positive.group_by([*PEERS, "unit"]).agg(
        n=positive.count(), median=positive.value.quantile(0.5), log_mean=log.mean(), log_variance=log.var(how="pop")
    )


def unit_logs(exams: ibis.Table, by: UnitKind, dose_values: DoseValues = "stated") -> dict[Peers, UnitLogs]:
    """Return the units of each exam, group, quantity and phantom. Doses of 0 have no logarithm and are left out.

    ``dose_values`` says whether ``exams`` were given corrected values (``corrected.with_corrected_values``).
    """
    keys = ("unit",)
    uncertain = calibration_by(with_units(exams, by, None), keys) if dose_values == "corrected" else {}
    found: dict[Peers, list[tuple[str, float, float, float, float, float]]] = {}
    for row in unit_logs_table(exams, by).order_by([*PEERS, "unit"]).to_pyarrow().to_pylist():
        key = Peers(row["procedure"], row["patient_group"], row["quantity"], row["phantom_cm"])
        squares = row["n"] * (row["log_variance"] or 0.0)
        calibration = uncertain.get((*key, row["unit"]), 0.0)
        figures = (row["n"], row["median"], row["log_mean"], squares, calibration)
        found.setdefault(key, []).append((row["unit"], *figures))
    return {key: _unit_logs(rows) for key, rows in found.items()}


def _unit_logs(rows: list[tuple[str, float, float, float, float, float]]) -> UnitLogs:
    import numpy as np

    return UnitLogs([row[0] for row in rows], *np.array([row[1:] for row in rows], dtype=np.float64).T)
