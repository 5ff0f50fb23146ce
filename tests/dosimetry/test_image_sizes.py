"""What is kept of an exam's images is the same in whatever order they come, bounded, and gives each scan its places."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from doseatlas.dicom import CtImage
from doseatlas.dosimetry import ImageSizes, NotEstimated, Place, measured_at, sizes_of_images, united
from doseatlas.dosimetry.image_sizes import Width, places_of_scan, size_from_localisers

PLACES = st.builds(
    Place,
    series=st.sampled_from(["1.1", "1.2"]),
    cell=st.integers(-4, 4),
    missed_by_mm=st.sampled_from([0.0, 1.0, 2.5]),
    diameter_mm=st.sampled_from([0.0, 250.0, 300.0]),
    event_uid=st.sampled_from(["", "1.9"]),
    ctdi_vol_mgy=st.sampled_from([0.0, 8.0]),
    tube_current_ma=st.sampled_from([0.0, 100.0]),
    side=st.sampled_from([-1, 0, 1]),
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


def image(z_mm: float | None, **more: Any) -> CtImage:
    """An axial image of 20 by 20 cm of water."""
    pixels = np.pad(np.full((40, 40), 1000, np.int16), 20)
    stated: dict[str, Any] = {
        "series_instance_uid": "1.2.3",
        "localiser": False,
        "z_mm": z_mm,
        "decoded": lambda: pixels,
        "pixel_spacing_mm": (5.0, 5.0),
        "rescale_slope": 1.0,
        "rescale_intercept": -1000.0,
        "ctdi_vol_mgy": None,
        "phantom_cm": None,
        "tube_current_ma": None,
        "row_direction": (1.0, 0.0, 0.0),
        "column_direction": (0.0, 1.0, 0.0),
    }
    return CtImage(**(stated | more))


class Decoding:
    """Counts how often pixels are asked for."""

    def __init__(self, *, empty: bool = False) -> None:
        self.count = 0
        self._pixels = image(0.0).decoded() * (0 if empty else 1)

    def __call__(self) -> np.ndarray[Any, Any]:
        self.count += 1
        return self._pixels


def test_of_many_images_only_those_nearest_to_a_place_are_decoded_and_their_dose_is_kept() -> None:
    decoding = Decoding()
    found = sizes_of_images(
        [
            image(float(z), decoded=decoding, ctdi_vol_mgy=8.0 + z, phantom_cm=32, tube_current_ma=100.0)
            for z in range(11)
        ]
    )
    assert decoding.count == 3
    assert [(one.z_mm, one.ctdi_vol_mgy, one.phantom_cm, one.tube_current_ma) for one in found.places] == [
        (0.0, 8.0, 32, 100.0),
        (5.0, 13.0, 32, 100.0),
        (10.0, 18.0, 32, 100.0),
    ]


def test_frames_of_one_object_and_single_images_give_the_same() -> None:
    images = [image(z, tube_current_ma=50 + z, event_uid="1.9") for z in (1.3, 2.6, 3.9, 5.2, 6.5, -7.8)]
    assert sizes_of_images(images) == united(sizes_of_images([one]) for one in images)
    assert [one.z_mm for one in sizes_of_images(images).places] == pytest.approx([-7.8, 1.3, 5.2])


def test_where_the_nearest_image_shows_no_body_the_next_one_is_measured() -> None:
    nearest, next_one, last = Decoding(empty=True), Decoding(), Decoding()
    frames = [image(1.0, decoded=next_one), image(2.0, decoded=last), image(0.0, decoded=nearest)]
    (kept,) = sizes_of_images(frames).places
    assert (nearest.count, next_one.count, last.count) == (1, 1, 0)
    assert (kept.z_mm, kept.diameter_mm > 0) == (1.0, True)


def test_what_is_known_as_well_is_not_decoded_again_and_what_lacks_its_dose_is() -> None:
    one = image(4.0, ctdi_vol_mgy=8.0, phantom_cm=32)
    known = sizes_of_images([one])
    assert sizes_of_images([one._replace(decoded=Decoding())], known) == ImageSizes()
    empty = image(4.0, decoded=Decoding(empty=True))
    assert sizes_of_images([empty], sizes_of_images([empty])) == ImageSizes()
    (old,) = known.places
    before = ImageSizes(places=(structs.replace(old, ctdi_vol_mgy=0.0, phantom_cm=0, side=0),))
    again = united([before, sizes_of_images([one], before)])
    assert again == known
    nearer = sizes_of_images([image(5.0)], known)
    assert [place.z_mm for place in united([known, nearer]).places] == [5.0]


def test_sizes_kept_before_the_dose_was_asked_for_are_read_and_lie_in_the_middle_of_their_place() -> None:
    kept = msgspec.msgpack.encode(
        {"places": [{"series": "1", "cell": 3, "missed_by_mm": 2.0, "diameter_mm": 250.0}], "widths": []}
    )
    (place_kept,) = msgspec.msgpack.decode(kept, type=ImageSizes).places
    assert (place_kept.z_mm, place_kept.states_dose, place_kept.diameter_mm) == (15.0, False, 250.0)


@pytest.mark.parametrize("absurd", [0.0, -3.0, 1e6, math.nan, math.inf])
def test_a_dose_that_cannot_be_is_not_kept(absurd: float) -> None:
    (kept,) = sizes_of_images([image(0.0, ctdi_vol_mgy=absurd, phantom_cm=32, tube_current_ma=absurd)]).places
    assert (kept.ctdi_vol_mgy, kept.phantom_cm, kept.tube_current_ma, kept.states_dose) == (0.0, 0, 0.0, False)


def test_a_scan_takes_the_images_of_its_own_event_before_those_of_others() -> None:
    sizes = ImageSizes(places=(place(0, 200.0, event_uid="1.8"), place(9, 300.0, event_uid="1.9")))
    own, whose = places_of_scan(sizes, "1.9")
    assert ([one.diameter_mm for one in own], whose) == ([300.0], "own")
    every, whose = places_of_scan(sizes, "1.7")
    assert ([one.diameter_mm for one in every], whose) == ([200.0, 300.0], "other")
    assert places_of_scan(sizes, None).whose == "not stated"
    assert places_of_scan(ImageSizes(), "1.9").places == ()


def test_several_reconstructions_of_one_place_count_once_and_a_measured_one_first() -> None:
    sizes = ImageSizes(
        places=(
            place(1, 0.0, flags=("no-body",)),
            Place(series="2", cell=1, missed_by_mm=2.0, diameter_mm=270.0),
            Place(series="3", cell=1, missed_by_mm=1.0, diameter_mm=260.0),
        )
    )
    ((one,), _) = places_of_scan(sizes, None)
    assert one.diameter_mm == 260.0


def test_a_place_without_a_diameter_says_why() -> None:
    found = measured_at(place(0, 0.0, flags=("no-body",)))
    assert isinstance(found.size, NotEstimated)
    assert (found.size.code, "shows no patient" in found.size.message) == ("no-body", True)


def test_two_localisers_give_a_diameter_and_one_view_gives_none() -> None:
    views = (
        Width(series="2", view="frontal", cell=1, width_mm=320.0),
        Width(series="2", view="lateral", cell=1, width_mm=200.0),
    )
    found = size_from_localisers(views)
    assert found is not None
    assert found.diameter_mm == pytest.approx(math.sqrt(320.0 * 200.0))
    assert size_from_localisers(views[:1]) is None


@pytest.mark.parametrize("z_mm", [math.nan, math.inf, 1e300, None])
@pytest.mark.parametrize("localiser", [True, False])
def test_an_image_at_no_possible_place_is_not_measured(z_mm: float | None, localiser: bool) -> None:
    one = image(
        z_mm,
        series_instance_uid="1.2" * 50 + "\udce9",
        localiser=localiser,
        position_mm=None if z_mm is None else (0.0, 0.0, z_mm),
        column_direction=(0.0, 0.0, -1.0) if localiser else (0.0, 1.0, 0.0),
    )
    assert sizes_of_images([one]) == ImageSizes()
    there = one._replace(z_mm=0.0, position_mm=(0.0, 0.0, 0.0))
    found = sizes_of_images([there])
    series = {kept.series for kept in found.places} | {kept.series for kept in found.widths}
    assert [len(uid) for uid in series] == [64]
    assert sizes_of_images([there], found) == ImageSizes()
    assert sizes_of_images([there._replace(original=False)]) == ImageSizes()
