"""Which objects came from whom? Written to the audit trail for each sender and study, before the spool forgets them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from doseatlas.audit import AuditTrail, transfer_event
from doseatlas.network import Sender
from doseatlas.settings import Settings
from doseatlas.store.alerts import studies_of

if TYPE_CHECKING:
    from doseatlas.store import Outcome, Store


def record_transfers(
    settings: Settings, store: Store, outcomes: Sequence[Outcome], senders: Mapping[str, Sender]
) -> None:
    """Write one message for each sender and study of new objects, and one for each sender's objects without a study.

    Raises:
        StoreError: the store or the trail failed; nothing was written then.

    """
    studies = studies_of(store.database, {one.exam_id for one in outcomes if one.exam_id is not None})
    counts: Counter[tuple[Sender, str | None, bool]] = Counter()
    for one in outcomes:
        study = studies.get(one.exam_id) if one.exam_id is not None else None
        counts[senders[one.path], study, one.result == "refused"] += 1
    AuditTrail.from_settings(settings).append(
        [
            transfer_event(
                caller=sender.caller,
                address=sender.address,
                via=sender.via,
                study_instance_uid=study,
                instances=count,
                refused=refused,
            )
            for (sender, study, refused), count in counts.items()
        ]
    )
