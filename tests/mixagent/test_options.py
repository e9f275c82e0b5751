"""Text to types: what callers and command lines give, as requests or as errors that name their field."""

import math
from dataclasses import fields
from pathlib import Path

import pytest
from songs import write_song

from mixagent.albums.run import AlbumRequest
from mixagent.options import (
    MasterOptions,
    album_request,
    bit_depth,
    choice,
    master_request,
    names,
    number,
    options_of_each,
    reference,
    report_paths,
    roles,
    sample_rate,
    split_requests,
    switch,
    whole,
    with_outputs,
)
from mixagent.pipeline.errors import InputError, MixagentError, UsageError
from mixagent.pipeline.finaliser.targets import TARGETS, LoudnessTarget
from mixagent.session.references import Reference
from mixagent.session.request import Request
from mixagent.splitting.run import SplitRequest


def defaults_of(request):
    return {field.name: field.default for field in fields(request)}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"target": "radio"}, "target"),
        ({"target": 3}, "target"),
        ({"target": math.nan}, "target"),
        ({"intent": "quiet"}, "intent"),
        ({"intent": "reference"}, "reference"),
        ({"ceiling": 1}, "ceiling"),
        ({"ceiling": "loud"}, "ceiling"),
        ({"amount": 2}, "amount"),
        ({"amount": "much"}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": True}, "amount"),
        ({"eq": 1.5}, "eq"),
        ({"restore": math.inf}, "restore"),
        ({"amount": 0, "width": 0.5}, "amount"),
        ({"reference": "song.wav=-1"}, "reference"),
        ({"reference": "song.wav=many"}, "reference"),
        ({"reference": {"song.wav": 0.0}}, "reference"),
        ({"reference_tone": "=1"}, "reference_tone"),
        ({"reference_method": "guess"}, "reference_method"),
        ({"reference_method": "matchering"}, "reference_method"),
        ({"goal": " "}, "goal"),
        ({"roles": ["a.wav=bass"]}, "stems_in"),
        ({"align": False}, "stems_in"),
        ({"align": "perhaps"}, "align"),
        ({"balance": "even"}, "balance"),
        ({"format": "aac"}, "format"),
        ({"format": "flac"}, "format"),
        ({"format": "flac", "output": "m.wav"}, "format"),
        ({"preview": 0}, "preview"),
        ({"preview": 10, "fade_in": 1}, "preview"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"output": ""}, "output"),
        ({"output": 7}, "output"),
        ({"fade_in": -1}, "fade_in"),
        ({"fade_out": math.nan}, "fade_out"),
        ({"trim_silence": "a little"}, "trim_silence"),
        ({"codecs": "mp3"}, "codecs"),
        ({"check_codecs": True, "codecs": "mp2"}, "codecs"),
        ({"amount": 0, "codec_safe": True}, "codec_safe"),
        ({"bit_depth": 12}, "bit_depth"),
        ({"sample_rate": 12345}, "sample_rate"),
        ({"search": -1}, "search"),
        ({"search": 1.5}, "search"),
        ({"renders": 5}, "renders"),
        ({"renders": 0}, "renders"),
        ({"device": "tpu"}, "device"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**70}, "seed"),
        ({"overrides": ["pipeline.repairss=false"]}, "overrides"),
        ({"overrides": {"master.width": 99}}, "overrides"),
        ({"ampunt": 1}, "ampunt"),
    ],
    ids=str,
)
def test_a_wrong_value_names_its_field(options, field):
    with pytest.raises(UsageError) as refused:
        master_request("song.wav", options)
    assert refused.value.field == field
    assert "\n" not in refused.value.sentence()


def test_an_unknown_option_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean amount"):
        master_request("song.wav", {"ampunt": 1})


