"""An archive asked by DICOMweb: QIDO-RS to find, WADO-RS to take objects or headers (PS3.18 sections 10.4, 10.6)."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping
from email.message import Message
from pathlib import Path
from typing import Any

from doseatlas.fetch.incoming import keep
from doseatlas.fetch.records import FetchError, FolderError, FoundInstance, FoundSeries, FoundStudy, is_uid
from doseatlas.settings import ArchiveSettings

_JSON = "application/dicom+json"
_OBJECT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_PAGE = 500
_MOST_PAGES = 200
_MOST_BYTES = 512 * 2**20
_STUDY, _SERIES, _INSTANCE, _CLASS = "0020000D", "0020000E", "00080018", "00080016"
_DATE, _DESCRIPTION, _MODALITIES, _MODALITY = "00080020", "00081030", "00080061", "00080060"
_STUDY_COUNT, _SERIES_COUNT = "00201208", "00201209"
Found = Mapping[str, Any]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: the token would go to whoever is named."""


class WebArchive:
    """An archive reached by DICOMweb."""

    gives_headers = True
    sends_elsewhere = False

    def __init__(
        self, settings: ArchiveSettings, timeout_seconds: float, token: str | None, tls: ssl.SSLContext
    ) -> None:
        self._settings = settings
        self._timeout = timeout_seconds
        self._token = token
        https = urllib.request.HTTPSHandler(context=tls)
        self._opener = urllib.request.build_opener(_NoRedirects, https, urllib.request.ProxyHandler({}))

    def close(self) -> None:
        """Nothing is kept open."""

    def studies(self, day: dt.date, modality: str) -> list[FoundStudy]:
        """Return the studies of a day, all or those with a modality."""
        wanted = {"StudyDate": f"{day:%Y%m%d}"}
        if modality:
            wanted["ModalitiesInStudy"] = modality
        return [
            FoundStudy(
                study_instance_uid=uid,
                study_date=_text(found, _DATE),
                description=_text(found, _DESCRIPTION),
                modalities=tuple(_texts(found, _MODALITIES)),
                instances=_count(found, _STUDY_COUNT),
            )
            for uid, found in self._search("studies", _STUDY, wanted, _DESCRIPTION, _MODALITIES, _STUDY_COUNT).items()
        ]

    def series(self, study: str) -> list[FoundSeries]:
        """Return the series of a study."""
        found = self._search(f"studies/{study}/series", _SERIES, {}, _MODALITY, _SERIES_COUNT)
        return [
            FoundSeries(series_instance_uid=uid, modality=_text(one, _MODALITY), instances=_count(one, _SERIES_COUNT))
            for uid, one in found.items()
        ]

    def instances(self, study: str, series: str) -> list[FoundInstance]:
        """Return the objects of a series."""
        found = self._search(f"studies/{study}/series/{series}/instances", _INSTANCE, {}, _CLASS)
        return [FoundInstance(sop_instance_uid=uid, sop_class_uid=_text(one, _CLASS)) for uid, one in found.items()]

    def take(self, study: str, series: str, instances: Collection[str], folder: Path) -> list[Path]:
        """Bring objects into a folder, one request each; returns those that came."""
        came = []
        for uid in instances:
            place = f"studies/{study}/series/{series}/instances/{uid}"
            answer = self._get(place, _OBJECT)
            if answer is None:
                continue
            kind, body = answer
            data = _only_part(kind, body) or self._wrong(place, "no multipart answer with one object")
            came.append(_kept(folder, f"{uid}.dcm", data))
        return came

    def headers(self, study: str, series: str, instances: Collection[str], folder: Path) -> list[Path]:
        """Bring the headers of objects into a folder as DICOM JSON, one request for all; returns those that came."""
        place = f"studies/{study}/series/{series}/metadata"
        if len(instances) == 1:
            place = f"studies/{study}/series/{series}/instances/{next(iter(instances))}/metadata"
        came = []
        for header in self._objects(place):
            uid = _text(header, _INSTANCE)
            if uid in instances:
                came.append(_kept(folder, f"{uid}.json", json.dumps(header).encode()))
        return came

    # ---- requests ----

    def _search(self, place: str, key: str, wanted: Mapping[str, str], *fields: str) -> dict[str, Found]:
        """Return all results by UID, page by page; a server that knows no pages gives all at once."""
        found: dict[str, Found] = {}
        for page in range(_MOST_PAGES):
            asked = [*wanted.items(), *(("includefield", field) for field in fields)]
            asked += [("limit", str(_PAGE)), ("offset", str(page * _PAGE))]
            results = self._objects(f"{place}?{urllib.parse.urlencode(asked)}")
            new = {uid: one for one in results if is_uid(uid := _text(one, key)) and uid not in found}
            found |= new
            if len(results) < _PAGE or not new:
                return found
        raise FetchError(f"The archive {self._settings.name!r} gives more than {_PAGE * _MOST_PAGES} results.")

    def _objects(self, place: str) -> list[Found]:
        answer = self._get(place, _JSON)
        if answer is None:
            return []
        try:
            stated = json.loads(answer[1])
        except (ValueError, RecursionError):
            stated = None
        if not isinstance(stated, list) or not all(isinstance(one, dict) for one in stated):
            self._wrong(place, "no DICOM JSON")
        assert isinstance(stated, list)
        return stated

    def _get(self, place: str, accept: str) -> tuple[str, bytes] | None:
        """Return the media type and the body of an answer; ``None`` where there is nothing (204, 404)."""
        headers = {"Accept": accept}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(f"{self._settings.url.rstrip('/')}/{place}", headers=headers)
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                body = answer.read(_MOST_BYTES + 1)
                kind = answer.headers.get("Content-Type", "")
                if answer.status == 204:
                    return None
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            hint = " Is the token right?" if error.code in (401, 403) else ""
            raise FetchError(f"The archive {self._settings.name!r} answers HTTP {error.code}.{hint}") from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", None) or error
            raise FetchError(f"The archive {self._settings.name!r} at {self._settings.url} fails: {why}.") from None
        if len(body) > _MOST_BYTES:
            self._wrong(place, f"more than {_MOST_BYTES >> 20} MiB")
        return kind, body

    def _wrong(self, place: str, what: str) -> bytes:
        kind = place.split("?")[0].rpartition("/")[2]
        raise FetchError(f"The archive {self._settings.name!r} answers {what} to a request for {kind!r}.")


