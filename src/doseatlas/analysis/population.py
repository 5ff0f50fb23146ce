"""Which dose does a population receive from medical imaging? Frequency times mean effective dose, as UNSCEAR asks.

The number of exams of each procedure comes from a national sheet, as a registry rarely holds them all; the mean
effective dose from the registry's column ``effective_dose_msv`` where it has one, else from the sheet. Means are taken
within age and sex: a child's coefficient, and a child's exam, are not an adult's. Sources: UNSCEAR 2008 Report, Annex
A, and UNSCEAR 2020/2021 Report, Annex A; European Commission, Radiation Protection 154 (2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from doseatlas.analysis.drl.bootstrap import Draws, interval
from doseatlas.analysis.frequency_sheet import Frequency, load_frequencies
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.results import Selection
from doseatlas.model import Record, TableError

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = ["DoseShare", "Frequency", "PopulationDose", "load_frequencies", "population_dose"]

AGE_BANDS = ((0, 1), (1, 5), (5, 10), (10, 15), (15, 20), (20, 40), (40, 60), (60, 80), (80, None))
FEWEST_EXAMS = 10
AGE_UNKNOWN, SEX_UNKNOWN = "age unknown", "sex unknown"
Origin = Literal["registry", "sheet"]


class DoseShare(Record, frozen=True, kw_only=True):
    """The part of one procedure, modality, age band or sex (``name``) in the population's dose.

    Collective dose in man Sv, dose per head and mean dose in mSv, with 95 % intervals; a mean of no exams is none.
    ``per_thousand`` is exams a year per 1,000 people. ``registry_exams`` are those whose effective doses are behind the
    means. ``at_wider_mean`` is the share of the part's exams to which a mean of other ages or sexes too is given, as
    too few of its own state a dose; it is meant for ages and sexes only.
    """

    name: str
    annual_number: float
    per_thousand: float
    mean_dose_msv: float | None
    mean_dose_low: float | None
    mean_dose_high: float | None
    collective_man_sv: float
    collective_low: float
    collective_high: float
    per_head_msv: float
    share: float
    dose_from: Literal["registry", "sheet", "both"]
    registry_exams: int
    at_wider_mean: float | None = None


class PopulationDose(Record, frozen=True, kw_only=True):
    """A population's dose from medical imaging in a year: that of the procedures whose mean effective dose is known.

    ``without_dose`` names the procedures whose mean effective dose neither registry nor sheet gives; their
    ``uncounted_number`` of exams a year is in no other figure. Ages and sexes are those of the registry's exams,
    weighted by the sheet's numbers. ``coefficient_sets`` are those of the registry's effective doses, with how many
    exams each.
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
    ages_and_sexes: tuple[DoseShare, ...]
    without_dose: tuple[str, ...]
    uncounted_number: float
    coefficient_sets: tuple[tuple[str, int], ...]


class Doses(NamedTuple):
    """Exams of one kind: how many, how many of them with an effective dose, and the sum of these and their squares."""

    n: int = 0
    dosed: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Doses) -> Doses:  # type: ignore[override]
        """Return both together."""
        return Doses(self.n + other.n, self.dosed + other.dosed, self.total + other.total, self.squares + other.squares)

    @property
    def is_enough(self) -> bool:
        """Whether their mean may stand for all of them: it is that of at least 10, or of all."""
        return self.dosed >= FEWEST_EXAMS or 0 < self.dosed == self.n

    @property
    def mean(self) -> float:
        """Mean effective dose in mSv."""
        return self.total / self.dosed

    @property
    def spread(self) -> float:
        """Standard deviation relative to the mean; 0 for a single exam."""
        if self.dosed < 2 or self.total <= 0:
            return 0.0
        variance = (self.squares - self.total**2 / self.dosed) / (self.dosed - 1)
        return math.sqrt(max(variance, 0.0)) / self.mean


class Mean(NamedTuple):
    """A mean effective dose in mSv with its relative standard error, and where it is from."""

    msv: float
    relative_error: float
    origin: Origin
    exams: int


