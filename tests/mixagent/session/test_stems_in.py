"""`master --stems-in`: a musician's tracks are named, placed, summed and mixed, or refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from songs import RATE
from tracks import bass, hats, keys, kick, stereo, write_band, write_track

from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.session.master import master_song
from mixagent.session.request import Request
from mixagent.session.stems_in import StemsIn


@pytest.fixture
def band(tmp_path):
    folder = tmp_path / "band"
    return folder, write_band(folder)


@pytest.fixture
def summed(mixagent, tmp_path):
    """Sums a folder's tracks without mixing them: the report, the samples and what was said of them."""

    def run(folder, *options):
        out = tmp_path / "sum.wav"
        exact = ("--amount", "0", "--bit-depth", "32f", "--json", "-o", out)
        ran = mixagent("master", "--stems-in", folder, *exact, *options)
        assert (ran.code, ran.err) == (0, "")
        report = json.loads(ran.out)
        return report["stems_in"], soundfile.read(out)[0], " ".join(report["warnings"])

    return run


def roles(account):
    return {Path(row["file"]).stem: row["role"] for row in account["tracks"]}


def null_db(one, other):
    return 20 * np.log10(np.abs(one - other).max() + 1e-12)


# --- the mix ---------------------------------------------------------------------------------------


def test_tracks_are_mixed_by_role_without_a_separator(mixagent, band):
    ran = mixagent("master", "--stems-in", band[0], "--json")
    assert (ran.code, ran.err) == (0, "")
    report = json.loads(ran.out)
    assert roles(report["stems_in"]) == {
        "01 Kick": "drums",
        "02 HiHat": "drums",
        "03 Bass DI": "bass",
        "04 Rhodes": "piano",
    }
    names = [stage["name"] for stage in report["stages"]]
    assert "separate" not in names
    assert {"hear drums", "hear bass", "hear piano"} <= set(names)
    assert report["output"]["path"] == str(band[0].with_name("band.master.wav"))
    assert soundfile.info(report["output"]["path"]).samplerate == RATE


def test_the_terminal_and_the_page_say_how_each_track_was_found(mixagent, band, tmp_path):
    write_track(band[0] / "take 7.wav", 0.5 * bass())
    page = tmp_path / "r.html"
    said = mixagent("master", "--stems-in", band[0], "--map", "02 HiHat=other", "--report", page).out
    for text in (said, page.read_text()):
        assert all(word in text for word in ("take 7.wav", "content", "name", "rhodes", "map", "as you said"))


def test_the_song_is_the_sum_of_the_tracks(summed, band):
    _, samples, _ = summed(band[0])
    assert null_db(samples, sum(map(stereo, band[1].values()))) < -120


def test_split_stems_are_the_song_again(mixagent, summed, song):
    assert mixagent("split", song, "--separator", "spleeter").code == 0
    account, samples, said = summed(song.with_suffix(".stems"))
    assert set(roles(account).values()) >= {"vocals", "accompaniment"}
    assert said == ""
    assert null_db(samples, soundfile.read(song)[0]) < -90


def test_what_the_tracks_leave_of_a_song_stays_in_it_and_is_said(mixagent, band, tmp_path):
    song = write_track(tmp_path / "song.wav", sum(map(stereo, band[1].values())) + 0.5 * stereo(hats(seed=9)))
    ran = mixagent("master", song, "--stems-in", band[0], "--json")
    report = json.loads(ran.out)
    assert "do not null against song.wav" in " ".join(report["warnings"])
    assert report["stems_in"]["left_db"] > -40
    assert report["input"]["path"] == str(song)


def test_tracks_of_a_song_that_null_against_it_are_passed_without_a_word(mixagent, band, tmp_path):
    song = write_track(tmp_path / "song.wav", sum(map(stereo, band[1].values())))
    report = json.loads(mixagent("master", song, "--stems-in", band[0], "--json").out)
    # What small loudspeakers leave of these few low tracks is another matter.
    assert [line for line in report["warnings"] if not line.startswith("on ")] == []
    assert report["stems_in"]["left_db"] is None or report["stems_in"]["left_db"] < -90


def test_tracks_that_come_after_their_song_are_laid_onto_it_and_it_is_said(mixagent, band, tmp_path):
    mix = sum(map(stereo, band[1].values()))
    late = round(0.025 * RATE)
    song = write_track(tmp_path / "song.wav", np.roll(mix, -late, axis=0))
    report = json.loads(mixagent("master", song, "--stems-in", band[0], "--json").out)
    assert "the tracks hold the sound of the song, 25.0 ms later: laid onto it" in " ".join(
        report["warnings"]
    )
    assert [row["advance_ms"] for row in report["stems_in"]["tracks"]] == pytest.approx([25.0] * 4, abs=0.05)
    assert report["stems_in"]["left_db"] < -15  # what was rolled round to the end is not in the tracks
    report = json.loads(mixagent("master", song, "--stems-in", band[0], "--no-align", "--json").out)
    assert report["stems_in"]["left_db"] > -10


