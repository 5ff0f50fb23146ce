"""The audit trail: DICOM audit messages of what was received, asked, handed on and decided, in a sealed chain."""

from __future__ import annotations

from doseatlas.audit.message import (
    AuditEvent,
    application_event,
    context_event,
    event_kinds,
    query_event,
    refused_peer_event,
    to_xml,
    transfer_event,
    user_event,
)
from doseatlas.audit.trail import AuditTrail, TrailRecord
from doseatlas.audit.verify import Verified, verify

__all__ = [
    "AuditEvent",
    "AuditTrail",
    "TrailRecord",
    "Verified",
    "application_event",
    "context_event",
    "event_kinds",
    "query_event",
    "refused_peer_event",
    "to_xml",
    "transfer_event",
    "user_event",
    "verify",
]
