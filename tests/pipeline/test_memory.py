"""Memory of a process: what is held, what is started, whose it is."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from mixagent.pipeline.memory import METER, MemoryMeter, resident_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the system does not say")

MEGABYTE = 1 << 20


def held(megabytes):
    """Pages that were written to, so that they are resident."""
    return np.ones(megabytes * MEGABYTE, np.uint8)


def test_what_is_held_counts():
    before = resident_bytes()
    kept = held(64)
    assert resident_bytes() - before == pytest.approx(len(kept), rel=0.1)


def test_what_a_started_process_holds_counts():
    script = "kept = b'1' * (64 << 20); print('holds', flush=True); input()"
    before = resident_bytes()
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout.readline() == "holds\n"
        together, alone = resident_bytes(), resident_bytes(process.pid)
        process.communicate("\n")
    assert alone > 64 * MEGABYTE
    assert together - before > 64 * MEGABYTE


def test_of_a_process_that_is_not_there_nothing_is_said():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert resident_bytes(process.pid) is None


def test_a_peak_that_is_over_before_the_end_is_seen():
    with METER.metered("part") as found:
        before = resident_bytes()
        kept = held(128)
        threading.Event().wait(0.3)
        del kept
        after = resident_bytes()
    assert found.peak_bytes - before > 120 * MEGABYTE
    assert after < found.peak_bytes
    assert found.beside == set()


def test_parts_that_work_side_by_side_are_named_to_each_other():
    meter = MemoryMeter()
    with meter.metered("a") as a:
        with meter.metered("b") as b:
            pass
        with meter.metered("c") as c:
            pass
    with meter.metered("d") as d:
        pass
    assert [part.beside for part in (a, b, c, d)] == [{"b", "c"}, {"a"}, {"a"}, set()]


def test_nobody_looks_once_all_is_done():
    meter = MemoryMeter()
    for _ in range(3):
        with meter.metered("a"):
            assert "memory" in {thread.name for thread in threading.enumerate()}
    for thread in threading.enumerate():
        if thread.name == "memory":
            thread.join(timeout=5)
    assert "memory" not in {thread.name for thread in threading.enumerate()}
