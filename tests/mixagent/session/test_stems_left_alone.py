"""A policy that mixes songs that lack stems: no strip moves for what is not there, and the report says so."""

import json

import numpy as np
import pytest
import soundfile
from tracks import bass, hats, keys, kick, stereo
from voices import melody, natural, sing

RATE = 44100
SECONDS = 4.8


def voice():
    return 0.5 * stereo(sing(natural(melody())).samples[0] / 0.2)


SONGS = {
    "a voice alone": voice,
    "one instrument": lambda: 2 * keys(SECONDS),
    "drums alone": lambda: stereo(kick(SECONDS) + hats(SECONDS)),
    "silence": lambda: np.zeros((2 * RATE, 2)),
    "mono": lambda: (kick(SECONDS) + bass(SECONDS))[:, None],
}


@pytest.mark.parametrize("name", SONGS)
@pytest.mark.parametrize("separator", ["embedded", "spleeter"])
def test_a_song_that_lacks_stems_is_mixed_without_them(mixagent, tmp_path, name, separator):
    song, out = tmp_path / "song.wav", tmp_path / "master.wav"
    soundfile.write(song, SONGS[name](), RATE, "FLOAT")
    options = "--policy", "mix_rules", "--separator", separator, "--renders", "1", "--json", "-o", out
    ran = mixagent("master", song, *options)
    assert ran.code in (0, 4), ran.err
    assert np.isfinite(soundfile.read(out)[0]).all()
    report = json.loads(ran.out)
    told = [line for line in report["warnings"] if line.startswith("left alone")]
    moved = {row["where"] for row in report["decision"]["parameters"] if row["value"] != row["neutral"]}
    alone = told[0].split(": ")[1].split(", ") if told else []
    assert alone or name == "mono"
    assert not moved & set(alone)


def test_thirty_tracks_of_a_musician_are_mixed_by_role(mixagent, tmp_path):
    folder = tmp_path / "tracks"
    folder.mkdir()
    for number in range(30):
        part = (kick, bass, hats)[number % 3](3.0) if number % 4 else keys(3.0)
        soundfile.write(folder / f"{number:02d}.wav", 0.1 * stereo(part), RATE, "FLOAT")
    out = tmp_path / "master.wav"
    ran = mixagent(
        "master", "--stems-in", folder, "--policy", "mix_rules", "--renders", "1", "--json", "-o", out
    )
    assert ran.code in (0, 4), ran.err
    assert np.isfinite(soundfile.read(out)[0]).all()
