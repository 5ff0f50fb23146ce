"""What is set, and who set it: defaults, then one TOML file, then environment variables (``DOSEATLAS_...``).

The file is the one named by ``DOSEATLAS_SETTINGS``, else ``doseatlas.toml`` in the working folder, else
``settings.toml`` in the user's configuration folder. ``doseatlas doctor`` shows the result.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from doseatlas.model import SettingsError

PREFIX = "DOSEATLAS_"


class ReadLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one object; past them it is refused."""

    max_mebibytes: int = 64
    max_items: int = 500_000
    max_depth: int = 200


class CallerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A peer that may send: its AE title (``*``: any), the addresses or networks it calls from (none: any).

    ``facility`` is the facility that its objects belong to, whatever institution they state. ``max_associations`` 0
    means the service's ``max_associations_per_caller``. ``commitment_address`` (``host:port``) is where the answer to
    a storage commitment goes when the association that asked has ended.
    """

    ae_title: str
    addresses: tuple[str, ...] = ()
    facility: str | None = None
    max_associations: int = 0
    commitment_address: str = ""


class TokenSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bearer token of DICOMweb senders: the file that holds it, and the facility that it stands for."""

    file: str
    name: str
    facility: str | None = None


class FolderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A watched folder, and the facility that files in it belong to."""

    path: str
    facility: str | None = None


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``doseatlas serve`` listens to and whom it lets in (``docs/hospital.md``). A port of 0 is off.

    ``anyone``: let in peers that no ``callers`` or ``tokens`` name, on other than loopback addresses too.
    ``certificate`` and ``private_key`` (PEM files) are for ``dicom_tls_port`` and ``https_port``; with
    ``trusted_certificates`` a DICOM peer must show a certificate that these sign. ``slowest_bytes_per_second`` and
    ``stall_seconds``: a peer that is slower in mid-message, or silent for longer, is cut off. ``grace_seconds``:
    how long running transfers may take after the order to stop.
    """

    ae_title: str = "DOSEATLAS"
    host: str = "127.0.0.1"
    dicom_port: int = 11112
    dicom_tls_port: int = 0
    http_port: int = 8080
    https_port: int = 0
    certificate: str = ""
    private_key: str = ""
    trusted_certificates: str = ""
    anyone: bool = False
    callers: tuple[CallerSettings, ...] = ()
    tokens: tuple[TokenSettings, ...] = ()
    folders: tuple[FolderSettings, ...] = ()
    max_associations: int = 250
    max_associations_per_caller: int = 250
    max_pdu_kibibytes: int = 128
    max_object_mebibytes: int = 2048
    idle_seconds: float = 300
    stall_seconds: float = 30
    slowest_bytes_per_second: int = 1024
    grace_seconds: float = 20
    min_free_mebibytes: int = 256
    quarantine_mebibytes: int = 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, with their defaults.

    ``store`` is a database URL (SQLAlchemy form); empty means an SQLite file in ``data_dir``. ``facility`` overrides
    the institution that objects state. ``jobs`` 0 means one per processor. ``drl_set`` empty means the default set;
    ``drl_files`` are the user's own sets.
    """

    store: str = ""
    data_dir: str = ""
    facility: str | None = None
    identity: Literal["pseudonym", "plain"] = "pseudonym"
    archive: bool = True
    drl_set: str = ""
    drl_files: tuple[str, ...] = ()
    jobs: int = 0
    limits: ReadLimits = ReadLimits()
    service: ServiceSettings = ServiceSettings()

    @property
    def data_path(self) -> Path:
        """The folder that holds the embedded store, the archive and the mart."""
        return Path(self.data_dir).expanduser()

    @property
    def store_url(self) -> str:
        """The database URL in force."""
        return self.store or f"sqlite:///{self.data_path / 'doseatlas.sqlite'}"


class LoadedSettings(msgspec.Struct, frozen=True):
    """Settings in force, the file they come from (if any) who set each (default, file, environment)."""

    settings: Settings
    file: Path | None
    origin: dict[str, str]


def load_settings(environ: Mapping[str, str] | None = None) -> LoadedSettings:
    """Read the settings in force.

    Raises:
        SettingsError: the file cannot be read, is not TOML, or a setting is unknown or has a wrong type.

    """
    env = os.environ if environ is None else environ
    file = _settings_file(env)
    values = _from_file(file) if file else {}
    origin = {name: "file" if name in values else "default" for name in Settings.__struct_fields__}
    for name in Settings.__struct_fields__:
        if PREFIX + name.upper() in env:
            values[name] = _from_text(name, env[PREFIX + name.upper()])
            origin[name] = "environment"
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        where = f"in {file} or the {PREFIX}... environment variables" if file else f"in the {PREFIX}... variables"
        raise SettingsError(
            f"A setting {where} is wrong: {error}. 'doseatlas doctor --help' lists the settings."
        ) from None
    if settings.jobs < 0:
        raise SettingsError(f"The setting 'jobs' is {settings.jobs}; it must be 0 (one per processor) or more.")
    if not settings.data_dir:
        settings = msgspec.structs.replace(settings, data_dir=str(_default_data_dir()))
    return LoadedSettings(settings, file, origin)


def _settings_file(env: Mapping[str, str]) -> Path | None:
    named = env.get(PREFIX + "SETTINGS")
    if named:
        if not Path(named).is_file():
            raise SettingsError(f"{PREFIX}SETTINGS names {named}, which is not a file. Mend the path or unset it.")
        return Path(named)
    from platformdirs import user_config_path

    for candidate in (Path("doseatlas.toml"), user_config_path("doseatlas") / "settings.toml"):
        if candidate.is_file():
            return candidate
    return None


def _default_data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path("doseatlas")


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {file} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The settings file {file} is not valid TOML: {error}.") from None


def _from_text(name: str, text: str) -> object:
    """Turn an environment variable into the setting's type; what cannot be turned is left for the validation."""
    if name == "archive":
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(text.lower(), text)
    if name == "jobs":
        return int(text) if text.isdigit() else text
    if name == "drl_files":
        return tuple(part for part in text.split(os.pathsep) if part)
    if name in ("limits", "service"):
        raise SettingsError(f"{PREFIX}{name.upper()} is not supported: set [{name}] in the settings file.")
    return text