def test_stems_can_be_mixed_from_python(band, tmp_path, cache_folder):
    request = Request(
        None,
        tmp_path / "m.wav",
        loudness_target("streaming"),
        stems_in=StemsIn.of_folder(band[0]),
    )
    with master_song(request) as made:
        assert made.report.output.path == str(tmp_path / "m.wav")
        assert made.before.frames == made.after.frames == 3 * RATE


def test_the_stems_of_a_master_of_stems_sum_to_its_song(mixagent, band, tmp_path):
    folder = tmp_path / "out"
    assert mixagent("master", "--stems-in", band[0], "--stems", folder).code == 0
    written = [soundfile.read(path)[0] for path in folder.iterdir()]
    assert len(written) == 4
    assert null_db(sum(written), sum(map(stereo, band[1].values()))) < -90


# --- a second run ----------------------------------------------------------------------------------


def stages(ran):
    return {stage["name"]: stage["status"] for stage in json.loads(ran.out)["stages"]}


def test_another_target_takes_the_stems_from_the_cache_wherever_the_folder_is(mixagent, band):
    options = "--renders", "1", "--json"
    first = stages(mixagent("master", "--stems-in", band[0], *options))
    assert first["tracks"] == first["place"] == first["stems"] == "ran"
    moved = band[0].rename(band[0].with_name("moved"))
    second = stages(mixagent("master", "--stems-in", moved, *options, "--target", "apple"))
    heard = {name: status for name, status in second.items() if name not in ("finalise", "measure")}
    assert set(heard.values()) <= {"cached", "skipped"}


def test_another_mapping_decodes_nothing_again(mixagent, band):
    mixagent("master", "--stems-in", band[0])
    second = stages(mixagent("master", "--stems-in", band[0], "--map", "04 Rhodes=guitar", "--json"))
    assert (second["tracks"], second["place"], second["stems"]) == ("cached", "ran", "ran")


@pytest.fixture
def report(mixagent, band, tmp_path):
    path = tmp_path / "r.json"
    write_track(band[0] / "Kick Out.wav", -0.8 * kick(at_s=0.003))
    options = ("--map", "04 Rhodes=guitar", "--balance", "auto", "--bit-depth", "16", "--report", path)
    assert mixagent("master", "--stems-in", band[0], *options).code == 0
    return path


def test_a_replay_gives_the_same_bytes(mixagent, band, report, tmp_path):
    again = tmp_path / "again.wav"
    ran = mixagent("replay", report, "-o", again, "--json")
    assert (ran.code, json.loads(ran.out)["identical"]) == (0, True)
    assert again.read_bytes() == (tmp_path / "band.master.wav").read_bytes()


def test_a_replay_without_the_cache_takes_the_report_s_roles(mixagent, monkeypatch, band, report, tmp_path):
    monkeypatch.setenv("MIXAGENT_CACHE", str(tmp_path / "cold"))
    assert json.loads(mixagent("replay", report, "--json").out)["identical"]


def test_tracks_that_moved_are_named_and_changed_ones_are_refused(mixagent, band, report):
    moved = band[0].rename(band[0].with_name("elsewhere"))
    ran = mixagent("replay", report)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)
    assert mixagent("replay", report, "--stems-in", moved).code == 0
    write_track(moved / "03 Bass DI.wav", 0.3 * bass())
    ran = mixagent("replay", report, "--stems-in", moved)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)
    assert "03 Bass DI.wav is not the track of" in ran.err


# --- what is in a folder ---------------------------------------------------------------------------


def test_rates_channels_and_lengths_may_differ_and_are_said(summed, tmp_path):
    (tmp_path / "in").mkdir()
    write_track(tmp_path / "in" / "Kick.wav", kick(3.0))
    write_track(tmp_path / "in" / "Bass.flac", bass(2.0))
    write_track(tmp_path / "in" / "Keys.wav", keys(3.0, 48_000), 48_000)
    _, samples, said = summed(tmp_path / "in")
    assert samples.shape == (3 * RATE, 2)
    assert "1 of 3 tracks at 48000 Hz was resampled to 44100 Hz" in said
    assert "1 of 3 tracks is shorter than the others: silence follows" in said
    tail = samples[round(2.2 * RATE) :] - stereo(kick(3.0))[round(2.2 * RATE) :]
    assert null_db(tail[:-2000], keys(3.0)[round(2.2 * RATE) : -2000]) < -60


