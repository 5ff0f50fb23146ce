"""Context from the RIS: height, weight, procedure and indication where the dose objects lack them.

HL7 version 2 messages over MLLP, or a CSV. The parts that need a parser or a server are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.context.again import MessagesReadAgain, RefusedMessage, read_again, refused_messages
    from doseatlas.context.listener import check, listen
    from doseatlas.context.message import Order, Rejected, read_message
    from doseatlas.context.sheet import read_sheet

__all__ = [
    "MessagesReadAgain",
    "Order",
    "RefusedMessage",
    "Rejected",
    "check",
    "listen",
    "read_again",
    "read_message",
    "read_sheet",
    "refused_messages",
]

_HOMES = {
    "MessagesReadAgain": "again",
    "Order": "message",
    "RefusedMessage": "again",
    "Rejected": "message",
    "check": "listener",
    "listen": "listener",
    "read_again": "again",
    "read_message": "message",
    "read_sheet": "sheet",
    "refused_messages": "again",
}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # a function named like its module: the module must not take its place
    return value
