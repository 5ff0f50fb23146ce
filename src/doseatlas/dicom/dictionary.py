"""Which value representation does a tag have when the encoding does not say? Answers come from pydicom's dictionaries.

They are loaded on first use: explicit VR objects never need them.
"""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=16384)
def public_vr(tag: int) -> bytes:
    """The VR of a standard tag; ``UN`` when unknown, the first one where the standard leaves a choice."""
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(tag)[:2].encode("ascii")
    except KeyError:
        return b"UL" if tag & 0xFFFF == 0 else b"UN"


@lru_cache(maxsize=1)
def sequence_tags() -> frozenset[int]:
    """The standard tags that are sequences."""
    from pydicom._dicom_dict import DicomDictionary

    return frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")


@lru_cache(maxsize=16384)
def private_vr(tag: int, creator: str) -> bytes:
    """The VR of a private tag under its creator; ``UN`` when unknown."""
    from pydicom.datadict import private_dictionary_VR

    try:
        return private_dictionary_VR(tag, creator)[:2].encode("ascii")
    except KeyError:
        return b"UN"


@lru_cache(maxsize=16384)
def keyword_tag(keyword: str) -> int | None:
    """The tag of a standard keyword such as ``PatientID``; ``None`` when there is none."""
    from pydicom.datadict import tag_for_keyword

    return tag_for_keyword(keyword)
