"""Writing: whole or not at all, through a user's links and no others, with nothing left by the dead."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest

from mixagent.pipeline.errors import OutputError
from mixagent.pipeline.files import (
    HIDDEN,
    append_line,
    atomically,
    clear_leftovers,
    heal_lines,
    hidden_folder,
    read_lines,
    scratch_folder,
    write_atomically,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_the_old_one_or_the_whole_new_one(tmp_path):
    path = tmp_path / "page.html"
    write_atomically(path, "old")

    def half():
        with atomically(path) as place:
            place.write_text("half")
            assert path.read_text() == "old"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert path.read_text() == "old"
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["page.html"]


def test_what_is_written_has_the_permissions_of_any_new_file_or_those_of_the_one_it_replaces(tmp_path):
    new, plain = tmp_path / "new.txt", tmp_path / "plain.txt"
    write_atomically(new, "")
    plain.write_text("")
    assert new.stat().st_mode == plain.stat().st_mode
    new.chmod(0o640)
    write_atomically(new, "private")
    assert new.stat().st_mode & 0o777 == 0o640


def test_an_output_that_is_a_link_is_written_through_and_the_link_stays(tmp_path):
    (tmp_path / "music").mkdir()
    target, link = tmp_path / "music" / "real.wav", tmp_path / "out.wav"
    link.symlink_to("music/real.wav")
    for content in ("made", "made again"):
        write_atomically(link, content, through_link=True)
        assert link.is_symlink()
        assert target.read_text() == content
    assert names(tmp_path / "music") == ["real.wav"]


def test_a_link_that_no_user_named_gives_way_and_its_target_stays(tmp_path):
    target, link = tmp_path / "precious", tmp_path / "state.json"
    target.write_text("precious")
    link.symlink_to(target)
    write_atomically(link, "{}")
    assert not link.is_symlink()
    assert target.read_text() == "precious"


def test_links_that_lead_to_each_other_are_one_line(tmp_path):
    one, other = tmp_path / "one.wav", tmp_path / "other.wav"
    one.symlink_to(other)
    other.symlink_to(one)
    with pytest.raises(OutputError, match=r"cannot write .*one\.wav"):
        write_atomically(one, "", through_link=True)
    assert names(tmp_path) == ["one.wav", "other.wav"]


def test_planted_links_of_the_names_of_old_are_not_followed(tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    for planted in (".r.html.part", ".mixagent-r.html", "r.html.part"):
        (tmp_path / planted).symlink_to(target)
    write_atomically(tmp_path / "r.html", "page", through_link=True)
    assert target.read_text() == "precious"
    assert (tmp_path / "r.html").read_text() == "page"


def test_many_writers_to_one_file_all_succeed_and_one_of_them_is_whole(tmp_path):
    path, failed = tmp_path / "page.html", []

    def write(letter):
        try:
            for _ in range(20):
                write_atomically(path, letter * 100_000)
        except OutputError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    (letter,) = set(path.read_text())
    assert path.read_text() == letter * 100_000
    assert names(tmp_path) == ["page.html"]


@pytest.mark.parametrize("place", ["missing/page.html", "file/page.html", "folder"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "full").write_text("")
    with pytest.raises(OutputError, match=f"cannot write {tmp_path / place}: ") as caught:
        write_atomically(tmp_path / place, "")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["file", "folder"]


HELD = """
import sys, time
from pathlib import Path
from mixagent.pipeline.files import hidden_folder, scratch_folder
parent = Path(sys.argv[1])
with hidden_folder(parent) as hidden, scratch_folder(parent) as scratch:
    (hidden / "file.wav").write_bytes(bytes(1000))
    (scratch / "song.f32").write_bytes(bytes(1000))
    print("held", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_program_left_goes_and_what_a_living_one_holds_stays(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HELD, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        held = names(tmp_path)
        assert len(held) == 2
        clear_leftovers(tmp_path)
        assert names(tmp_path) == held
        assert all(len(names(tmp_path / name)) == 2 for name in held)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    assert names(tmp_path) == held
    with scratch_folder(tmp_path) as scratch:
        assert names(tmp_path) == [scratch.name]
    assert names(tmp_path) == []


def test_folders_of_other_names_and_links_are_never_cleared(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "song.wav").write_text("")
    (tmp_path / "here").mkdir()
    for name in (".mixagent-mine", "mixagent-0123", "mixagent-0123456789abcdef.stems"):
        (tmp_path / "here" / name).mkdir()
    (tmp_path / "here" / f"{HIDDEN}0123456789abcdef").symlink_to(elsewhere)
    before = names(tmp_path / "here")
    clear_leftovers(tmp_path / "here")
    assert names(tmp_path / "here") == before
    assert names(elsewhere) == ["song.wav"]


def _many_folders(parent, failed):
    try:
        for _ in range(40):
            clear_leftovers(parent)
            with hidden_folder(parent) as folder:
                (folder / "file").write_text("whole")
                assert (folder / "file").read_text() == "whole"
    except BaseException:
        failed.set()
        raise


def test_programs_that_clear_while_others_begin_take_nothing_from_them(tmp_path):
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    failed = context.Event()
    programs = [context.Process(target=_many_folders, args=(tmp_path, failed)) for _ in range(3)]
    for program in programs:
        program.start()
    for program in programs:
        program.join()
    assert not failed.is_set()
    clear_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_lines_that_were_cut_or_damaged_are_left_out_and_healed(tmp_path):
    path = tmp_path / "rows.jsonl"
    append_line(path, {"row": 1})
    with path.open("ab") as file:
        file.write(b'{"row": {"row": 2}\n\xff\xfe\n[3]\n')
    append_line(path, {"row": 4})
    with path.open("ab") as file:
        file.write(b'{"row": 5')
    assert read_lines(path) == [{"row": 1}, {"row": 4}]
    assert heal_lines(path) == 4
    assert path.read_text() == '{"row": 1}\n{"row": 4}\n'
    assert heal_lines(path) == 0
    assert heal_lines(tmp_path / "none.jsonl") == 0
