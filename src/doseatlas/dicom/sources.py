"""Where are the objects? Finds them in folders, zip archives, DICOMDIRs and single files, in a stable order.

Nothing is extracted to disk and nothing is read before it is asked for, so any number of files fits in memory. What
cannot be looked into becomes a :class:`SourceObject` with a refusal. Of image files only the header is read.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISREG

from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
from doseatlas.dicom.open import header_is_complete, open_plain
from doseatlas.model.errors import UnreadableObject
from doseatlas.model.exam import Refusal

_SKIPPED = frozenset(
    {".bat", ".bmp", ".c", ".cfg", ".cpp", ".css", ".csv", ".db", ".dll", ".doc", ".docx", ".exe", ".fsh", ".gif"}
    | {".h", ".htm", ".html", ".ico", ".inf", ".ini", ".jar", ".jpeg", ".jpg", ".js", ".log", ".md", ".mp4", ".pdf"}
    | {".png", ".ppt", ".pptx", ".py", ".pyc", ".rst", ".rtf", ".sh", ".so", ".sql", ".sqlite", ".svg", ".tif"}
    | {".tiff", ".toml", ".tsv", ".txt", ".xls", ".xlsx", ".yaml", ".yml"}
)
"""Extensions that DICOM objects do not have; skipped while walking folders and archives."""

_TEXT_FORMS = frozenset({".json", ".xml"})  # skipped while walking unless they hold DICOM
_SKIPPED_NAMES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_SKIPPED_FOLDERS = frozenset({".git", "__macosx"})
_FIRST_READ = 256 * 1024
_ZIP_MEMBERS = 1_000_000
_ZIP_RATIO = 200  # what deflate reaches on dose reports is below 50
_DICOMDIR_RECORDS = 0x00041220
_REFERENCED_FILE = 0x00041500


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One object found: ``read()`` gives its bytes (of an image, its header) or raises :class:`UnreadableObject`.

    ``path`` names it, a member of an archive as ``archive.zip/member.dcm``. ``refusal`` is set instead when what was
    found cannot be looked into; ``read()`` then raises the same.
    """

    path: str
    read: Callable[[], bytes]
    refusal: Refusal | None = None


def find_objects(paths: Iterable[Path], *, limits: Limits = DEFAULT_LIMITS) -> Iterator[SourceObject]:
    """The objects under ``paths``, each path in its turn, folders in the order of their sorted names. Never raises."""
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            reason = "is a link to nothing" if path.is_symlink() else "does not exist"
            yield _refused(str(path), "not-found", f"The path {reason}.")
            continue
        except OSError as error:
            yield _refused(str(path), *_os_reason(error))
            continue
        if S_ISDIR(status.st_mode):
            yield from _folder(path, limits)
        else:
            yield from _file(path, limits, named=True)


# ---- folders and files ----


def _folder(root: Path, limits: Limits) -> Iterator[SourceObject]:
    """All objects below a folder. A folder met again through a link is not entered again."""
    entered: set[tuple[int, int]] = set()
    pending = [str(root)]  # paths yet to be visited, the next one last; strings take a third of a Path's memory
    while pending:
        path = pending.pop()
        try:
            status = Path(path).stat()
            if S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) in entered:
                    continue
                entered.add((status.st_dev, status.st_ino))
                names = sorted(os.listdir(path), reverse=True)  # noqa: PTH208
                names = [name for name in names if name.upper() != "DICOMDIR"]  # its files are found by walking
                pending += [f"{path}{os.sep}{name}" for name in names if name.lower() not in _SKIPPED_FOLDERS]
                continue
        except OSError as error:
            code, message = _os_reason(error)
            if isinstance(error, FileNotFoundError):
                code, message = "not-found", "The path is a link to nothing."
            yield _refused(path, code, message)
            continue
        if S_ISREG(status.st_mode):
            yield from _file(Path(path), limits, named=False)


def _file(path: Path, limits: Limits, *, named: bool) -> Iterator[SourceObject]:
    """The objects of one file: itself, the members of an archive, or what a DICOMDIR refers to."""
    name = path.name.lower()
    suffix = path.suffix.lower()
    if not named and (suffix in _SKIPPED or name in _SKIPPED_NAMES):
        return
    try:
        if not S_ISREG(path.stat().st_mode):
            yield _refused(str(path), "not-dicom", "The path is neither a file nor a folder.")
            return
        with path.open("rb") as stream:
            head = stream.read(_FIRST_READ if suffix in _TEXT_FORMS else 4)
    except OSError as error:
        yield _refused(str(path), *_os_reason(error))
        return
    if not named and suffix in _TEXT_FORMS and not _may_be_dicom_text(head):
        return
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        yield from _archive(path, limits)
    elif named and name == "dicomdir":
        yield from _dicomdir(path, limits)
    else:
        yield SourceObject(str(path), partial(_read_file, path, limits))


def _may_be_dicom_text(head: bytes) -> bool:
    """Whether JSON or XML shows DICOM attributes near its beginning."""
    return any(mark in head for mark in (b"NativeDicomModel", b'"vr"', b'"SOPClassUID"', b'"00080016"'))


def _read_file(path: Path, limits: Limits) -> bytes:
    try:
        with path.open("rb") as stream:
            return read_header(stream.read, limits)
    except OSError as error:
        code, message = _os_reason(error)
        raise UnreadableObject(code, message) from None


