"""Alerts: which arriving exams somebody must know of, who is told, and who has taken note.

The functions that need the store are loaded on first use, so that naming the records loads no database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.alerts.alert import Alert
    from doseatlas.alerts.arrivals import RehearsedRule, Watch
    from doseatlas.alerts.deliver import Delivered, TestMessage, deliver_due, keep_delivering, send_tests
    from doseatlas.alerts.rules import Rule, Rules, load_rules, rules_in_force

_HOMES = {
    "Alert": "alert",
    "Delivered": "deliver",
    "RehearsedRule": "arrivals",
    "Rule": "rules",
    "Rules": "rules",
    "TestMessage": "deliver",
    "Watch": "arrivals",
    "deliver_due": "deliver",
    "keep_delivering": "deliver",
    "load_rules": "rules",
    "rules_in_force": "rules",
    "send_tests": "deliver",
}
__all__ = [
    "Alert",
    "Delivered",
    "RehearsedRule",
    "Rule",
    "Rules",
    "TestMessage",
    "Watch",
    "deliver_due",
    "keep_delivering",
    "load_rules",
    "rules_in_force",
    "send_tests",
]


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
