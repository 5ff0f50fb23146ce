"""Who is above the level, since when, by chance or not, and did what was done about it help?

The names are loaded on first use, so that naming this package loads no query engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.analysis.compare.change_in_dose import before_after
    from doseatlas.analysis.compare.comparison import compare
    from doseatlas.analysis.compare.control_chart import control_charts
    from doseatlas.analysis.compare.funnel import funnels, league
    from doseatlas.analysis.compare.log_sums import Peers, UnitLogs, unit_logs
    from doseatlas.analysis.compare.loop import (
        ActionTaken,
        Assigned,
        CauseGiven,
        Closed,
        FindingError,
        Opened,
        Reopened,
        Subject,
        TrackedFinding,
        components,
        finding,
        findings,
        follow_up,
        record,
        roles,
        subject_problem,
        verdict_in_words,
    )
    from doseatlas.analysis.compare.records import (
        BeforeAfter,
        ChangePoint,
        ChartWeek,
        Comparison,
        ControlChart,
        Funnel,
        FunnelLimit,
        FunnelPoint,
        LeagueRow,
        UnitKind,
        WeekLevel,
    )

__all__ = [
    "ActionTaken",
    "Assigned",
    "BeforeAfter",
    "CauseGiven",
    "ChangePoint",
    "ChartWeek",
    "Closed",
    "Comparison",
    "ControlChart",
    "FindingError",
    "Funnel",
    "FunnelLimit",
    "FunnelPoint",
    "LeagueRow",
    "Opened",
    "Peers",
    "Reopened",
    "Subject",
    "TrackedFinding",
    "UnitKind",
    "UnitLogs",
    "WeekLevel",
    "before_after",
    "compare",
    "components",
    "control_charts",
    "finding",
    "findings",
    "follow_up",
    "funnels",
    "league",
    "record",
    "roles",
    "subject_problem",
    "unit_logs",
    "verdict_in_words",
]

_HOMES = {
    "change_in_dose": ("before_after",),
    "comparison": ("compare",),
    "control_chart": ("control_charts",),
    "loop": (
        "ActionTaken",
        "Assigned",
        "CauseGiven",
        "Closed",
        "FindingError",
        "Opened",
        "Reopened",
        "Subject",
        "TrackedFinding",
        "components",
        "finding",
        "findings",
        "follow_up",
        "record",
        "roles",
        "subject_problem",
        "verdict_in_words",
    ),
    "funnel": (
        "funnels",
        "league",
    ),
    "records": (
        "BeforeAfter",
        "ChangePoint",
        "ChartWeek",
        "Comparison",
        "ControlChart",
        "Funnel",
        "FunnelLimit",
        "FunnelPoint",
        "LeagueRow",
        "UnitKind",
        "WeekLevel",
    ),
    "log_sums": (
        "Peers",
        "UnitLogs",
        "unit_logs",
    ),
}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