def read_header(read: Callable[[int], bytes], limits: Limits) -> bytes:
    """The beginning of an object up to its pixel data, or the whole of it. Reads at most a byte more than the limit."""
    data = read(_FIRST_READ)
    wanted = _FIRST_READ
    while len(data) == wanted:
        if header_is_complete(data, limits):
            return data
        if wanted > limits.header_bytes:
            break
        wanted = min(wanted * 8, limits.header_bytes + 1)
        data += read(wanted - len(data))
    return data


# ---- archives ----


def _archive(path: Path, limits: Limits) -> Iterator[SourceObject]:
    """The members of a zip archive, in the order of their names. An archive within it is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > _ZIP_MEMBERS:
                yield _refused(str(path), "too-large", f"The archive has more than {_ZIP_MEMBERS} members.")
                return
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                yield from _member(archive, path, member, limits)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        yield _refused(str(path), "damaged", f"The zip archive is damaged ({error}).")
    except OSError as error:
        yield _refused(str(path), *_os_reason(error))


def _member(archive: zipfile.ZipFile, path: Path, member: zipfile.ZipInfo, limits: Limits) -> Iterator[SourceObject]:
    name = member.filename
    parts = name.replace("\\", "/").lower().split("/")
    if member.is_dir() or PurePosixPath(parts[-1]).suffix in _SKIPPED or _SKIPPED_FOLDERS.intersection(parts):
        return
    if parts[-1] in _SKIPPED_NAMES or parts[-1] == "dicomdir":
        return
    label = f"{path}/{name}"
    if member.flag_bits & 1:
        yield _refused(label, "encrypted", "The member of the archive is encrypted; extract it first.")
        return
    if member.file_size > limits.header_bytes and member.file_size > _ZIP_RATIO * max(member.compress_size, 1):
        yield _refused(label, "too-large", "The member of the archive expands like a zip bomb and was not read.")
        return
    read = partial(_read_member, archive, member, limits)
    try:
        if parts[-1].endswith((".json", ".xml")):
            with archive.open(member) as stream:
                if not _may_be_dicom_text(stream.read(_FIRST_READ)):
                    return
        if parts[-1].endswith(".zip"):
            yield _refused(label, "nested-archive", "An archive inside an archive is not read; extract it first.")
            return
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        yield _refused(label, "damaged", f"The member of the archive is damaged ({error}).")
        return
    yield SourceObject(label, read)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limits: Limits) -> bytes:
    """Read a member from its archive, which is opened again when the walk has already left it."""
    try:
        if archive.fp is None:
            with zipfile.ZipFile(str(archive.filename)) as again, again.open(member) as stream:
                return read_header(stream.read, limits)
        with archive.open(member) as stream:
            return read_header(stream.read, limits)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UnreadableObject("damaged", f"The member of the archive is damaged ({error}).") from None
    except OSError as error:
        code, message = _os_reason(error)
        raise UnreadableObject(code, message) from None


# ---- DICOMDIR ----


def _dicomdir(path: Path, limits: Limits) -> Iterator[SourceObject]:
    """The files that a DICOMDIR refers to (PS3.3 annex F), each once; one outside its folder is refused."""
    try:
        item = open_plain(_read_file(path, limits), limits).parsed.item
    except UnreadableObject as error:
        yield _refused(str(path), error.code, f"The DICOMDIR cannot be read: {error}")
        return
    folder = path.parent.resolve()
    seen = set()
    for record in item.items(_DICOMDIR_RECORDS):
        parts = record.texts(_REFERENCED_FILE)
        if not parts or tuple(parts) in seen:
            continue
        seen.add(tuple(parts))
        label = str(path.parent.joinpath("/".join(part.replace("/", "_") for part in parts)))
        if any(part in ("", ".", "..") or set(part) & set("/\\:\0") for part in parts):
            yield _refused(label, "outside-folder", "The DICOMDIR refers to a file outside its folder; it is not read.")
            continue
        target = _found(path.parent, parts)
        try:
            inside = target.resolve(strict=True).is_relative_to(folder)
        except FileNotFoundError:
            yield _refused(label, "not-found", "The DICOMDIR refers to a file that is not there.")
            continue
        except (OSError, RuntimeError) as error:
            yield _refused(label, "unreadable", f"The file cannot be reached ({error}).")
            continue
        if inside:
            yield SourceObject(str(target), partial(_read_file, target, limits))
        else:
            yield _refused(label, "outside-folder", "The DICOMDIR refers to a file outside its folder; it is not read.")


def _found(folder: Path, parts: list[str]) -> Path:
    """The file as stated, or in lower case as many a copied disc has it."""
    stated = folder.joinpath(*parts)
    if not stated.exists():
        lower = folder.joinpath(*(part.lower() for part in parts))
        if lower.exists():
            return lower
    return stated


# ---- refusals ----


def _refused(path: str, code: str, message: str) -> SourceObject:
    def read() -> bytes:
        raise UnreadableObject(code, message)

    return SourceObject(path, read, Refusal(code=code, message=message))


def _os_reason(error: OSError) -> tuple[str, str]:
    if isinstance(error, PermissionError):
        return "permission-denied", "The path may not be read: permission denied."
    if isinstance(error, FileNotFoundError):
        return "not-found", "The path does not exist any more."
    return "unreadable", f"The path cannot be read: {error.strerror or error}."
