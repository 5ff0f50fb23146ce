"""What is installed in a hospital fits together: units, container file, the page that says how."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from doseatlas.cli.app import app
from doseatlas.service.checking import check
from doseatlas.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SERVICES = sorted(DEPLOY.glob("*.service"))
PAGE = (ROOT / "docs" / "hospital.md").read_text(encoding="utf-8")
COMMAND = "/opt/doseatlas/bin/doseatlas"


def commands(text: str) -> list[list[str]]:
    """What our command is started with."""
    return [line.split() for line in re.findall(rf"{COMMAND} ([a-z -]+)", text)]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze (apt-get install systemd)")
    units = [*SERVICES, *DEPLOY.glob("*.timer")]
    assert len(units) == 4
    for unit in units:
        (tmp_path / unit.name).write_text(unit.read_text().replace(COMMAND, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if str(tmp_path) in line]) == (0, [])


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_every_unit_runs_a_command_that_there_is_as_the_same_user_with_the_same_protection(unit: Path) -> None:
    text = unit.read_text()
    ((_, *options),) = ([*words] for words in [["", *commands(text)[0]]])
    assert CliRunner().invoke(app, [*options, "--help"]).exit_code == 0
    shared = [
        line for line in SERVICES[0].read_text().splitlines() if line.startswith(("Protect", "Restrict", "User="))
    ]
    assert len(shared) > 5
    assert {line for line in shared if "RestartPrevent" not in line} <= set(text.splitlines())


def test_the_page_names_every_unit_and_the_container_file() -> None:
    for file in DEPLOY.iterdir():
        assert file.name in PAGE, file.name


def test_the_settings_of_the_page_are_in_order_when_its_steps_were_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = next(block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[service]" in block)
    places = {*re.findall(r'"(/(?:etc|srv|var)/[^"]+)"', text)}
    steps = "\n".join(re.findall(r"```\n(.*?)```", PAGE, re.DOTALL))
    units = "\n".join(file.read_text() for file in SERVICES)
    for place in places:
        assert place in steps or place in units, f"no step makes {place}"
        target = tmp_path / place.lstrip("/")
        if target.suffix:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("0123456789abcdef0123456789abcdef")
        else:
            target.mkdir(parents=True, exist_ok=True)
        text = text.replace(f'"{place}"', f'"{target}"')
    (tmp_path / "settings.toml").write_text(text)
    check(load_settings({"DOSEATLAS_SETTINGS": str(tmp_path / "settings.toml")}).settings)
    for folder in tomllib.loads(text)["service"]["folders"]:
        place = "/" + str(Path(folder["path"]).relative_to(tmp_path))
        assert f"ReadWritePaths=-{place}" in (DEPLOY / "doseatlas.service").read_text()


def test_the_container_copies_what_its_build_needs() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for word in line.split()[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"src", "pyproject.toml", "requirements", project["readme"], *project["license-files"]} <= copied
    assert all((ROOT / word).exists() for word in copied)
    assert 'CMD ["doseatlas", "serve"]' in text
