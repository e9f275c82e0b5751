"""What a master that was killed leaves, the next one clears."""

import os
import subprocess
import sys
import time

import pytest
from songs import write_song


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a signal of POSIX")
def test_the_hidden_files_of_a_killed_master_are_gone_after_the_next(mixagent, tmp_path, cache_folder):
    folder = tmp_path / "music"
    folder.mkdir()
    song = write_song(folder / "song.wav", seconds=20.0)
    command = [sys.executable, "-m", "mixagent", "master", song, "--amount", "0", "-o", folder / "m.mp3"]
    process = subprocess.Popen(
        [*map(str, command)], env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list(folder.glob(".mixagent-*/m.mp3")):
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert hidden(folder), "it was not killed while it wrote"
    assert not (folder / "m.mp3").exists()
    assert mixagent("master", song, "--amount", "0", "-o", folder / "m.mp3").code == 0
    assert hidden(folder) == []
    assert (folder / "m.mp3").exists()


def test_an_output_that_is_a_link_stays_one(mixagent, song, tmp_path):
    (tmp_path / "disk").mkdir()
    link = song.with_name("out.wav")
    link.symlink_to(tmp_path / "disk" / "real.wav")
    for _ in range(2):
        assert mixagent("master", song, "--amount", "0", "-o", link).code == 0
    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.wav").stat().st_size > 0
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["real.wav"]


def test_a_link_to_the_song_is_never_written_through(mixagent, song):
    before, link = song.read_bytes(), song.with_name("out.wav")
    link.symlink_to(song)
    ran = mixagent("master", song, "--amount", "0", "-o", link)
    assert (ran.code, "it is the input" in ran.err) == (2, True)
    assert song.read_bytes() == before
    assert link.readlink() == song
