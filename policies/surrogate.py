"""A stand-in for the renderer through which gradients pass: what a case would measure after an action.

The equaliser, the bells, balance and width are linear, so their effect on a segment's third octaves
is a closed form. What is not linear (filling gaps, cutting lines, extending the highs) is rendered at a
few actions for each case, and interpolated; effects of several add up in dB. The distance to the
original follows `reward.recovery`: tone and image from the third octaves, punch and texture from the
renders.

It serves the warm start only: the environment and every published figure render for real.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.fft import rfft
from scipy.signal.windows import hann
from torch import Tensor

from mixagent.envs.cases import Case
from mixagent.pipeline.chain.parameters import BELLS, EQ_BANDS, Parameter, ParameterSpace, Settings
from mixagent.pipeline.decibels import db_to_amplitude, powers_to_db
from mixagent.pipeline.dsp.equaliser import BANDS_HZ, band_filters
from mixagent.pipeline.files import atomically
from mixagent.pipeline.measure.meters import integrated_lufs, k_power
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import Audio, FloatArray, Stems, load
from mixagent.reward.recovery import DIMENSIONS, UNIT_DB, Original

BANDS = 27
CENTRES_HZ = 1000.0 * 2.0 ** ((np.arange(BANDS) - 14) / 3.0)
"""Third octaves from 39 Hz to 16 kHz, those of `reward.recovery`."""

TOOLS: Mapping[str, tuple[float, ...]] = {
    "master.resonance_cut_db": (0.0, 0.35, 1.0),
    "master.gap_fill_db": (0.0, 0.4, 1.0),
    "master.extend_db": (-0.6, 0.0, 0.5),
}
"""Actions at which each of the effects that are not linear is rendered.

The extension is rendered from where the adviser would start it. An action for that start which is
nearer to neutral extends less: the surrogate takes the share of the way for the share of the effect.
"""

EXTENSION = "master.extend_db"
EXTEND_FROM = "master.extend_from_hz"
NO_CUTOFF_HZ = ParameterSpace.for_stems(())[EXTEND_FROM].neutral
RATE_HZ = 44100

_WINDOW_S = 0.046
_SIDE_SHARE = 1e-3
_FLOOR = 1e-9
_WORST_DB = 20.0
_POINTS = 5


@dataclass(frozen=True)
class Response:
    """The surrogate's knowledge of one case; levels are those of the input at −20 LUFS.

    Attributes:
        powers: mid, side and mid times side by third octave, (3, 27).
        original_db: mid and side of the original as `reward.recovery` compares them, (2, 27).
        original_image_db: side to mid by octave, then right to left, of the original, (9,).
        before: the input's true distance by dimension, (4,).
        extend_from: the adviser's action for the start of the extension, (1,); 0 for none.
        effects: by name of `TOOLS`, for each of its actions the change of mid and side by third
            octave in dB, of punch and of texture, (actions, 56).
    """

    powers: FloatArray
    original_db: FloatArray
    original_image_db: FloatArray
    before: FloatArray
    extend_from: FloatArray
    effects: Mapping[str, FloatArray]

    def save(self, path: Path) -> None:
        """Write it as safetensors, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        arrays |= {f"effects.{name}": values for name, values in self.effects.items()}
        with atomically(path) as place:
            save_file(arrays, place)

    @classmethod
    def load(cls, path: Path) -> Response:
        """Read what `save` wrote."""
        arrays = load_file(path)
        effects = {key.removeprefix("effects."): value for key, value in arrays.items() if "effects." in key}
        return cls(effects=effects, **{name: arrays[name] for name in _ARRAYS})


_ARRAYS = ("powers", "original_db", "original_image_db", "before", "extend_from")


# --- measuring -------------------------------------------------------------------------------------


def measure_response(case: Case, extend_from_hz: float) -> Response:
    """Render a case with each tool at each of its actions and measure what it does.

    Args:
        case: one whose original is known.
        extend_from_hz: where the extension would start; its neutral value for nowhere.

    Raises:
        ValueError: the original is not known, silent or too short.
    """
    if case.original is None:
        raise ValueError(f"{case.name}: the original is not known")
    space = ParameterSpace.for_stems(())
    mix, truth = load(case.stems.mix), band_powers(case.original)
    rendered = _Renders(case, mix, Original(case.original), band_powers(mix))
    return Response(
        powers=rendered.powers,
        original_db=_tones(torch.from_numpy(truth)[None])[0].numpy(),
        original_image_db=_images(torch.from_numpy(truth)[None])[0].numpy(),
        before=rendered.before,
        extend_from=np.array([space[EXTEND_FROM].action(extend_from_hz)], np.float32),
        effects={name: _effects(rendered, space, name, extend_from_hz) for name in TOOLS},
    )


