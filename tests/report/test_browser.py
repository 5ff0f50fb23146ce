"""The page in a real browser: it renders, its script runs, nothing is fetched and nothing is complained of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from doseatlas.analysis import FacilityReport
from doseatlas.report import write_html

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on the PATH")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
)


def rendered(page: Path, home: Path) -> tuple[str, list[str]]:
    """Return the page as the browser understands it, and what its console says."""
    done = subprocess.run(
        [str(BROWSER), *QUIET, f"--user-data-dir={home}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_renders_and_nothing_is_fetched(report: FacilityReport, tmp_path: Path) -> None:
    write_html(report, tmp_path / "report.html")
    page, console = rendered(tmp_path / "report.html", tmp_path / "home")
    assert console == []
    assert page.rstrip().endswith("</html>")
    # The script has run: it shows the filter, which is hidden without it.
    assert '<form class="filter">' in page
    assert page.count("<svg") == (tmp_path / "report.html").read_text(encoding="utf-8").count("<svg")


def test_a_load_or_script_that_got_in_is_blocked_and_the_console_says_so(
    report: FacilityReport, tmp_path: Path
) -> None:
    write_html(report, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    spoiled = text.replace("<main", '<img src="https://example.org/x.png"><script>document.title = "run"</script><main')
    (tmp_path / "spoiled.html").write_text(spoiled, encoding="utf-8")
    page, console = rendered(tmp_path / "spoiled.html", tmp_path / "home")
    assert len([line for line in console if "Content Security Policy" in line]) == 2
    assert "<title>run</title>" not in page
