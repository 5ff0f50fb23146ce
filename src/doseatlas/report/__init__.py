"""The facility's dose report as HTML, XLSX, CSV and in the terminal. It lays out what the analysis computed.

The writers are loaded on first use, so that naming the room loads no template engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.report.atomic import written_whole
    from doseatlas.report.compare_page import PageSubject, write_changes_html, write_funnels_html
    from doseatlas.report.page import write_html
    from doseatlas.report.spreadsheet import write_xlsx
    from doseatlas.report.terminal import print_summary
    from doseatlas.report.text_tables import write_csv

__all__ = [
    "PageSubject",
    "print_summary",
    "write_changes_html",
    "write_csv",
    "write_funnels_html",
    "write_html",
    "write_xlsx",
    "written_whole",
]

_HOMES = {
    "PageSubject": "compare_page",
    "print_summary": "terminal",
    "write_changes_html": "compare_page",
    "write_csv": "text_tables",
    "write_funnels_html": "compare_page",
    "write_html": "page",
    "write_xlsx": "spreadsheet",
    "written_whole": "atomic",
}


def __getattr__(name: str) -> Any:
    """Load the module of a public function on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
