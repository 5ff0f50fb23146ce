from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.dosimetry.skin.geometry import Beams, about_x, about_y, about_z, beams_of, solid_angle
from doseatlas.dosimetry.skin.kernel import Map, Table, beam_rows, cells_of, dose_map
from doseatlas.dosimetry.skin.phantom import Mesh, flat, human, mesh_of_cells, tube
from doseatlas.dosimetry.skin.physics import Physics
from doseatlas.dosimetry.skin.setup import Setup

Floats = npt.NDArray[np.float64]
NO_TABLE_FACTOR = np.zeros(3)
ANGLE = st.floats(-180, 180)


def setup(count: int = 1, **changes: Any) -> Setup:
    """Return beams straight up through the isocentre with a field of 20 cm by 20 cm at the detector, 100 cm away."""
    one = np.ones(count)
    plain = Setup(
        event=np.arange(count),
        kerma_mgy=100 * one,
        kap_gy_cm2=one,
        source_to_reference_cm=60 * one,
        source_to_isocentre_cm=75 * one,
        source_to_detector_cm=100 * one,
        primary_deg=0 * one,
        secondary_deg=0 * one,
        field_rotation_deg=0 * one,
        field_x_cm=np.tile([-10.0, 10.0], (count, 1)),
        field_z_cm=np.tile([-10.0, 10.0], (count, 1)),
        table_cm=np.zeros((count, 3)),
        table_deg=np.zeros((count, 3)),
        kv=80 * one,
        al_mm=3 * one,
        cu_mm=0 * one,
    )
    return plain._replace(**changes)


def inverse_square_only(beams: Setup, transmission: Floats = NO_TABLE_FACTOR) -> Physics:
    count = len(beams.kerma_mgy)
    return Physics(
        dose_at_1_cm_mgy=beams.kerma_mgy * beams.source_to_reference_cm**2,
        side_per_distance=np.zeros(count),
        side_per_depth=np.zeros(count),
        backscatter=np.tile([1.0, 0, 0, 0, 0, 0], (count, 1)),
        largest_side_cm=35.0,
        log_transmission=np.tile(transmission, (count, 1)),
    )


def run(mesh: Mesh, beams: Setup, physics: Physics | None = None, table: Table | None = None) -> Map:
    used = physics or inverse_square_only(beams)
    cells = cells_of(mesh, mesh.centres, mesh.normals)
    return dose_map(cells, mesh, beam_rows(beams_of(beams), used), used, table)


def moved(mesh: Mesh, matrix: Floats) -> Mesh:
    return mesh._replace(centres=mesh.centres @ matrix.T, normals=mesh.normals @ matrix.T)


def test_a_perpendicular_beam_on_a_plane_gives_kerma_by_the_inverse_square() -> None:
    points = np.array([[0.0, 0, 0], [5, 0, 3], [0, 10, 0]])
    dose = run(mesh_of_cells("points", points), setup()).dose_mgy
    squares = [75.0**2, 75.0**2 + 5**2 + 3**2, 65.0**2]
    assert dose == pytest.approx([100 * 60**2 / square for square in squares], rel=1e-9)


def test_backscatter_is_the_cubic_of_the_field_side_at_the_skin() -> None:
    beams = setup()
    coefficients = np.array([[1.0, 0.02, -3e-4, 2e-6, -4e-5, 3e-5]])
    physics = inverse_square_only(beams)._replace(
        side_per_depth=np.array([0.2]), backscatter=coefficients, largest_side_cm=35.0
    )
    mesh = mesh_of_cells("points", np.array([[0.0, 0, 0], [0, 40, 0], [0, -40, 0]]))
    got = run(mesh, beams, physics).dose_mgy
    for dose, depth in zip(got, (75.0, 35.0, 115.0), strict=True):
        side = 0.2 * depth
        terms = [1, side, side**2, side**3, max(side - 10, 0) ** 3, max(side - 20, 0) ** 3]
        assert dose == pytest.approx(100 * 60**2 / depth**2 * float(coefficients[0] @ terms), rel=1e-9)


