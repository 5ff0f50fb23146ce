"""The triggers of skin dose are a table with sources, and an exam reaches those that its totals state."""

from __future__ import annotations

import pytest

from doseatlas.dosimetry import SkinTotals, skin_triggers, triggers_reached

NOTHING = SkinTotals(None, None, None, None)


def test_every_trigger_has_a_source_a_meaning_and_a_lower_one_for_notification() -> None:
    by_level: dict[str, dict[str, float]] = {}
    for one in skin_triggers():
        assert one.source
        assert one.meaning
        assert one.verified in ("seen", "memory", "assumed")
        by_level.setdefault(one.level, {})[one.quantity] = one.value
    assert list(by_level) == ["follow-up", "notification"]
    assert by_level["follow-up"].keys() == by_level["notification"].keys() == set(SkinTotals._fields)
    assert all(by_level["notification"][name] < value for name, value in by_level["follow-up"].items())


@pytest.mark.parametrize("one", skin_triggers(), ids=lambda one: f"{one.level}-{one.quantity}")
def test_a_trigger_is_reached_at_its_value_and_not_below(one: object) -> None:
    quantity, value = one.quantity, one.value  # type: ignore[attr-defined]
    assert one in triggers_reached(NOTHING._replace(**{quantity: value}))
    assert one not in triggers_reached(NOTHING._replace(**{quantity: 0.999 * value}))


def test_what_is_not_stated_reaches_nothing() -> None:
    assert triggers_reached(NOTHING) == ()
