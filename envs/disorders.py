"""Disorders of a mix: what is done to single stems of a finished song so that its mix is wrong.

The stems of a finished song sum to a balance that somebody made, which is the truth. Each stem is taken out
of it by its fader, tone, dynamics, place or timing, and what is summed again is what an agent hears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mixagent.pipeline.decibels import db_to_amplitude, db_to_power
from mixagent.pipeline.dsp.image import image_matrix
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.measure.stem_measures import ROLES, THERE_DB
from mixagent.pipeline.types import Audio, Combination, FloatArray, Stems, load, mean_power

if TYPE_CHECKING:
    # The filters of degradation take a second to load, and only who puts a mix in disorder needs them.
    from mixagent.envs.degradation.fields import Gain

DisorderKind = Literal["balance", "tone", "dynamics", "space", "alignment"]
DISORDERS: tuple[DisorderKind, ...] = get_args(DisorderKind)

ONE_STEM = "one stem"
"""In a case's kinds: a single stem is damaged, in every way."""

MOST_SCRAMBLED_DB = 6.0

_LATEST_MS = 12.0
_DRAWN_KINDS: tuple[tuple[tuple[DisorderKind, ...], float], ...] = (
    (("balance",), 0.34),
    (("tone",), 0.1),
    (("dynamics",), 0.08),
    (("space",), 0.08),
    (("balance", "tone"), 0.1),
    (("balance", "tone", "dynamics", "space"), 0.12),
    (DISORDERS, 0.06),
    ((), 0.12),
)
"""Kinds that are drawn together and how often; none of them is one stem that is wrong in every way."""


@dataclass(frozen=True)
class StemDisorder:
    """The disorder of one stem; all at neutral by default.

    Attributes:
        gain_db: fader.
        tone: bells (centre in Hz, gain in dB, width in octaves); the stem keeps its power.
        slope: dB of gain for each dB over the stem's mean level: under 0 it is compressed, over 0 expanded.
        release_ms: of that.
        width: gain of its sides.
        pan: −1 left to 1 right.
        room_db: level of a room against the dry stem; −60 for none.
        room_ms: the room's reverberation time.
        delay_ms: how late it comes.
        inverted: its polarity is turned.
    """

    gain_db: float = 0.0
    tone: tuple[tuple[float, float, float], ...] = ()
    slope: float = 0.0
    release_ms: float = 80.0
    width: float = 1.0
    pan: float = 0.0
    room_db: float = -60.0
    room_ms: float = 300.0
    delay_ms: float = 0.0
    inverted: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StemDisorder:
        """Read the fields as JSON has them."""
        bells = tuple((float(hz), float(db), float(octaves)) for hz, db, octaves in data.get("tone", ()))
        return cls(**{**data, "tone": bells})


@dataclass(frozen=True)
class Disorder:
    """A disorder by stem; `kinds` are those that were drawn, or `ONE_STEM`."""

    kinds: tuple[str, ...] = ()
    stems: Mapping[str, StemDisorder] = field(default_factory=lambda: MappingProxyType({}))
    seed: int = 0

    @classmethod
    def balance(cls, gains_db: Mapping[str, float]) -> Disorder:
        """The faders alone out of balance, each by so many dB."""
        return cls(("balance",), {name: StemDisorder(gain_db=db) for name, db in gains_db.items()})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Disorder:
        """Read the fields as JSON has them."""
        stems = {name: StemDisorder.from_json(row) for name, row in data["stems"].items()}
        return cls(tuple(data["kinds"]), stems, data["seed"])

    def among(self, stems: Sequence[str]) -> Disorder | None:
        """What of it these stems have; None for nothing."""
        found = {name: done for name, done in self.stems.items() if name in stems}
        return replace(self, stems=found) if found else None


def draw_any(random: np.random.Generator, stems: Sequence[str]) -> Disorder:
    """A disorder of some kinds of all stems, or of one stem in every way."""
    shares = np.array([share for _, share in _DRAWN_KINDS])
    kinds = _DRAWN_KINDS[int(random.choice(len(_DRAWN_KINDS), p=shares / shares.sum()))][0]
    return draw_disorder(random, stems, kinds) if kinds else draw_one_stem(random, stems)