def test_without_options_the_request_is_the_default_of_each_field():
    request = master_request("song.wav", {})
    assert (request.song, request.output) == (Path("song.wav"), None)
    assert request.target == TARGETS["streaming"]
    assert not request.target_named
    made = {"song", "output", "target", "target_named", "config", "codecs"}
    assert {k: getattr(request, k) for k in defaults_of(Request).keys() - made} == {
        k: v for k, v in defaults_of(Request).items() if k not in made
    }


@pytest.mark.parametrize("value", ["spotify", "Spotify", -14, "-14", -14.0])
def test_a_target_is_a_name_or_a_number(value):
    assert master_request("s.wav", {"target": value}).target.integrated_lufs == -14.0


def test_a_target_may_be_one_already_and_the_ceiling_is_laid_over_it():
    own = LoudnessTarget("mine", -12.5, -0.5)
    assert master_request("s.wav", {"target": own}).target == own
    assert master_request("s.wav", {"target": own, "ceiling": "-2"}).target.ceiling_dbtp == -2.0


def test_text_and_numbers_make_the_same_request(tmp_path):
    texts: MasterOptions = {
        "amount": "0.5",
        "eq": "0.25",
        "bit_depth": "16",
        "sample_rate": "48000",
        "seed": "7",
        "search": "3",
        "renders": "2",
        "fade_in": "1.5",
        "ceiling": "-2",
        "output": "m.wav",
        "format": "wav,mp3",
        "overrides": ["pipeline.repairs=false"],
        "trim_silence": "true",
    }
    values: MasterOptions = {
        "amount": 0.5,
        "eq": 0.25,
        "bit_depth": 16,
        "sample_rate": 48000,
        "seed": 7,
        "search": 3,
        "renders": 2,
        "fade_in": 1.5,
        "ceiling": -2,
        "output": [Path("m.wav")],
        "format": ["wav", "mp3"],
        "overrides": {"pipeline.repairs": False},
        "trim_silence": True,
    }
    assert master_request("s.wav", texts) == master_request(Path("s.wav"), values)


def test_references_come_by_name_by_weight_or_as_a_mapping(tmp_path):
    a, b = (write_song(tmp_path / f"{name}.wav") for name in "ab")
    song = write_song(tmp_path / "song.wav", seconds=1.0)
    blended = master_request(song, {"reference": [f"{a}=0.5", b]}).references
    assert blended.tone == (Reference(str(a), 0.5), Reference(str(b), 1.0))
    assert master_request(song, {"reference": {str(a): 0.5, str(b): 1}}).references == blended
    # As loud as the references, unless a target is named.
    assert blended.loudness == blended.tone
    named = master_request(song, {"reference": a, "reference_tone": b, "target": "loud"}).references
    assert (named.loudness, named.tone, named.width) == ((), (Reference(str(b)),), (Reference(str(a)),))


def test_a_reference_is_never_the_song_and_always_readable(tmp_path):
    song = write_song(tmp_path / "song.wav")
    with pytest.raises(UsageError, match="the song itself") as refused:
        master_request(song, {"reference": song})
    assert refused.value.field == "reference"
    with pytest.raises(InputError, match="does not exist"):
        master_request(song, {"reference": tmp_path / "nowhere.wav"})


def test_a_file_may_have_an_equals_sign_in_its_name(tmp_path):
    odd = write_song(tmp_path / "a=b.wav")
    assert reference(str(odd)) == Reference(str(odd))
    assert reference(f"{odd}=2") == Reference(str(odd), 2.0)


def test_roles_are_text_or_a_mapping():
    assert roles(["take 3.wav=Vocals ", "b=c.wav=bass"]) == {"take 3.wav": "vocals", "b=c.wav": "bass"}
    assert roles({"take 3.wav": "Vocals"}) == {"take 3.wav": "vocals"}
    with pytest.raises(UsageError, match="FILE=ROLE"):
        roles(["vocals"])