def _kept(folder: Path, name: str, data: bytes) -> Path:
    try:
        return keep(folder, name, data)
    except OSError as error:
        raise FolderError(folder, error) from None


def _only_part(media_type: str, body: bytes) -> bytes | None:
    """Return the content of the only part of a multipart body (RFC 2046 section 5.1), or an object that came bare."""
    header = Message()
    header["Content-Type"] = media_type
    if header.get_content_type() == "application/dicom":
        return body
    boundary = header.get_boundary()
    if boundary is None or header.get_content_type() != "multipart/related":
        return None
    mark = b"--" + boundary.encode("latin-1", "replace")
    start = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    begin = body.find(b"\r\n\r\n", start)
    end = body.find(b"\r\n" + mark, begin + 4)
    if not body.startswith(mark, start) or begin < 0 or end < 0 or body[end + 2 + len(mark) :][:2] != b"--":
        return None
    return body[begin + 4 : end]


def _texts(found: Found, tag: str) -> list[str]:
    element = found.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return [str(value).strip() for value in values if value is not None] if isinstance(values, list) else []


def _text(found: Found, tag: str) -> str:
    return next(iter(_texts(found, tag)), "")


def _count(found: Found, tag: str) -> int | None:
    text = _text(found, tag)
    return int(text) if text.isdigit() else None
