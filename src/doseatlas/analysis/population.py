"""Which dose does a population receive from medical imaging? Frequency times mean effective dose, as UNSCEAR asks.

The number of exams of each procedure comes from a national sheet, as a registry rarely holds them all; the mean
effective dose from the registry's column ``effective_dose_msv`` where it has one, else from the sheet. Sources: UNSCEAR
2008 Report, Annex A, and UNSCEAR 2020/2021 Report, Annex A; European Commission, Radiation Protection 154 (2008).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from doseatlas.analysis.drl.bootstrap import Draws, interval
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.results import Selection
from doseatlas.model import Record, TableError

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

AGE_BANDS = ((0, 1), (1, 5), (5, 10), (10, 15), (15, 20), (20, 40), (40, 60), (60, 80), (80, None))
FEWEST_EXAMS = 10
UNKNOWN = "unknown"
COLUMNS = ("procedure", "modality", "annual_number")
OPTIONAL = ("number_uncertainty_percent", "effective_dose_msv", "dose_uncertainty_percent", "source")


class Frequency(NamedTuple):
    """How often a procedure is done in a year, and its mean effective dose where the sheet says so.

    Uncertainties are relative standard uncertainties (k = 1), such as 0.1.
    """

    procedure: str
    modality: str
    annual_number: float
    number_uncertainty: float
    effective_dose_msv: float | None
    dose_uncertainty: float
    source: str


class MeanDose(NamedTuple):
    """The mean effective dose (mSv) of a procedure in the registry, and its relative standard error."""

    mean_msv: float
    relative_error: float
    n: int


class DoseShare(Record, frozen=True, kw_only=True):
    """The part of one procedure, modality, age band or sex (``name``) in the population's dose.

    Collective dose in man Sv and dose per head in mSv, with 95 % intervals. ``per_thousand`` is exams a year per 1,000
    people.
    """

    name: str
    annual_number: float
    per_thousand: float
    mean_dose_msv: float
    collective_man_sv: float
    collective_low: float
    collective_high: float
    per_head_msv: float
    share: float
    dose_from: Literal["registry", "sheet", "both"]


class PopulationDose(Record, frozen=True, kw_only=True):
    """A population's dose from medical imaging in a year, in total and by its parts.

    ``without_dose`` names the procedures whose mean effective dose neither registry nor sheet gives: no figure counts
    them. Ages and sexes are those of the registry's exams, weighted by the sheet's numbers.
    """

    population: int
    annual_number: float
    per_thousand: float
    collective_man_sv: float
    collective_low: float
    collective_high: float
    per_head_msv: float
    per_head_low: float
    per_head_high: float
    procedures: tuple[DoseShare, ...]
    modalities: tuple[DoseShare, ...]
    ages: tuple[DoseShare, ...]
    sexes: tuple[DoseShare, ...]
    without_dose: tuple[str, ...]


def load_frequencies(path: Path) -> tuple[Frequency, ...]:
    """Read a national frequency sheet: a UTF-8 CSV (columns: ``docs/variation.md``, section "Population dose").

    Raises:
        TableError: the file does not fit; the message names line and column.

    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as a UTF-8 CSV ({error}).") from error
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise TableError(f"{path}: missing columns {', '.join(missing)}. Add them to the first line.")
    found: dict[str, Frequency] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            raise TableError(f"{where}: the number of cells is not that of the header.")
        one = _frequency(where, dict.fromkeys(OPTIONAL, "") | {name: cell.strip() for name, cell in row.items()})
        if one.procedure in found:
            raise TableError(f"{where}, column procedure: {one.procedure!r} stands twice.")
        found[one.procedure] = one
    if not found:
        raise TableError(f"{path}: no rows. A sheet needs at least one procedure.")
    return tuple(found.values())


