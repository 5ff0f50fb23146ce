"""Who has sent something, how, and which facility is it for?"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from doseatlas.model import Record

Via = Literal["dicom", "dicomweb", "mpps", "folder", "hl7"]


class Sender(Record, frozen=True, kw_only=True):
    """Who sent an object, from where, and the facility that the sender is bound to."""

    via: Via
    caller: str
    address: str
    facility: str | None = None

    @property
    def key(self) -> str:
        """The name of the sender's folder."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]
