"""The reasons of a learned decision: which measure moved a parameter most, in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mixagent.envs.observation import DIAGNOSIS_NAMES, TARGET_NAMES, shapes
from mixagent.pipeline.measure.features import FEATURE_NAMES
from mixagent.policies.network import Actor, Layout, Sizes
from mixagent.policies.reasons import clause_of, explain, words_of

Observation = dict[str, NDArray[np.float32]]

STEMS = ("vocals", "drums")
NAMES = ("vocals.gain_db", "drums.gain_db", "master.width", "master.tilt_db")
LAYOUT = Layout(("gain_db",), ("master.width", "master.tilt_db"))
SIZES = Sizes(len(FEATURE_NAMES), len(DIAGNOSIS_NAMES), len(TARGET_NAMES), hidden=8, stem_hidden=4)
TONE, WIDTH = FEATURE_NAMES.index("tone_315hz"), FEATURE_NAMES.index("width_1000hz")


def _still() -> Actor:
    """An actor that hears nothing and moves nothing, whatever it is shown."""
    actor = Actor(LAYOUT, SIZES).eval()
    with torch.no_grad():
        for layers in (actor.encoder.stem, actor.encoder.song):
            for layer in layers:
                if isinstance(layer, torch.nn.Linear):
                    layer.weight.zero_()
                    layer.bias.zero_()
            # The second unit gives the layer's normalisation something to hold.
            layers[0].bias[1] = 4.0
            layers[4].weight[0, 0] = 1.0
    return actor


def _hears(*places: int, residual: float = 1.0) -> Actor:
    """An actor whose first unit adds up these inputs of the song and drives the whole master."""
    actor = _still()
    with torch.no_grad():
        actor.encoder.song[0].weight[0, list(places)] = 1.0
        actor.shared.weight[2:, 0] = residual
    return actor


def _shown(**parts: dict[int, float]) -> Observation:
    """A song at the training songs' mean (0) in all measures but these."""
    sizes = shapes(STEMS, len(NAMES))
    observation = {key: np.zeros(sizes[key], np.float32) for key in sizes if key != "truth"}
    observation["present"][:] = 1.0
    for key, values in parts.items():
        for place, value in values.items():
            observation[key].flat[place] = value
    return observation


def _reasons(actor: Actor, observation: Observation, advised: dict[str, str] | None = None) -> dict[str, str]:
    fast = actor.frozen()
    order = fast.order(NAMES, STEMS)
    moved = [int(k) for k in np.flatnonzero(fast.action(observation, order))]
    return explain(fast, observation, order, moved, STEMS, NAMES, advised or {})


def test_the_only_measure_heard_is_named_with_how_far_it_stands_out() -> None:
    reasons = _reasons(_hears(TONE), _shown(mix={TONE: 3.0, WIDTH: 4.0}))
    said = "tone around 315 Hz: +3.0 dB against the training songs"
    assert reasons == {"master.width": said, "master.tilt_db": said}


def test_it_stands_out_from_the_training_songs_mean() -> None:
    actor = _hears(TONE)
    actor.encoder.get_buffer("mix_mean")[TONE] = -2.0
    reasons = _reasons(actor, _shown(mix={TONE: 1.0}))
    assert reasons["master.width"] == "tone around 315 Hz: +3.0 dB against the training songs"


def test_a_measure_beyond_the_limit_is_named_though_a_little_more_of_it_would_change_nothing() -> None:
    reasons = _reasons(_hears(TONE, WIDTH), _shown(mix={TONE: 9.0, WIDTH: 0.5}))
    assert reasons["master.width"].startswith("tone around 315 Hz: +9.0 dB")


def test_kinds_count_by_what_their_measures_do_together() -> None:
    tone = [place for place, name in enumerate(FEATURE_NAMES) if name.startswith("tone")]
    heard = {**dict.fromkeys(tone, 0.3), TONE: 0.4, WIDTH: 0.9}
    reasons = _reasons(_hears(*tone, WIDTH), _shown(mix=heard))
    assert reasons["master.width"].startswith("tone around 315 Hz: +0.4 dB")