def test_the_table_weakens_only_what_lies_above_it_and_grows_with_obliquity() -> None:
    beams = setup()
    points = np.array([[0.0, 0, 0], [7, 0, 0], [0, 20, 0], [0, 0, 7]])
    table = Table(5.0, (-30, 30), (-30, 6))
    dose = run(mesh_of_cells("points", points), beams, inverse_square_only(beams, np.array([0, -0.2, 0.01])), table)
    bare = run(mesh_of_cells("points", points), beams).dose_mgy
    slant = np.hypot(75, 7) / 75
    # On its way to the last point the ray passes beyond the table's end, where z is 7 * 70 / 75 = 6.5 cm.
    expected = [np.exp(-0.2 + 0.01), np.exp(-0.2 * slant + 0.01 * slant**2), 1.0, 1.0]
    assert dose.dose_mgy / bare == pytest.approx(expected, rel=1e-9)


def test_an_event_that_hits_one_two_or_three_cells_gives_each_its_dose() -> None:
    for count in (1, 2, 3, 4):
        points = np.array([[float(x), 0, 0] for x in range(count)])
        dose = run(mesh_of_cells("few", points, np.tile([0.0, 1, 0], (count, 1))), setup()).dose_mgy
        assert dose == pytest.approx(100 * 60**2 / (75.0**2 + np.arange(count) ** 2), rel=1e-9)


def test_three_thousand_events_are_summed_like_one() -> None:
    mesh = flat(30, 30, "plane", rows=20, columns=20)
    one = run(mesh, setup()).dose_mgy
    assert run(mesh, setup(3000)).dose_mgy == pytest.approx(3000 * one, rel=1e-9)


def test_each_plane_of_a_biplane_unit_has_its_own_reference_distance() -> None:
    beams = setup(2, source_to_reference_cm=np.array([60.0, 80.0]), primary_deg=np.array([0.0, 90.0]))
    dose = run(mesh_of_cells("point", np.zeros((1, 3))), beams).dose_mgy
    assert dose[0] == pytest.approx(100 * (60**2 + 80**2) / 75**2, rel=1e-9)


def test_only_the_side_that_faces_the_source_is_hit() -> None:
    mesh = tube(10, 10, 60, "tube", rows=60, columns=64)
    centred = mesh._replace(centres=mesh.centres + np.array([0, 10.0, 30]))
    hit = run(centred, setup()).dose_mgy > 0
    assert hit.any()
    assert (centred.centres[hit, 1] > 0).all()


@pytest.mark.parametrize("height_cm", [-30.0, -10.0, 5.0, 20.0])
def test_the_kerma_area_product_through_every_plane_is_the_same(height_cm: float) -> None:
    mesh = flat(60, 60, "plane", rows=600, columns=600)
    mesh = mesh._replace(centres=mesh.centres + np.array([0, height_cm, 30]))
    found = run(mesh, setup())
    depth = 75 - height_cm
    cosine = depth / np.linalg.norm(mesh.centres - np.array([0, 75.0, 0]), axis=1)
    through = float(np.sum(found.dose_mgy * mesh.areas * cosine))
    whole = 100 * 60**2 * float(solid_angle(np.array([[-0.1, 0.1]]), np.array([[-0.1, 0.1]]))[0])
    assert through == pytest.approx(whole, rel=0.02)


TURNED: dict[str, Any] = {"field_x_cm": np.array([[-14.0, 4.0]]), "field_z_cm": np.array([[-3.0, 9.0]])}


