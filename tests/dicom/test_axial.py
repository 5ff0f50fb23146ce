"""CT images are read frame by frame, with what shared and per-frame functional groups state; bad ones are refused."""

from __future__ import annotations

import gzip
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless
from tests.dicom.ct_objects import PIXEL_MM, SIDE, axial, ct_image, enhanced_ct, frame, legacy_ct, localiser, water

from doseatlas.dicom import CtImage, Limits, ct_images
from doseatlas.model import UnreadableObject

FRAME_BYTES = 2 * SIDE * SIDE


def opened(data: bytes, **more: Any) -> list[CtImage]:
    """The images of an object in memory, which stays open as long as they do."""
    with ct_images(BytesIO(data), "object", **more) as images:
        return list(images)


def refusal(data: bytes, **more: Any) -> UnreadableObject:
    with pytest.raises(UnreadableObject) as caught:
        opened(data, **more)
    return caught.value


def written(image: Dataset) -> bytes:
    file = BytesIO()
    image.save_as(file)
    return file.getvalue()


def rewritten(data: bytes, syntax: UID) -> bytes:
    """An object in another transfer syntax."""
    image = dcmread(BytesIO(data))
    file = BytesIO()
    if syntax == RLELossless:
        image.compress(RLELossless)
        return written(image)
    image.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
    dcmwrite(file, image)
    return file.getvalue()


class Counting(BytesIO):
    """A stream that counts the bytes read of it, and the largest piece."""

    read_bytes = largest = 0

    def read(self, size: int | None = -1) -> bytes:
        got = super().read(size)
        self.read_bytes += len(got)
        self.largest = max(self.largest, len(got))
        return got


def test_a_single_image_is_one_frame_with_what_it_states() -> None:
    (image,) = opened(axial("1.2", 12.5, CTDIvol=8.5, XRayTubeCurrent=210, IrradiationEventUID="1.9"))
    assert (image.z_mm, image.ctdi_vol_mgy, image.tube_current_ma, image.event_uid) == (12.5, 8.5, 210.0, "1.9")
    assert (image.pixel_spacing_mm, image.rescale_intercept) == ((PIXEL_MM, PIXEL_MM), -1024.0)
    assert image.axial
    assert np.array_equal(image.decoded(), water())


def test_each_frame_has_what_its_own_groups_and_the_shared_ones_state() -> None:
    frames = [
        frame(0.0, ctdi=4.0, current=100.0, event="1.8", phantom="113691"),
        frame(1.5, 0.5, ctdi=6.0, current=150.0, event="1.9", phantom="113691"),
    ]
    first, second = opened(enhanced_ct("1.2", frames, FrameOfReferenceUID="1.7"))
    assert (first.z_mm, first.ctdi_vol_mgy, first.tube_current_ma, first.event_uid) == (0.0, 4.0, 100.0, "1.8")
    assert (second.z_mm, second.ctdi_vol_mgy, second.tube_current_ma, second.event_uid) == (1.5, 6.0, 150.0, "1.9")
    for one in (first, second):
        assert (one.pixel_spacing_mm, one.rescale_slope, one.rescale_intercept) == ((PIXEL_MM, PIXEL_MM), 1.0, -1024.0)
        assert (one.phantom_cm, one.frame_of_reference_uid, one.study_instance_uid) == (32, "1.7", "1.2")
        assert one.axial
        assert one.original
    assert np.array_equal(second.decoded(), water(0.5))
    assert np.array_equal(first.decoded(), water())


def test_a_legacy_converted_object_is_read_by_frame_too() -> None:
    first, second = opened(legacy_ct("1.2", [frame(z, ctdi=7.0, current=90 + z) for z in (0, 10)]))
    assert (first.ctdi_vol_mgy, first.tube_current_ma, second.tube_current_ma) == (7.0, 90.0, 100.0)
    assert (first.z_mm, second.z_mm, second.original) == (0.0, 10.0, True)
    assert np.array_equal(second.decoded(), water())


