from __future__ import annotations

import subprocess
import sys

import pytest

import doseatlas.report


def test_naming_the_room_loads_nothing_heavy() -> None:
    code = (
        "import sys, doseatlas.report\n"
        "print(sorted({'jinja2', 'xlsxwriter', 'rich', 'ibis', 'duckdb', 'numpy'} & set(sys.modules)))\n"
        "assert all(callable(getattr(doseatlas.report, name)) for name in doseatlas.report.__all__)\n"
        "print(sorted({'matplotlib', 'ibis', 'duckdb', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["[]", "[]"]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="write_pdf"):
        doseatlas.report.write_pdf  # noqa: B018
