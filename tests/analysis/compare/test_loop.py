"""A finding goes round the loop: opened, assigned, given a cause and an action, followed up, closed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from doseatlas.analysis import mart_table
from doseatlas.analysis.compare import (
    ActionTaken,
    Assigned,
    CauseGiven,
    Closed,
    FindingError,
    Opened,
    Reopened,
    Subject,
    components,
    finding,
    findings,
    follow_up,
    record,
    roles,
)
from doseatlas.model import StoreError
from doseatlas.settings import Settings
from doseatlas.store import Store
from doseatlas.store.findings import FindingEvents

NOW = dt.datetime(2026, 3, 1, 9, 0, tzinfo=dt.UTC)
SUBJECT = Subject(
    kind="device",
    unit="General Hospital / Maker Model 1",
    procedure="ct-head",
    patient_group="adult",
    quantity="dlp_mgy_cm",
    phantom_cm=16,
)
OPENED = Opened(at=NOW, by="a physicist", subject=SUBJECT, seen="consistently above, 700 to 600 mGy.cm")
ASSIGNED = Assigned(at=NOW, by="a physicist", role="technologist")
CAUSE = CauseGiven(at=NOW, by="a technologist", component="protocol", text="scans down to C4")
ACTION = ActionTaken(at=NOW, by="a technologist", text="range ends at C1", in_force_from=dt.date(2026, 4, 1))


@pytest.fixture
def events(tmp_path: Path) -> Iterator[FindingEvents]:
    with Store(Settings(data_dir=str(tmp_path))) as store:
        yield FindingEvents(store.database)


def test_a_finding_goes_round_the_loop(events: FindingEvents) -> None:
    states = [record(events, "f1", event).status for event in (OPENED, ASSIGNED, CAUSE, ACTION)]
    assert states == ["open", "assigned", "cause known", "action taken"]
    closed = record(events, "f1", Closed(at=NOW, by="a physicist", outcome="dose moved", text="20 % lower"))
    assert (closed.status, closed.outcome, closed.role, closed.component) == (
        "closed",
        "dose moved",
        "technologist",
        "protocol",
    )
    assert finding(events, "f1") == closed
    assert closed.events[0] == OPENED
    reopened = record(events, "f1", Reopened(at=NOW, by="a physicist", text="back again"))
    assert (reopened.status, reopened.outcome, len(reopened.events)) == ("open", None, 6)
    record(events, "f2", OPENED)
    assert [one.id for one in findings(events)] == ["f1", "f2"]


@pytest.mark.parametrize(
    ("before", "event", "message"),
    [
        ([], ASSIGNED, "no finding 'f'; open it first"),
        ([OPENED], OPENED, "open already"),
        ([OPENED], ACTION, "has no cause yet"),
        ([OPENED], Reopened(at=NOW, by="x", text=""), "not closed"),
        ([OPENED], Assigned(at=NOW, by="x", role="wizard"), "no role 'wizard'. Known: practitioner"),
        ([OPENED], CauseGiven(at=NOW, by="x", component="luck", text=""), "no component 'luck'"),
        ([OPENED, CAUSE], Closed(at=NOW, by="x", outcome="dose moved", text=""), "has no action yet"),
        ([OPENED], Closed(at=NOW, by="x", outcome="justified", text=""), "has no cause yet"),
        ([OPENED, Closed(at=NOW, by="x", outcome="no finding after all", text="")], CAUSE, "reopen it first"),
    ],
)
def test_a_step_that_does_not_fit_is_refused_and_leaves_no_trace(
    events: FindingEvents, before: list[Any], event: Any, message: str
) -> None:
    for one in before:
        record(events, "f", one)
    with pytest.raises(FindingError, match=message):
        record(events, "f", event)
    assert len(events.of("f")) == len(before)


def test_two_people_at_once_do_not_overwrite_each_other(events: FindingEvents) -> None:
    record(events, "f", OPENED)
    events.append("f", 2, NOW.isoformat(), b"{}")
    with pytest.raises(StoreError, match="changed by somebody else meanwhile"):
        events.append("f", 2, NOW.isoformat(), b"{}")


def test_the_next_period_shows_whether_the_dose_moved(events: FindingEvents, mart: Callable[..., Path]) -> None:
    def scans(month: int, low: float) -> list[dict[str, Any]]:
        day = dt.date(2026, month, 10)
        return [{"dlp_mgy_cm": low + i, "month": f"2026-{month:02}", "study_date": day} for i in range(25)]

    table = mart_table(mart(scans(2, 700.0) + scans(5, 500.0)))
    for event in (OPENED, CAUSE):
        one = record(events, "f", event)
    assert follow_up(table, one) is None
    moved = follow_up(table, record(events, "f", ACTION))
    assert moved is not None
    assert (moved.verdict, moved.median_before, moved.median_after) == ("lower", 712.0, 512.0)


def test_every_role_and_component_names_its_source() -> None:
    assert all(role.source for role in roles())
    assert all(component.source for component in components())
    assert len({one.component for one in components()}) == len(components())
