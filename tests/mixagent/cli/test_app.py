"""The commands as a user meets them: options, results on stdout, messages on stderr, exit codes."""

import json
import os
import pwd
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import soundfile
from mutagen.flac import FLAC
from songs import RATE, write_song

from mixagent import __version__
from mixagent.pipeline.chain.amounts import Strengths, dimension
from mixagent.pipeline.finaliser.targets import PLATFORMS, TARGETS
from mixagent.pipeline.measure.meters import measure
from mixagent.pipeline.types import Audio

DIMENSIONS = [field.name for field in fields(Strengths)]


def samples(path):
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def strict_json(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def master(mixagent, song, *options, separator="none"):
    return mixagent("master", song, "--separator", separator, *options)


COMMANDS = [
    [],
    ["master"],
    ["replay"],
    ["analyze"],
    ["restore"],
    ["repairs"],
    ["split"],
    ["vocals"],
    ["album"],
    ["compare"],
    ["targets"],
    ["doctor"],
    ["models"],
    ["models", "list"],
    ["models", "pull"],
    ["models", "path"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_says_what_each_command_is_for(mixagent, command):
    ran = mixagent(*command, "--help")
    assert ran.code == 0
    assert "Usage: mixagent" in ran.out
    assert ran.err == ""


def test_help_loads_nothing_heavy():
    heavy = {"torch", "numba", "numpy", "scipy", "soundfile", "pedalboard", "hydra"}
    check = (
        "import sys; from mixagent.cli.app import command_line; command_line(); "
        f"print(sorted({heavy} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_package_runs_as_a_module():
    ran = subprocess.run([sys.executable, "-m", "mixagent", "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"mixagent {__version__}\n", "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "radio"], "unknown target 'radio'"),
        (["--target", "you tube"], "did you mean youtube"),
        (["--eq", "1.5"], "--eq"),
        (["--width", "nan"], "--width"),
        (["--amount", "0", "--restore", "0.5"], "leave out --restore"),
        (["--target", "3"], "out of range"),
        (["--target", "nan"], "out of range"),
        (["--target", ""], "unknown target ''"),
        (["--intent", "quiet"], "unknown intent"),
        (["--ceiling", "1"], "out of range"),
        (["--ceiling", "nan"], "not a number"),
        (["--ceiling", "loud"], "ceiling"),
        (["--amount", "2"], "--amount"),
        (["--amount", "nan"], "amount"),
        (["--seed", "-1"], "--seed"),
        (["--format", "aac"], "unknown format"),
        (["--format", "flac", "-o", "m.wav"], "do not agree"),
        (["-o", "m.docx"], "is not written"),
        (["-o", "m"], "without a suffix"),
        (["-o", "m.flac", "--bit-depth", "32f"], "16 or 24 bit"),
        (["--bit-depth", "12"], "unknown bit depth"),
        (["--sample-rate", "12345"], "unknown sample rate"),
        (["-o", "m.mp3", "--sample-rate", "96000"], "mp3 has no sample rate"),
        (["--policy", "magic"], "no policy is called"),
        (["--separator", "scissors"], "no separator is called"),
        (["--separator", "a b'["], "no separator is called"),
        (["--device", "tpu"], "unknown device"),
        (["--set", "pipeline.repairss=false"], "repairss"),
        (["--set", "pipeline.repairs=perhaps"], "perhaps"),
        (["--set", "="], "configuration"),
        (["--report", "r.pdf"], "a report is .html or .json"),
        (["--amount", "0", "--stems", "s"], "mixagent split"),
        (["--stems", "s", "--separator", "none"], "no stems"),
        (["--faster"], "--faster"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_named_and_nothing_is_written(mixagent, monkeypatch, song, options, words):
    monkeypatch.chdir(song.parent)
    ran = mixagent("master", song.name, *options)
    assert (ran.code, ran.out) == (2, "")
    assert words in " ".join(ran.err.replace("│", " ").split())
    assert [path.name for path in song.parent.iterdir()] == [song.name]


def test_the_input_is_never_the_output(mixagent, song):
    before = song.read_bytes()
    for path in (song, song.parent / "link.wav"):
        if path != song:
            path.symlink_to(song)
        ran = mixagent("master", song, "-o", path)
        assert ran.code == 2
        assert "never overwritten" in ran.err
    assert song.read_bytes() == before


@pytest.mark.parametrize(
    ("command", "name", "words"),
    [
        ("master", "", "without a name"),
        ("master", "/", "a whole disk"),
        ("analyze", "", "without a name"),
        ("analyze", ".", "is a folder: name an audio file"),
        ("analyze", "/", "is a folder: name an audio file"),
    ],
)
def test_no_name_is_no_song(mixagent, command, name, words):
    ran = mixagent(command, name)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)
    assert words in ran.err


@pytest.mark.parametrize(
    ("folder", "code", "words"),
    [("~nobody at all/x", 2, "no such home"), ("/proc/x/y", 6, "name another in")],
)
def test_a_cache_folder_that_cannot_be_is_one_line(mixagent, monkeypatch, song, folder, code, words):
    monkeypatch.setenv("MIXAGENT_CACHE", folder)
    ran = mixagent("analyze", song)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1)
    assert words in ran.err
    assert "MIXAGENT_CACHE" in ran.err


def test_without_a_home_the_user_database_names_the_cache(song, tmp_path):
    environment = {
        k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME", "MIXAGENT_CACHE")
    }
    check = "from mixagent.pipeline.folders import cache_folder; print(cache_folder())"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(pwd.getpwuid(os.getuid()).pw_dir)


def test_two_runs_at_once_share_a_cache(song, cache_folder):
    command = [sys.executable, "-m", "mixagent", "master", song, "--separator", "none", "-q", "-o"]
    outputs = [song.with_name(f"{number}.wav") for number in (1, 2)]
    runs = [subprocess.Popen([*command, output], stdout=subprocess.DEVNULL) for output in outputs]
    assert [run.wait(120) for run in runs] == [0, 0]
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize("name", ["kept.wav", "kept", "kept.old"])
def test_an_output_that_is_a_link_is_written_through(mixagent, song, tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    kept, link = tmp_path / "elsewhere" / name, tmp_path / "m.wav"
    kept.write_text("old")
    link.symlink_to(kept)
    assert master(mixagent, song, "-o", link).code == 0
    assert link.is_symlink()
    assert soundfile.info(kept).frames == soundfile.info(song).frames
    assert [path.name for path in kept.parent.iterdir()] == [name]


def test_a_report_never_replaces_the_input(mixagent, song, tmp_path):
    odd = song.rename(tmp_path / "song.json")
    before = odd.read_bytes()
    assert mixagent("master", odd, "-o", tmp_path / "m.wav", "--report", odd).code == 2
    assert odd.read_bytes() == before


@pytest.mark.parametrize("option", ["-o", "--report"])
def test_a_missing_folder_is_named_before_the_work(mixagent, song, cache_folder, option):
    path = song.parent / "nowhere" / ("m.wav" if option == "-o" else "r.html")
    ran = mixagent("master", song, option, path)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (6, "", 1)
    assert str(path.parent) in ran.err
    assert list(cache_folder.iterdir()) == []


def test_a_model_that_is_not_here_ends_with_5_and_how_to_get_it(mixagent, monkeypatch, song, tmp_path):
    pytest.importorskip("demucs")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    ran = mixagent("master", song, "--separator", "htdemucs_ft")
    assert (ran.code, len(ran.err.splitlines())) == (5, 1)
    assert "mixagent models pull htdemucs_ft" in ran.err


def test_a_master_meets_its_target_and_says_only_that(mixagent, song):
    ran = master(mixagent, song, "--target", "-16", "--ceiling", "-2")
    assert (ran.code, ran.err) == (0, "")
    assert "Target met (-16 LUFS)" in ran.out
    made, source = samples(song.parent / "song.master.wav"), samples(song)
    loudness = measure(Audio(np.ascontiguousarray(made.T), RATE))
    assert made.shape == source.shape
    assert loudness.integrated_lufs == pytest.approx(-16.0, abs=0.1)
    assert loudness.true_peak_dbtp <= -2.0


def test_json_is_one_object_of_finite_numbers_and_the_report_is_the_same(mixagent, song, tmp_path):
    page, report = tmp_path / "r.html", tmp_path / "r.json"
    ran = master(mixagent, song, "--json", "--report", page, "--report", report)
    assert (ran.code, ran.err) == (0, "")
    found = strict_json(ran.out)
    assert found["schema"] == "mixagent.report/2"
    assert found == strict_json(report.read_text())
    assert "<html" in page.read_text()


def test_silence_stays_silence_in_finite_json(mixagent, tmp_path):
    song = tmp_path / "silence.wav"
    soundfile.write(song, np.zeros((RATE, 2)), RATE)
    ran = master(mixagent, song, "--json", "--report", tmp_path / "r.html", "--bit-depth", "16")
    assert (ran.code, ran.err) == (4, "")
    assert "silent" in strict_json(ran.out)["missed"]
    assert not samples(tmp_path / "silence.master.wav").any()
    assert strict_json(mixagent("analyze", song, "--json").out)["analysis"]["integrated_lufs"] is None


def test_amount_0_gives_back_every_sample(mixagent, song):
    out = song.parent / "m.wav"
    ran = mixagent("master", song, "--amount", "0", "--bit-depth", "32f", "-o", out)
    assert (ran.code, ran.err) == (0, "")
    np.testing.assert_array_equal(samples(out), samples(song))


def test_amount_0_says_where_integers_clip(mixagent, tmp_path):
    song = tmp_path / "hot.wav"
    soundfile.write(song, 4 * samples(write_song(tmp_path / "song.wav")), RATE, "FLOAT")
    ran = mixagent("master", song, "--amount", "0", "--json")
    assert "over full scale were clipped" in json.loads(ran.out)["warnings"][0]
    ran = mixagent("master", song, "--amount", "0", "--json", "--bit-depth", "32f")
    assert json.loads(ran.out)["warnings"] == []


def test_a_larger_amount_changes_more(mixagent, tmp_path):
    # Dull and lopsided, so that there is something to correct.
    values = samples(write_song(tmp_path / "plain.wav", seconds=6.0)) * np.array([1.0, 0.4], np.float32)
    song = tmp_path / "song.wav"
    soundfile.write(song, values, RATE, "FLOAT")
    moves = []
    for amount in (0.25, 0.5, 1.0):
        ran = master(mixagent, song, "--policy", "rules", "--amount", amount, "--json")
        rows = json.loads(ran.out)["decision"]["parameters"]
        moves.append(sum(abs(r["value"] - r["neutral"]) / (r["high"] - r["low"]) for r in rows))
    assert 0 < moves[0] < moves[1] < moves[2]


def test_strengths_are_reported_replayed_and_scale_their_dimension_alone(mixagent, tmp_path):
    values = samples(write_song(tmp_path / "plain.wav")) * np.array([1.0, 0.4], np.float32)
    song, report = tmp_path / "song.wav", tmp_path / "r.json"
    soundfile.write(song, values, RATE, "FLOAT")
    # Of a first render: what feedback takes back of a second depends on how the first came out.
    by_rules = ("--policy", "rules", "--renders", "1")
    full = moved(json.loads(master(mixagent, song, *by_rules, "--json").out))
    assert any(name.startswith("master.balance") for name in full)
    ran = master(mixagent, song, "--width", "0", *by_rules, "--report", report)
    assert "Strengths: width 0 %" in ran.out
    found = json.loads(report.read_text())
    assert found["decision"]["strengths"] == {**dict.fromkeys(DIMENSIONS, 1.0), "width": 0.0}
    assert moved(found) == {name: value for name, value in full.items() if dimension(name) != "width"}
    assert mixagent("replay", report).code == 0


def moved(report):
    rows = report["decision"]["parameters"]
    return {row["name"]: row["value"] for row in rows if row["value"] != row["neutral"]}


def test_the_report_says_how_each_platform_plays_the_master(mixagent, song):
    ran = master(mixagent, song, "--target", "-16", "--json")
    report = json.loads(ran.out)
    rows = {row["platform"]: row for row in report["platforms"]}
    assert rows.keys() == PLATFORMS.keys()
    after = report["after"]
    # YouTube leaves what is quieter, Spotify raises it until its peaks are at -1 dBTP.
    assert (rows["youtube"]["gain_db"], rows["youtube"]["integrated_lufs"]) == (0.0, after["integrated_lufs"])
    assert rows["spotify"]["gain_db"] == pytest.approx(
        min(-14.0 - after["integrated_lufs"], max(-1.0 - after["true_peak_dbtp"], 0.0))
    )
    assert rows["r128"]["refused"]
    text = " ".join(master(mixagent, song, "--target", "r128").out.split())
    assert "Broadcast, EBU R 128" in text


def test_targets_lists_every_name_with_its_source(mixagent):
    listed = json.loads(mixagent("targets", "--json").out)["targets"]
    assert [row["platform"] for row in listed] == list(TARGETS)
    assert "support.spotify.com" in mixagent("targets").out


@pytest.mark.parametrize(
    ("name", "depth", "subtype"),
    [
        ("m.wav", "16", "PCM_16"),
        ("m.wav", "24", "PCM_24"),
        ("m.wav", "32f", "FLOAT"),
        ("m.flac", "16", "PCM_16"),
        ("m.flac", "24", "PCM_24"),
        ("m.mp3", "24", "MPEG_LAYER_III"),
        ("m.ogg", "24", "VORBIS"),
    ],
)
def test_every_format_keeps_length_channels_and_rate(mixagent, song, name, depth, subtype):
    out = song.parent / name
    ran = master(mixagent, song, "-o", out, "--bit-depth", depth)
    assert (ran.code, ran.err) == (0, "")
    info, source = soundfile.info(out), soundfile.info(song)
    assert (info.frames, info.channels, info.samplerate) == (source.frames, source.channels, RATE)
    assert info.subtype == subtype


def test_format_names_the_output_by_itself(mixagent, song):
    assert master(mixagent, song, "--format", "flac").code == 0
    assert (song.parent / "song.master.flac").exists()


@pytest.mark.parametrize("amount", ["0", "1"])
def test_another_sample_rate_keeps_the_duration(mixagent, song, amount):
    out = song.parent / "m.wav"
    ran = master(mixagent, song, "-o", out, "--sample-rate", "48000", "--amount", amount, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["output"]["rate"] == 48000
    assert (soundfile.info(out).samplerate, soundfile.info(out).frames) == (48000, 3 * 48000)


@pytest.mark.parametrize("separator", ["none", "embedded"])
def test_mono_stays_mono(mixagent, tmp_path, separator):
    song = write_song(tmp_path / "song.wav", channels=1)
    assert master(mixagent, song, "-o", tmp_path / "m.wav", separator=separator).code == 0
    assert soundfile.info(tmp_path / "m.wav").channels == 1


def test_mono_is_told_as_a_property_and_not_as_a_fault(mixagent, tmp_path):
    song = write_song(tmp_path / "song.wav", channels=1)
    ran = master(mixagent, song, "-o", tmp_path / "m.wav", "--report", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["properties"] == [{"kind": "mono", "evidence": "the file has one channel"}]
    assert "mono" not in {finding["name"] for side in report["findings"].values() for finding in side}
    assert not [line for line in report["summary"]["wrong"] if "Mono" in line]
    assert "Mono: the file has one channel\n" in ran.out.split("What was wrong")[0]
    analysed = json.loads(mixagent("analyze", song, "--json").out)
    assert (analysed["properties"], "Mono" in mixagent("analyze", song).out) == (report["properties"], True)


def test_tags_are_kept(mixagent, tmp_path):
    song = write_song(tmp_path / "song.flac", "PCM_24")
    tagged = FLAC(song)
    tagged["title"], tagged["artist"] = "Über „Dächer“", "Someone"
    tagged.save()
    assert master(mixagent, song, "-o", tmp_path / "m.flac").code == 0
    made = FLAC(tmp_path / "m.flac")
    assert (made["title"], made["artist"]) == (["Über „Dächer“"], ["Someone"])


@pytest.mark.parametrize(
    "name",
    [
        "a b.wav",
        "Größe ☃ 音.wav",
        'it\'s "so".wav',
        "[red]x[b] :smile:.wav",
        "a\nb.wav",
        "-x.wav",
        "\udcff.wav",
    ],
)
def test_odd_names_are_ordinary_names(mixagent, tmp_path, name):
    song = write_song(tmp_path / name)
    report = tmp_path / "r.json"
    ran = master(
        mixagent, song, "-o", tmp_path / f"m {name}", "--report", report, "--report", tmp_path / "r.html"
    )
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(report.read_text())["input"]["path"] == str(song)
    assert mixagent("replay", report).code == 0
    assert mixagent("analyze", song).code == 0
    assert mixagent("compare", song, song).code == 0
    missing = mixagent("analyze", tmp_path / f"not {name}")
    assert (missing.code, len(missing.err.splitlines())) == (3, 1)


def test_names_are_printed_as_they_are(mixagent, tmp_path):
    song = write_song(tmp_path / "[b]x :smile:.wav")
    assert "[b]x :smile:.wav" in mixagent("analyze", song).out


def test_stems_of_a_master_sum_to_its_input(mixagent, song):
    folder = song.parent / "stems"
    ran = master(mixagent, song, "--stems", folder, separator="spleeter")
    assert (ran.code, ran.err) == (0, "")
    assert [path.name.split(" - ")[1] for path in sorted(folder.iterdir())] == [
        "01 vocals.wav",
        "02 accompaniment.wav",
        "03 residual.wav",
    ]
    assert_null(song, folder)


def assert_null(song, folder):
    total = sum(samples(path).astype(float) for path in folder.glob("*.wav"))
    assert np.abs(total - samples(song)).max() < 10 ** (-90 / 20)


def test_analyze_prints_measures_and_findings(mixagent, song):
    ran = mixagent("analyze", song)
    assert (ran.code, ran.err) == (0, "")
    assert "Integrated loudness" in ran.out
    found = strict_json(mixagent("analyze", song, "--json").out)
    assert (found["schema"], found["input"]["channels"]) == ("mixagent.analysis/2", 2)
    told = [row["sentence"] for row in found["findings"] if row["found"]]
    assert told
    assert all(line in " ".join(ran.out.split()) for line in [found["judged"]["words"], *told])
    assert [row["playback"] for row in found["translation"]] == ["earbuds", "phone", "laptop", "car", "club"]
    assert all(row["says"] in " ".join(ran.out.split()) for row in found["translation"])


def test_a_cut_file_is_analysed_with_a_warning(mixagent, song):
    song.write_bytes(song.read_bytes()[:600_000])
    assert "cut short" in mixagent("analyze", song).out
    ran = mixagent("split", song)
    assert ran.code == 0
    assert "cut short" in ran.err


def test_compare_sets_versions_side_by_side(mixagent, song):
    other = write_song(song.with_name("other.wav"), seconds=2.0)
    ran = mixagent("compare", song, other)
    assert (ran.code, ran.err) == (0, "")
    assert "song.wav" in ran.out
    assert "other.wav" in ran.out
    found = strict_json(mixagent("compare", song, other, "--json").out)
    assert [file["input"]["path"] for file in found["files"]] == [str(song), str(other)]
    assert mixagent("compare", song).code == 2


def test_a_reader_that_leaves_early_meets_no_traceback(song, cache_folder):
    command = f"{sys.executable} -m mixagent analyze '{song}' --json | head -c 1"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("{", "")
