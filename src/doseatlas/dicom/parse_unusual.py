"""What does pydicom make of an object that the own reader leaves to it: big endian, code extensions, malformed headers?

What pydicom gives is rewritten as Explicit VR Little Endian. Values that pydicom cannot convert keep their bytes under
VR UN. Its warnings stay inside: damage shows as ``truncated`` or as a refusal.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
from typing import TYPE_CHECKING, Any

from doseatlas.dicom.encode import encode_data_set, encode_element, encode_sequence
from doseatlas.dicom.item import NUMBER_FORMATS
from doseatlas.dicom.limits import Limits
from doseatlas.model.errors import UnreadableObject

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PYDICOM_BYTES = 8 * 1024 * 1024  # an element costs pydicom some 400 bytes of memory, and 8 in the object


def rewrite_unusual(data: bytes, limits: Limits) -> tuple[bytes, str | None, bool]:
    """The data set as Explicit VR Little Endian, the transfer syntax, and whether the object ends early.

    Raises :class:`UnreadableObject` when pydicom cannot make sense of it either.
    """
    logger = logging.getLogger("pydicom")
    level = logger.level
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        logger.setLevel(logging.CRITICAL)
        try:
            return _rewrite(data, limits, caught)
        except UnreadableObject:
            raise
        except RecursionError:
            raise UnreadableObject("too-deep", "The object nests sequences too deeply; no dose report does.") from None
        except MemoryError:
            raise UnreadableObject("too-large", "The object asks for more memory than there is.") from None
        except Exception as error:  # pydicom raises whatever a damaged object leads it into
            raise UnreadableObject(
                "damaged", f"The object is damaged or is not DICOM ({type(error).__name__}: {str(error)[:200]})."
            ) from None
        finally:
            logger.setLevel(level)


def _rewrite(data: bytes, limits: Limits, caught: list[warnings.WarningMessage]) -> tuple[bytes, str | None, bool]:
    from pydicom import dcmread

    stream = _Bounded(data, limits.elements)
    read = dcmread(stream, stop_before_pixels=True, force=True)
    if stream.tell() > _PYDICOM_BYTES:
        raise UnreadableObject("too-large", f"The unusually encoded header is larger than {_PYDICOM_BYTES >> 20} MiB.")
    if len(read) == 0:
        raise UnreadableObject("damaged", "The file begins like DICOM, but no data set can be read from it.")
    writer = _Writer(limits)
    encoded = writer.data_set(read, 0)
    syntax = read.file_meta.get("TransferSyntaxUID") if hasattr(read, "file_meta") else None
    ended = any("end of file" in str(warning.message).lower() for warning in caught)
    return encoded, str(syntax) if syntax else None, writer.truncated or ended


class _Bounded(io.BytesIO):
    """The bytes of an object, for a bounded number of reads: pydicom makes up to three for an element."""

    def __init__(self, data: bytes, elements: int) -> None:
        super().__init__(data)
        self._reads = 3 * elements

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads -= 1
        if self._reads < 0:
            raise UnreadableObject("too-many-items", "The object holds more data elements than the limit.")
        return super().read(size)


class _Writer:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._budget = limits.elements
        self.truncated = False

    def data_set(self, read: Dataset, depth: int) -> bytes:
        if depth > self._limits.depth:
            raise UnreadableObject("too-deep", "The object nests sequences too deeply; no dose report does.")
        elements = {}
        for tag in list(read.keys()):
            self._budget -= 1
            if self._budget < 0:
                raise UnreadableObject("too-many-items", "The object holds more data elements than the limit.")
            if tag >> 16 not in (0, 2, 0xFFFE) and not (depth == 0 and tag >> 16 == 0x7FE0):
                elements[int(tag)] = self._element(read, int(tag), depth)
        return encode_data_set(elements)

    def _element(self, read: Dataset, tag: int, depth: int) -> bytes:
        raw: Any = read.get_item(tag)
        raw_value = getattr(raw, "value", None)
        stated = getattr(raw, "length", None)
        if isinstance(raw_value, bytes) and stated not in (None, 0xFFFFFFFF) and len(raw_value) < stated:
            self.truncated = True
            return encode_element(tag, b"UN", b"")
        try:
            element = read[tag]
            if element.VR == "SQ":
                return encode_sequence(tag, [self.data_set(item, depth + 1) for item in element.value])
            return encode_element(tag, element.VR[:2].encode("ascii"), _encoded_value(element.VR[:2], element.value))
        except (UnreadableObject, RecursionError, MemoryError):
            raise
        except Exception:  # an unconvertible value is kept as it stands
            return encode_element(tag, b"UN", raw_value if isinstance(raw_value, bytes) else b"")


def _encoded_value(vr: str, value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    values = value if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue" else [value]
    if vr == "AT":
        return b"".join(struct.pack("<HH", int(tag) >> 16, int(tag) & 0xFFFF) for tag in values)
    known = NUMBER_FORMATS.get(vr.encode("ascii"))
    if known is not None:
        return struct.pack(f"<{len(values)}{known[0]}", *values)
    return "\\".join(str(text) for text in values).encode("utf-8", "replace")