def _effects(rendered: _Renders, space: ParameterSpace, name: str, extend_from_hz: float) -> FloatArray:
    """The effect of one tool at each of its actions, (actions, 56)."""
    always = {EXTEND_FROM: extend_from_hz} if name == EXTENSION else {}
    values = [{name: space[name].value(action), **always} for action in TOOLS[name]]
    return np.stack([rendered.effect(space.settings(value)) for value in values])


@dataclass(frozen=True)
class _Renders:
    """Renders a case's mix and compares each render with the input and the original."""

    case: Case
    mix: Audio
    original: Original
    powers: FloatArray

    @cached_property
    def before(self) -> FloatArray:
        """The input's distance by dimension."""
        return self._distance(self.mix)

    def effect(self, settings: Settings) -> FloatArray:
        """Change of mid and side by third octave in dB, of punch and of texture: (56,)."""
        stems = Stems(self.mix, {})
        audio = load(premaster(stems, settings, levels={"mix": self.case.levels["mix"]}))
        if np.array_equal(audio.samples, self.mix.samples):
            return np.zeros(2 * BANDS + 2, np.float32)
        change_db = powers_to_db(band_powers(audio)[:2] / self.powers[:2])
        return np.concatenate([change_db.ravel(), (self._distance(audio) - self.before)[2:]])

    def _distance(self, audio: Audio) -> FloatArray:
        distance = self.original.distance(audio)
        return np.array([getattr(distance, name) for name in DIMENSIONS], np.float32)


def band_powers(audio: Audio) -> FloatArray:
    """Mean power of mid, of side, and of mid times side, by third octave, at −20 LUFS: (3, 27)."""
    scale = np.float32(db_to_amplitude(-(integrated_lufs(audio) + 20)))
    left, right = audio.samples[0] * scale, audio.samples[-1] * scale
    mid, side = (_spectra((left + sign * right) / 2, audio.rate) for sign in (1, -1))
    powers = [np.mean(np.abs(x) ** 2, axis=0) for x in (mid, side)]
    powers.append(np.mean((mid * np.conj(side)).real, axis=0))
    bands = np.array([_bands(power, audio.rate) for power in powers], np.float32)
    # Under the floor of every comparison, so that an effect on an empty band is a finite change.
    bands[:2] = np.maximum(bands[:2], 0.1 * _FLOOR)
    return bands