def draw_disorder(
    random: np.random.Generator, stems: Sequence[str], kinds: Sequence[DisorderKind] = DISORDERS
) -> Disorder:
    """A disorder of these kinds; each stem has its share of each, and none with a chance of one in five.

    Args:
        random: what is drawn from.
        stems: names of the stems that sound.
        kinds: which kinds are drawn.
    """
    found = {name: StemDisorder() for name in stems}
    for kind in kinds:
        for name in stems:
            if kind == "balance" or random.random() < 0.8:
                found[name] = _DRAWN[kind](found[name], random)
    return Disorder(tuple(kinds), found, int(random.integers(2**31)))


def draw_one_stem(random: np.random.Generator, stems: Sequence[str]) -> Disorder:
    """One stem that is wrong in level, tone, dynamics and space: buried or shouting, muddy or thin."""
    name, done = str(random.choice(list(stems))), StemDisorder()
    for kind in ("balance", "tone", "dynamics", "space"):
        done = _DRAWN[kind](done, random)
    return Disorder((ONE_STEM,), {name: done}, int(random.integers(2**31)))


def _balance(done: StemDisorder, random: np.random.Generator) -> StemDisorder:
    return replace(done, gain_db=float(random.uniform(-MOST_SCRAMBLED_DB, MOST_SCRAMBLED_DB)))


def _tone(done: StemDisorder, random: np.random.Generator) -> StemDisorder:
    centres = np.exp(random.uniform(np.log(60.0), np.log(12000.0), int(random.integers(1, 4))))
    bells = tuple(
        (float(hz), float(random.uniform(-9.0, 9.0)), float(random.uniform(0.7, 2.5))) for hz in centres
    )
    if random.random() < 0.3:
        # Mud, the commonest fault of one stem.
        mud = (float(random.uniform(220.0, 420.0)), float(random.uniform(3.0, 9.0)))
        bells = (*bells, (*mud, float(random.uniform(0.7, 1.5))))
    return replace(done, tone=bells)


def _dynamics(done: StemDisorder, random: np.random.Generator) -> StemDisorder:
    slope = random.uniform(-0.8, -0.3) if random.random() < 0.7 else random.uniform(0.2, 0.6)
    return replace(done, slope=float(slope), release_ms=float(random.uniform(20.0, 300.0)))


def _space(done: StemDisorder, random: np.random.Generator) -> StemDisorder:
    done = replace(done, width=float(db_to_amplitude(random.uniform(-9.0, 6.0))))
    if random.random() < 0.5:
        done = replace(done, pan=float(random.uniform(-0.6, 0.6)))
    if random.random() < 0.4:
        room = float(random.uniform(-15.0, -4.0)), float(random.uniform(150.0, 900.0))
        done = replace(done, room_db=room[0], room_ms=room[1])
    return done


def _alignment(done: StemDisorder, random: np.random.Generator) -> StemDisorder:
    inverted = bool(random.random() < 0.3)
    return replace(done, delay_ms=float(random.uniform(0.0, _LATEST_MS)), inverted=inverted)


_DRAWN = MappingProxyType(
    {"balance": _balance, "tone": _tone, "dynamics": _dynamics, "space": _space, "alignment": _alignment}
)


# --- stems -----------------------------------------------------------------------------------------


def by_role(stems: Stems) -> Stems:
    """Stems of any names summed to those of `ROLES`, in memory; what has none of these names is other."""
    parts: dict[str, list[tuple[float, Audio]]] = {}
    for name, part in stems.parts.items():
        parts.setdefault(name if name in ROLES else "other", []).append((1.0, load(part)))
    return Stems(load(stems.mix), {role: load(Combination(tuple(of))) for role, of in parts.items()})


def there(stems: Stems) -> list[str]:
    """The stems that sound."""
    least = db_to_power(THERE_DB) * mean_power(load(stems.mix))
    return [name for name, part in stems.parts.items() if mean_power(load(part)) > least]


def stem_levels_db(stems: Stems) -> dict[str, float]:
    """Integrated loudness (BS.1770-5) of each stem that sounds against that of the mix, in LU."""
    mix_lufs = integrated_lufs(stems.mix)
    levels = {name: integrated_lufs(stems.parts[name]) - mix_lufs for name in there(stems)}
    return {name: level for name, level in levels.items() if np.isfinite(level)}