class Stratum(NamedTuple):
    """The exams of one procedure (its place in the sheet), age band (-1: unknown) and sex: their share and mean."""

    place: int
    band: int
    sex: str
    weight: float
    mean: int
    is_own_mean: bool
    dosed: int


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
        table: exams; a registry's may have a column ``age_band`` for those whose age in years it is not sent.
        selection: which of them are meant, such as one year.
        frequencies: how often each procedure is done in a year.
        population: how many people.
        draws: numbers and doses are drawn from log-normal distributions of their uncertainties.

    Raises:
        TableError: no procedure has a mean effective dose.

    """
    exams = countable(chosen(table, selection))
    doses = _doses(exams)
    known = [
        one
        for one in frequencies
        if _is_dosed(doses.get(one.procedure, {}).values()) or one.effective_dose_msv is not None
    ]
    if not known:
        raise TableError("No procedure has a mean effective dose: give effective_dose_msv in the sheet of frequencies.")
    means, strata = _strata(known, doses)
    parts = _Parts(known, means, strata, population, draws)
    without = [one for one in frequencies if one not in known]
    total = parts.share("all", range(len(strata)), is_of_patients=False)
    return PopulationDose(
        population=population,
        annual_number=total.annual_number,
        per_thousand=total.per_thousand,
        collective_man_sv=total.collective_man_sv,
        collective_low=total.collective_low,
        collective_high=total.collective_high,
        per_head_msv=total.per_head_msv,
        per_head_low=1000 * total.collective_low / population,
        per_head_high=1000 * total.collective_high / population,
        procedures=parts.shares_in_order([one.procedure for one in known]),
        modalities=parts.shares_in_order([one.modality for one in known]),
        ages=parts.shares(lambda one: _label(one.band)),
        sexes=tuple(sorted(parts.shares(lambda one: one.sex), key=lambda one: one.name)),
        ages_and_sexes=parts.shares(lambda one: f"{_label(one.band)}, {one.sex}"),
        without_dose=tuple(one.procedure for one in without),
        uncounted_number=math.fsum(one.annual_number for one in without),
        coefficient_sets=_sets(exams, [known[one.place].procedure for one in strata if means[one.mean].exams]),
    )


def effective_doses(exams: ibis.Table) -> ibis.Table:
    """Return what :class:`Doses` holds for each procedure, age band (its place in ``AGE_BANDS``, -1: unknown), sex."""
    import ibis

    given = exams.effective_dose_msv
    banded = exams.select(
        "procedure",
        band=ibis.cases(*_in_bands(exams), else_=-1).cast("int32"),
        sex=exams.sex.isin(["F", "M", "O"]).fill_null(False).ifelse(exams.sex, SEX_UNKNOWN),
        # Engines take NaN for the greatest number, so a mart from elsewhere brings none into the sums.
        dose=((given >= 0) & (given < math.inf)).ifelse(given, None).cast("float64"),
    )
    dose = banded.dose
    return banded.group_by(["procedure", "band", "sex"]).agg(
        n=banded.count(), dosed=dose.count(), total=dose.sum(), squares=(dose * dose).sum()
    )


def coefficient_set_counts(exams: ibis.Table) -> ibis.Table:
    """Return how many effective doses of each procedure are of which coefficient set."""
    dosed = exams.filter(exams.effective_dose_msv.notnull())
    return dosed.group_by(["procedure", "effective_dose_set"]).agg(n=dosed.count())


def _in_bands(exams: ibis.Table) -> list[tuple[Any, int]]:
    """Return the condition of each age band: an age in it, or else a registry's band that lies wholly in it."""
    branches = []
    for place, (low, high) in enumerate(AGE_BANDS):
        age = exams.age_years
        inside = age >= low if high is None else (age >= low) & (age < high)
        if "age_band" in exams.columns:
            lower = exams.age_band.re_extract("^([0-9.]+)([+]|-[0-9.]+)$", 1).nullif("").cast("float64")
            upper = exams.age_band.re_extract("^([0-9.]+)-([0-9.]+)$", 2).nullif("").cast("float64")
            within = lower >= low if high is None else (lower >= low) & (upper <= high)
            inside = inside.fill_null(False) | (age.isnull() & within.fill_null(False))
        branches.append((inside, place))
    return branches


_OfProcedure = dict[tuple[int, str], Doses]


def _doses(exams: ibis.Table) -> dict[str, _OfProcedure]:
    found: dict[str, _OfProcedure] = {}
    order = ["procedure", "band", "sex"]
    for row in effective_doses(exams).order_by(order).to_pyarrow().to_pylist():
        one = Doses(row["n"], row["dosed"], row["total"] or 0.0, row["squares"] or 0.0)
        found.setdefault(row["procedure"], {})[row["band"], row["sex"]] = one
    return found


def _is_dosed(doses: Iterable[Doses]) -> bool:
    """Return whether the registry gives the mean effective dose of a procedure."""
    everything = sum(doses, start=Doses())
    return everything.dosed >= FEWEST_EXAMS and everything.total > 0


def _strata(known: Sequence[Frequency], doses: dict[str, _OfProcedure]) -> tuple[list[Mean], list[Stratum]]:
    """Return the means, and the exams of each procedure by age and sex with the mean that is theirs."""
    means: list[Mean] = []
    strata: list[Stratum] = []
    for place, one in enumerate(known):
        parts = doses.get(one.procedure, {})
        everything = sum(parts.values(), start=Doses())
        wider = len(means)
        if not _is_dosed(parts.values()):
            means.append(Mean(one.effective_dose_msv or 0.0, one.dose_uncertainty, "sheet", 0))
            for (band, sex), part in parts.items():
                strata.append(Stratum(place, band, sex, part.n / everything.n, wider, is_own_mean=False, dosed=0))
        else:
            means.append(_mean(everything, everything.spread))
            for (band, sex), part in parts.items():
                of_age = sum((other for (b, _), other in parts.items() if b == band), start=Doses())
                mean = wider
                for candidate in (part, of_age):
                    if candidate.is_enough:
                        mean = len(means)
                        means.append(_mean(candidate, everything.spread))
                        break
                weight = part.n / everything.n
                strata.append(Stratum(place, band, sex, weight, mean, part.is_enough, part.dosed))
        if not parts:
            strata.append(Stratum(place, -1, SEX_UNKNOWN, 1.0, wider, is_own_mean=False, dosed=0))
    return means, strata