def _frequency(where: str, row: Mapping[str, str]) -> Frequency:
    def number(column: str) -> float:
        try:
            value = float(row[column])
        except ValueError:
            value = -1.0
        if not 0 <= value < math.inf:
            raise TableError(f"{where}, column {column}: {row[column]!r} is not a number of 0 or more.")
        return value

    for column in ("procedure", "modality"):
        if not row[column]:
            raise TableError(f"{where}, column {column}: must not be empty.")
    return Frequency(
        row["procedure"],
        row["modality"],
        number("annual_number"),
        number("number_uncertainty_percent") / 100 if row["number_uncertainty_percent"] else 0.0,
        number("effective_dose_msv") if row["effective_dose_msv"] else None,
        number("dose_uncertainty_percent") / 100 if row["dose_uncertainty_percent"] else 0.0,
        row["source"],
    )


def population_dose(
    table: ibis.Table,
    selection: Selection,
    frequencies: Sequence[Frequency],
    *,
    population: int,
    draws: Draws = Draws(5000),  # noqa: B008 (immutable)
) -> PopulationDose:
    """Return the dose of a population of so many people.

    Args:
        table: exams; their ``effective_dose_msv`` is used where there is such a column.
        selection: which of them are meant, such as one year.
        frequencies: how often each procedure is done in a year.
        population: how many people.
        draws: numbers and doses are drawn from log-normal distributions of their uncertainties.

    Raises:
        TableError: no procedure has a mean effective dose.

    """
    import numpy as np

    exams = countable(chosen(table, selection))
    doses = _mean_doses(exams)
    known: list[tuple[Frequency, MeanDose, Literal["registry", "sheet"]]] = []
    without = []
    for one in frequencies:
        if one.procedure in doses and doses[one.procedure].n >= FEWEST_EXAMS:
            known.append((one, doses[one.procedure], "registry"))
        elif one.effective_dose_msv is not None:
            known.append((one, MeanDose(one.effective_dose_msv, one.dose_uncertainty, 0), "sheet"))
        else:
            without.append(one.procedure)
    if not known:
        raise TableError("No procedure has a mean effective dose: give effective_dose_msv in the sheet of frequencies.")
    rng = np.random.default_rng([draws.seed, len(known)])
    number = _drawn(rng, [(one.annual_number, one.number_uncertainty) for one, _, _ in known], draws)
    mean = _drawn(rng, [(dose.mean_msv, dose.relative_error) for _, dose, _ in known], draws)
    collective = number * mean / 1000  # man Sv; the first row of draws is the estimate itself
    parts = _Parts(
        [one.annual_number for one, _, _ in known], collective, [origin for _, _, origin in known], population
    )
    names = [one.procedure for one, _, _ in known]
    total = interval(collective[1:].sum(axis=1))
    ages, sexes = _weights(exams, names)
    annual = math.fsum(parts.numbers)
    everything = float(collective[0].sum())
    return PopulationDose(
        population=population,
        annual_number=annual,
        per_thousand=1000 * annual / population,
        collective_man_sv=everything,
        collective_low=total.low,
        collective_high=total.high,
        per_head_msv=1000 * everything / population,
        per_head_low=1000 * total.low / population,
        per_head_high=1000 * total.high / population,
        procedures=parts.shares({name: _only(names, name) for name in names}),
        modalities=parts.shares(_by_modality([one for one, _, _ in known])),
        ages=parts.shares(ages),
        sexes=parts.shares(sexes),
        without_dose=tuple(without),
    )


class _Parts(NamedTuple):
    numbers: list[float]
    collective: Floats
    origins: list[Literal["registry", "sheet"]]
    population: int

    def shares(self, weights: Mapping[str, Sequence[float]]) -> tuple[DoseShare, ...]:
        """Return the parts that take the weights' part of each procedure."""
        import numpy as np

        found = []
        for name, weight in weights.items():
            drawn = self.collective @ np.array(weight)
            number = math.fsum(n * w for n, w in zip(self.numbers, weight, strict=True))
            bounds = interval(drawn[1:])
            origins = {origin for origin, w in zip(self.origins, weight, strict=True) if w}
            found.append(
                DoseShare(
                    name=name,
                    annual_number=number,
                    per_thousand=1000 * number / self.population,
                    mean_dose_msv=1000 * float(drawn[0]) / number if number else 0.0,
                    collective_man_sv=float(drawn[0]),
                    collective_low=bounds.low,
                    collective_high=bounds.high,
                    per_head_msv=1000 * float(drawn[0]) / self.population,
                    share=float(drawn[0] / self.collective[0].sum()) if self.collective[0].sum() else 0.0,
                    dose_from="both" if len(origins) > 1 else next(iter(origins), "sheet"),
                )
            )
        return tuple(found)


