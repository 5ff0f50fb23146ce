"""What is kept of an exam's images is the same in whatever order they come, bounded, and gives each scan its size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.dicom import CtImage
from doseatlas.dosimetry import ImageSizes, size_for_scan, sizes_of_image, united
from doseatlas.dosimetry.image_sizes import Place, Width

PLACES = st.builds(
    Place,
    series=st.sampled_from(["1.1", "1.2"]),
    cell=st.integers(-4, 4),
    missed_by_mm=st.sampled_from([0.0, 1.0, 2.5]),
    diameter_mm=st.sampled_from([0.0, 250.0, 300.0]),
    event_uid=st.sampled_from(["", "1.9"]),
)
WIDTHS = st.builds(
    Width,
    series=st.just("1.3"),
    view=st.sampled_from(["frontal", "lateral"]),
    cell=st.integers(0, 3),
    width_mm=st.sampled_from([200.0, 300.0]),
)
SIZES = st.lists(
    st.builds(
        ImageSizes, places=st.lists(PLACES, max_size=2).map(tuple), widths=st.lists(WIDTHS, max_size=2).map(tuple)
    ),
    max_size=8,
)


def place(cell: int, diameter_mm: float, **more: object) -> Place:
    """A place that was measured in its middle."""
    return Place(series="1", cell=cell, missed_by_mm=0.0, diameter_mm=diameter_mm, **more)  # type: ignore[arg-type]


@given(SIZES, st.randoms(use_true_random=False))
def test_neither_the_order_nor_the_batches_nor_repeats_change_what_is_kept(
    found: list[ImageSizes], random: object
) -> None:
    whole = united(found)
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    step = united([])
    for one in shuffled + found:
        step = united([step, one])
    assert step == whole


def test_what_is_kept_is_bounded() -> None:
    many = united([ImageSizes(places=(place(cell, 300.0),)) for cell in range(5000)])
    assert len(many.places) == 2000


def test_the_size_is_the_mean_over_the_table_and_that_in_the_middle() -> None:
    found = size_for_scan(ImageSizes(places=(place(0, 200.0), place(1, 260.0), place(2, 350.0))), None)
    assert found is not None
    assert found.size.diameter_mm == pytest.approx(270.0)
    assert found.central_diameter_mm == 260.0
    assert found.size.flags == ()


def test_a_scan_takes_the_images_of_its_own_event_before_those_of_others() -> None:
    sizes = ImageSizes(places=(place(0, 200.0, event_uid="1.8"), place(9, 300.0, event_uid="1.9")))
    own = size_for_scan(sizes, "1.9")
    assert own is not None
    assert (own.size.diameter_mm, own.size.flags) == (300.0, ())
    other = size_for_scan(sizes, "1.7")
    assert other is not None
    assert [flag.code for flag in other.size.flags] == ["size-of-other-images"]


def test_images_without_a_diameter_are_flagged_and_nothing_gives_nothing() -> None:
    found = size_for_scan(
        ImageSizes(places=(place(0, 0.0, flags=("no-body",)), place(1, 300.0, flags=("metal",)))), None
    )
    assert found is not None
    assert found.size.diameter_mm == 300.0
    assert [flag.code for flag in found.size.flags] == ["metal", "images-left-out"]
    assert size_for_scan(ImageSizes(places=(place(0, 0.0, flags=("no-body",)),)), None) is None
    assert size_for_scan(ImageSizes(), "1.9") is None


def test_axial_images_go_before_localisers_and_one_view_gives_no_diameter() -> None:
    views = (
        Width(series="2", view="frontal", cell=1, width_mm=320.0),
        Width(series="2", view="lateral", cell=1, width_mm=200.0),
    )
    alone = size_for_scan(ImageSizes(widths=views), None)
    assert alone is not None
    assert alone.size.diameter_mm == pytest.approx(math.sqrt(320.0 * 200.0))
    both = size_for_scan(ImageSizes(places=(place(0, 270.0),), widths=views), None)
    assert both is not None
    assert both.size.diameter_mm == 270.0
    assert size_for_scan(ImageSizes(widths=views[:1]), None) is None


@pytest.mark.parametrize("z_mm", [math.nan, math.inf, 1e300, None])
@pytest.mark.parametrize("localiser", [True, False])
def test_an_image_at_no_possible_place_is_not_measured(z_mm: float | None, localiser: bool) -> None:
    image = CtImage(
        series_instance_uid="1.2" * 50 + "\udce9",
        localiser=localiser,
        z_mm=z_mm,
        pixels=np.pad(np.full((40, 40), 1000, np.int16), 20),
        pixel_spacing_mm=(5.0, 5.0),
        rescale_slope=1.0,
        rescale_intercept=-1000.0,
        ctdi_vol_mgy=None,
        phantom_cm=None,
        tube_current_ma=None,
        position_mm=None if z_mm is None else (0.0, 0.0, z_mm),
        row_direction=(1.0, 0.0, 0.0),
        column_direction=(0.0, 0.0, -1.0) if localiser else (0.0, 1.0, 0.0),
    )
    assert sizes_of_image(image) == ImageSizes()
    there = image._replace(z_mm=0.0, position_mm=(0.0, 0.0, 0.0))
    found = sizes_of_image(there)
    series = {one.series for one in found.places} | {one.series for one in found.widths}
    assert [len(one) for one in series] == [64]