@pytest.mark.parametrize("height_cm", [-30.0, 0.0, 20.0])
@pytest.mark.parametrize("turn", [0.0, 37.0, -120.0])
def test_the_kerma_area_product_of_a_turned_field_beside_the_axis_is_the_same_through_every_plane(
    height_cm: float, turn: float
) -> None:
    mesh = flat(60, 60, "plane", rows=600, columns=600)
    mesh = mesh._replace(centres=mesh.centres + np.array([0, height_cm, 30]))
    found = run(mesh, setup(**TURNED, field_rotation_deg=np.array([turn])))
    cosine = (75 - height_cm) / np.linalg.norm(mesh.centres - np.array([0, 75.0, 0]), axis=1)
    through = float(np.sum(found.dose_mgy * mesh.areas * cosine))
    whole = 100 * 60**2 * float(solid_angle(TURNED["field_x_cm"] / 100, TURNED["field_z_cm"] / 100)[0])
    assert through == pytest.approx(whole, rel=0.02)


@settings(max_examples=40, deadline=None)
@given(ANGLE, st.sampled_from([(u, v) for u in (-14.0, 4.0) for v in (-3.0, 9.0)]), st.floats(-40, 40))
def test_the_corners_of_a_turned_field_are_where_trigonometry_puts_them(
    turn: float, corner: tuple[float, float], height_cm: float
) -> None:
    angle = np.deg2rad(turn)
    middle = np.array([-5.0, 3.0])
    points = []
    for share in (1 - 1e-9, 1 + 1e-9):
        u, v = middle + (np.array(corner) - middle) * share
        # Turned clockwise seen from the detector: the field's own up goes to the patient's left.
        x, z = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
        depth = (75 - height_cm) / 100
        points.append([x * depth, height_cm, z * depth])
    dose = run(mesh_of_cells("corner", np.array(points)), setup(**TURNED, field_rotation_deg=np.array([turn])))
    inside, outside = dose.dose_mgy
    assert inside == pytest.approx(100 * 60**2 / np.sum((np.array(points[0]) - [0, 75, 0]) ** 2), rel=1e-9)
    assert outside == 0


def test_a_field_turned_by_a_right_angle_is_one_with_its_edges_exchanged() -> None:
    mesh = human()
    mesh = mesh._replace(centres=mesh.centres + np.array([0, 10.0, 50]))
    turned = run(mesh, setup(**TURNED, field_rotation_deg=np.array([90.0]), primary_deg=np.array([25.0])))
    exchanged = setup(
        field_x_cm=TURNED["field_z_cm"], field_z_cm=-TURNED["field_x_cm"][:, ::-1], primary_deg=np.array([25.0])
    )
    differ = ~np.isclose(turned.dose_mgy, run(mesh, exchanged).dose_mgy, rtol=1e-9, atol=1e-12)
    assert differ.sum() <= 2


@settings(max_examples=25, deadline=None)
@given(ANGLE, st.floats(-85, 85), st.floats(-40, 40))
def test_a_mirrored_turned_field_gives_the_mirrored_map(turn: float, primary: float, secondary: float) -> None:
    mesh = human()
    mesh = mesh._replace(centres=mesh.centres + np.array([0, 10.0, 50]))
    mirror = np.array([-1.0, 1, 1])
    other = mesh._replace(centres=mesh.centres * mirror, normals=mesh.normals * mirror)
    along: dict[str, Any] = {"secondary_deg": np.array([secondary]), "field_z_cm": TURNED["field_z_cm"]}
    right = setup(
        primary_deg=np.array([primary]),
        field_rotation_deg=np.array([turn]),
        field_x_cm=TURNED["field_x_cm"],
        **along,
    )
    left = setup(
        primary_deg=np.array([-primary]),
        field_rotation_deg=np.array([-turn]),
        field_x_cm=-TURNED["field_x_cm"][:, ::-1],
        **along,
    )
    differ = ~np.isclose(run(mesh, right).dose_mgy, run(other, left).dose_mgy, rtol=1e-9, atol=1e-12)
    assert differ.sum() <= 2