def mean_effective_doses(exams: ibis.Table) -> ibis.Table:
    """Return number, mean and standard deviation of the effective dose (mSv) of each procedure."""
    dose = exams.effective_dose_msv
    stated = exams.filter(dose.notnull())
    return stated.group_by("procedure").agg(
        n=stated.count(), mean=stated.effective_dose_msv.mean(), deviation=stated.effective_dose_msv.std()
    )


def age_and_sex_counts(exams: ibis.Table) -> ibis.Table:
    """Return the number of exams of each procedure, age band (its place in ``AGE_BANDS``, -1: unknown) and sex."""
    import ibis

    branches = [
        ((exams.age_years >= low) & (exams.age_years < high if high is not None else ibis.literal(True)), i)
        for i, (low, high) in enumerate(AGE_BANDS)
    ]
    banded = exams.select(
        "procedure", band=ibis.cases(*branches, else_=-1).cast("int32"), sex=exams.sex.fill_null(UNKNOWN)
    )
    return banded.group_by(["procedure", "band", "sex"]).agg(n=banded.count())


def _mean_doses(exams: ibis.Table) -> dict[str, MeanDose]:
    if "effective_dose_msv" not in exams.columns:
        return {}
    found = {}
    for row in mean_effective_doses(exams).to_pyarrow().to_pylist():
        if row["n"] >= FEWEST_EXAMS and row["mean"] > 0:
            error = (row["deviation"] or 0.0) / row["mean"] / math.sqrt(row["n"])
            found[row["procedure"]] = MeanDose(row["mean"], error, row["n"])
    return found


def _drawn(rng: np.random.Generator, figures: Iterable[tuple[float, float]], draws: Draws) -> Floats:
    """Return log-normal draws of figures with relative uncertainties; the first row is the figures themselves."""
    import numpy as np

    mean, uncertainty = np.array(list(figures), dtype=np.float64).T
    spread = np.sqrt(np.log1p(uncertainty**2))
    noise = rng.normal(size=(draws.replicates, len(mean)))
    return np.vstack([mean, mean * np.exp(spread * noise - spread**2 / 2)])


def _weights(exams: ibis.Table, names: Sequence[str]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the share of each age band, and of each sex, in each procedure; procedures without exams are unknown."""
    counts: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for row in age_and_sex_counts(exams).to_pyarrow().to_pylist():
        if row["procedure"] in counts:
            counts[row["procedure"]].append(row)
    labels = [*(_label(*band) for band in AGE_BANDS), UNKNOWN]
    ages = {label: [0.0] * len(names) for label in labels}
    sexes = {sex: [0.0] * len(names) for sex in ("F", "M", "O", UNKNOWN)}
    for place, name in enumerate(names):
        total = sum(row["n"] for row in counts[name])
        for row in counts[name]:
            ages[labels[row["band"]]][place] += row["n"] / total
            sexes[row["sex"] if row["sex"] in sexes else UNKNOWN][place] += row["n"] / total
        if not total:
            ages[UNKNOWN][place] = sexes[UNKNOWN][place] = 1.0
    return {k: v for k, v in ages.items() if any(v)}, {k: v for k, v in sexes.items() if any(v)}


def _label(low: int, high: int | None) -> str:
    return f"{low} y and more" if high is None else f"{low}-<{high} y"


def _only(names: Sequence[str], name: str) -> list[float]:
    return [float(one == name) for one in names]


def _by_modality(known: Sequence[Frequency]) -> dict[str, list[float]]:
    modalities = dict.fromkeys(one.modality for one in known)
    return {modality: [float(one.modality == modality) for one in known] for modality in modalities}
