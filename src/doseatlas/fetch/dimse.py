"""An archive asked by DICOM: C-FIND, and C-GET or C-MOVE, in the study root model (PS3.4 annex C)."""

from __future__ import annotations

import datetime as dt
import logging
import ssl
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doseatlas.fetch.incoming import keep
from doseatlas.fetch.records import FetchError, FolderError, FoundInstance, FoundSeries, FoundStudy, is_uid
from doseatlas.network import sop_classes, transfer_syntaxes
from doseatlas.settings import ArchiveSettings, FetchSettings

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_GET = "1.2.840.10008.5.1.4.1.2.2.3"
_LITTLE_ENDIAN = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]  # explicit and implicit VR, for what we ask
_PENDING = (0xFF00, 0xFF01)
_SUCCESS, _SOME_FAILED = 0x0000, 0xB000
_CANNOT_STORE = 0xA700
_TOGETHER = 50  # objects asked for at once
_MOST_RESULTS = 100_000


class DicomArchive:
    """An archive reached by DICOM; the association is opened on first use, and again after it was lost."""

    gives_headers = False

    def __init__(self, settings: ArchiveSettings, fetch: FetchSettings, tls: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._fetch = fetch
        self._tls = tls
        self._association: Any = None
        self._folder: Path | None = None
        self._came: list[Path] = []
        self._unwritable: OSError | None = None
        self.sends_elsewhere = settings.retrieve == "move"

    def close(self) -> None:
        """Release the association."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._association = None

    def studies(self, day: dt.date, modality: str) -> list[FoundStudy]:
        """Return the studies of a day, all or those with a modality."""
        wanted = {
            "StudyDate": f"{day:%Y%m%d}",
            "ModalitiesInStudy": modality,
            "StudyDescription": "",
            "StudyInstanceUID": "",
            "NumberOfStudyRelatedInstances": "",
        }
        return [
            FoundStudy(
                study_instance_uid=uid,
                study_date=_text(found, "StudyDate"),
                description=_text(found, "StudyDescription"),
                modalities=tuple(_texts(found, "ModalitiesInStudy")),
                instances=_count(found, "NumberOfStudyRelatedInstances"),
            )
            for found in self._find("STUDY", wanted)
            if is_uid(uid := _text(found, "StudyInstanceUID"))
        ]

    def series(self, study: str) -> list[FoundSeries]:
        """Return the series of a study."""
        wanted = {
            "StudyInstanceUID": study,
            "SeriesInstanceUID": "",
            "Modality": "",
            "NumberOfSeriesRelatedInstances": "",
        }
        return [
            FoundSeries(
                series_instance_uid=uid,
                modality=_text(found, "Modality"),
                instances=_count(found, "NumberOfSeriesRelatedInstances"),
            )
            for found in self._find("SERIES", wanted)
            if is_uid(uid := _text(found, "SeriesInstanceUID"))
        ]

    def instances(self, study: str, series: str) -> list[FoundInstance]:
        """Return the objects of a series."""
        wanted = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": "", "SOPClassUID": ""}
        return [
            FoundInstance(sop_instance_uid=uid, sop_class_uid=_text(found, "SOPClassUID"))
            for found in self._find("IMAGE", wanted)
            if is_uid(uid := _text(found, "SOPInstanceUID"))
        ]

    def take(self, study: str, series: str, instances: Collection[str], folder: Path) -> list[Path]:
        """Bring objects into a folder (C-GET), or have them sent to ``move_to`` (C-MOVE, which brings none)."""
        wanted, came = list(instances), []
        for start in range(0, len(wanted), _TOGETHER):
            came += self._retrieve(study, series, wanted[start : start + _TOGETHER], folder)
        return came

    def headers(self, study: str, series: str, instances: Collection[str], folder: Path) -> list[Path]:
        """Headers alone cannot be asked for by DICOM."""
        raise FetchError(f"The archive {self._settings.name!r} gives no headers without images.")

    # ---- messages ----

    def _find(self, level: str, wanted: dict[str, str]) -> Iterator[Dataset]:
        found = 0
        for status, identifier in self._connected().send_c_find(_identifier(level, wanted), _FIND):
            code = self._status(status, "C-FIND")
            if code in _PENDING and identifier is not None:
                found += 1
                if found > _MOST_RESULTS:
                    self._abort()
                    raise FetchError(f"The archive {self._settings.name!r} gives more than {_MOST_RESULTS} results.")
                yield identifier
            elif code not in (*_PENDING, _SUCCESS):
                raise self._failed("C-FIND", code)

    def _retrieve(self, study: str, series: str, instances: list[str], folder: Path) -> list[Path]:
        wanted = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": "\\".join(instances)}
        association, identifier = self._connected(), _identifier("IMAGE", wanted)
        self._folder, self._came, self._unwritable = folder, [], None
        if self.sends_elsewhere:
            name, answers = "C-MOVE", association.send_c_move(identifier, self._settings.move_to, _MOVE)
        else:
            name, answers = "C-GET", association.send_c_get(identifier, _GET)
        for status, _ in answers:
            if self._unwritable is not None:
                self._abort()
                raise FolderError(folder, self._unwritable)
            code = self._status(status, name)
            failed = int(status.get("NumberOfFailedSuboperations", 0) or 0)
            if code not in (*_PENDING, _SUCCESS, _SOME_FAILED):
                raise self._failed(name, code)
            if code not in _PENDING and failed and self.sends_elsewhere:
                raise FetchError(
                    f"The archive {self._settings.name!r} could not send {failed} of {len(instances)} objects to "
                    f"{self._settings.move_to!r}."
                )
        return self._came

    def _store(self, event: Any) -> int:
        """Take an object that C-GET brings (C-STORE sub-operation)."""
        uid = str(event.request.AffectedSOPInstanceUID)
        if self._folder is None or not is_uid(uid):
            return _CANNOT_STORE
        try:
            self._came.append(keep(self._folder, f"{uid}.dcm", event.encoded_dataset()))
        except OSError as error:
            self._unwritable = error
            return _CANNOT_STORE
        return _SUCCESS

    def _status(self, status: Dataset, name: str) -> int:
        if "Status" not in status:
            self._abort()
            raise FetchError(
                f"The archive {self._settings.name!r} did not answer {name} within {self._fetch.timeout_seconds:g} s, "
                "or closed the association."
            )
        return int(status.Status)

    def _failed(self, name: str, code: int) -> FetchError:
        hint = f" Does it know the AE title {self._settings.move_to!r}?" if code == 0xA801 else ""
        return FetchError(f"The archive {self._settings.name!r} answers {name} with status {code:04X}.{hint}")

    # ---- association ----

    def _connected(self) -> Any:
        if self._association is None or not self._association.is_established:
            self._association = self._associate()
        return self._association

    def _abort(self) -> None:
        if self._association is not None and self._association.is_established:
            self._association.abort()
        self._association = None

    def _associate(self) -> Any:
        from pynetdicom import AE, build_context, build_role, evt

        warnings.filterwarnings("ignore", module="pydicom")  # what an archive says may not be valid
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it quotes identifiers
        entity = AE(ae_title=self._fetch.ae_title)
        seconds = self._fetch.timeout_seconds
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = seconds
        contexts = [
            build_context(_FIND, _LITTLE_ENDIAN),
            build_context(_MOVE if self.sends_elsewhere else _GET, _LITTLE_ENDIAN),
        ]
        roles = []
        if not self.sends_elsewhere:
            for uid in (one.uid for one in sop_classes().values() if one.service == "storage"):
                contexts.append(build_context(uid, list(transfer_syntaxes(uid))))
                roles.append(build_role(uid, scp_role=True, scu_role=False))
        host, _, port = self._settings.address.rpartition(":")
        host = host.strip("[]")
        association = entity.associate(
            host,
            int(port),
            contexts=contexts,
            ae_title=self._settings.ae_title,
            ext_neg=roles,
            evt_handlers=[(evt.EVT_C_STORE, self._store)],
            tls_args=(self._tls, host) if self._tls is not None else None,
        )
        if association.is_established:
            return association
        why = "rejects the association" if association.is_rejected else "does not answer"
        raise FetchError(
            f"The archive {self._settings.name!r} at {self._settings.address} {why}. Check address and AE titles: ours "
            f"is {self._fetch.ae_title!r}, its is {self._settings.ae_title!r}, and it must know ours."
        )


def _identifier(level: str, wanted: dict[str, str]) -> Dataset:
    from pydicom.dataset import Dataset

    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for name, value in wanted.items():
        setattr(identifier, name, value.split("\\") if "\\" in value else value)
    return identifier


def _texts(found: Dataset, name: str) -> list[str]:
    value = found.get(name)
    if value is None or value == "":
        return []
    values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value
    return [str(one).strip() for one in values]


def _text(found: Dataset, name: str) -> str:
    return next(iter(_texts(found, name)), "")


def _count(found: Dataset, name: str) -> int | None:
    text = _text(found, name)
    return int(text) if text.isdigit() else None