def test_frames_that_are_localisers_or_derived_or_no_attenuation_say_so() -> None:
    frames = [
        frame(0.0, type=["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]),
        frame(1.0, type=["DERIVED", "PRIMARY", "VOLUME", "MEAN"]),
        frame(2.0),
    ]
    scout, derived, plain = opened(enhanced_ct("1.2", frames))
    assert (scout.localiser, scout.axial) == (True, False)
    assert (derived.original, plain.original) == (False, True)
    image = dcmread(BytesIO(enhanced_ct("1.2", [frame(0.0)])))
    group = image.SharedFunctionalGroupsSequence[0]
    group.PixelValueTransformationSequence[0].RescaleType = "Z_EFF"
    assert not opened(written(image))[0].original


def test_frames_without_their_functional_groups_lie_nowhere() -> None:
    image = dcmread(BytesIO(enhanced_ct("1.2", [frame(0.0), frame(None)])))
    assert [one.z_mm for one in opened(written(image))] == [0.0, None]
    del image.SharedFunctionalGroupsSequence
    for one in opened(written(image)):
        assert (one.z_mm, one.pixel_spacing_mm, one.rescale_slope) == (None, None, None)


def test_of_many_frames_no_more_is_read_than_the_header_and_those_asked_for() -> None:
    data = enhanced_ct("1.2", [frame(float(z)) for z in range(60)])
    stream = Counting(data)
    with ct_images(stream, "object") as images:
        header = stream.read_bytes
        images[40].decoded()
        images[7].decoded()
    assert stream.read_bytes - header == 2 * FRAME_BYTES
    assert header < len(data) / 4
    assert stream.largest < 8 * FRAME_BYTES


@pytest.mark.parametrize("offsets", [True, False], ids=["offset table", "no offset table"])
def test_compressed_frames_are_decoded_one_by_one(offsets: bool) -> None:
    data = rewritten(enhanced_ct("1.2", [frame(float(z), 1 / (1 + z)) for z in range(5)]), RLELossless)
    if not offsets:
        image = dcmread(BytesIO(data))
        fragments = list(generate_frames(image.PixelData, number_of_frames=5))
        image.PixelData = encapsulate(fragments, has_bot=False)
        data = written(image)
    images = opened(data)
    for z in (3, 0, 4):
        assert np.array_equal(images[z].decoded(), water(1 / (1 + z)))


def test_compressed_frames_that_cannot_be_told_apart_are_refused() -> None:
    image = dcmread(BytesIO(rewritten(enhanced_ct("1.2", [frame(0.0), frame(1.0)]), RLELossless)))
    image.PixelData = encapsulate(list(generate_frames(image.PixelData, number_of_frames=2)), fragments_per_frame=2)
    assert "one fragment each" in str(refusal(written(image)))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("data", [axial("1.2", 5.0), enhanced_ct("1.2", [frame(5.0)])], ids=["single", "enhanced"])
def test_other_transfer_syntaxes_give_the_same_image(data: bytes, syntax: UID) -> None:
    (image,) = opened(rewritten(data, syntax))
    assert (image.z_mm, image.rescale_slope) == (5.0, 1.0)
    assert np.array_equal(image.decoded(), water())


def test_a_big_endian_image_is_read_whole_and_frames_of_one_are_refused() -> None:
    (image,) = opened(rewritten(axial("1.2", 5.0), ExplicitVRBigEndian))
    assert np.array_equal(image.decoded(), water())
    frames = rewritten(enhanced_ct("1.2", [frame(0.0), frame(1.0)]), ExplicitVRBigEndian)
    assert "in this encoding" in str(refusal(frames))


def test_an_object_in_gzip_is_read_too() -> None:
    (image,) = opened(gzip.compress(axial("1.2", 5.0)))
    assert np.array_equal(image.decoded(), water())


def test_numbers_of_frames_that_differ_are_refused() -> None:
    for stated in (1, 3, 100_000):
        error = refusal(enhanced_ct("1.2", [frame(0.0), frame(1.0)], NumberOfFrames=stated))
        assert error.code == "damaged"
        assert f"states {stated} frames and describes 2" in str(error)


@pytest.mark.parametrize("make", [enhanced_ct, legacy_ct])
def test_an_object_without_groups_of_frames_is_refused(make: Any) -> None:
    image = dcmread(BytesIO(make("1.2", [frame(0.0, ctdi=1.0, current=1)])))
    del image.PerFrameFunctionalGroupsSequence
    assert "describes 0" in str(refusal(written(image)))


def test_absurd_sizes_and_pixels_that_are_missing_are_refused() -> None:
    assert refusal(axial("1.2", 0.0, Rows=9999, Columns=9999)).code == "too-large"
    many = enhanced_ct("1.2", [frame(0.0)] * 200, Rows=4096, Columns=4096)
    assert "200 frames of 4096 x 4096" in str(refusal(many))
    short = refusal(enhanced_ct("1.2", [frame(0.0), frame(1.0)])[:-1000])
    assert (short.code, "bytes of pixels" in str(short)) == ("damaged", True)
    header = axial("1.2", 0.0)[: -FRAME_BYTES - 12]
    assert "it holds no pixels" in str(refusal(header))


def test_headers_are_held_to_the_limits_of_all_objects() -> None:
    data = enhanced_ct("1.2", [frame(float(z)) for z in range(50)])
    assert refusal(data, limits=Limits(elements=100)).code == "too-many-items"


def test_what_is_no_ct_image_holds_none(tmp_path: Path) -> None:
    assert opened(ct_image("1.2", water(), SOPClassUID="1.2.840.10008.5.1.4.1.1.7")) == []
    for content in (b"notes", b'{"a": 1}', b"<html>"):
        assert refusal(content).code == "not-dicom"
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnreadableObject, match="cannot be read"), ct_images(tmp_path / "folder", "folder"):
        pass


def test_a_localiser_is_placed_by_its_directions() -> None:
    (image,) = opened(localiser("1.2", 150.0, [0, 1, 0], "1.4"))
    assert (image.localiser, image.axial, image.row_direction) == (True, False, (0.0, 1.0, 0.0))


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_damaged_objects_are_read_or_refused_never_more(data: st.DataObject) -> None:
    whole = bytearray(_SMALL)
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(128, len(_HEADER) + 40))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(whole), len(whole) // 2, len(_HEADER) - 20]))
    with suppress(UnreadableObject):
        for image in opened(bytes(whole[:cut])):
            assert image.decoded().ndim


_SMALL = enhanced_ct("1.2", [{"z": 0.0, "pixels": water()[::16, ::16].copy(), "type": ["ORIGINAL"]}] * 3)
_HEADER = _SMALL[: -3 * 2 * 16 * 16]
