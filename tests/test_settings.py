"""What is set, and who set it."""

from __future__ import annotations

from pathlib import Path

import pytest

from doseatlas.model import SettingsError
from doseatlas.settings import load_settings


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_without_a_file_the_defaults_hold_and_the_store_is_embedded() -> None:
    loaded = load_settings({"DOSEATLAS_DATA_DIR": "/somewhere"})
    assert loaded.settings.identity == "pseudonym"
    assert loaded.settings.store_url == "sqlite:////somewhere/doseatlas.sqlite"
    assert loaded.origin["identity"] == "default"
    assert loaded.origin["data_dir"] == "environment"


def test_the_environment_stands_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "doseatlas.toml").write_text('facility = "North"\njobs = 2\narchive = false\n')
    loaded = load_settings({"DOSEATLAS_FACILITY": "South", "DOSEATLAS_ARCHIVE": "yes"})
    assert loaded.settings.facility == "South"
    assert loaded.settings.jobs == 2
    assert loaded.settings.archive is True
    assert loaded.origin["jobs"] == "file"


def test_limits_of_reading_are_set_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "doseatlas.toml").write_text("[limits]\nmax_depth = 50\n")
    assert load_settings({}).settings.limits.max_depth == 50


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 'blue'\n", "colour"),
        ("jobs = 'many'\n", "jobs"),
        ("jobs = -1\n", "jobs"),
        ("identity = 'secret'\n", "identity"),
        ("identity = \n", "not valid TOML"),
        ("[limits]\nmax_depths = 3\n", "max_depths"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "doseatlas.toml").write_text(text)
    with pytest.raises(SettingsError, match=words):
        load_settings({})


def test_a_file_that_is_not_text_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "doseatlas.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"doseatlas\.toml"):
        load_settings({})


def test_a_settings_file_that_is_named_but_absent_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load_settings({"DOSEATLAS_SETTINGS": "absent.toml"})


def test_the_settings_of_dosimetry_are_checked() -> None:
    loaded = load_settings({"DOSEATLAS_SKIN_DOSE_FROM_GY": "2", "DOSEATLAS_DOSE_VALUES": "corrected"}).settings
    assert (loaded.skin_dose_from_gy, loaded.dose_values) == (2.0, "corrected")
    for name, value in (("SKIN_DOSE_FROM_GY", "0"), ("SKIN_DOSE_FROM_GY", "nan"), ("DOSE_VALUES", "guessed")):
        with pytest.raises(SettingsError):
            load_settings({f"DOSEATLAS_{name}": value})
    with pytest.raises(SettingsError, match="skin_dose_from_gy"):
        load_settings({"DOSEATLAS_SKIN_DOSE_FROM_GY": "much"})


def test_a_coefficient_set_or_guideline_that_is_not_known_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "doseatlas.toml"
    file.write_text('ct_coefficients = "deak-2010"\nactivity_guideline = "north-america-2024"\n')
    loaded = load_settings({}).settings
    assert (loaded.ct_coefficients, loaded.activity_guideline) == ("deak-2010", "north-america-2024")
    file.write_text('ct_coefficients = "icrp-200"\n')
    with pytest.raises(SettingsError, match=r"ct_coefficients' is 'icrp-200'.* Known: .*aapm-96.*deak-2010"):
        load_settings({})
    with pytest.raises(SettingsError, match=r"activity_guideline' is 'ours'.* Known: eanm-card-2016, north-america"):
        load_settings({"DOSEATLAS_CT_COEFFICIENTS": "aapm-96", "DOSEATLAS_ACTIVITY_GUIDELINE": "ours"})