def test_a_track_of_a_moment_is_taken_and_padded(summed, band):
    write_track(band[0] / "impact.wav", hats(0.1))
    account, samples, _ = summed(band[0])
    assert roles(account)["impact"] == "other"
    assert samples.shape == (3 * RATE, 2)


@pytest.mark.parametrize("name", ["My Song (final mix)", "song master", "bounce 2"])
def test_a_bounce_is_known_by_its_name(summed, band, name):
    write_track(band[0] / f"{name}.wav", hats(seed=9))
    account, samples, said = summed(band[0])
    assert roles(account)[name] == "out"
    assert f"{name} is left out" in said
    assert null_db(samples, sum(map(stereo, band[1].values()))) < -120


def test_a_bounce_is_known_by_its_sound(summed, band):
    mix = sum(map(stereo, band[1].values()))
    write_track(band[0] / "take 9.wav", 0.5 * mix, subtype="PCM_16")
    account, samples, said = summed(band[0])
    assert roles(account)["take 9"] == "out"
    assert "take 9 is left out: the sum of" in said
    assert null_db(samples, mix) < -120


def test_what_is_only_called_a_mix_is_mixed_where_there_is_nothing_else(summed, tmp_path):
    (tmp_path / "in").mkdir()
    write_track(tmp_path / "in" / "mix.wav", keys())
    account, samples, _ = summed(tmp_path / "in")
    assert roles(account) == {"mix": "other"}
    assert null_db(samples, keys()) < -120


def test_silent_tracks_are_left_out_and_said(summed, band):
    write_track(band[0] / "Vox double.wav", 0 * hats())
    account, _, said = summed(band[0])
    assert roles(account)["Vox double"] == "out"
    assert "Vox double is left out: silent" in said


def test_a_folder_of_silence_is_silence_and_said(mixagent, tmp_path):
    (tmp_path / "in").mkdir()
    write_track(tmp_path / "in" / "Vox.wav", np.zeros(RATE))
    ran = mixagent("master", "--stems-in", tmp_path / "in")
    assert (ran.code, ran.err) == (4, "")
    assert "silent" in ran.out


def test_what_is_no_audio_is_passed_over(summed, band):
    (band[0] / "notes.txt").write_text("verse, chorus")
    (band[0] / ".hidden.wav").write_text("a resource fork")
    (band[0] / "old takes").mkdir()
    account, _, _ = summed(band[0])
    assert len(account["tracks"]) == 4


def test_the_song_in_its_own_stems_folder_is_no_stem(mixagent, band):
    song = write_track(band[0] / "aaa.wav", sum(map(stereo, band[1].values())))
    report = json.loads(mixagent("master", song, "--stems-in", band[0], "--json").out)
    assert "aaa" not in roles(report["stems_in"])


def test_normalised_tracks_are_said_to_be_no_mix_and_balanced_only_when_asked(summed, band):
    for name, samples in band[1].items():
        write_track(band[0] / name, 0.95 * samples / np.abs(samples).max())
    account, _, said = summed(band[0])
    assert "as if each had been normalised" in said
    assert "the balance `auto`" in said
    assert all(row["gain_db"] == 0 for row in account["tracks"])
    account, _, said = summed(band[0], "--balance", "auto")
    assert "normalised" not in said
    gains = [row["gain_db"] for row in account["tracks"]]
    assert max(gains) == 0
    assert len(set(gains)) > 1


def test_a_sum_over_full_scale_is_no_matter(mixagent, band):
    for name, samples in band[1].items():
        write_track(band[0] / name, 4 * samples)
    report = json.loads(mixagent("master", "--stems-in", band[0], "--json").out)
    assert report["before"]["sample_peak_dbfs"] > 0
    assert report["met"]
    assert not any(finding["name"] == "clipping" for finding in report["findings"]["before"])


# --- phase and timing ------------------------------------------------------------------------------


@pytest.fixture
def microphones(tmp_path):
    """A kick twice: the second microphone 4 ms later and upside down."""
    folder = tmp_path / "kit"
    folder.mkdir()
    write_track(folder / "Kick In.wav", kick())
    write_track(folder / "Kick Out.wav", -0.7 * kick(at_s=0.004))
    write_track(folder / "Bass.wav", bass())
    return folder


