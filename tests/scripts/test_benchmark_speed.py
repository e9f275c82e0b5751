"""The benchmark of speed: medians over the turns, ratios turn by turn, costs as the system counts them."""

import sys

import pytest
from script_modules import load_script

speed = load_script("benchmark_speed")
load_script("benchmark_generated")  # loaded with the page alone, so that no process is charged for it


def costs(*cpu_s, peak_mb=100.0):
    return [speed.Cost(each, peak_mb) for each in cpu_s]


def test_a_ratio_is_the_median_over_the_turns():
    found = speed.summary(
        {
            # The second turn was taken while the machine was slow: it slowed both.
            "cold": costs(8.0, 20.0, 10.0),
            "second target": costs(3.0, 9.0, 4.0),
            "matchering": costs(8.0, 40.0, 8.0, peak_mb=400.0),
        },
        {"second target": {"finalise": 1.5}},
    )
    assert found["rows"]["cold"]["cpu_s"] == 10.0
    assert found["ratios"]["cold_to_matchering"] == 1.0
    assert found["ratios"]["memory_to_matchering"] == 0.25
    assert found["ratios"]["second_beyond_finaliser_s"] == 2.5
    assert found["ratios"]["cold_to_libsonare"] is None
    assert "| cold to matchering | 1.00 |" in speed.told(found)


def test_a_process_is_charged_for_its_threads_and_memory():
    # 200 MB of its own, and half a second of work in two threads.
    code = (
        "import threading, time\n"
        "held = bytearray(200_000_000)\n"
        "def work():\n"
        "    while time.process_time() < 0.5: sum(range(1000))\n"
        "threads = [threading.Thread(target=work) for _ in range(2)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    cost = speed.run(speed.Work([sys.executable, "-c", code]))
    assert cost.cpu_s >= 0.5
    assert cost.peak_mb >= 190


def test_a_program_that_fails_is_no_cost():
    with pytest.raises(SystemExit, match="no such song"):
        speed.run(speed.Work([sys.executable, "-c", "raise SystemExit('no such song')"]))
