"""A mix as a project: what another reader finds in it sounds like the mix, and the rest is told."""

from dataclasses import replace

import numpy as np
import pytest
from tracks import bass, hats, keys, kick, stereo
from workstations import played, read_dawproject, read_rpp

from mixagent.daw.build import project_of
from mixagent.daw.files import project_files, write_project
from mixagent.daw.project import ProjectRequest
from mixagent.pipeline.chain.mixing import measure_levels
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import OutputError, UsageError
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import Audio, Stems, load

RATE = 44_100
FADERS = {
    "vocals.gain_db": -2.5,
    "vocals.pan": 0.4,
    "drums.gain_db": 3.0,
    "drums.pan": -1.0,
    "drum_bus.gain_db": -1.5,
    "bass.gain_db": 6.0,
    "master.balance_db": 1.0,
}
EQUALISERS = {
    "vocals.high_pass_hz": 110.0,
    "vocals.presence_db": 2.0,
    "vocals.bell_hz": 420.0,
    "vocals.bell_db": -3.0,
    "drums.air_db": 1.5,
    "bass.low_shelf_db": -2.0,
    "bass.high_pass_hz": 35.0,
    "master.eq_presence_db": -1.0,
    "master.bell_2_hz": 900.0,
    "master.bell_2_db": -4.0,
    "graphic.tone_315_db": -2.0,
    "graphic.tone_8000_db": 1.5,
}
UNLIKE_A_MIXER = {
    "vocals.low_mid_cut_db": 4.0,
    "vocals.comp_ratio": 2.0,
    "drums.transient_attack_db": 2.0,
    "bass.width": 0.5,
    "master.gap_fill_db": 6.0,
    "low_band.comp_ratio": 1.5,
}


def audio(samples: np.ndarray) -> Audio:
    return Audio(np.ascontiguousarray(stereo(samples).T, np.float32), RATE)


@pytest.fixture(scope="module")
def stems() -> Stems:
    parts = {"vocals": audio(keys(2.0)), "drums": audio(kick(2.0)), "bass": audio(bass(2.0))}
    mix = sum(part.samples for part in parts.values()) + audio(hats(2.0)).samples
    return Stems(Audio(mix, RATE), parts)


def settings_of(stems: Stems, values: dict[str, float]):
    return ParameterSpace.for_stems(tuple(stems.parts)).settings(values)


@pytest.fixture
def written(stems, tmp_path):
    """Writes a project with these settings; its files and what another reader finds in both."""

    def write(values, title="song", formats=("reaper", "dawproject"), of=stems):
        project = project_of(title, of, settings_of(of, values), measure_levels(of), ("A note.",))
        with project_files(ProjectRequest(tmp_path / "to", formats), title, []) as files:
            paths = write_project(project, files, lambda stage, share: None)
        readers = {".rpp": read_rpp, ".dawproject": read_dawproject}
        return paths, [readers[path.suffix](path) for path in paths if path.suffix in readers]

    return write


def level_error_db(found: np.ndarray, wanted: np.ndarray) -> float:
    """Power of the difference against the wanted sound; −20 dB would be off by 0.8 dB."""
    return 10 * np.log10(np.sum((found - wanted) ** 2) / np.sum(wanted**2) + 1e-20)


def test_both_projects_sum_to_the_mix_of_faders_and_pans(stems, written):
    wanted = load(premaster(stems, settings_of(stems, FADERS))).samples.T
    for tracks, master, _ in written(FADERS)[1]:
        found = played(tracks, master)
        assert level_error_db(found, wanted) < -80
        assert np.abs(20 * np.log10(np.std(found, axis=0) / np.std(wanted, axis=0))).max() < 0.1


def test_a_neutral_mix_is_the_song(stems, written):
    for tracks, master, _ in written({})[1]:
        assert level_error_db(played(tracks, master), stems.mix.samples.T) < -120
        assert [track.name for track in tracks] == ["Vocals", "Drums", "Bass", "Rest"]


def test_a_dawproject_has_the_equalisers_too(stems, written):
    values = {**FADERS, **EQUALISERS}
    _, [(tracks, master, _)] = written(values, formats=("dawproject",))
    wanted = load(premaster(stems, settings_of(stems, values))).samples.T
    # Each band of the graphic equaliser under 0.01 dB is left out.
    assert level_error_db(played(tracks, master), wanted) < -50