# --- doing it --------------------------------------------------------------------------------------


def disorder(stems: Stems, done: Disorder) -> Stems:
    """The stems in disorder, in memory; the mix is their sum with the residual, at its power from before.

    Raises:
        KeyError: a stem that is not there.
    """
    from mixagent.envs.degradation.fields import same_power

    random = np.random.default_rng(done.seed)
    parts = {name: load(part) for name, part in stems.parts.items()}
    spoilt = {name: _disordered(parts[name], one, random) for name, one in done.stems.items()}
    changed: list[tuple[float, Audio]] = [(1.0, load(stems.mix))]
    for name, part in spoilt.items():
        changed += [(-1.0, parts[name]), (1.0, part)]
    mix = load(Combination(tuple(changed)))
    levelled_mix = same_power(mix, load(stems.mix))
    scale = _scale(mix, levelled_mix)
    return Stems(
        levelled_mix,
        {name: Audio(part.samples * scale, part.rate) for name, part in {**parts, **spoilt}.items()},
    )


def _scale(before: Audio, after: Audio) -> np.float32:
    return np.float32(np.sqrt(mean_power(after) / max(mean_power(before), 1e-20)))


def _disordered(part: Audio, done: StemDisorder, random: np.random.Generator) -> Audio:
    from mixagent.envs.degradation.dynamics import levelled
    from mixagent.envs.degradation.fields import Field, same_power

    if not np.any(part.samples):
        return part
    audio = Field(mid=(tone := _bells(done.tone),), side=(tone,)).on_audio(part) if done.tone else part
    if done.slope:
        attack_s = 0.005
        squeezed = levelled(audio, done.slope, 0.0, attack_s, done.release_ms / 1000, 12.0)
        audio = same_power(squeezed, audio)
    if done.room_db > -60.0:
        audio = _in_room(audio, done.room_db, done.room_ms / 1000, random)
    samples = audio.samples
    if len(samples) == 2 and (done.width != 1.0 or done.pan):
        placed = Audio(_placed(samples, done.width, done.pan), audio.rate)
        samples = same_power(placed, audio).samples
    gain = db_to_amplitude(done.gain_db) * (-1.0 if done.inverted else 1.0)
    late = round(done.delay_ms / 1000 * part.rate)
    samples = np.pad(samples, ((0, 0), (late, 0)))[:, : part.frames]
    return Audio(np.asarray(samples * np.float32(gain), np.float32), part.rate)


def _placed(samples: FloatArray, width: float, pan: float) -> FloatArray:
    matrix = np.asarray(image_matrix(0.0, pan, width), np.float32)
    return np.asarray(matrix @ samples, np.float32)


def _bells(bells: Sequence[tuple[float, float, float]]) -> Gain:
    def gain_db(hz: np.ndarray[Any, Any], times_s: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        octaves = np.log2(np.maximum(hz, 1.0))
        total = np.zeros(hz.shape)
        for centre_hz, db, width in bells:
            total += db * np.exp(-0.5 * ((octaves - np.log2(centre_hz)) / (width / 2)) ** 2)
        return np.asarray(total[:, None])

    return gain_db


def _in_room(audio: Audio, level_db: float, time_s: float, random: np.random.Generator) -> Audio:
    """The stem with a tail of noise that falls by 60 dB in `time_s`."""
    from scipy import signal

    from mixagent.envs.degradation.fields import same_power

    at_s = np.arange(max(round(time_s * audio.rate), 2)) / audio.rate
    tail = random.standard_normal((len(audio.samples), at_s.size)) * 10 ** (-3.0 * at_s / time_s)
    tail /= np.sqrt(np.square(tail).sum(axis=1, keepdims=True))
    # scipy.signal takes a second to load, and a master loads this too.

    wet = signal.oaconvolve(audio.samples, tail.astype(np.float32), axes=1)[:, : audio.frames]
    return same_power(Audio(audio.samples + np.float32(db_to_amplitude(level_db)) * wet, audio.rate), audio)