def test_microphones_of_one_drum_are_laid_on_each_other_and_it_is_said(mixagent, microphones):
    report = json.loads(mixagent("master", "--stems-in", microphones, "--json").out)
    inside, outside = (
        next(row for row in report["stems_in"]["tracks"] if row["file"] == f"Kick {which}.wav")
        for which in ("In", "Out")
    )
    assert outside["inverted"] != inside["inverted"]
    assert outside["advance_ms"] - inside["advance_ms"] == pytest.approx(4.0, abs=0.05)
    assert "Kick Out holds the sound of Kick In, 4.0 ms later and upside down: laid onto it" in " ".join(
        report["warnings"]
    )


def test_no_align_says_it_and_leaves_it(mixagent, microphones):
    report = json.loads(mixagent("master", "--stems-in", microphones, "--no-align", "--json").out)
    assert not any(row["inverted"] or row["advance_ms"] for row in report["stems_in"]["tracks"])
    assert "left as it is" in " ".join(report["stems_in"]["pairs"])


# --- refused ---------------------------------------------------------------------------------------


def empty(folder):
    for path in folder.iterdir():
        path.unlink()


def broken(folder):
    (folder / "broken.flac").write_bytes((folder / "01 Kick.wav").read_bytes()[:3000])


def spoilt(value):
    def spoil(folder):
        samples = bass()
        samples[100] = value
        write_track(folder / "gtr.wav", samples)

    return spoil


def short(folder):
    empty(folder)
    write_track(folder / "a.wav", hats(0.1))


def six_channels(folder):
    write_track(folder / "surround.wav", np.repeat(bass()[:, None], 6, axis=1))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(empty, "holds no audio files", id="empty folder"),
        pytest.param(broken, "broken.flac", id="one broken file"),
        pytest.param(lambda f: (f / "x.wav").write_text("words " * 999), "x.wav", id="text renamed wav"),
        pytest.param(lambda f: (f / "x.wav").touch(), "x.wav is empty", id="empty file"),
        pytest.param(spoilt(np.nan), "gtr.wav holds NaN samples", id="NaN"),
        pytest.param(spoilt(np.inf), "gtr.wav holds infinite samples", id="infinite"),
        pytest.param(short, "too short", id="all short"),
        pytest.param(six_channels, "6 channels", id="surround"),
        pytest.param(lambda f: (f / "gone.wav").symlink_to("nowhere.wav"), "gone.wav", id="dead link"),
        pytest.param(lambda f: f.rename(f.with_name("other")), "does not exist", id="no folder"),
    ],
)
def test_a_folder_that_cannot_be_mixed_gets_one_line(mixagent, band, tmp_path, spoil, words):
    spoil(band[0])
    before = sorted(tmp_path.rglob("*"))
    ran = mixagent("master", "--stems-in", band[0], "--stems", tmp_path / "out")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)
    assert words in ran.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--map", "x"], "write FILE=ROLE"),
        (["--map", "flute=other"], "no track of this name"),
        (["--map", "01 Kick=flute"], "choose one of vocals, drums"),
        (["--balance", "loud"], "balance"),
    ],
)
def test_wrong_options_get_one_line(mixagent, band, options, words):
    ran = mixagent("master", "--stems-in", band[0], *options)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert words in ran.err


@pytest.mark.parametrize("options", [["--map", "a=vocals"], ["--no-align"], ["--balance", "auto"]])
def test_options_of_stems_need_stems(mixagent, song, options):
    ran = mixagent("master", song, *options)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "--stems-in" in ran.err


def test_nothing_to_master_is_said(mixagent):
    ran = mixagent("master")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)


def test_a_track_is_never_written_over(mixagent, band, tmp_path):
    tracks = {path: path.read_bytes() for path in band[0].iterdir()}
    assert mixagent("master", "--stems-in", band[0], "-o", band[0] / "01 Kick.wav").code == 2
    assert mixagent("master", "--stems-in", band[0], "--report", band[0] / "01 Kick.wav").code == 2
    assert {path: path.read_bytes() for path in band[0].iterdir()} == tracks


@pytest.mark.parametrize("given", [True, False])
def test_stems_are_not_written_over_those_that_are_read(mixagent, tmp_path, given):
    folder = tmp_path / "song.stems"
    folder.mkdir()
    stem = write_track(folder / "song - 01 bass.wav", bass())
    song = [write_track(tmp_path / "song.wav", bass())] if given else []
    before = stem.read_bytes()
    ran = mixagent("master", *song, "--stems-in", folder, "--stems", folder)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert stem.read_bytes() == before
    assert list(folder.iterdir()) == [stem]
