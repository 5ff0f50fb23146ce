"""How sure is a value? Propagation after the GUM (JCGM 100:2008) in the forms that dose quantities need.

All figures are standard uncertainties (k = 1). How the common part of a device enters a median: ``median_interval``.
"""

from __future__ import annotations

from math import sqrt


def from_limits(half_width: float) -> float:
    """Return the standard uncertainty of a value known only to lie within +-``half_width`` (GUM 4.3.7, rectangular)."""
    return half_width / sqrt(3.0)


def from_expanded(expanded: float, coverage_factor: float) -> float:
    """Return the standard uncertainty of a certificate's expanded one (GUM 4.3.3).

    Raises:
        ValueError: the coverage factor is not positive.

    """
    if not coverage_factor > 0:
        raise ValueError(f"A coverage factor of {coverage_factor:g} is not positive.")
    return expanded / coverage_factor


def of_product(*relative: float) -> float:
    """Return the relative uncertainty of a product or quotient of independent factors (GUM 5.1.6)."""
    return sqrt(sum(one * one for one in relative))
