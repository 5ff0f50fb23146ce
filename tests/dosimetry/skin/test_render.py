from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from doseatlas.dosimetry.skin import Options, SkinMap, mesh_of_cells, skin_dose, skin_dose_html
from doseatlas.dosimetry.skin.flatmap import BARE, flat_map
from doseatlas.dosimetry.skin.phantom import SHAPES, human

from .conftest import Make


@pytest.fixture(scope="module")
def found(make: Make) -> SkinMap:
    events = (make.event(), make.event(primary_angle_deg=60.0, reference_air_kerma_mgy=300.0, kap_gy_cm2=None))
    return skin_dose([make.exam(*events)], human(), Options(region="abdomen"))


class Loads(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_holds_everything_and_loads_nothing(found: SkinMap) -> None:
    page = skin_dose_html(found, "Coronary angiography")
    loads = Loads()
    loads.feed(page)
    assert loads.addresses
    assert all(address.startswith("data:image/png;base64,") for address in loads.addresses)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert len(page) < 1_000_000


def test_the_policy_of_the_page_allows_its_own_script_only(found: SkinMap) -> None:
    page = skin_dose_html(found, "x")
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in page


def test_what_a_report_states_is_text_and_never_markup(found: SkinMap) -> None:
    page = skin_dose_html(found, "<script>alert(1)</script>")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_peak_share_assumptions_and_every_shift_stand_in_the_page(found: SkinMap) -> None:
    page = skin_dose_html(found, "x")
    assert f"{found.answer.peak_mgy:.0f} mGy" in page
    assert found.answer.peak_place in page
    assert page.count("5 cm to the") + page.count("5 cm upwards") + page.count("5 cm downwards") == 6
    for text in found.answer.assumptions:
        assert text.split(" (")[0].replace("'", "&#39;") in page


def test_the_three_dimensional_picture_holds_the_dose_of_every_cell(found: SkinMap) -> None:
    page = skin_dose_html(found, "x")
    data = json.loads(re.findall(r'<script type="application/json" id="map">(.*?)</script>', page)[0])
    doses = np.concatenate([np.frombuffer(base64.b64decode(part["dose"]), "<f4") for part in data["parts"]])
    assert doses == pytest.approx(found.dose_mgy, rel=1e-6)
    for part in data["parts"]:
        vertices = np.frombuffer(base64.b64decode(part["vertices"]), "<i2")
        assert len(vertices) == 3 * (part["rows"] + 1) * (part["columns"] + 1)


def test_the_flat_map_shows_irradiated_skin_as_large_as_it_is(found: SkinMap) -> None:
    picture = str(flat_map(found.mesh, found.dose_mgy))
    coloured = 0
    for image in re.findall(r"base64,([^\"]+)", picture):
        rgba = _pixels(base64.b64decode(image))
        skin = rgba[rgba[:, :, 3] == 255]
        coloured += int((skin[:, :3] != np.array(BARE)).any(axis=1).sum())
    assert coloured * 0.25 == pytest.approx(found.mesh.areas[found.dose_mgy > 0].sum(), rel=0.12)


def test_the_flat_map_names_the_peak_and_only_parts_that_were_hit(found: SkinMap) -> None:
    picture = str(flat_map(found.mesh, found.dose_mgy))
    assert f">{found.answer.peak_mgy:,.0f}<".replace(",", " ") in picture
    assert ">body<" in picture
    assert ">left leg<" not in picture


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_a_picture(shape: str, make: Make) -> None:
    page = skin_dose_html(skin_dose([make.exam()], SHAPES[shape](176, 73)), "x")
    assert "<svg" in page


def test_a_mesh_without_rows_and_columns_has_figures_and_no_picture(make: Make) -> None:
    body = human()
    page = skin_dose_html(skin_dose([make.exam()], mesh_of_cells("points", body.centres, body.normals)), "x")
    assert "<svg" not in page
    assert "Peak skin dose" in page


def _pixels(png: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    length = int.from_bytes(png[33:37], "big")
    lines = np.frombuffer(zlib.decompress(png[41 : 41 + length]), np.uint8).reshape(height, 1 + 4 * width)
    return lines[:, 1:].reshape(height, width, 4)
