"""May a workbook from outside be opened at all? Sizes and parts are checked before anything of it is parsed.

An XLSX file is a ZIP archive of XML parts (ECMA-376). What is refused: more than 20 MiB, more than 200 MiB unpacked,
macros, encryption, and XML that declares a document type (entities could unfold without bound).
"""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from doseatlas.model import DoseAtlasError

MOST_BYTES = 20 * 2**20
MOST_UNPACKED_BYTES = 200 * 2**20
MOST_PARTS = 1000

_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATIONS = "{http://schemas.openxmlformats.org/package/2006/relationships}"
_RELATION_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def checked_bytes(path: Path, *, refused: type[DoseAtlasError]) -> bytes:
    """Return the bytes of a workbook that is safe to parse.

    Raises:
        DoseAtlasError: of the class ``refused``, with what is wrong and what to send instead.

    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise refused(
            f"{path.name}: {size / 2**20:.0f} MiB; a workbook of a survey has at most {MOST_BYTES // 2**20} MiB."
            " Remove pictures and other sheets, or send the data in several workbooks."
        )
    content = path.read_bytes()
    if content.startswith(_OLE):
        raise refused(
            f"{path.name}: an old Excel format (.xls), or protected by a password. Save it as .xlsx without password."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            _check_parts(path.name, parts, refused)
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    _check_document_type(path.name, archive, part, refused)
    except refused:
        raise
    except Exception as error:  # what zipfile, zlib and expat raise on damaged bytes is no closed list
        raise refused(f"{path.name}: not a whole .xlsx file ({error}). Send it again, saved as .xlsx.") from error
    return content


def _check_parts(name: str, parts: list[zipfile.ZipInfo], refused: type[DoseAtlasError]) -> None:
    unpacked = sum(part.file_size for part in parts)
    if len(parts) > MOST_PARTS or unpacked > MOST_UNPACKED_BYTES:
        raise refused(
            f"{name}: {len(parts)} parts of {unpacked / 2**20:.0f} MiB unpacked; at most {MOST_PARTS} parts of"
            f" {MOST_UNPACKED_BYTES // 2**20} MiB are read. Send the data in several workbooks."
        )
    if any("vbaproject" in part.filename.lower() for part in parts):
        raise refused(f"{name}: it carries macros, which are never run here. Save it as .xlsx without macros.")


def _check_document_type(name: str, archive: zipfile.ZipFile, part: zipfile.ZipInfo, refused: Any) -> None:
    """Refuse a part that declares a document type, which must stand before its first element."""
    from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
    from defusedxml.ElementTree import ParseError, iterparse  # type: ignore[import-untyped]

    try:
        with archive.open(part) as stream:
            next(iter(iterparse(stream, events=("start",), forbid_dtd=True)), None)
    except DefusedXmlException as error:
        raise refused(f"{name}: its part {part.filename} declares a document type; no spreadsheet does.") from error
    except ParseError as error:
        raise refused(f"{name}: its part {part.filename} is damaged ({error}). Save it again as .xlsx.") from error


def merged_ranges(content: bytes, *, refused: type[DoseAtlasError]) -> dict[str, list[str]]:
    """Return the merged ranges of each sheet; openpyxl does not tell them when it reads row by row."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {
                sheet: [str(element.get("ref", "")) for element in _elements(archive, part, f"{_MAIN}mergeCell")]
                for sheet, part in _sheet_parts(archive)
            }
    except Exception as error:  # as above
        raise refused(f"The workbook is damaged ({error}). Save it again as .xlsx.") from error


def _sheet_parts(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Yield the name of each sheet and the part that holds it."""
    relations = {
        str(element.get("Id")): str(element.get("Target", ""))
        for element in _elements(archive, "xl/_rels/workbook.xml.rels", f"{_RELATIONS}Relationship")
    }
    for element in _elements(archive, "xl/workbook.xml", f"{_MAIN}sheet"):
        target = relations.get(str(element.get(_RELATION_ID)), "")
        yield str(element.get("name")), posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")


def _elements(archive: zipfile.ZipFile, part: str, name: str) -> Iterator[Any]:
    from defusedxml.ElementTree import iterparse

    with archive.open(part) as stream:
        for _, element in iterparse(stream, events=("end",), forbid_dtd=True):
            if element.tag == name:
                yield element
            # The tree is emptied as it is read, so that a sheet of many rows stays small.
            elif element.tag in (f"{_MAIN}row", f"{_MAIN}c"):
                element.clear()
