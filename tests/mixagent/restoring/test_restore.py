"""`mixagent restore` and `mixagent repairs`: what they change, leave, write and say."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import mutagen
import numpy as np
import pytest
import soundfile
from songs import RATE, song_samples, write_song

import mixagent as library
from mixagent.pipeline.measure.changes import measure_change
from mixagent.pipeline.restoration import table
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.table import REPAIRS, Repair
from mixagent.pipeline.separation import Choice
from mixagent.pipeline.types import Audio, AudioSource, Combination, FloatArray, Stems, blocks, spool
from mixagent.report.restore_model import RestoreReport
from mixagent.restoring.run import NOTHING_FOUND

SECOND = slice(RATE, 2 * RATE)


def samples(path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


@pytest.fixture(autouse=True)
def table_of_the_light_ones(monkeypatch):
    """The repairs without a network, and one of stems."""
    for name in set(REPAIRS) - {"offset", "declick", "declip", "denoise"}:
        monkeypatch.delitem(REPAIRS, name)


@dataclass(frozen=True)
class Toy:
    """A repair that scales the second second."""

    gain: float = 0.5
    amount: float = 1.0
    applied: bool = True

    def find(self, source, analysis, progress):
        progress(1.0)
        return Found("The second second is loud.", {"loud_db": 6.0}, {}, self.amount)

    def run(self, source, found, scratch, progress):
        if not self.applied:
            return Restored(source, False, "It was tried and came out worse.", found.values)
        audio = spool(self._scaled(source, progress), scratch / "toy.f32", source.rate, source.channels)
        return Restored(audio, True, "The second second was turned down.", found.values)

    def _scaled(self, source: AudioSource, progress) -> Iterator[FloatArray]:
        whole = source.read(0, source.frames).copy()
        whole[:, SECOND] *= np.float32(self.gain)
        progress(1.0)
        yield whole


@pytest.fixture
def toys(monkeypatch):
    """Puts toys, by name, in the place of all repairs; (toy, stem) is one for a stem."""

    def use(**named) -> None:
        for name in list(REPAIRS):
            monkeypatch.delitem(REPAIRS, name)
        for name, toy in named.items():
            toy, stems = toy if isinstance(toy, tuple) else (toy, ())
            row = Repair(
                *(name, "turns down a second", lambda toy=toy: toy, stems, ("monotone",)), version=repr(toy)
            )
            monkeypatch.setitem(REPAIRS, name, row)

    return use


class Halves:
    """A separator that gives half of the mix to the vocals and a third to the rest."""

    name, version, stem_names = "spleeter", "halves", ("vocals", "accompaniment")

    def separate(self, mix, scratch, progress=None):
        shares = zip(self.stem_names, (0.5, 1 / 3), strict=True)
        return Stems(
            mix,
            {
                name: spool(blocks(Combination(((share, mix),))), scratch / name, mix.rate, mix.channels)
                for name, share in shares
            },
        )


@pytest.fixture
def halves(monkeypatch):
    from mixagent.options import config

    monkeypatch.setattr(
        "mixagent.pipeline.separation.choice._named", lambda *arguments: Choice(Halves(), "for a test")
    )
    monkeypatch.setattr(
        "mixagent.options.config", lambda options: config({"separator": "spleeter", **options})
    )


# --- what is left and what is changed ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "subtype", "depth"),
    [("song.wav", "PCM_16", "16"), ("song.flac", "PCM_24", "24"), ("song.wav", "FLOAT", "32f")],
)
def test_a_song_without_defects_comes_back_sample_by_sample(mixagent, tmp_path, name, subtype, depth):
    song = write_song(tmp_path / name, subtype, rate=22_050)
    output = tmp_path / f"out{song.suffix}"
    ran = mixagent("restore", song, "-o", output, "--json")
    report = RestoreReport.from_dict(json.loads(ran.out))
    assert ran.code == 0
    assert (report.changed, report.done, report.repairs) == (False, (NOTHING_FOUND,), ())
    assert report.looked_for == tuple(name for name, repair in REPAIRS.items() if not repair.stems)
    assert report.output.bit_depth == depth
    assert soundfile.info(output).subtype == subtype
    np.testing.assert_array_equal(samples(output), samples(song))


def test_clicks_are_taken_out_and_everything_else_is_as_it_was(mixagent, tmp_path):
    clean = song_samples()
    broken = clean.copy()
    broken[RATE + 9000, :] += 0.7
    song, output = tmp_path / "song.wav", tmp_path / "out.wav"
    soundfile.write(song, broken, RATE, "PCM_16")
    tags = mutagen.File(song)
    tags.add_tags()
    tags.tags.add(mutagen.id3.TIT2(text="A Title"))
    tags.save()
    ran = mixagent("restore", song, "-o", output)
    assert ran.code == 0
    assert "A click was taken out, at 0:01.2" in ran.out
    assert "Declick: " in ran.out
    changed = np.flatnonzero((samples(output) != samples(song)).any(axis=1))
    # The click, and the dither of what was made anew, which rings out 4096 samples after it.
    assert RATE + 8900 < changed.min() <= RATE + 9000
    assert changed.max() < RATE + 9000 + 4200
    assert np.abs(samples(output) - clean).max() < 0.01
    assert str(mutagen.File(output)["TIT2"]) == "A Title"


def test_an_amount_blends_and_nought_leaves_out(toys, tmp_path):
    toys(toy=Toy())
    song = write_song(tmp_path / "song.wav")
    was = samples(song).T
    for share, gain in ((1.0, 0.5), (0.25, 0.875)):
        made = library.restore(song, amounts={"toy": share})
        assert made.changed
        np.testing.assert_allclose(made.audio.samples[:, SECOND], gain * was[:, SECOND], rtol=1e-6)
        np.testing.assert_allclose(made.audio.samples[:, :RATE], was[:, :RATE], rtol=1e-6)
    with pytest.raises(library.UsageError, match="no repair is left"):
        library.restore(song, amounts={"toy": 0})


def test_a_repair_is_applied_by_its_own_amount_unless_another_is_given(toys, tmp_path):
    toys(toy=Toy(amount=0.5))
    song = write_song(tmp_path / "song.wav")
    was = samples(song).T[:, SECOND]
    own = library.restore(song)
    assert own.repairs[0].amount == 0.5
    assert own.done == ("The second second was turned down, at 50 %",)
    np.testing.assert_allclose(own.audio.samples[:, SECOND], 0.75 * was, atol=1e-7)
    full = library.restore(song, overrides=["repair.toy=1"])
    np.testing.assert_allclose(full.audio.samples[:, SECOND], 0.5 * was, atol=1e-7)


def test_only_and_without_choose(toys, tmp_path):
    toys(first=Toy(0.5), second=Toy(0.1))
    song = write_song(tmp_path / "song.wav")
    was = samples(song).T[:, SECOND]
    for options, gain in (({"only": "second"}, 0.1), ({"without": ["second"]}, 0.5), ({}, 0.05)):
        made = library.restore(song, **options)
        np.testing.assert_allclose(made.audio.samples[:, SECOND], gain * was, atol=1e-7)
    assert library.restore(song, only="first").report.looked_for == ("first",)


def test_a_repair_of_a_stem_runs_where_it_is_named_and_the_stems_sum_back(toys, tmp_path, halves):
    toys(mix=Toy(0.5), voice=(Toy(0.0), ("vocals",)))
    song = write_song(tmp_path / "song.wav")
    was = samples(song).T
    assert library.restore(song).report.looked_for == ("mix",)
    made = library.restore(song, only=["voice"])
    assert made.report.models[0].name == "spleeter"
    (row,) = made.repairs
    assert (row.name, row.stem, row.stage) == ("voice", "vocals", "voice vocals")
    # Half of the mix is the voice, which is gone in that second.
    np.testing.assert_allclose(made.audio.samples[:, SECOND], 0.5 * was[:, SECOND], atol=1e-6)
    np.testing.assert_array_equal(made.audio.samples[:, :RATE], was[:, :RATE])
    both = library.restore(song, amounts={"voice": 1})
    assert both.report.looked_for == ("mix", "voice")
    np.testing.assert_allclose(both.audio.samples[:, SECOND], 0.25 * was[:, SECOND], atol=1e-6)


def test_a_result_that_was_rejected_is_told_and_changes_nothing(toys, mixagent, tmp_path):
    toys(toy=Toy(applied=False))
    song = write_song(tmp_path / "song.wav")
    made = library.restore(song)
    (row,) = made.repairs
    assert (made.changed, row.applied, row.amount, row.share) == (False, False, 0.0, None)
    assert made.warnings == ("Toy was left out: It was tried and came out worse",)
    np.testing.assert_array_equal(made.audio.samples, samples(song).T)
    assert "! Toy was left out" in mixagent("restore", song, "-o", tmp_path / "o.wav").out


def test_rebuilt_peaks_over_full_scale_are_kept_or_said_to_be_clipped(toys, tmp_path):
    toys(toy=Toy(8.0))
    song = write_song(tmp_path / "song.wav", "PCM_16")
    kept = library.restore(song, tmp_path / "kept.wav")
    assert kept.output.bit_depth == "32f"
    assert np.abs(samples(kept.output.path)).max() > 1.0
    assert "32-bit float keeps them" in kept.warnings[0]
    cut = library.restore(song, tmp_path / "cut.flac")
    assert cut.output.bit_depth == "16"
    assert "were clipped again" in cut.warnings[0]


def test_a_mono_song_of_8_khz_is_repaired_at_its_rate(toys, tmp_path):
    toys(toy=Toy())
    song = write_song(tmp_path / "song.wav", rate=8000, channels=1, seconds=9.0)
    made = library.restore(song, tmp_path / "out.wav")
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.samplerate, info.channels, info.frames) == (8000, 1, 72_000)
    assert made.changed


def test_silence_has_nothing_to_repair(tmp_path, cache_folder):
    made = library.restore(Audio(np.zeros((2, RATE), np.float32), RATE))
    assert (made.changed, made.report.before.integrated_lufs) == (False, None)
    assert not made.audio.samples.any()


# --- what is written and said ------------------------------------------------------------------------


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(toys, mixagent, song):
    toys(toy=Toy())
    ran = mixagent("restore", song, "--dry-run")
    assert ran.code == 0
    assert ran.out.startswith("Dry run: nothing was written.")
    assert "The second second was turned down" in ran.out
    assert [path.name for path in song.parent.iterdir()] == ["song.wav"]


def test_the_output_lies_beside_the_song_where_none_is_named(toys, mixagent, song):
    toys(toy=Toy())
    assert mixagent("restore", song, "--report", "json", "--report", "html").code == 0
    names = sorted(path.name for path in song.parent.iterdir())
    assert names == ["song.restored.html", "song.restored.json", "song.restored.wav", "song.wav"]
    report = RestoreReport.from_dict(json.loads((song.parent / "song.restored.json").read_text()))
    assert report.to_dict()["repairs"][0]["values"] == {"loud_db": 6.0}
    page = (song.parent / "song.restored.html").read_text()
    assert "The second second is loud." in page
    assert 'id="mp3-solo-c"' in page
    assert page.count("data:image/png;base64,") == 3
    assert mixagent("restore", song, "--no-overwrite").code == 2


def test_the_row_of_a_repair_is_measured_on_the_sound(toys, tmp_path):
    toys(toy=Toy(0.5))
    song = write_song(tmp_path / "song.wav")
    was = Audio(np.ascontiguousarray(samples(song).T), RATE)
    made = library.restore(song)
    (row,) = made.repairs
    found = measure_change(was, made.audio)
    assert (row.share, row.bands) == (found.share, found.bands)
    power = np.sum(was.samples.astype(float) ** 2)
    part = np.sum(was.samples[:, SECOND].astype(float) ** 2) / 4
    assert row.level_db == pytest.approx(10 * np.log10(part / power), abs=1e-3)
    assert row.share == pytest.approx(1 / 3, abs=0.02)
    assert row.seconds >= 0.0


def test_a_song_in_a_pipe_needs_a_name_for_its_output(mixagent):
    ran = mixagent("restore", "-")
    assert ran.code == 2
    assert "--output" in ran.err


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"only": "declik"}, "only"),
        ({"without": "nothing"}, "without"),
        ({"amounts": ["declick"]}, "amounts"),
        ({"amounts": {"declick": 2}}, "amounts"),
        ({"amounts": {"declick": 1}, "only": "declip"}, "amounts"),
        ({"overrides": ["master.width=1.1"]}, "overrides"),
        ({"bit_depth": 20}, "bit_depth"),
        ({"report": "page.txt"}, "report"),
        ({"only": "offset", "without": "offset"}, "only"),
        ({"target": -9}, "target"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_their_name(song, cache_folder, options, field):
    with pytest.raises(library.UsageError) as refused:
        library.restore(song, **options)
    assert refused.value.field == field


def test_the_song_is_never_written_over(song, cache_folder):
    with pytest.raises(library.UsageError, match="never overwritten"):
        library.restore(song, song)


# --- the table ---------------------------------------------------------------------------------------


def test_every_repair_is_listed_with_its_parameter_and_whether_its_model_is_here(mixagent):
    listed = json.loads(mixagent("repairs", "--json").out)
    assert [row["name"] for row in listed["repairs"]] == list(table.REPAIRS)
    for row in listed["repairs"]:
        repair = table.REPAIRS[row["name"]]
        assert row["parameter"] == f"repair.{repair.name}"
        assert row["works_on"] == ("stems" if repair.stems else "mix")
        assert all(set(model) == {"name", "present", "how"} for model in row["models"])
    text = mixagent("repairs").out
    assert all(repair.purpose.split()[0] in text for repair in table.REPAIRS.values())
