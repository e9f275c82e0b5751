"""The rules of a mix: what stands out is answered, and no stem that is not there is moved."""

import numpy as np
import pytest

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import Diagnosis
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.types import Audio, FloatArray
from mixagent.policies import load_policy
from mixagent.policies.base import Context, Decision
from tests import tracks
from tests.voices import melody, natural, sing

RATE = 44100
FAINT = 0.003


def band(seconds: float = 4.8) -> dict[str, FloatArray]:
    """A voice, drums, a bass and chords, each (2, frames), with the sides of a room."""
    voice = sing(natural(melody()), channels=2, gain=0.5).samples
    drums = tracks.kick(seconds) + 3 * tracks.hats(seconds)
    parts = {"drums": drums, "bass": tracks.bass(seconds), "other": 2 * tracks.keys(seconds)}
    stereo = {name: tracks.stereo(part).T for name, part in parts.items()}
    return {name: roomy(part) for name, part in {"vocals": voice, **stereo}.items()}


def roomy(part: FloatArray) -> FloatArray:
    """The part with sides 10 dB under its mid, of what it was 20 ms before."""
    mid = part.mean(axis=0)
    side = 0.3 * np.roll(mid, RATE // 50)
    return np.stack([mid + side, mid - side]).astype(np.float32)


def decided(parts: dict[str, FloatArray], channels: int = 2) -> Decision:
    parts = {name: part[:channels] for name, part in parts.items()}
    mix = np.sum(list(parts.values()), axis=0, dtype=np.float32)
    analyses = {name: analyse(Audio(part, RATE)) for name, part in parts.items()}
    space = ParameterSpace.for_stems(tuple(parts))
    context = Context(analyse(Audio(mix, RATE)), analyses, Diagnosis(()), TARGETS["streaming"], space)
    return load_policy("mix_rules").decide(context)


def moved(decision: Decision, *places: str) -> set[str]:
    return {name for name in decision.settings.changed() if name.split(".")[0] in places}


def test_a_voice_that_is_masked_where_words_are_is_lifted_there_and_no_other_is() -> None:
    whole = band()
    spectrum = np.fft.rfft(whole["vocals"])
    spectrum[:, np.fft.rfftfreq(whole["vocals"].shape[1], 1 / RATE) > 2000.0] *= 0.05
    dull = np.fft.irfft(spectrum, whole["vocals"].shape[1]).astype(np.float32)
    assert decided({**whole, "vocals": 2 * dull}).settings["vocals.presence_db"] > 1.0
    assert decided({**whole, "vocals": 2 * whole["vocals"]}).settings["vocals.presence_db"] == 0.0


def test_muddy_low_mids_are_carved_by_what_they_stand_out() -> None:
    whole = band()
    frames = np.arange(whole["other"].shape[1]) / RATE
    mud = roomy(np.stack([np.sin(2 * np.pi * 262 * frames) * np.exp(-2 * (frames % 1.0))] * 2))
    cuts = [
        decided({**whole, "other": whole["other"] + g * mud}).settings["other.bell_db"] for g in (0.6, 2.0)
    ]
    assert decided(whole).settings["other.bell_db"] > cuts[0] >= cuts[1] >= -6.0


def test_spiky_drums_are_glued_with_a_fast_attack() -> None:
    whole = band()
    spiky = whole["drums"].copy()
    spiky[:, RATE::RATE] += 3.0
    settings = decided({**whole, "drums": spiky}).settings
    assert settings["drum_bus.comp_ratio"] > 1.0
    assert 1.0 <= settings["drum_bus.comp_attack_ms"] <= 3.0


def test_extreme_sides_are_narrowed_and_usual_ones_are_left() -> None:
    whole = band()
    mid = whole["other"].mean(axis=0)
    wide = np.stack([np.roll(mid, 700), -mid]).astype(np.float32) + np.stack([mid, mid]) * np.float32(0.1)
    assert decided(whole).settings["other.width"] == 1.0
    assert 0.4 <= decided({**whole, "other": wide}).settings["other.width"] < 1.0


def test_a_stem_without_a_room_is_sent_to_the_one_that_all_share_and_a_bass_is_not() -> None:
    dry = {name: np.stack([part.mean(axis=0)] * 2) for name, part in band().items()}
    sent = {name for name in decided(dry).settings.changed() if name.endswith("send_db")}
    assert sent == {"vocals.reverb_send_db", "drums.reverb_send_db", "other.reverb_send_db"}
    assert not moved(decided(band()), "reverb", "delay")


def test_every_move_has_a_reason() -> None:
    dry = {name: np.stack([part.mean(axis=0)] * 2) for name, part in band().items()}
    decision = decided(dry)
    assert decision.settings.changed().keys() <= decision.reasons.keys()


@pytest.mark.parametrize("kept", [("drums", "bass", "other"), ("vocals", "other"), ("vocals",), ("other",)])
@pytest.mark.parametrize("channels", [1, 2])
def test_no_strip_is_moved_of_a_stem_that_a_song_lacks(kept: tuple[str, ...], channels: int) -> None:
    whole = band()
    rest = np.sum([whole[name] for name in kept], axis=0)
    parts = {name: part if name in kept else FAINT * rest for name, part in whole.items()}
    lacking = {name for name in whole if name not in kept}
    buses = {"drum_bus"} if "drums" in lacking else set()
    assert not moved(decided(parts, channels), *lacking, *buses)


def test_no_strip_is_moved_where_all_stems_are_silent_or_rests() -> None:
    whole = band()
    silent = {name: np.zeros_like(part) for name, part in whole.items()}
    assert not moved(decided(silent), *whole, "drum_bus", "vocal_bus")
    mix = np.sum(list(whole.values()), axis=0)
    rests = {name: (FAINT * mix).astype(np.float32) for name in whole}
    analyses = {name: analyse(Audio(part, RATE)) for name, part in rests.items()}
    space = ParameterSpace.for_stems(tuple(rests))
    context = Context(
        analyse(Audio(mix.astype(np.float32), RATE)), analyses, Diagnosis(()), TARGETS["streaming"], space
    )
    assert not moved(load_policy("mix_rules").decide(context), *whole, "drum_bus", "vocal_bus")


def test_two_stems_and_stems_of_other_names_are_decided_as_well() -> None:
    whole = band()
    rest = whole["drums"] + whole["bass"] + whole["other"]
    for parts in ({"vocals": whole["vocals"], "accompaniment": rest}, {"piano": whole["other"]}):
        assert all(np.isfinite(value) for value in decided(parts).settings.changed().values())