def _mean(doses: Doses, usual_spread: float) -> Mean:
    """Return the mean of exams; the spread of few is taken to be that of all exams of the procedure."""
    spread = doses.spread if doses.dosed >= FEWEST_EXAMS else usual_spread
    return Mean(doses.mean, spread / math.sqrt(doses.dosed), "registry", doses.dosed)


class _Parts:
    """The parts of a population's dose, from draws of every number and every mean."""

    def __init__(
        self, known: Sequence[Frequency], means: Sequence[Mean], strata: Sequence[Stratum], people: int, draws: Draws
    ) -> None:
        import numpy as np

        self.means, self.strata, self.people = means, strata, people
        rng = np.random.default_rng([draws.seed, len(known)])
        places = [one.place for one in strata]
        number = _drawn(rng, [(one.annual_number, one.number_uncertainty) for one in known], draws)
        self.numbers = number[:, places] * np.array([one.weight for one in strata])
        doses = _drawn(rng, [(one.msv, one.relative_error) for one in means], draws)
        # In man Sv; the first row of draws is the estimate itself.
        self.collective = self.numbers * doses[:, [one.mean for one in strata]] / 1000

    def shares(self, name: Callable[[Stratum], str]) -> tuple[DoseShare, ...]:
        """Return the parts that strata of one name make, by rising age."""
        by_name: dict[str, list[int]] = {}
        for place in sorted(range(len(self.strata)), key=lambda place: self._age_and_sex(place)):
            by_name.setdefault(name(self.strata[place]), []).append(place)
        return tuple(self.share(name, places, is_of_patients=True) for name, places in by_name.items())

    def shares_in_order(self, names: Sequence[str]) -> tuple[DoseShare, ...]:
        """Return the parts that procedures of one name make; ``names`` are in the order of the sheet."""
        by_name: dict[str, list[int]] = {name: [] for name in names}
        for place, one in enumerate(self.strata):
            by_name[names[one.place]].append(place)
        return tuple(self.share(name, places, is_of_patients=False) for name, places in by_name.items())

    def _age_and_sex(self, place: int) -> tuple[int, str]:
        one = self.strata[place]
        return (len(AGE_BANDS) if one.band < 0 else one.band), one.sex

    def share(self, name: str, places: Sequence[int], *, is_of_patients: bool) -> DoseShare:
        """Return the part of some strata; ``is_of_patients``: of an age or sex, whose means may be wider ones."""
        collective = self.collective[:, places].sum(axis=1)
        numbers = self.numbers[:, places].sum(axis=1)
        bounds = interval(collective[1:])
        number, dose = float(numbers[0]), float(collective[0])
        everything = float(self.collective[0].sum())
        mean = interval(1000 * collective[1:] / numbers[1:]) if number > 0 else None
        own = [self.strata[place] for place in places]
        origins = {self.means[one.mean].origin for one in own}
        wider = math.fsum(float(self.numbers[0, place]) for place in places if not self.strata[place].is_own_mean)
        return DoseShare(
            name=name,
            annual_number=number,
            per_thousand=1000 * number / self.people,
            mean_dose_msv=1000 * dose / number if number > 0 else None,
            mean_dose_low=mean.low if mean else None,
            mean_dose_high=mean.high if mean else None,
            collective_man_sv=dose,
            collective_low=bounds.low,
            collective_high=bounds.high,
            per_head_msv=1000 * dose / self.people,
            share=dose / everything if everything else 0.0,
            dose_from="both" if len(origins) > 1 else origins.pop(),
            registry_exams=sum(one.dosed for one in own),
            at_wider_mean=wider / number if is_of_patients and number > 0 else None,
        )


def _sets(exams: ibis.Table, procedures: Sequence[str]) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for row in coefficient_set_counts(exams).to_pyarrow().to_pylist():
        if row["procedure"] in procedures:
            name = row["effective_dose_set"] or "not stated"
            counts[name] = counts.get(name, 0) + row["n"]
    return tuple(sorted(counts.items()))


def _drawn(rng: np.random.Generator, figures: Iterable[tuple[float, float]], draws: Draws) -> Floats:
    """Return log-normal draws of figures with relative uncertainties; the first row is the figures themselves."""
    import numpy as np

    mean, uncertainty = np.array(list(figures), dtype=np.float64).T
    spread = np.sqrt(np.log1p(uncertainty**2))
    noise = rng.normal(size=(draws.replicates, len(mean)))
    return np.vstack([mean, mean * np.exp(spread * noise - spread**2 / 2)])


def _label(band: int) -> str:
    if band < 0:
        return AGE_UNKNOWN
    low, high = AGE_BANDS[band]
    return f"{low} y and more" if high is None else f"{low}-<{high} y"
