"""How large may one object be before it is refused? Not a matter of trust: a damaged length field asks for as much."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that are checked while an object is read, so that time and memory stay bounded too.

    ``header_bytes``: size of an object without its pixel data, after decompression.
    ``elements``: data elements and sequence items together, at all levels.
    ``depth``: sequences within sequences; beyond some 220 Python's own recursion limit refuses, whatever is set here.
    """

    header_bytes: int = 64 * 1024 * 1024
    elements: int = 500_000
    depth: int = 200


DEFAULT_LIMITS = Limits()
