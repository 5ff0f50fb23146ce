"""The public names of the room all exist, and importing it loads neither arrays nor compiled code."""

from __future__ import annotations

import subprocess
import sys

import pytest

import doseatlas.dosimetry


def test_every_public_name_exists_and_an_unknown_one_does_not() -> None:
    for name in doseatlas.dosimetry.__all__:
        assert getattr(doseatlas.dosimetry, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'dose'"):
        doseatlas.dosimetry.dose  # noqa: B018


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = "import sys, doseatlas.dosimetry; print([m for m in ('numpy', 'numba', 'pydicom') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