def test_single_values():
    assert (number("amount", "0.5", 0, 1), whole("seed", "12", 0, 99), switch("align", "False")) == (
        0.5,
        12,
        False,
    )
    assert (bit_depth(24), bit_depth("32f"), bit_depth(None)) == ("24", "32f", None)
    assert (sample_rate(None, (44100,)), sample_rate("keep", (44100,))) == (None, None)
    assert sample_rate("44100", (44100,)) == sample_rate(44100, (44100,)) == 44100
    assert names("mp3, ogg") == names(["mp3", "ogg"]) == ["mp3", "ogg"]
    assert choice("device", "cpu", ("cpu",)) == "cpu"


@pytest.mark.parametrize("text", ["1e400", "9" * 5000, "-inf", "nan", "", "0x1", None, [], {}, b"1"])
def test_what_is_no_number_is_an_error_and_nothing_else(text):
    with pytest.raises(UsageError):
        number("amount", text, 0.0, 1.0)
    with pytest.raises(UsageError):
        whole("seed", text, 0, 100)


def test_files_are_named_by_the_song(tmp_path):
    def named(**options):
        return [str(path) for path in with_outputs("music/a.flac", options)["output"]]

    assert named() == ["music/a.master.wav"]
    assert named(preview=10) == ["music/a.preview.wav"]
    assert named(format="flac,mp3") == ["music/a.master.flac", "music/a.master.mp3"]
    assert named(output="m.wav", format="wav,ogg") == ["m.wav", "m.ogg"]
    assert with_outputs(None, {"stems_in": tmp_path / "tracks"})["output"] == [tmp_path / "tracks.master.wav"]
    with pytest.raises(UsageError, match="nothing to master"):
        with_outputs(None, {})


def test_a_dry_run_writes_nothing():
    request = master_request("s.wav", {"dry_run": True, "output": ["m.mp3", "m.ogg"]})
    assert (request.dry_run, request.outputs) == (True, ())
    # What would be checked is what the files would have been.
    assert request.codec_plan == master_request("s.wav", {"output": ["m.mp3", "m.ogg"]}).codec_plan
    with pytest.raises(UsageError, match="writes nothing"):
        report_paths(request, {"report": "r.html"})


def test_a_report_by_its_kind_alone_goes_beside_the_master(tmp_path):
    with pytest.raises(UsageError, match="has no name"):
        report_paths(master_request("s.wav", {}), {"report": "html"})
    options: MasterOptions = {"output": tmp_path / "a.flac", "report": ["html", tmp_path / "r.json"]}
    request = master_request(tmp_path / "s.wav", options)
    assert report_paths(request, options) == (tmp_path / "a.html", tmp_path / "r.json")
    with pytest.raises(UsageError) as refused:
        report_paths(request, {"report": "r.pdf"})
    assert refused.value.field == "report"


@pytest.mark.parametrize(("name", "field"), [("m.wav", "output"), ("m.html", "report")])
def test_nothing_that_is_there_is_overwritten_where_that_was_asked(tmp_path, name, field):
    options: MasterOptions = {"output": tmp_path / "m.wav", "report": "html", "no_overwrite": True}
    master_request("s.wav", options)
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(UsageError, match="is there already") as refused:
        master_request("s.wav", options)
    assert refused.value.field == field


# --- several songs -----------------------------------------------------------------------------------


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    (folder / "live").mkdir(parents=True)
    for name in ("a.wav", "a.mp3", "live/b.flac", "notes.txt"):
        (folder / name).write_bytes(b"x")
    return folder


def placed(each):
    return {song.name: [str(path) for path in own["output"]] for song, own in each}


def test_masters_of_several_songs_lie_beside_them_or_as_they_do_in_a_folder(music, tmp_path):
    assert placed(options_of_each([music], {})) == {
        "a.mp3": [str(music / "a.mp3.master.wav")],
        "a.wav": [str(music / "a.wav.master.wav")],
        "b.flac": [str(music / "live" / "b.master.wav")],
    }
    out = tmp_path / "out"
    each = options_of_each([music], {"output": out, "format": "flac,mp3", "stems": tmp_path / "stems"})
    assert placed(each)["b.flac"] == [str(out / "live" / f"b.master.{suffix}") for suffix in ("flac", "mp3")]
    assert each[-1][1]["stems"] == tmp_path / "stems" / "live" / "b.stems"
    # What each gets makes a request.
    assert all(isinstance(master_request(song, own), Request) for song, own in each)


