"""Traces by OpenTelemetry, where the environment names a collector: a span a request, a job and a stage.

Nothing that makes or sends spans is loaded where none is named. What is read of the environment, and how
spans are sent, is the standard's: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`
and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mixagent import __version__
from mixagent.pipeline.errors import ModelMissingError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span, Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_FLUSH_MS = 2000
_FAULT = 500


class RequestSpan:
    """The span of a request; of nothing where traces are off."""

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def answered(self, name: str, status: int, about: Mapping[str, str]) -> None:
        """The head of the answer is sent.

        Args:
            name: method and route.
            status: of HTTP.
            about: ids of the job or upload that was asked about, by their attribute.
        """
        if self._span is None:
            return
        self._span.update_name(name)
        self._span.set_attributes({"http.response.status_code": status, **about})
        if status >= _FAULT:
            self._span.set_status(_error())

    def end(self) -> None:
        """Nothing more comes that belongs to it: a stream of events may stay open for days."""
        if self._span is not None and self._span.is_recording():
            self._span.end()


class JobSpan:
    """The span of a job, and of its stages as they come."""

    def __init__(self, tracer: Tracer | None, about: Mapping[str, str | int]) -> None:
        self._tracer, self._about = tracer, dict(about)
        self._stages: dict[str, Span] = {}

    def stage(self, name: str, share: float) -> None:
        """Take in how far a stage is: it begins when it is first told of, and ends with 1."""
        if self._tracer is None:
            return
        if name not in self._stages:
            about = {**self._about, "mixagent.stage": name}
            self._stages[name] = self._tracer.start_span(f"stage {name}", attributes=about)
        if share >= 1.0 and self._stages[name].is_recording():
            self._stages[name].end()

    def close(self) -> None:
        """End what is open: the job has come to its end."""
        for span in self._stages.values():
            if span.is_recording():
                span.end()


class Traces:
    """Makes spans, or does nothing."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("mixagent", __version__)

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str], request_id: str) -> Iterator[RequestSpan]:
        """A request, which goes on with the trace of whoever made it."""
        if self._tracer is None:
            yield RequestSpan(None)
            return
        from opentelemetry.trace import SpanKind, use_span

        span = self._tracer.start_span(
            method,
            context=_context(headers.get("traceparent")),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "mixagent.request": request_id},
        )
        own = RequestSpan(span)
        with use_span(span, end_on_exit=False):
            try:
                yield own
            finally:
                own.end()

    @contextmanager
    def job(self, id_: str, kind: str, attempt: int, trace: str | None) -> Iterator[JobSpan]:
        """A job at work, in the trace of the request that asked for it."""
        about: dict[str, str | int] = {
            "mixagent.job": id_,
            "mixagent.kind": kind,
            "mixagent.attempt": attempt,
        }
        own = JobSpan(self._tracer, about)
        if self._tracer is None:
            yield own
            return
        from opentelemetry.trace import SpanKind

        with self._tracer.start_as_current_span(
            f"job {kind}", context=_context(trace), kind=SpanKind.CONSUMER, attributes=about
        ):
            try:
                yield own
            finally:
                own.close()

    def current(self) -> str | None:
        """The span at work as a `traceparent` header has it; None without one."""
        if self._tracer is None:
            return None
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        return carrier.get("traceparent")

    def close(self) -> None:
        """Send what waits to be sent, for a moment at most."""
        if self._provider is not None:
            self._provider.force_flush(_FLUSH_MS)
            self._provider.shutdown()


def open_traces(environment: Mapping[str, str], processor: SpanProcessor | None = None) -> Traces:
    """Traces as the environment asks for them.

    Args:
        environment: of this process.
        processor: that takes the spans, in place of one that sends them to the collector.

    Raises:
        ModelMissingError: they are asked for, and the package is not installed.
    """
    if not _is_asked(environment):
        return Traces()
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        raise ModelMissingError("opentelemetry is not installed: pip install 'mixagent[traces]'")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.name": environment.get("OTEL_SERVICE_NAME") or "mixagent"}
    provider = TracerProvider(resource=Resource.create({**named, "service.version": __version__}))
    provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


def _is_asked(environment: Mapping[str, str]) -> bool:
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    off |= environment.get("OTEL_TRACES_EXPORTER", "otlp") == "none"
    return not off and any(environment.get(name) for name in _ENDPOINTS)


def _context(trace: str | None) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": trace} if trace else {})


def _error() -> Any:
    from opentelemetry.trace import Status, StatusCode

    return Status(StatusCode.ERROR)
