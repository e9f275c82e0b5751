"""What a second run finds again, and that the same request gives the same bytes."""

import json

import pytest
from songs import write_song


def stages(ran):
    return {stage["name"]: stage["status"] for stage in json.loads(ran.out)["stages"]}


@pytest.mark.parametrize("separator", ["none", "embedded"])
def test_another_target_renders_again_and_hears_from_the_cache(mixagent, song, separator):
    options = "--separator", separator, "--renders", "1", "--json"
    first = stages(mixagent("master", song, *options))
    assert first["decode"] == first["analyse"] == first["separate"] == "ran"
    second = stages(mixagent("master", song, *options, "--target", "apple"))
    # Whatever had nothing to do the first time has nothing to do again.
    heard = {name: status for name, status in second.items() if name not in ("finalise", "measure")}
    assert set(heard.values()) <= {"cached", "skipped"}
    assert heard.keys() >= {"decode", "analyse", "separate", "mix", "level"}
    assert second["finalise"] == second["measure"] == "ran"


@pytest.mark.parametrize(("policy", "read"), [("band", False), ("learned", True)])
def test_features_are_taken_for_a_policy_that_reads_them(mixagent, song, policy, read):
    ran = stages(
        mixagent("master", song, "--separator", "none", "--renders", "1", "--policy", policy, "--json")
    )
    assert ("features" in ran) == read


def test_what_repairs_did_is_measured_once_for_all_targets_and_told(mixagent, song):
    options = "--separator", "none", "--renders", "1", "--set", "master.gap_fill_db=12", "--json"
    first = mixagent("master", song, *options)
    assert stages(first)["repairs"] == "ran"
    assert "master.gap_fill_db" in json.loads(first.out)["repairs"]
    assert stages(mixagent("master", song, *options, "--target", "apple"))["repairs"] == "cached"
    assert stages(mixagent("master", song, *options[:-3], "--json"))["repairs"] == "skipped"


def test_a_renamed_song_is_found_again(mixagent, song):
    mixagent("master", song, "--separator", "none")
    moved = song.rename(song.with_name("moved.wav"))
    assert stages(mixagent("master", moved, "--separator", "none", "--json"))["finalise"] == "cached"


def test_another_song_under_the_same_name_is_heard_anew(mixagent, song):
    mixagent("master", song, "--separator", "none")
    write_song(song, seconds=2.0)
    assert stages(mixagent("master", song, "--separator", "none", "--json"))["decode"] == "ran"


@pytest.mark.parametrize("name", ["m.wav", "m.mp3", "m.ogg"])
def test_the_same_request_gives_the_same_bytes(mixagent, monkeypatch, song, tmp_path, name):
    def made(*options):
        out = tmp_path / name
        options = ("--separator", "embedded", "--bit-depth", "16", "--seed", "3", *options)
        assert mixagent("master", song, "-o", out, *options).code == 0
        return out.read_bytes()

    warm = [made(), made()]
    monkeypatch.setenv("MIXAGENT_CACHE", str(tmp_path / "cold"))
    assert len({*warm, made(), made("--no-cache")}) == 1


def test_the_seed_reaches_the_dither(mixagent, song, tmp_path):
    made = []
    for seed in (0, 1):
        out = tmp_path / f"{seed}.wav"
        mixagent("master", song, "-o", out, "--separator", "none", "--bit-depth", "16", "--seed", seed)
        made.append(out.read_bytes())
    assert made[0] != made[1]


def test_no_cache_leaves_nothing(mixagent, song, cache_folder):
    assert mixagent("master", song, "--separator", "none", "--no-cache").code == 0
    assert list(cache_folder.iterdir()) == []
