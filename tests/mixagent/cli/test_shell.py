"""The shell's conventions: pipes, several songs, logs without bars, readers that leave, interruptions."""

import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
import soundfile
from songs import write_song

from mixagent.cli import streams
from mixagent.cli.app import EXIT_READER_LEFT
from mixagent.cli.progress import shown_progress

PROGRAM = [sys.executable, "-m", "mixagent"]


@pytest.fixture
def program(cache_folder, tmp_path):
    """Runs the program in a process of its own, started by a shell line in which $M stands for it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "M": " ".join(PROGRAM), "TMPDIR": str(scratch)}

    def run(line: str, **options):
        ran = subprocess.run(["bash", "-c", line], capture_output=True, env=environment, **options)
        assert list(scratch.iterdir()) == []
        return ran

    return run


# --- pipes -------------------------------------------------------------------------------------------


def test_a_song_goes_through_a_pipe_and_its_master_out_of_one(program, song, tmp_path):
    plain = tmp_path / "plain.flac"
    line = f"cat '{song}' | $M master - --separator none --format flac -o - -o '{plain}' | cat"
    ran = program(line)
    assert ran.returncode == 0
    assert ran.stdout == plain.read_bytes()
    assert soundfile.read(io.BytesIO(ran.stdout))[1] == soundfile.info(song).samplerate
    assert b"Target met" in ran.stderr


def test_process_substitution_is_a_song(program, song):
    ran = program(f"$M analyze <(cat '{song}') --json")
    assert (ran.returncode, ran.stderr) == (0, b"")
    by_name = json.loads(program(f"$M analyze '{song}' --json").stdout)
    assert json.loads(ran.stdout)["analysis"] == by_name["analysis"]


def test_a_named_pipe_is_a_song_and_an_output(mixagent, song, tmp_path):
    into, out = tmp_path / "in.wav", tmp_path / "out.wav"
    received = []
    os.mkfifo(into)
    os.mkfifo(out)
    threads = [
        threading.Thread(target=lambda: into.write_bytes(song.read_bytes())),
        threading.Thread(target=lambda: received.append(out.read_bytes())),
    ]
    for thread in threads:
        thread.start()
    ran = mixagent("master", into, "-o", out, "--separator", "none")
    for thread in threads:
        thread.join()
    assert (ran.code, ran.err) == (0, "")
    assert soundfile.info(io.BytesIO(received[0])).frames == soundfile.info(song).frames
    assert stat.S_ISFIFO(out.stat().st_mode)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["master", "-"], "say where the master goes with --output"),
        (["master", "-", "-o", "m.wav"], "stdin is a terminal"),
        (["split", "-"], "say where its stems go with --output"),
        (["compare", "-", "-"], "name - once"),
        (["master", "a.wav", "-", "-o", "out"], "a pipe holds one song"),
        (["master", "a.wav", "b.wav", "-o", "-"], "a pipe holds one song"),
        (["master", "a.wav", "-o", "-", "--format", "wav,mp3"], "one file of one format"),
        (["master", "a.wav", "-o", "-", "--report", "html"], "give --report a file"),
    ],
    ids=" ".join,
)
def test_what_a_pipe_cannot_be_is_one_line(mixagent, monkeypatch, arguments, words):
    monkeypatch.setattr(sys, "stdin", Terminal())
    ran = mixagent(*arguments)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert words in ran.err


def test_what_is_wrong_with_a_piped_song_is_told_by_its_name(program):
    ran = program("echo words | $M analyze -")
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (3, b"", 1)
    assert ran.stderr.startswith(b"mixagent: stdin is not an audio file")


def test_a_pipe_that_was_read_is_gone_with_its_copy(song, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"sound")))
    with streams.spooled([song, streams.STANDARD]) as (same, copy):
        assert same == song
        assert copy.read_bytes() == b"sound"
    assert not copy.exists()


# --- several songs -----------------------------------------------------------------------------------


@pytest.fixture
def music(song):
    write_song(song.with_name("b.wav"), seconds=1.0)
    song.with_name("c.wav").write_text("no audio")
    (song.parent / "live").mkdir()
    write_song(song.parent / "live" / "d.flac", "PCM_16", seconds=1.0)
    return song.parent


def test_one_that_fails_does_not_stop_the_others(mixagent, music, tmp_path):
    out = tmp_path / "out"
    ran = mixagent("master", music, "--separator", "none", "-o", out, "--report", "json")
    assert ran.code == 3
    assert [line.split(": ")[0] for line in ran.out.splitlines()] == [
        str(music / name) for name in ("b.wav", "song.wav", "live/d.flac")
    ]
    assert ran.err.splitlines()[0].startswith(f"mixagent: {music / 'c.wav'} is not an audio file")
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert made == [
        *("b.master.json", "b.master.wav", "live/d.master.json", "live/d.master.wav"),
        *("song.master.json", "song.master.wav"),
    ]
    # The second time the masters are no songs, and each is the same.
    before = (out / "b.master.wav").read_bytes()
    ran = mixagent("master", music / "b.wav", music / "c.wav", "--separator", "none", "-o", out, "--json")
    found = json.loads(ran.out)
    assert (ran.code, found["schema"]) == (3, "mixagent.masters/1")
    assert [report["input"]["path"] for report in found["songs"]] == [str(music / "b.wav")]
    assert [(row["song"], row["code"]) for row in found["failed"]] == [(str(music / "c.wav"), "input")]
    assert (out / "b.master.wav").read_bytes() == before


def test_the_gravest_exit_code_is_that_of_all(mixagent, music, tmp_path):
    song = music / "song.wav"
    quiet = ("--separator", "none", "--fade-in", 2, "-o", tmp_path / "out")
    # b lasts one second, so that the fade does not fit into it.
    ran = mixagent("master", song, music / "b.wav", *quiet)
    assert ran.code == 2
    assert f"mixagent: {music / 'b.wav'}: fades of 2 s" in ran.err
    assert mixagent("master", music / "b.wav", song, music / "c.wav", *quiet).code == 3


def test_what_is_wrong_with_the_options_stops_all_before_any_work(mixagent, music, tmp_path, cache_folder):
    for options in (["--target", "radio"], ["--report", "r.html"], ["--stems-in", "x"], ["--eq", "2"]):
        ran = mixagent("master", music, "-o", tmp_path / "out", *options)
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert not (tmp_path / "out").exists()
    assert list(cache_folder.iterdir()) == []


def test_nothing_is_overwritten_where_that_was_asked(mixagent, music, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "song.master.json").write_text("kept")
    ran = mixagent("master", music, "-o", out, "--report", "json", "--no-overwrite")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert "song.master.json is there already" in ran.err
    assert [path.name for path in out.iterdir()] == ["song.master.json"]


def test_a_comparison_overwrites_nothing_where_that_was_asked(mixagent, song, tmp_path):
    report = tmp_path / "r.json"
    arguments = ("compare", song, song, "--no-overwrite", "--report", report)
    assert mixagent(*arguments).code == 0
    before = report.read_bytes()
    assert mixagent(*arguments).code == 2
    assert report.read_bytes() == before


# --- terminals, logs and readers that leave ----------------------------------------------------------


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_no_bar_is_drawn_into_a_log(monkeypatch, capsys, variable):
    monkeypatch.setenv(variable, "1")
    with shown_progress(quiet=False) as progress:
        progress("decode", 0.5)
        progress("decode", 1.0)
    assert capsys.readouterr().err == ""


def test_bars_are_drawn_on_a_terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    with shown_progress(quiet=False) as progress:
        progress("decode", 0.5)
    assert "decode" in screen.getvalue()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$M targets --json | true; exit ${PIPESTATUS[0]}", EXIT_READER_LEFT),
        ("$M --help | true; exit ${PIPESTATUS[0]}", EXIT_READER_LEFT),
        ("$M nowhere 2>&1 | true; exit ${PIPESTATUS[0]}", EXIT_READER_LEFT),
        ("$M targets >&-", 0),
        ("$M targets <&- >&- 2>&-", 0),
        ("$M analyze nowhere.wav 2>&-", 3),
        ("$M targets >/dev/full", 6),
    ],
)
def test_a_stdout_that_is_closed_ends_as_a_shell_expects(program, line, code):
    ran = program(f"sleep 0.1; {line}")
    assert ran.returncode == code
    assert b"Traceback" not in ran.stderr
    assert b"Exception" not in ran.stderr


def test_a_master_is_not_lost_with_a_closed_stdout(program, song):
    ran = program(f"$M master '{song}' --separator none >&-")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert soundfile.info(song.with_name("song.master.wav")).frames == soundfile.info(song).frames


# --- interruptions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wait_s", [0.0, 0.1, 0.2, 0.3, 0.5])
def test_ctrl_c_while_it_loads_is_one_line_and_leaves_nothing(song, tmp_path, cache_folder, wait_s):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    # The program says when it has begun, since how long Python itself takes is not its doing.
    begun = tmp_path / "begun"
    script = (
        "import mixagent.cli.interrupts as i, pathlib\n"
        "catch = i.catch_interrupts\n"
        f"i.catch_interrupts = lambda: (catch(), pathlib.Path({str(begun)!r}).touch())\n"
        "from mixagent.cli.app import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "master", song, "--no-cache", "--separator", "none"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.002)
    time.sleep(wait_s)
    # An impatient user must not break the tidying up.
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "mixagent: interrupted; nothing was written\n")
    assert list(scratch.iterdir()) == []
    assert [path.name for path in song.parent.iterdir()] == [song.name]


def test_an_interruption_that_a_finaliser_swallowed_is_not_lost():
    script = """
import os, signal, time
from mixagent.cli.interrupts import catch_interrupts
catch_interrupts()
class Fussy:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass
try:
    fussy = Fussy()
    del fussy
    time.sleep(5)
    print("lost")
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGTERM)
    print("raised once")
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "raised once\n", "")
