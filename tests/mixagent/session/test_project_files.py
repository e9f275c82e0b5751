"""`master --project`: the mix beside the master, or one line that says why not."""

import json

import numpy as np
import pytest
import soundfile
from tracks import stereo, write_band
from workstations import played, read_dawproject, read_rpp

import mixagent
from mixagent.pipeline.errors import UsageError

QUICK = {"policy": "neutral", "renders": 1, "overrides": {"drums.gain_db": -3.0, "repair.fill": 0.0}}


@pytest.fixture
def band(tmp_path, cache_folder):
    return tmp_path / "band", write_band(tmp_path / "band")


def test_a_master_brings_its_mix_along(band, tmp_path):
    folder, tracks = band
    to = tmp_path / "to"
    made = mixagent.master(stems_in=folder, output=tmp_path / "m.wav", project=to, **QUICK)
    names = [
        "band - 01 drums.wav",
        "band - 02 bass.wav",
        "band - 03 piano.wav",
        "band.dawproject",
        "band.rpp",
    ]
    assert sorted(path.name for path in to.iterdir()) == names
    assert [path.name for path in made.project] == ["band.rpp", "band.dawproject", *names[:3]]
    drums = 10 ** (-3 / 20)
    gains = {"01 Kick.wav": drums, "02 HiHat.wav": drums, "03 Bass DI.wav": 1.0, "04 Rhodes.wav": 1.0}
    wanted = sum(gains[name] * stereo(samples) for name, samples in tracks.items())
    for read, path in ((read_rpp, "band.rpp"), (read_dawproject, "band.dawproject")):
        tracks_read, master, notes = read(to / path)
        found = played(tracks_read, master)
        assert np.abs(found - wanted).max() < 1e-4
        assert "true-peak limiter at −1.0 dBTP" in notes
    again = mixagent.master(stems_in=folder, output=tmp_path / "n.wav", project=tmp_path / "again", **QUICK)
    assert [row.sha256 for row in again.report.project] == [row.sha256 for row in made.report.project]
    assert mixagent.master(stems_in=folder, output=tmp_path / "o.wav", **QUICK).project == ()
    assert (tmp_path / "o.wav").read_bytes() == (tmp_path / "m.wav").read_bytes()


def test_the_program_writes_the_format_that_was_asked_for(mixagent, song, tmp_path):
    to, out = tmp_path / "to", tmp_path / "m.wav"
    quick = ("--policy", "neutral", "--renders", "1", "--set", "pipeline.repairs=false", "--json")
    ran = mixagent("master", song, "-o", out, "--project", to, "--project-format", "dawproject", *quick)
    assert ran.code == 0, ran.err
    assert [path.name for path in to.iterdir()] == ["song.dawproject"]
    assert [row["format"] for row in json.loads(ran.out)["project"]] == ["dawproject"]
    tracks, master, _ = read_dawproject(to / "song.dawproject")
    assert [track.name for track in tracks][:4] == ["Vocals", "Drums", "Bass", "Other"]
    assert np.abs(played(tracks, master) - soundfile.read(song)[0]).max() < 1e-4


@pytest.mark.parametrize(
    ("options", "field", "says"),
    [
        ({"project_format": "reaper"}, "project_format", "needs"),
        ({"project": "p", "project_format": "logic"}, "project_format", "reaper"),
        ({"project": "p", "amount": 0}, "amount", "no mix"),
        ({"project": "p", "preview": 2}, "preview", "leave out"),
        ({"project": "song.wav"}, "project", "names a folder"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(song, monkeypatch, options, field, says):
    monkeypatch.chdir(song.parent)
    with pytest.raises(UsageError, match=says) as refused:
        mixagent.master(song, **options)
    assert refused.value.field == field or field in str(refused.value)
    assert [path.name for path in song.parent.iterdir()] == ["song.wav"]


def test_a_dry_run_writes_no_project(song, tmp_path, cache_folder):
    made = mixagent.master(song, project=tmp_path / "to", dry_run=True, policy="neutral")
    assert made.project == ()
    assert not (tmp_path / "to").exists()


def test_a_project_that_cannot_be_written_stops_before_the_work(mixagent, song, tmp_path):
    (tmp_path / "file").write_text("x")
    out = tmp_path / "m.wav"
    ran = mixagent("master", song, "-o", out, "--project", tmp_path / "file" / "to")
    assert (ran.code, out.exists()) == (6, False)
    assert "cannot write into" in ran.err