def test_what_a_mixer_has_not_is_told_with_its_values(written):
    _, [(reaper, _, notes), (xml, master, comment)] = written({**EQUALISERS, **UNLIKE_A_MIXER})
    for text in (notes, comment):
        assert text.startswith("A note.")
        for told in ("Low mid cut 4.0 dB", "Transient attack +2.0 dB", "Width 0.50", "Compressor 2.00:1"):
            assert told in text
        for told in ("Gap fill 6.0 dB", "Low band Compressor ratio 1.50:1", "High-pass at 71 Hz, Q 0.50"):
            assert told in text
    of_reaper, of_xml = ({track.name: track.notes for track in tracks} for tracks in (reaper, xml))
    assert "Bell at 420 Hz, −3.0 dB, Q 1.00" in of_reaper["Vocals"]
    assert "Bell" not in of_xml["Vocals"]
    assert "The compressor is off" in of_xml["Vocals"]
    assert "Gap fill" in master.notes


def test_tracks_have_names_colours_and_nothing_is_muted_or_alone(written):
    for tracks, _, _ in written(FADERS)[1]:
        assert [track.name for track in tracks] == ["Vocals", "Drum bus", "Drums", "Bass", "Rest"]
        assert tracks[2].into is tracks[1]
        assert len({track.colour for track in tracks}) == 4
        assert not any(track.mute for track in tracks)


def test_sends_leave_behind_faders_and_buses_and_their_returns_wait_for_an_effect(written):
    values = {"vocals.reverb_send_db": -12.0, "vocals.delay_send_db": -20.0, "drums.reverb_send_db": -18.0}
    for tracks, _, notes in written({**values, "drum_bus.gain_db": 1.0, "reverb.size": 0.7})[1]:
        sends = {track.name: track.sends for track in tracks if track.sends}
        assert sends["Vocals"] == pytest.approx({"Reverb": 10 ** (-12 / 20), "Delay": 0.1})
        assert sends["Drum bus"] == pytest.approx({"Reverb": 10 ** (-18 / 20)})
        assert set(sends) == {"Vocals", "Drum bus"}
        assert [track.name for track in tracks if track.mute] == ["Reverb", "Delay"]
        assert "No reverb stands here" in notes
        assert "Size 0.70" in notes


def test_mono_and_a_stem_of_no_sound_are_written(written, stems):
    mono = Stems(
        Audio(stems.mix.samples[:1], RATE),
        {
            "bass": Audio(stems.parts["bass"].samples[:1], RATE),
            "drums": Audio(np.zeros((1, 88200), np.float32), RATE),
        },
    )
    values = {"bass.gain_db": -6.0, "bass.pan": 0.5}
    wanted = load(premaster(mono, settings_of(mono, values))).samples.T
    for tracks, master, _ in written(values, of=mono)[1]:
        assert level_error_db(played(tracks, master), wanted) < -80


@pytest.mark.parametrize(
    "title",
    [
        "a \"b\" 'c' `d`",
        "x\ny <b>&amp;</b>",
        "../../up",
        "con",
        "\udc80\uffff?",
        "a" * 300,
        "聲" * 300,
        "...",
    ],
)
def test_hostile_names_stay_names(written, title, tmp_path):
    paths, both = written(FADERS, title=title)
    assert len(both) == 2
    assert {path.parent for path in paths} == {tmp_path / "to"}
    assert all(path.is_file() and len(path.name.encode()) < 255 for path in paths)
    assert len([*tmp_path.iterdir()]) == 1


def test_the_same_mix_gives_the_same_bytes(written):
    first, second = ([path.read_bytes() for path in written(FADERS)[0]] for _ in range(2))
    assert first == second


def test_a_dawproject_alone_leaves_no_other_file(written, tmp_path):
    paths, _ = written(FADERS, formats=("dawproject",))
    assert [*(tmp_path / "to").iterdir()] == paths


def test_what_cannot_be_written_leaves_nothing(written, tmp_path):
    (tmp_path / "to" / "song - 02 drums.wav").mkdir(parents=True)
    with pytest.raises(OutputError, match="is a folder"):
        written(FADERS)
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["song - 02 drums.wav"]


def test_a_failure_in_the_middle_leaves_nothing(stems, tmp_path):
    class Broken:
        rate, channels, frames = RATE, 2, stems.mix.frames

        def read(self, start, stop):
            raise OSError("the disk is gone")

    project = project_of("song", stems, settings_of(stems, {}), measure_levels(stems))
    project = replace(project, tracks=(*project.tracks[:-1], replace(project.tracks[-1], audio=Broken())))
    with (
        pytest.raises(OutputError, match="the disk is gone"),
        project_files(ProjectRequest(tmp_path / "to"), "song", []) as files,
    ):
        write_project(project, files, lambda stage, share: None)
    assert not (tmp_path / "to").exists()


def test_an_input_is_never_written_over(tmp_path):
    own = tmp_path / "song - 01 vocals.wav"
    own.write_bytes(b"mine")
    with (
        pytest.raises(UsageError, match="never overwritten"),
        project_files(ProjectRequest(tmp_path), "song", [own]),
    ):
        pass
