import json
import math

import numpy as np
import pytest

from mixagent.pipeline.errors import InputError, UsageError
from mixagent.pipeline.finished.measures import measure_song
from mixagent.pipeline.matching.library import (
    read_profile,
    shipped_names,
    shipped_profile,
    write_profile,
)
from mixagent.pipeline.matching.profiles import (
    AnalysedSong,
    Profile,
    blended,
    from_json,
    profile_of,
    tone_distance_db,
    width_distance_db,
)
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio

RATE = 44100


def tone(hz: float = 1000.0, gain_db: float = 0.0, side: float = 0.0) -> Audio:
    time_s = np.arange(2 * RATE) / RATE
    wave = 10 ** (gain_db / 20) * 0.1 * np.sin(2 * np.pi * hz * time_s)
    return Audio(np.stack([wave * (1 + side), wave * (1 - side)]).astype(np.float32), RATE)


def analysed_song(audio: Audio) -> AnalysedSong:
    analysis = analyse(audio)
    return AnalysedSong(analysis, measure_song(analysis, fingerprint(audio, analysis.integrated_lufs)))


def profile(*songs: Audio) -> Profile:
    return profile_of("songs", {str(number): analysed_song(song) for number, song in enumerate(songs)})


def test_one_song_has_no_spread_and_is_seen_at_no_level() -> None:
    quiet, loud = tone(gain_db=-12), tone()
    lufs = [profile(song).integrated_lufs.mean for song in (quiet, loud)]
    assert lufs[1] - lufs[0] == pytest.approx(12.0, abs=0.01)
    assert {statistic.spread for statistic in profile(loud).measures.values()} == {0.0}
    assert tone_distance_db(analysed_song(quiet).measures, profile(loud)) < 0.2


def test_several_songs_give_mean_and_spread() -> None:
    both = profile(tone(gain_db=-6), tone())
    level = profile(tone()).integrated_lufs.mean
    assert both.integrated_lufs.mean == pytest.approx(level - 3.0, abs=0.01)
    assert both.integrated_lufs.spread == pytest.approx(3.0, abs=0.01)


def test_the_side_of_a_tone_is_its_share() -> None:
    wide = profile(tone(side=0.5))
    assert wide.measures["width_1000"].mean == pytest.approx(20 * math.log10(0.5), abs=0.01)


def test_mono_songs_say_nothing_of_width() -> None:
    mono, wide = tone(), tone(side=0.5)
    assert not profile(mono).stereo
    assert profile(mono, wide).measures["width_1000"] == profile(wide).measures["width_1000"]
    assert width_distance_db(analysed_song(mono).measures, profile(wide)) is None
    assert width_distance_db(analysed_song(wide).measures, profile(mono)) is None


def test_a_song_is_no_distance_from_itself() -> None:
    song = tone(side=0.5)
    assert tone_distance_db(analysed_song(song).measures, profile(song)) == pytest.approx(0.0, abs=0.01)
    assert width_distance_db(analysed_song(song).measures, profile(song)) == pytest.approx(0.0, abs=0.01)


def test_a_blend_is_weighted_at_any_scale() -> None:
    quiet, loud = profile(tone(gain_db=-10, side=0.5)), profile(tone())
    blend = blended([(1.5, quiet), (0.5, loud)])
    wanted = 0.75 * quiet.integrated_lufs.mean + 0.25 * loud.integrated_lufs.mean
    assert blend.integrated_lufs.mean == pytest.approx(wanted)
    assert blended([(3.0, quiet), (1.0, loud)]).measures == blend.measures
    assert blend.measures["width_1000"] == quiet.measures["width_1000"], "the mono one has no say in width"


def test_no_song_makes_no_profile() -> None:
    with pytest.raises(ValueError, match="needs a song"):
        profile()


def test_a_profile_comes_back_from_its_file(tmp_path) -> None:
    made = profile(tone(side=0.3), tone(hz=200.0))
    write_profile(made, tmp_path / "p.json")
    assert read_profile(tmp_path / "p.json") == made


def test_an_older_profile_is_refused_with_how_to_make_it_again(tmp_path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"schema": "mixagent.profile/1", "name": "mine"}))
    with pytest.raises(InputError, match=r"earlier version.*mixagent profile make"):
        read_profile(tmp_path / "p.json")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.pop("integrated_lufs"),
        lambda data: data.update(schema="mixagent.profile/99"),
        lambda data: data["measures"].pop("tone_1000"),
        lambda data: data["measures"].update(tone_7=data["measures"]["tone_1000"]),
        lambda data: data["measures"]["tone_1000"].update(mean="loud"),
        lambda data: data["measures"]["plr"].update(mean=math.nan),
        lambda data: data["measures"]["plr"].update(spread=-1.0),
    ],
)
def test_a_damaged_profile_is_refused(damage, tmp_path) -> None:
    data = profile(tone()).to_json()
    damage(data)
    (tmp_path / "p.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="is not a profile"):
        read_profile(tmp_path / "p.json")


def test_what_is_no_json_or_not_there_is_refused(tmp_path) -> None:
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(InputError, match="is not a profile"):
        read_profile(tmp_path / "p.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_profile(tmp_path / "none.json")


def test_the_shipped_profiles_are_of_several_songs_each() -> None:
    assert shipped_names()
    for name in shipped_names():
        found = shipped_profile(name)
        assert found.name == name
        assert found.about
        assert len(found.songs) >= 10
        assert from_json(found.to_json()) == found
        assert found.stereo
        assert -30 < found.integrated_lufs.mean < -5


def test_an_unknown_profile_lists_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="game-metal"):
        shipped_profile("polka")