def _spectra(signal: FloatArray, rate: int) -> NDArray[np.complex64]:
    size = 2 * round(rate * _WINDOW_S / 2)
    padded = np.pad(signal, (size // 2, size))
    window = hann(size, sym=False).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: signal.size + 1 : size // 2]
    return np.asarray(rfft(frames * window * np.float32(2 / window.sum()), axis=1))


def _bands(power: FloatArray, rate: int) -> list[float]:
    scale = 2 * (len(power) - 1) / rate
    edges = [
        (max(round(hz / 2 ** (1 / 6) * scale), 1), round(hz * 2 ** (1 / 6) * scale)) for hz in CENTRES_HZ
    ]
    return [float(power[low : max(high, low + 1)].sum()) for low, high in edges]


# --- predicting ------------------------------------------------------------------------------------


class Surrogate:
    """Predicts the distance to the original for a batch of cases and actions.

    Args:
        parameters: the chosen parameters, in the order of an action: of the tools of `master` that are
            named above, and the equaliser of the sides.
        responses: one for each case.
    """

    def __init__(self, parameters: Sequence[Parameter], responses: Sequence[Response]) -> None:
        self._parameters = {parameter.name: (k, parameter) for k, parameter in enumerate(parameters)}
        self._low, self._high = (_reach(parameters, sign) for sign in (-1, 1))
        stacked = {name: np.stack([getattr(r, name) for r in responses]) for name in _ARRAYS}
        self._powers, self._original_db, self._original_image_db, self._before, self._extend_from = (
            torch.from_numpy(stacked[name]) for name in _ARRAYS
        )
        self._effects = {
            name: torch.from_numpy(np.stack([r.effects[name] for r in responses]))
            for name in TOOLS
            if name in self._parameters
        }
        self.before = self.distance(
            torch.arange(len(responses)), torch.zeros(len(responses), len(parameters))
        )

    def distance(self, cases: Tensor, actions: Tensor) -> Tensor:
        """Distance by dimension after the actions (B, A) on the cases (B,): (B, 4), in dB.

        An action out of its range counts as its nearest end, but its gradient is that of the end.
        """
        inside = actions + (torch.maximum(torch.minimum(actions, self._high), self._low) - actions).detach()
        value = {name: _value(p, inside[:, k]) for name, (k, p) in self._parameters.items()}
        effects = self._tool_effects(cases, inside)
        change_db = effects[:, : 2 * BANDS].reshape(-1, 2, BANDS) + _equaliser_db(value).unsqueeze(1)
        powers = _imaged(_raised(self._powers[cases], change_db), value)
        powers = powers / _loudness(powers).div(_loudness(self._powers[cases])).reshape(-1, 1, 1)
        tone = _rms((_tones(powers) - self._original_db[cases]).clamp(-_WORST_DB, _WORST_DB).flatten(1))
        image = _rms(_images(powers) - self._original_image_db[cases])
        rest = (self._before[cases, 2:] + effects[:, 2 * BANDS :]).clamp(min=0.0)
        return torch.cat((torch.stack((tone, image), 1), rest), 1)

    def outside(self, actions: Tensor) -> Tensor:
        """The distance of actions (B, A) beyond where they have an effect."""
        return (actions - self._high).clamp(min=0.0) + (self._low - actions).clamp(min=0.0)

    def _tool_effects(self, cases: Tensor, actions: Tensor) -> Tensor:
        total = actions.new_zeros(len(actions), 2 * BANDS + 2)
        for name, effects in self._effects.items():
            change = _interpolated(TOOLS[name], effects[cases], actions[:, self._parameters[name][0]])
            share = self._extended(cases, actions) if name == EXTENSION else 1.0
            total = total + share * change
        return total

    def _extended(self, cases: Tensor, actions: Tensor) -> Tensor:
        """Share of the adviser's extension that the actions make, (B, 1)."""
        advised = self._extend_from[cases]
        chosen = actions[:, self._parameters[EXTEND_FROM][0]].unsqueeze(1)
        share = torch.where(advised != 0.0, chosen / advised.clamp(max=-1e-3), 0.0)
        return share + (share.clamp(0.0, 1.0) - share).detach()


def totals(distance: Tensor) -> Tensor:
    """The total of distances by dimension (B, 4), as `Distance.total`."""
    return (distance / torch.tensor([UNIT_DB[name] for name in DIMENSIONS])).mean(dim=1)


def _reach(parameters: Sequence[Parameter], sign: int) -> Tensor:
    """The furthest action with an effect on one side: 0 where the neutral value is that end."""
    ends = [p.high if sign > 0 else p.low for p in parameters]
    return torch.tensor(
        [0.0 if end == p.neutral else float(sign) for p, end in zip(parameters, ends, strict=True)]
    )


def _value(parameter: Parameter, action: Tensor) -> Tensor:
    """`Parameter.value` of a batch of actions, with gradients."""
    log = parameter.scale == "log"
    low, neutral, high = (
        math.log(x) if log else x for x in (parameter.low, parameter.neutral, parameter.high)
    )
    value = torch.where(action > 0, neutral + action * (high - neutral), neutral + action * (neutral - low))
    return value.exp() if log else value


def _interpolated(knots: Sequence[float], effects: Tensor, action: Tensor) -> Tensor:
    """Piecewise linear between the knots, and on beyond them: effects (B, K, E) at actions (B,)."""
    places = torch.tensor(knots)
    upper = torch.bucketize(action.detach().contiguous(), places).clamp(1, len(knots) - 1)
    share = (action - places[upper - 1]) / (places[upper] - places[upper - 1])
    rows = torch.arange(len(action))
    low, high = effects[rows, upper - 1], effects[rows, upper]
    return low + share.unsqueeze(1) * (high - low)


@cache
def _band_matrix() -> Tensor:
    """Response of each of the seven bands at each third octave, in dB per dB of gain: (7, 27)."""
    rows = []
    for index in range(len(BANDS_HZ)):
        gains_db = tuple(3.0 * (index == k) for k in range(len(BANDS_HZ)))
        filters = band_filters(gains_db, RATE_HZ)
        rows.append(np.sum([each.response_db(CENTRES_HZ, RATE_HZ) for each in filters], axis=0) / 3.0)
    return torch.tensor(np.array(rows), dtype=torch.float32)


def _equaliser_db(value: Mapping[str, Tensor]) -> Tensor:
    """Response of the bands and the bells that are steered, (B, 27)."""
    first = next(iter(value.values()))
    still = torch.zeros_like(first)
    total = _bands_db(value, "master", still)
    for number in range(1, BELLS + 1):
        bell = [value.get(f"master.bell_{number}_{what}") for what in ("hz", "db", "q")]
        if all(part is not None for part in bell):
            total = total + _bell_db(*(part.reshape(-1, 1, 1) for part in bell if part is not None))
    return total


def _bands_db(value: Mapping[str, Tensor], where: str, still: Tensor) -> Tensor:
    """Response of the seven bands at one place of the chain, (B, 27)."""
    gains_db = torch.stack([value.get(f"{where}.eq_{name}_db", still) for name in EQ_BANDS], dim=1)
    return gains_db @ _band_matrix()


def _bell_db(hz: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
    """Mean response of a bell over each third octave in dB (Bristow-Johnson, Audio EQ Cookbook).

    It is that of its analogue prototype at the frequencies that the bilinear transform maps.
    """
    amplitude = 10 ** (gain_db / 40)
    x = _warped() / (math.pi / RATE_HZ * hz).tan()
    off = (1 - x * x).square()
    ratio = (off + (amplitude * x / q).square()) / (off + (x / (amplitude * q)).square())
    return (10 * ratio.log10()).mean(dim=-1)


@cache
def _warped() -> Tensor:
    """tan(ω/2) at five points of each third octave, (27, 5)."""
    steps = 2.0 ** ((np.arange(_POINTS) - _POINTS // 2) / (3 * _POINTS))
    hz = np.minimum(CENTRES_HZ[:, None] * steps, 0.49 * RATE_HZ)
    return torch.tensor(np.tan(math.pi * hz / RATE_HZ), dtype=torch.float32)


def _raised(powers: Tensor, change_db: Tensor) -> Tensor:
    """Mid, side and their product (B, 3, 27) with mid and side raised by (B, 2, 27) dB."""
    gain = 10 ** (change_db / 20)
    gains = torch.stack((gain[:, 0] ** 2, gain[:, 1] ** 2, gain[:, 0] * gain[:, 1]), dim=1)
    return powers * gains


def _imaged(powers: Tensor, value: Mapping[str, Tensor]) -> Tensor:
    """Balance, then the sides: mid' = a·mid + b·side and side' = gain·(b·mid + a·side) in each band.

    The gain of the sides is that of their equaliser and of the width.
    """
    mid, side, cross = powers.unbind(dim=1)
    still = powers.new_zeros(len(powers))
    balance_db = value.get("master.balance_db", still).unsqueeze(1)
    width = value.get("master.width", still + 1).unsqueeze(1)
    right, left = 10 ** (balance_db / 40), 10 ** (-balance_db / 40)
    a, b = (left + right) / 2, (left - right) / 2
    new_mid = a**2 * mid + b**2 * side + 2 * a * b * cross
    new_side = b**2 * mid + a**2 * side + 2 * a * b * cross
    new_cross = a * b * (mid + side) + (a**2 + b**2) * cross
    gain = width * 10 ** (_bands_db(value, "side", still) / 20)
    return torch.stack((new_mid, gain**2 * new_side, gain * new_cross), dim=1)


@cache
def _k_weights() -> Tensor:
    return torch.tensor(k_power(np.asarray(CENTRES_HZ, np.float64), RATE_HZ), dtype=torch.float32)


def _loudness(powers: Tensor) -> Tensor:
    """K-weighted power, (B,): BS.1770-5 without its gate."""
    return ((powers[:, 0] + powers[:, 1]) * _k_weights()).sum(dim=1)


def _tones(powers: Tensor) -> Tensor:
    """Mid and side as they are compared in tone, (B, 2, 27) dB."""
    mid, side = powers[:, 0], powers[:, 1].clamp(min=0.0)
    return _db(torch.stack((mid, side + _SIDE_SHARE * mid), dim=1))


def _images(powers: Tensor) -> Tensor:
    """Side to mid in the octaves from 63 Hz to 8 kHz, then right to left: (B, 9) dB."""
    octaves = powers[:, :, 1:25].reshape(-1, 3, 8, 3).sum(dim=-1)
    mid, side = _db(octaves[:, 0]), _db(octaves[:, 1])
    mid_all, side_all, cross_all = powers.sum(dim=2).unbind(dim=1)
    right = mid_all + side_all - 2 * cross_all
    left = mid_all + side_all + 2 * cross_all
    lean = (_db(right) - _db(left)).clamp(-_WORST_DB, _WORST_DB)
    return torch.cat(((side - mid).clamp(-30.0, 12.0), lean.unsqueeze(1)), dim=1)


def _db(power: Tensor) -> Tensor:
    return 10 * (power.clamp(min=0.0) + _FLOOR).log10()


def _rms(difference: Tensor) -> Tensor:
    # The root's slope has no bound at 0, where an undamaged song starts.
    return (difference.square().mean(dim=1) + 1e-6).sqrt()
