"""The table of platforms, and what their normalisation does to a master."""

import pytest

from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.finaliser.targets import (
    INTENTS,
    PLATFORMS,
    TARGETS,
    LoudnessTarget,
    loudness_target,
    playback,
)


@pytest.mark.parametrize("name", ["streaming", "spotify", "youtube", "apple", "club", "loud"])
def test_the_targets_that_masters_were_made_for_stay(name):
    loud = name in ("club", "loud")
    lufs = {"apple": -16.0}.get(name, -8.0 if loud else -14.0)
    assert TARGETS[name] == LoudnessTarget(name, lufs, -1.0, 14.0 if loud else 9.0)


@pytest.mark.parametrize(
    ("lufs", "allowed_db"), [("-8", 14.0), ("-10", 11.0), ("-11", 11.0), ("-12", 9.0), ("-14", 9.0)]
)
def test_a_louder_number_may_take_more_off_the_peaks(lufs, allowed_db):
    assert loudness_target(lufs).max_reduction_db == allowed_db


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda platform: platform.target.name)
def test_every_platform_is_a_target_with_a_source_and_a_date(platform):
    assert TARGETS[platform.target.name] is platform.target
    assert -30 < platform.target.integrated_lufs < -5
    assert -3 < platform.target.ceiling_dbtp <= 0
    assert platform.title
    assert platform.source
    assert platform.dated
    assert platform.target.name not in INTENTS


@pytest.mark.parametrize(
    ("text", "name"), [("Apple Music", "apple"), ("ebu_r128", "r128"), ("DJ", "club"), (" tidal ", "tidal")]
)
def test_other_spellings_name_the_same_platform(text, name):
    assert loudness_target(text) is TARGETS[name]


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(UsageError, match="did you mean spotify"):
        loudness_target("spotifi")
    with pytest.raises(UsageError, match="one of streaming, loud, spotify"):
        loudness_target("zzz")


def played(name, lufs, peak_dbtp):
    return playback(PLATFORMS[name], lufs, peak_dbtp)


def test_a_quiet_master_is_raised_until_its_peaks_leave_the_headroom():
    # Spotify's own example: -20 LUFS peaking at -5 dBFS is lifted to -16 LUFS, leaving 1 dB.
    heard = played("spotify", -20.0, -5.0)
    assert (heard.gain_db, heard.integrated_lufs, heard.true_peak_dbtp) == (4.0, -16.0, -1.0)
    assert (heard.short_lu, heard.over_db) == (2.0, 0.0)


def test_a_platform_with_a_limiter_raises_all_the_way():
    # Spotify's Loud setting: -11 LUFS whatever the peaks, its limiter set at -1 dB.
    heard = played("spotify-loud", -14.0, -1.0)
    assert (heard.gain_db, heard.integrated_lufs, heard.over_db) == (3.0, -11.0, 3.0)


@pytest.mark.parametrize("name", ["youtube", "tidal"])
def test_a_platform_that_only_turns_down_leaves_a_quiet_master(name):
    assert played(name, -18.0, -6.0).gain_db == 0.0
    assert played(name, -18.0, -6.0).short_lu == 4.0
    assert played(name, -8.0, -1.0).gain_db == -6.0


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_master_made_for_a_platform_is_played_there_as_it_is(name):
    target = TARGETS[name]
    heard = played(name, target.integrated_lufs, target.ceiling_dbtp)
    assert (heard.gain_db, heard.over_db, heard.short_lu, heard.refused) == (0.0, 0.0, 0.0, False)


@pytest.mark.parametrize(
    "name", [n for n, p in PLATFORMS.items() if p.normalises in ("down", "both", "limiter")]
)
@pytest.mark.parametrize("lufs", [-30.0, -14.0, -5.0])
def test_no_platform_plays_louder_than_its_level(name, lufs):
    heard = played(name, lufs, -1.0)
    assert heard.integrated_lufs <= TARGETS[name].integrated_lufs or heard.gain_db == 0.0
    assert heard.integrated_lufs == pytest.approx(min(lufs + heard.gain_db, TARGETS[name].integrated_lufs))


def test_broadcast_refuses_what_is_off_its_level_or_over_its_ceiling():
    assert played("r128", -14.0, -1.0).refused
    assert played("r128", -23.0, -0.5).refused
    assert not played("r128", -23.4, -1.0).refused
    assert not played("atsc", -22.5, -2.5).refused