def test_masters_of_an_earlier_run_are_no_songs(music):
    (music / "live" / "b.master.wav").write_bytes(b"x")
    (music / "out").mkdir()
    (music / "out" / "a.master.wav").write_bytes(b"x")
    (music / "grand.master.wav").write_bytes(b"x")
    found = placed(options_of_each([music], {}))
    assert found.keys() == {"a.wav", "a.mp3", "b.flac", "grand.master.wav"}
    found = placed(options_of_each([music], {"output": music / "live"}))
    assert "b.flac" not in found


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"output": ["a.wav", "b.wav"]}, "output"),
        ({"report": "r.html"}, "report"),
        ({"stems_in": "tracks"}, "stems_in"),
        ({"balance": "auto"}, "balance"),
        ({"format": "aac"}, "format"),
    ],
)
def test_what_several_songs_cannot_share_is_refused(music, options, field):
    with pytest.raises(UsageError) as refused:
        options_of_each([music], options)
    assert refused.value.field == field


def test_two_songs_never_become_one_file(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").write_bytes(b"x")
    with pytest.raises(UsageError, match="would become"):
        options_of_each(
            [tmp_path / "one" / "a.wav", tmp_path / "two" / "a.wav"], {"output": tmp_path / "out"}
        )


# --- splits and albums -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"stems": 3}, "stems"),
        ({"format": "aac"}, "format"),
        ({"bit_depth": "8"}, "bit_depth"),
        ({"sample_rate": 96000}, "sample_rate"),
        ({"shifts": 0}, "shifts"),
        ({"normalise": 1.5}, "normalise"),
        ({"target": "cd"}, "target"),
    ],
)
def test_a_wrong_value_of_a_split_names_its_field(options, field):
    with pytest.raises(UsageError) as refused:
        split_requests(["song.wav"], options)
    assert refused.value.field == field


def test_a_split_takes_text_and_numbers_alike(music):
    by_text = split_requests([music], {"stems": "2", "shifts": "3", "bit_depth": "16"})
    assert by_text == split_requests([str(music)], {"stems": 2, "shifts": 3, "bit_depth": 16})
    assert [type(request) for request in by_text] == 3 * [SplitRequest]
    assert by_text[-1].folder == music / "live" / "b.stems"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"album_loudness": "radio"}, "album_loudness"),
        ({"ceiling": 2}, "ceiling"),
        ({"amount": 0}, "amount"),
        ({"within": 21}, "within"),
        ({"tone": -0.1}, "tone"),
        ({"gap": 2}, "gap"),
        ({"gap": 61, "write_cue": True}, "gap"),
        ({"gap": math.nan, "write_cue": True}, "gap"),
        ({"goal": "warm"}, "goal"),
    ],
)
def test_a_wrong_value_of_an_album_names_its_field(music, options, field):
    with pytest.raises(UsageError) as refused:
        album_request([music], options)
    assert refused.value.field == field


def test_an_album_takes_text_and_numbers_alike(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    write_song(folder / "1 a.wav")
    by_text = album_request([folder], {"album_loudness": "-12", "within": "4", "gap": "2", "write_cue": True})
    assert by_text == album_request(
        [str(folder)], {"album_loudness": -12, "within": 4, "gap": 2.0, "write_cue": "true"}
    )
    assert isinstance(by_text, AlbumRequest)
    assert by_text.folder == tmp_path / "album.mastered"


@pytest.mark.parametrize("make", [album_request, split_requests])
def test_a_song_without_a_name_is_no_song(make):
    with pytest.raises(MixagentError, match="without a name"):
        make([""], {})
