"""Figures for Prometheus: counters of this process, and the queue as the database has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_SECONDS = (0.05, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)


class Metrics:
    """All figures of a service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def counter(name: str, about: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"mixagent_{name}", about, labels, registry=self._registry)

        def histogram(name: str, about: str, labels: tuple[str, ...]) -> Histogram:
            return Histogram(f"mixagent_{name}", about, labels, registry=self._registry, buckets=_SECONDS)

        self.requests = counter("requests", "Requests by route and status.", ("method", "route", "status"))
        self.request_seconds = histogram("request_seconds", "Time to the answer's head.", ("route",))
        self.uploads = counter("uploads", "Uploads by how their check ended.", ("outcome",))
        self.upload_bytes = counter("upload_bytes", "Bytes of uploads that were taken.")
        self.submitted = counter("jobs_submitted", "Jobs by kind.", ("kind",))
        self.cache_hits = counter("result_cache_hits", "Jobs whose results were there already.", ("kind",))
        self.failed = counter("jobs_failed", "Jobs without results, by kind and reason.", ("kind", "code"))
        self.lost = counter("worker_deaths", "Worker processes that died at a job.", ("kind",))
        self.stage = histogram("stage_seconds", "Time of stages.", ("stage",))
        self._took = histogram("job_seconds", "Time of jobs from claim to end.", ("kind",))
        self.webhooks = counter("webhooks", "Deliveries by outcome.", ("outcome",))
        self.streams = counter("event_streams", "Event streams that were opened.")

    def took(self, kind: str, seconds: float) -> None:
        """A job came to its end."""
        self._took.labels(kind).observe(seconds)

    def gauges(self, name: str, about: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        """Values that are looked up when they are asked for."""

        class Looked(Collector):
            def collect(self) -> Iterable[Metric]:
                family = GaugeMetricFamily(f"mixagent_{name}", about, labels=[label])
                for key, value in values().items():
                    family.add_metric([key], value)
                yield family

            def describe(self) -> Iterable[Metric]:
                return []

        self._registry.register(Looked())

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
