"""What does the service tell a monitoring system? Prometheus metrics; none of them bears patient data."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

_LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The metrics of one running service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = Counter(
            "doseatlas_received_objects",
            "Objects received and made durable",
            ("sop_class", "caller", "via"),
            registry=self.registry,
        )
        self.received_bytes = Counter(
            "doseatlas_received_bytes", "Bytes received and made durable", registry=self.registry
        )
        self.not_received = Counter(
            "doseatlas_not_received_objects",
            "Objects answered with a failure, by status",
            ("status", "caller", "via"),
            registry=self.registry,
        )
        self.associations = Gauge("doseatlas_associations", "Associations that are open", registry=self.registry)
        self.connections = Gauge("doseatlas_connections", "DICOM connections that are open", registry=self.registry)
        self.rejected = Counter(
            "doseatlas_rejected_associations", "Associations rejected, by reason", ("reason",), registry=self.registry
        )
        self.aborted = Counter(
            "doseatlas_aborted_associations",
            "Associations that we aborted, by reason",
            ("reason",),
            registry=self.registry,
        )
        self.commit_seconds = Histogram(
            "doseatlas_commit_seconds",
            "From the last byte of an object until it is durable",
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )
        self.imported = Counter(
            "doseatlas_imported_objects",
            "What became of objects on their way into the store",
            ("result",),
            registry=self.registry,
        )
        self.import_failures = Counter(
            "doseatlas_import_failures", "Imports that failed as a whole and are tried again", registry=self.registry
        )
        self.importer_restarts = Counter(
            "doseatlas_importer_restarts",
            "How often the importing process had to be started again",
            registry=self.registry,
        )
        self.commitments = Counter(
            "doseatlas_commitments", "Storage commitment reports", ("outcome",), registry=self.registry
        )
        self._depth = Gauge(
            "doseatlas_spool_objects", "Objects received that are not in the store yet", registry=self.registry
        )
        self._oldest = Gauge(
            "doseatlas_spool_oldest_seconds", "How long the oldest of them has waited", registry=self.registry
        )
        self._free = Gauge("doseatlas_spool_free_bytes", "Room left before objects are refused", registry=self.registry)

    def watch_spool(self, depth: Callable[[], int], oldest: Callable[[], float], free: Callable[[], int]) -> None:
        """Ask these whenever the metrics are read."""
        self._depth.set_function(depth)
        self._oldest.set_function(oldest)
        self._free.set_function(free)

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text form."""
        return generate_latest(self.registry)
