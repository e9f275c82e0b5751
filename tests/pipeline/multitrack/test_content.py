"""What a track sounds like decides where its name says nothing: singing, drums, bass, or else `other`."""

from dataclasses import replace

import numpy as np
import pytest
from tracks import RATE, bass, hats, keys, kick

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.multitrack.content import Sound, listen, role_of
from mixagent.pipeline.separation.spleeter import SpleeterSeparator
from mixagent.pipeline.types import Audio


def audio(samples):
    return Audio(np.atleast_2d(samples.T).astype(np.float32), RATE)


@pytest.mark.parametrize(
    ("samples", "role"),
    [(hats(6.0), "drums"), (kick(6.0) + hats(6.0), "drums"), (bass(6.0), "bass"), (keys(6.0), "other")],
    ids=["hats", "kit", "bass", "keys"],
)
def test_the_role_is_heard_at_any_level(samples, role):
    for gain in (1.0, 0.01):
        assert role_of(listen(audio(gain * samples)))[0] == role


KEYS = Sound(sung_share=0.1, low_share=0.2, air_db=-30.0, rise_db=8.0, flatness_db=-12.0)


@pytest.mark.parametrize(
    ("change", "role"),
    [
        ({}, "other"),
        ({"sung_share": 0.7}, "vocals"),
        ({"sung_share": 0.7, "rise_db": 30.0}, "other"),
        ({"sung_share": None}, "other"),
        ({"flatness_db": -6.0, "air_db": -15.0, "rise_db": 15.0}, "drums"),
        ({"flatness_db": -4.0, "rise_db": 28.0}, "drums"),
        ({"air_db": -4.0, "rise_db": 14.0}, "drums"),
        ({"low_share": 0.8}, "bass"),
        ({"low_share": 0.8, "air_db": -10.0}, "other"),
    ],
)
def test_each_rule(change, role):
    found, why = role_of(replace(KEYS, **change))
    assert found == role
    assert why


def test_without_the_vocal_separator_the_other_rules_stand(monkeypatch):
    def missing(*arguments):
        raise ModelMissingError("not installed")

    monkeypatch.setattr(SpleeterSeparator, "separate", missing)
    sound = listen(audio(bass()))
    assert sound.sung_share is None
    assert role_of(sound)[0] == "bass"


@pytest.mark.parametrize("seconds", [0.005, 0.1, 0.5])
def test_a_track_of_a_moment_can_be_listened_to(seconds):
    assert role_of(listen(audio(hats(seconds))))[0] in ("drums", "other")


def test_the_loudest_part_is_listened_to():
    long = np.concatenate([0.001 * keys(30.0)[:, 0], bass(14.0), 0.001 * keys(20.0)[:, 0]])
    assert role_of(listen(audio(long)))[0] == "bass"
