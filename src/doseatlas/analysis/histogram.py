"""How are the doses of one procedure spread? Histograms for drawing: few bins, even on the scale that suits them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.dose_values import PEERS, countable_doses, dose_values
from doseatlas.analysis.reference_levels import ReferenceLevels
from doseatlas.analysis.results import Distribution, Selection, TypicalValue
from doseatlas.analysis.typical import typical_of_doses

if TYPE_CHECKING:
    import ibis

FEWEST_BINS, MOST_BINS = 5, 24
LOGARITHMIC_FROM = 10.0  # largest over smallest value


class Bins(NamedTuple):
    """Bins of one width, on a linear or a natural logarithmic scale."""

    logarithmic: bool
    origin: float
    width: float
    number: int

    def edges(self) -> tuple[float, ...]:
        """Return the edges in the unit of the values."""
        edges = [self.origin + i * self.width for i in range(self.number + 1)]
        return tuple(math.exp(edge) for edge in edges) if self.logarithmic else tuple(edges)


def distributions(table: ibis.Table, selection: Selection) -> tuple[Distribution, ...]:
    """Return a histogram for each typical value; the counts of one add up to its n.

    The scale is logarithmic where the largest value is at least ten times the smallest. The bins' width is that of
    Freedman and Diaconis (2 IQR / n^(1/3)), bounded to 5 to 24 bins. Each bin holds its lower edge, the last both.
    """
    doses = countable_doses(table, selection)
    return distributions_of_doses(doses, typical_of_doses(doses, by=None, levels=ReferenceLevels(None)))


def distributions_of_doses(doses: ibis.Table, typical: Sequence[TypicalValue]) -> tuple[Distribution, ...]:
    """Return the histograms of :func:`countable_doses`, one for each of their typical values."""
    if not typical:
        return ()
    import ibis
    import pyarrow as pa

    bins = [choose_bins(value) for value in typical]
    peers = [{key: getattr(value, key) for key in PEERS} for value in typical]
    rows = [
        {**key, "phantom_cm": key["phantom_cm"] or 0, "histogram": i, **bin_._asdict()}
        for i, (key, bin_) in enumerate(zip(peers, bins, strict=True))
    ]
    table = pa.Table.from_pylist(rows)
    table = table.set_column(
        table.schema.get_field_index("phantom_cm"), "phantom_cm", table["phantom_cm"].cast("int32")
    )
    values = dose_values(doses)
    placed = values.join(ibis.memtable(table), list(PEERS))
    scaled = placed.logarithmic.ifelse(placed.value.nullif(0.0).log(), placed.value)
    index = ((scaled - placed.origin) / placed.width).floor().cast("int64")
    index = ibis.greatest(ibis.least(index, placed.number.cast("int64") - 1), ibis.literal(0, "int64"))
    counts = [[0] * bin_.number for bin_ in bins]
    counted = placed.group_by(histogram=placed.histogram, bin=index).agg(exams=placed.count())
    for row in counted.to_pyarrow().to_pylist():
        counts[row["histogram"]][row["bin"]] = row["exams"]
    return tuple(
        Distribution(**key, edges=bin_.edges(), counts=tuple(count), logarithmic=bin_.logarithmic)
        for key, bin_, count in zip(peers, bins, counts, strict=True)
    )


def choose_bins(value: TypicalValue) -> Bins:
    """Return bins that cover a typical value's exams."""
    logarithmic = value.minimum > 0 and value.maximum >= LOGARITHMIC_FROM * value.minimum
    low, high, p25, p75 = value.minimum, value.maximum, value.p25, value.p75
    if logarithmic:
        low, high, p25, p75 = (math.log(x) for x in (low, high, p25, p75))
    if high <= low:
        margin = abs(low) * 0.05 or 0.5
        return Bins(False, low - margin, 2 * margin, 1)
    width = 2 * (p75 - p25) / value.n ** (1 / 3)
    wished = math.ceil((high - low) / width) if width > 0 else FEWEST_BINS
    count = min(max(wished, FEWEST_BINS), MOST_BINS)
    return Bins(logarithmic, low, (high - low) / count, count)
