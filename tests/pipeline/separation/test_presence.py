"""How surely a stem is there: silence and remains are not, what plays is, whatever the level of the song."""

import numpy as np
import pytest

from mixagent.pipeline.measure.analysis import Analysis, analyse
from mixagent.pipeline.separation.presence import COEFFICIENTS, THERE, stems_there
from mixagent.pipeline.types import Audio, FloatArray
from tests import tracks
from tests.voices import melody, natural, sing

RATE = 44100


def _band(seconds: float = 4.8) -> dict[str, FloatArray]:
    voice = sing(natural(melody()), channels=2, gain=0.5).samples
    drums = tracks.kick(seconds) + tracks.hats(seconds)
    parts = {"drums": drums, "bass": tracks.bass(seconds), "other": tracks.keys(seconds)}
    stereo = {name: tracks.stereo(part).T.astype(np.float32) for name, part in parts.items()}
    return {"vocals": voice[:, : stereo["bass"].shape[1]], **stereo}


def _told(parts: dict[str, FloatArray], gain: float = 1.0) -> dict[str, float]:
    mix = np.sum(list(parts.values()), axis=0, dtype=np.float32)
    analyses = {name: _analysed(gain * part) for name, part in parts.items()}
    return stems_there(analyses, _analysed(gain * mix))


def _analysed(samples: FloatArray) -> Analysis:
    return analyse(Audio(samples.astype(np.float32), RATE))


def test_a_band_is_there() -> None:
    assert all(there >= THERE for there in _told(_band()).values())


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_a_silent_stem_is_not_there_and_changes_nothing_for_the_others(name: str) -> None:
    band = _band()
    told = _told({**band, name: np.zeros_like(band[name])})
    assert told[name] == 0.0
    assert all(there >= THERE for other, there in told.items() if other != name)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_faint_remains_of_the_mix_are_not_there(name: str) -> None:
    band = _band()
    del band[name]
    mix = np.sum(list(band.values()), axis=0)
    assert _told({**band, name: (0.02 * mix).astype(np.float32)})[name] < THERE


def test_the_level_of_the_song_does_not_count() -> None:
    quiet, loud = (_told(_band(), gain) for gain in (0.1, 1.0))
    assert quiet == pytest.approx(loud, abs=0.02)


def test_a_louder_stem_is_never_less_there() -> None:
    band = _band()
    for name, part in band.items():
        told = [_told({**band, name: gain * part})[name] for gain in (0.1, 0.3, 1.0)]
        assert told == sorted(told)


def test_nothing_is_there_in_silence() -> None:
    silence = {name: np.zeros((2, RATE), np.float32) for name in COEFFICIENTS}
    assert set(_told(silence).values()) == {0.0}


def test_mono_stems_and_names_that_were_not_fitted_are_told_as_well() -> None:
    band = {name: part[:1] for name, part in _band().items()}
    told = _told({"vocals": band["vocals"], "accompaniment": band["bass"] + band["other"]})
    assert all(there >= THERE for there in told.values())


def test_a_stem_whose_own_share_is_nil_is_not_there() -> None:
    band = _band()
    mix = _analysed(np.sum(list(band.values()), axis=0, dtype=np.float32))
    analyses = {name: _analysed(part) for name, part in band.items()}
    assert stems_there(analyses, mix, {"drums": 0.0})["drums"] == 0.0
    assert stems_there(analyses, mix, {"drums": 0.9}) == stems_there(analyses, mix)