def test_the_solid_angles_of_the_cells_hit_add_up_to_that_of_the_beam() -> None:
    mesh = tube(20, 12, 80, "tube", rows=800, columns=600)
    mesh = mesh._replace(centres=mesh.centres + np.array([0, 12, 40.0]))
    hit = run(mesh, setup(2, primary_deg=np.array([0.0, 35.0]))).solid_angle_sr.sum(axis=1)
    whole = solid_angle(np.tile([-0.1, 0.1], (2, 1)), np.tile([-0.1, 0.1], (2, 1)))
    assert hit == pytest.approx(whole, rel=0.01)


@settings(max_examples=25, deadline=None)
@given(ANGLE, ANGLE, ANGLE)
def test_turning_body_and_beam_together_changes_nothing(a: float, b: float, c: float) -> None:
    mesh = human()
    mesh = mesh._replace(centres=mesh.centres + np.array([0, 10.0, 50]))
    turn = (about_x(np.array([a])) @ about_y(np.array([b])) @ about_z(np.array([c])))[0]
    beams = beams_of(setup(primary_deg=np.array([20.0])))
    source, across, along, axis = (one @ turn.T for one in (beams.source_cm, beams.across, beams.along, beams.axis))
    turned = Beams(source, across, along, axis, beams.edges_across, beams.edges_along)
    physics = inverse_square_only(setup())
    body = moved(mesh, turn)
    before = dose_map(cells_of(mesh, mesh.centres, mesh.normals), mesh, beam_rows(beams, physics), physics, None)
    after = dose_map(cells_of(body, body.centres, body.normals), body, beam_rows(turned, physics), physics, None)
    # A cell on the very edge of the field or of the visible side may fall on either side of it.
    differ = ~np.isclose(before.dose_mgy, after.dose_mgy, rtol=1e-9, atol=1e-12)
    assert differ.sum() <= 2


@settings(max_examples=25, deadline=None)
@given(st.floats(-85, 85), st.floats(-40, 40))
def test_a_mirrored_beam_gives_the_mirrored_map(primary: float, secondary: float) -> None:
    mesh = human()
    mesh = mesh._replace(centres=mesh.centres + np.array([0, 10.0, 50]))
    mirror = np.array([-1.0, 1, 1])
    other = mesh._replace(centres=mesh.centres * mirror, normals=mesh.normals * mirror)
    angles: dict[str, Any] = {"secondary_deg": np.array([secondary])}
    right = run(mesh, setup(primary_deg=np.array([primary]), **angles)).dose_mgy
    left = run(other, setup(primary_deg=np.array([-primary]), **angles)).dose_mgy
    assert (~np.isclose(right, left, rtol=1e-9, atol=1e-12)).sum() <= 2


@settings(max_examples=30, deadline=None)
@given(ANGLE, st.floats(-60, 60), ANGLE, st.floats(0.5, 40), st.floats(-30, 30))
def test_culling_leaves_out_no_cell_that_a_plain_test_finds(
    primary: float, secondary: float, turn: float, half: float, shift: float
) -> None:
    mesh = human()
    mesh = mesh._replace(centres=mesh.centres + np.array([shift, 10.0, 50]))
    edges = np.array([[-half, half / 3]])
    beams = setup(
        primary_deg=np.array([primary]),
        secondary_deg=np.array([secondary]),
        field_rotation_deg=np.array([turn]),
        field_x_cm=edges,
        field_z_cm=edges,
    )
    beam = beams_of(beams)
    away = mesh.centres - beam.source_cm[0]
    depth = away @ beam.axis[0]
    inside = (depth > 0) & (np.einsum("ij,ij->i", away, mesh.normals) <= 0)
    for axis, (low, high) in ((beam.across[0], edges[0] / 100), (beam.along[0], edges[0] / 100)):
        inside &= (away @ axis <= high * depth) & (away @ axis >= low * depth)
    found = run(mesh, beams)
    assert ((found.dose_mgy > 0) != inside).sum() <= 2
    assert found.hits.sum() == np.count_nonzero(found.dose_mgy)
