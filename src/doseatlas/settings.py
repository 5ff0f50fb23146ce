"""What is set, and who set it: defaults, then one TOML file, then environment variables (``DOSEATLAS_...``).

The file is the one named by ``DOSEATLAS_SETTINGS``, else ``doseatlas.toml`` in the working folder, else
``settings.toml`` in the user's configuration folder. ``doseatlas doctor`` shows the result.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from doseatlas.model import SettingsError
from doseatlas.reference import coefficients

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


class MailSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mail server that alerts leave by; an empty ``host`` sends none.

    ``security``: ``starttls`` (submission, port 587), ``tls`` (port 465) or ``none`` (a relay on this machine).
    ``trusted_certificates`` is a PEM file for a server whose certificate the system does not know.
    """

    host: str = ""
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password_file: str = ""
    sender: str = ""
    trusted_certificates: str = ""


class RecipientSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told of alerts, by ``email`` or ``webhook`` (signed with the secret in ``secret_file``), or both.

    An empty list stands for all; ``rooms`` are station names or devices as ``exams`` lists them, ``roles`` those that
    the rules name, ``procedures`` ids of standard procedures.
    """

    name: str
    email: str = ""
    webhook: str = ""
    secret_file: str = ""
    roles: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    procedures: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which exams are alerted on, and who is told (``docs/alerts.md``).

    ``rules_file`` is the site's own table of rules, which goes before the one that ships. Exams of studies older than
    ``not_older_than_days`` raise no alert: they are history that is being imported. ``patient_ids``: whether an ID
    means one patient in each facility, or in all of them (a master patient index).
    """

    enabled: bool = True
    rules_file: str = ""
    not_older_than_days: int = 31
    patient_ids: Literal["per-facility", "shared"] = "per-facility"
    mail: MailSettings = MailSettings()
    recipients: tuple[RecipientSettings, ...] = ()


class AuditSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The audit trail (``docs/audit.md``): its key (empty: ``audit.key`` in the data folder), its size, its source."""

    key_file: str = ""
    rotate_mebibytes: int = 16
    source: str = "DoseAtlas"


class ArchiveSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PACS or archive that ``doseatlas fetch`` asks (``docs/fetch.md``), by DICOM or by DICOMweb.

    DICOM: ``ae_title`` and ``address`` (``host:port``); ``retrieve`` ``get`` (C-GET) or ``move`` (C-MOVE to
    ``move_to``, which is ``doseatlas serve``); with ``trusted_certificates`` the association is over TLS, and shows
    ``certificate`` and ``private_key`` if they are set. DICOMweb: ``url``, and the file of a bearer token.
    ``facility`` is the facility that the archive's objects belong to, whatever institution they state.
    ``whole_ct_series``: take all images of CT series that have no report and no dose screen.
    """

    name: str
    ae_title: str = ""
    address: str = ""
    retrieve: Literal["get", "move"] = "get"
    move_to: str = "DOSEATLAS"
    url: str = ""
    token_file: str = ""
    trusted_certificates: str = ""
    certificate: str = ""
    private_key: str = ""
    facility: str | None = None
    whole_ct_series: bool = False


class FetchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How ``doseatlas fetch`` asks archives. ``objects_per_minute`` bounds the load on them; 0 is no bound.

    ``days_back``: how many days before today are asked for when no dates are given.
    """

    ae_title: str = "DOSEATLAS"
    archives: tuple[ArchiveSettings, ...] = ()
    objects_per_minute: int = 600
    days_back: int = 3
    timeout_seconds: float = 60


class ContextSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where ``doseatlas context listen`` takes HL7 messages, and how it reads them (``docs/context.md``).

    With ``certificate`` and ``private_key`` it listens over TLS only; with ``trusted_certificates`` a sender must show
    a certificate that these sign. ``addresses``: who may send (none: this machine only). ``accession_fields``: where
    an order states its accession number, the first that is filled. ``height_codes`` and ``weight_codes``: own codes of
    observations besides LOINC. ``patient_days``: for how many days before and after it a value that names the patient
    but no exam holds. ``quarantine_mebibytes``: kept of messages that are refused, the oldest go first.
    """

    host: str = "127.0.0.1"
    port: int = 2575
    certificate: str = ""
    private_key: str = ""
    trusted_certificates: str = ""
    addresses: tuple[str, ...] = ()
    accession_fields: tuple[str, ...] = ("IPC-1", "OBR-18")
    height_codes: tuple[str, ...] = ()
    weight_codes: tuple[str, ...] = ()
    patient_days: int = 7
    quarantine_mebibytes: int = 64


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, with their defaults.

    ``store`` is a database URL (SQLAlchemy form); empty means an SQLite file in ``data_dir``. ``facility`` overrides
    the institution that objects state. ``jobs`` 0 means one per processor. ``drl_set`` empty means the default set;
    ``drl_files`` are the user's own sets. ``dose_values``: whether statistics count the values that devices state, or
    those corrected by calibration certificates. ``skin_dose_from_gy``: reference air kerma (Gy) from which an import
    computes the peak skin dose; where only a KAP is stated, it over 100 cm2. ``ct_coefficients``: the set that makes
    an effective dose of a DLP; ``activity_guideline``: what children's administered activities are compared with.
    """

    store: str = ""
    data_dir: str = ""
    facility: str | None = None
    identity: Literal["pseudonym", "plain"] = "pseudonym"
    archive: bool = True
    drl_set: str = ""
    drl_files: tuple[str, ...] = ()
    jobs: int = 0
    dose_values: Literal["stated", "corrected"] = "stated"
    skin_dose_from_gy: float = 0.5
    ct_coefficients: str = coefficients.DEFAULT_CT_SET
    activity_guideline: str = coefficients.EANM_CARD
    limits: ReadLimits = ReadLimits()
    service: ServiceSettings = ServiceSettings()
    alerts: AlertSettings = AlertSettings()
    audit: AuditSettings = AuditSettings()
    fetch: FetchSettings = FetchSettings()
    context: ContextSettings = ContextSettings()

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
    if not (math.isfinite(settings.skin_dose_from_gy) and settings.skin_dose_from_gy > 0):
        raise SettingsError(
            f"The setting 'skin_dose_from_gy' is {settings.skin_dose_from_gy:g}; it must be an air kerma above 0, "
            "in Gy."
        )
    if settings.ct_coefficients != coefficients.DEFAULT_CT_SET:
        _check_name("ct_coefficients", settings.ct_coefficients, coefficients.ct_sets())
    _check_name("activity_guideline", settings.activity_guideline, coefficients.ACTIVITY_GUIDELINES)
    if not settings.data_dir:
        settings = msgspec.structs.replace(settings, data_dir=str(_default_data_dir()))
    return LoadedSettings(settings, file, origin)


def _check_name(setting: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise SettingsError(f"The setting {setting!r} is {name!r}, which is not known. Known: {', '.join(known)}.")


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
    if name == "skin_dose_from_gy":
        try:
            return float(text)
        except ValueError:
            return text
    if name == "drl_files":
        return tuple(part for part in text.split(os.pathsep) if part)
    if name in ("limits", "service", "alerts", "audit", "fetch", "context"):
        raise SettingsError(f"{PREFIX}{name.upper()} is not supported: set [{name}] in the settings file.")
    return text
