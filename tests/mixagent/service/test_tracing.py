"""Traces: a span a request, a job and a stage where a collector is named, and nothing where none is."""

import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from services import called

from mixagent.service.logs import JsonLines, about_job
from mixagent.service.tracing import open_traces

ASKED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@contextmanager
def remembered():
    """Traces whose spans are kept here, and the function that gives them by name."""
    pytest.importorskip("opentelemetry.sdk", reason="the extra traces is not installed")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    traces = open_traces(ASKED, SimpleSpanProcessor(kept))
    yield traces, lambda: {span.name: span for span in kept.get_finished_spans()}


def test_a_request_is_a_span_with_its_route_and_what_it_is_about(api, short_song):
    with remembered() as (api.service.traces, spans):
        song = api.upload(short_song)["id"]
        api.get(f"/v1/uploads/{song}")
        api.get("/v1/jobs/none")
        found = spans()
    assert found["GET /v1/uploads/{id_}"].attributes["mixagent.upload"] == song
    assert found["GET /v1/jobs/{id_}"].attributes["http.response.status_code"] == 404
    assert found["POST /v1/uploads"].attributes["http.request.method"] == "POST"
    assert all(len(span.attributes["mixagent.request"]) == 16 for span in found.values())


def test_a_job_and_its_stages_are_in_the_trace_of_whoever_asked(api, short_song):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    slot = api.service.engine._slots[1]
    with remembered() as (traces, spans):
        api.service.traces = traces
        object.__setattr__(slot._tools, "traces", traces)
        song = api.upload(short_song)["id"]
        id_ = api.job("analyze", song, headers={"traceparent": parent})["id"]
        try:
            assert slot.one_job()
        finally:
            slot._process.close()
        found = spans()
    assert api.get(f"/v1/jobs/{id_}").json()["state"] == "done"
    asked, job = found["POST /v1/jobs"], found["job analyze"]
    assert format(asked.context.trace_id, "032x") == "0af7651916cd43dd8448eb211c80319c"
    assert job.parent.span_id == asked.context.span_id
    assert job.attributes["mixagent.job"] == id_
    stages = [span for name, span in found.items() if name.startswith("stage ")]
    assert stages
    for stage in stages:
        assert stage.parent.span_id == job.context.span_id
        assert stage.attributes["mixagent.job"] == id_
        assert job.start_time <= stage.start_time <= stage.end_time <= job.end_time


class Collector(BaseHTTPRequestHandler):
    """Takes what is sent by OTLP over HTTP."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, self.headers["Content-Type"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_spans_are_sent_to_the_collector_that_the_environment_names(tmp_path, monkeypatch):
    pytest.importorskip("opentelemetry.sdk", reason="the extra traces is not installed")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        collector.taken = []
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{collector.server_address[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mastering")
        with called(tmp_path) as api:
            api.get("/healthz")
            api.service.traces.close()
        collector.shutdown()
    (path, kind, body), *_ = collector.taken
    assert (path, kind) == ("/v1/traces", "application/x-protobuf")
    (sent,) = ExportTraceServiceRequest.FromString(body).resource_spans
    named = {each.key: each.value.string_value for each in sent.resource.attributes}
    assert named["service.name"] == "mastering"
    assert [span.name for span in sent.scope_spans[0].spans] == ["GET /healthz"]


def test_nothing_of_it_is_loaded_where_no_collector_is_named(tmp_path):
    # FastAPI loads the interface of OpenTelemetry where it finds it.
    program = (
        "import sys, pathlib; from mixagent.service.settings import ServiceSettings; "
        "from mixagent.service.api.app import create_app; from mixagent.service.service import Service; "
        f"create_app(Service(ServiceSettings(data=pathlib.Path({str(tmp_path / 'data')!r})))); "
        "ours = ('opentelemetry.sdk', 'opentelemetry.exporter', 'authlib', 'httpx2'); "
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("more", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_they_are_turned_off_as_the_standard_says(more):
    traces = open_traces({**ASKED, **more})
    assert traces.current() is None
    with traces.job("job_x", "master", 1, None) as span:
        span.stage("decode", 1.0)


def test_every_line_while_a_job_is_at_work_names_it():
    record = logging.makeLogRecord({"msg": "the store is slow", "levelname": "INFO"})
    with about_job("job_x"):
        assert json.loads(JsonLines().format(record))["job"] == "job_x"
    assert "job" not in json.loads(JsonLines().format(record))


def test_a_request_that_was_refused_is_logged_with_the_job_that_it_was_about(api, short_song, caplog):
    job = api.job("master", api.upload(short_song)["id"])["id"]
    with caplog.at_level(logging.INFO, "mixagent.service"):
        api.get(f"/v1/jobs/{job}/page")
    (line,) = [record for record in caplog.records if record.message == "refused"]
    assert (line.job, line.status) == (job, 409)
