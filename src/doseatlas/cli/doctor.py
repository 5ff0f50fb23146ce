"""``doseatlas doctor``: what is set, where data lie, what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import typer

from doseatlas.cli import EXIT_FAILED
from doseatlas.cli.output import Format, FormatOption, print_rows
from doseatlas.settings import LoadedSettings, ServiceSettings, load_settings

EXTRAS = {"psycopg": "PostgreSQL stores", "pandas": "exams().to_pandas()", "polars": "exams().to_polars()"}


def doctor(form: FormatOption = Format.table) -> None:
    """Show the settings in force and who set them, where data lie, and what is missing.

    Settings: data_dir, store, facility, identity (pseudonym or plain), archive (true or false), drl_set, drl_files,
    jobs, and [limits] max_mebibytes, max_items, max_depth. One TOML file, DOSEATLAS_... variables over it.
    """
    loaded = load_settings()
    rows = [*_settings(loaded), *_places(loaded), *_software()]
    print_rows(("what", "value", "remark"), rows, form)
    if any(remark.startswith("missing:") for _, _, remark in rows):
        raise typer.Exit(EXIT_FAILED)


def _settings(loaded: LoadedSettings) -> Iterator[tuple[str, str, str]]:
    yield ("settings file", str(loaded.file or "none"), "")
    for name, origin in loaded.origin.items():
        value = getattr(loaded.settings, name)
        yield (name, _without_password(str(value)) if name == "store" else _shown(value), origin)


def _shown(value: object) -> str:
    """Return a setting as a line: where the service listens, and of other groups what differs from the default."""
    if isinstance(value, ServiceSettings):
        ports = {name: getattr(value, f"{name}_port") for name in ("dicom", "dicom_tls", "http", "https")}
        return ", ".join(f"{name} {value.host}:{port}" for name, port in ports.items() if port) or "listens to nothing"
    if isinstance(value, msgspec.Struct):
        usual = type(value)()
        changed = {name: getattr(value, name) for name in value.__struct_fields__}
        changed = {name: one for name, one in changed.items() if one != getattr(usual, name)}
        return ", ".join(f"{name} = {_brief(one)}" for name, one in changed.items()) or "as by default"
    return str(value)


def _brief(value: object) -> str:
    if isinstance(value, tuple) and any(isinstance(one, msgspec.Struct) for one in value):
        return f"{len(value)} of them"
    return f"({_shown(value)})" if isinstance(value, msgspec.Struct) else str(value)


def _without_password(url: str) -> str:
    if "@" not in url or "://" not in url:
        return url
    scheme, rest = url.split("://", 1)
    login, host = rest.rsplit("@", 1)
    return f"{scheme}://{login.split(':', 1)[0]}@{host}"


def _places(loaded: LoadedSettings) -> Iterator[tuple[str, str, str]]:
    from doseatlas.model import DoseAtlasError
    from doseatlas.store import Store

    folder = loaded.settings.data_path
    yield ("data folder", str(folder), _folder_remark(folder))
    if not Store.exists(loaded.settings):
        yield ("store", "none yet", "the first import makes it")
        return
    try:
        with Store.from_settings(loaded.settings) as store:
            counts = store.counts()
            yield ("store", f"{counts.exams} exams from {counts.objects} objects", "readable")
            yield ("refused objects", str(counts.refused), "'doseatlas refused' lists them" if counts.refused else "")
            yield ("unmapped exams", str(counts.unmapped), "'doseatlas mapping list'" if counts.unmapped else "")
    except DoseAtlasError as error:
        yield ("store", "not usable", f"missing: {error}")


def _folder_remark(folder: Path) -> str:
    if not folder.exists():
        return "not there yet: the first import makes it"
    if not os.access(folder, os.W_OK):
        return "missing: permission to write here"
    free = shutil.disk_usage(folder).free / 2**30
    return f"{free:.1f} GiB free"


def _software() -> Iterator[tuple[str, str, str]]:
    from doseatlas import __version__

    yield ("doseatlas", __version__, "")
    yield ("python", platform.python_version(), "")
    for module, use in EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        yield (module, "installed" if found else "not installed", "" if found else f"optional, for {use}")
