from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.dosimetry.skin.phantom import (
    SHAPES,
    PhantomError,
    human,
    mesh_of_cells,
    mesh_of_triangles,
    volume_cm3,
)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_ten_thousand_cells_and_lies_on_the_table(shape: str) -> None:
    mesh = SHAPES[shape](176.0, 73.0)
    assert len(mesh.areas) >= 10_000
    assert len(mesh.grids) == len(mesh.parts)
    assert sorted(mesh.order) == list(range(len(mesh.areas)))
    assert -1.0 < mesh.centres[:, 1].max() <= 0.01
    assert mesh.cell_cm < 1.5


@settings(max_examples=15, deadline=None)
@given(st.floats(60, 210), st.floats(6, 200))
def test_a_human_weighs_what_the_patient_weighs_and_is_as_tall(height_cm: float, weight_kg: float) -> None:
    mesh = human(height_cm, weight_kg)
    assert volume_cm3(mesh) / 1000 == pytest.approx(weight_kg, rel=1e-6)
    assert np.ptp(mesh.centres[:, 2]) == pytest.approx(height_cm, rel=0.02)


def test_the_reference_adult_has_the_skin_and_the_girth_of_one() -> None:
    mesh = human()
    # Du Bois' formula gives 1.89 m2; arms and legs begin inside the trunk, where there is no skin.
    assert mesh.areas.sum() / 1e4 == pytest.approx(1.7, abs=0.25)
    chest = mesh.centres[(mesh.part == 0) & (np.abs(mesh.centres[:, 2] + 45) < 2)]
    assert np.ptp(chest[:, 0]) == pytest.approx(33, abs=3)
    assert np.ptp(chest[:, 1]) == pytest.approx(23, abs=3)


def test_normals_point_out_of_the_body() -> None:
    mesh = human()
    for part in range(len(mesh.parts)):
        own = mesh.part == part
        out = mesh.centres[own] - mesh.centres[own].mean(axis=0)
        outwards = np.einsum("ij,ij->i", out[:, :2], mesh.normals[own][:, :2]) > 0
        # Near their ends, arms and legs are not convex about their middle.
        assert outwards.mean() > 0.95


def test_the_body_is_left_right_symmetric() -> None:
    mesh = human()
    assert (mesh.centres[:, 0] * mesh.areas).sum() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("height_cm", "weight_kg"), [(0, 70), (-170, 70), (1.76, 73), (176, 0), (176, 73000)])
def test_a_size_that_no_person_has_is_refused_with_the_range(height_cm: float, weight_kg: float) -> None:
    with pytest.raises(PhantomError, match="heights from 40 to 230 cm"):
        human(height_cm, weight_kg)


def test_a_mesh_without_cells_or_with_numbers_that_are_none_is_refused() -> None:
    with pytest.raises(PhantomError, match="at least one cell"):
        mesh_of_cells("empty", np.empty((0, 3)))
    with pytest.raises(PhantomError, match="not a finite number"):
        mesh_of_cells("nan", np.array([[0.0, np.nan, 0]]))
    with pytest.raises(PhantomError, match="three corners"):
        mesh_of_triangles("flat", np.zeros((4, 3)))


def test_triangles_become_cells_with_their_area_and_outward_normal() -> None:
    mesh = mesh_of_triangles("one", np.array([[[0.0, 0, 0], [2, 0, 0], [0, 2, 0]]]))
    assert mesh.areas == pytest.approx([2.0])
    assert mesh.normals[0] == pytest.approx([0, 0, 1])