@pytest.mark.parametrize("residual", [1.0, -1.0])
def test_what_held_the_move_back_is_not_its_reason(residual: float) -> None:
    actor = _hears(TONE, residual=residual)
    with torch.no_grad():
        actor.encoder.song[0].weight[0, WIDTH] = -1.0
    reasons = _reasons(actor, _shown(mix={TONE: 3.0, WIDTH: 2.0}))
    assert reasons["master.width"].startswith("tone")


def test_a_stem_is_named_before_its_measure() -> None:
    actor = _still()
    with torch.no_grad():
        actor.encoder.stem[0].weight[0, TONE] = 1.0
        actor.strip.weight[1, 0] = 1.0
    reasons = _reasons(actor, _shown(stems={len(FEATURE_NAMES) + TONE: -3.0}))
    said = "drums: tone around 315 Hz: -3.0 dB against the training songs"
    assert reasons["drums.gain_db"] == said


def test_findings_and_targets_are_named() -> None:
    severity, target = DIAGNOSIS_NAMES.index("mud.severity"), TARGET_NAMES.index("integrated_lufs")
    features = len(FEATURE_NAMES)
    found = _hears(features + severity), _shown(diagnosis={severity: 1.0})
    aimed = _hears(features + len(DIAGNOSIS_NAMES) + target), _shown(target={target: 2.0})
    assert _reasons(*found)["master.width"] == "the finding of mud (severity)"
    assert _reasons(*aimed)["master.width"] == "the loudness target (integrated lufs)"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("modulation_0.5-2hz_20-150hz", "movement of the level 0.5–2 Hz: +3.0 dB against the training songs"),
        ("punch_20-150hz_p50", "punch 20–150 Hz: +3.0 dB against the training songs"),
        ("coherence_500hz", "how alike the channels are (around 500 Hz)"),
        ("cut_off", "the end of the spectrum"),
    ],
)
def test_bands_and_units_are_those_of_the_measure(name: str, said: str) -> None:
    place = FEATURE_NAMES.index(name)
    assert _reasons(_hears(place), _shown(mix={place: 3.0}))["master.width"] == said


def test_advice_taken_over_gives_the_advisers_reason() -> None:
    actor = _still()
    with torch.no_grad():
        actor.shared.bias[:2] = 1.0
    observation = _shown(advice={2: 0.5, 3: -0.5})
    reasons = _reasons(actor, observation, {"master.width": "it is narrow"})
    assert reasons == {"master.width": "it is narrow", "master.tilt_db": "the rules' advice"}


def test_what_did_not_move_has_no_reason() -> None:
    assert _reasons(_still(), _shown(mix={TONE: 3.0})) == {}


def test_a_move_that_no_measure_made_is_said_to_be_the_same_for_every_song() -> None:
    actor = _hears(TONE)
    with torch.no_grad():
        actor.shared.bias[3] = -0.5
        actor.shared.weight[3] = 0.0
    reasons = _reasons(actor, _shown(mix={TONE: 3.0}))
    assert reasons["master.tilt_db"] == "as for every song"
    assert reasons["master.width"].startswith("tone")


def test_a_measure_is_said_in_words() -> None:
    measures = (
        ("diagnosis", "holes.gap_2_db"),
        ("diagnosis", "shimmer.line_hz"),
        ("diagnosis", "mud.excess_db"),
        ("mix", "width_16000hz"),
    )
    told = [clause_of(*words_of(key, label), 8.7) for key, label in measures]
    assert told == [
        "the finding of spectral holes (how large its third gap is)",
        "the finding of shimmer (where its line lies)",
        "the finding of mud (excess in dB)",
        "stereo width around 16 kHz: +8.7 dB against the training songs",
    ]
