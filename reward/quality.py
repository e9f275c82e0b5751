"""Two models of perceived quality, made for speech, listening to the vocal stem alone.

NISQA v2.0 (Mittag et al. 2021, through torchmetrics) and DistillMOS (Stahl and Gamper 2025, in the
wheel `distillmos`) predict a mean opinion score from 1 to 5. On a full mix both are worthless as a
reward: a low-pass or a lower level raises them. So they hear the voice alone, at the level that
speech models are trained at, and only a fall against the input counts.

They cost 0.04 s (NISQA) and 0.24 s (DistillMOS) of CPU a second of audio: `every` leaves most pairs
out. A model is loaded, and torch with it, for the first voice that there is to hear. Where its weights are
not here, its term has no opinion and says so once in the log; with `required` it is an error instead.
"""

from __future__ import annotations

import importlib
import logging
import pickle
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Protocol

import numpy as np

from mixagent.pipeline.decibels import db_to_amplitude, db_to_power
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.models import nisqa_path, wheel_files
from mixagent.pipeline.types import Audio, Float64Array, FloatArray, load
from mixagent.reward.render_pair import RenderPair

LEVEL_DBOV = -26.0
"""The level of speech material in ITU-T P.800 tests, by which both models were trained."""

SHORTEST_S = 0.5

_FRAME_S = 0.02
_ACTIVE_DB = -30.0
_SILENT = 1e-4
_CHUNK_S = 30.0
_DISTILLMOS_HZ = 16000

_log = logging.getLogger(__name__)


class Rater(Protocol):
    """A model that gives audio a mean opinion score."""

    def rate(self, monos: FloatArray, rate: int) -> FloatArray:
        """Opinion scores from 1 to 5 of signals of one length, (signals, frames)."""


@dataclass
class VoiceQuality:
    """The loss of a model's opinion of the voice, from input to render: 0 to −1.

    A fall of `free` or less costs nothing, one of `full` all. There is nothing to be won: a model
    that likes a ruined voice better than a good one cannot be climbed.

    Attributes:
        name: of the term.
        load_rater: gives the model; raises ModelMissingError where its weights are not here.
        free, full: falls in points of the opinion score.
        every: judge one pair in so many, chosen by `RenderPair.lot`.
        required: whether missing weights are an error.
    """

    name: str
    load_rater: Callable[[], Rater]
    free: float = 0.1
    full: float = 1.0
    every: int = 1
    required: bool = False

    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 0.0
    blind: ClassVar[bool] = True
    hears_stems: ClassVar[bool] = True

    _rater: Rater | None = field(init=False, default=None, repr=False)
    _missing: bool = field(init=False, default=False, repr=False)
    _heard: dict[int, float] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not 0.0 <= self.free < self.full or self.every < 1:
            raise ValueError(
                f"{self.name}: free {self.free}, full {self.full} or every {self.every} is wrong"
            )
        if self.required:
            self._rater = self.load_rater()

    def score(self, pairs: Sequence[RenderPair]) -> Float64Array:
        """One score a pair; NaN without the model or a voice that sounds, or where `every` passes it over."""
        voices = [self._voices(pair) for pair in pairs]
        said = self._opinions([voice for pair in voices if pair for voice in pair])
        worse = [said[_key(pair[0])] - said[_key(pair[1])] if pair else np.nan for pair in voices]
        return np.asarray(-np.clip((np.array(worse) - self.free) / (self.full - self.free), 0.0, 1.0))

    def _voices(self, pair: RenderPair) -> tuple[Audio, Audio] | None:
        if pair.stems_before is None or pair.stems_after is None:
            return None
        if pair.lot % self.every or not pair.stems_before.sings:
            return None
        before, after = pair.stems_before.voice, pair.stems_after.voice
        return (before, after) if before is not None and after is not None and self._is_here() else None

    def _is_here(self) -> bool:
        """True with the model, which is loaded once there is a voice to hear: most rewards meet none."""
        if self._rater is None and not self._missing:
            try:
                self._rater = self.load_rater()
            except ModelMissingError as error:
                self._missing = True
                _log.warning("the reward goes without %s: %s", self.name, error)
        return self._rater is not None

    def _opinions(self, voices: Sequence[Audio]) -> dict[int, float]:
        """The opinion of each voice by its key; new ones of one length are asked about at once."""
        wanted = {_key(voice): voice for voice in voices}
        found = {key: self._heard[key] for key in wanted if key in self._heard}
        waiting: dict[tuple[int, int], dict[int, FloatArray]] = {}
        for key in [key for key in wanted if key not in found]:
            mono, rate = levelled(wanted[key]), wanted[key].rate
            found[key] = float("nan")
            if mono is not None:
                waiting.setdefault((mono.size, rate), {})[key] = mono
        for (_, rate), monos in waiting.items():
            assert self._rater is not None
            opinions = self._rater.rate(np.stack(list(monos.values())), rate)
            found |= dict(zip(monos, map(float, opinions), strict=True))
        self._heard = {_key(voice): found[_key(voice)] for voice in voices[::2]}
        return found


def nisqa_term(path: str | None = None, **options: Any) -> VoiceQuality:
    """The term `nisqa`; `path` is its weights file, by default where torchmetrics looks for it."""
    return VoiceQuality("nisqa", lambda: Nisqa(Path(path).expanduser() if path else nisqa_path()), **options)


def distillmos_term(**options: Any) -> VoiceQuality:
    """The term `distillmos`."""
    return VoiceQuality("distillmos", DistillMos, **options)


def levelled(audio: Audio) -> FloatArray | None:
    """The mono sum with its active parts at −26 dBov; None for silence and for less than half a second.

    Active are frames of 20 ms within 30 dB of the loudest, after the idea of ITU-T P.56.
    """
    mono = audio.samples.mean(axis=0)
    frame = max(round(_FRAME_S * audio.rate), 1)
    if mono.size < SHORTEST_S * audio.rate:
        return None
    powers = np.square(mono[: mono.size // frame * frame], dtype=np.float64).reshape(-1, frame).mean(axis=1)
    if powers.max() < _SILENT**2:
        return None
    active = powers[powers > powers.max() * db_to_power(_ACTIVE_DB)].mean()
    gained: FloatArray = (mono * (db_to_amplitude(LEVEL_DBOV) / np.sqrt(active))).astype(np.float32)
    return gained


DIMENSIONS = ("nisqa", "noisiness", "discontinuity", "coloration", "loudness")
"""The scores of NISQA in the order of its network, the overall one first."""


class Nisqa:
    """NISQA v2.0: the overall opinion score, and four dimensions of it.

    Args:
        path: the official `nisqa.tar` (CC BY-NC-SA 4.0: not for commercial use).

    Raises:
        ModelMissingError: the weights or torchmetrics' packages are not here, or the file is not NISQA's.
    """

    def __init__(self, path: Path) -> None:
        if not all(find_spec(name) for name in ("torchmetrics", "librosa", "requests")):
            raise ModelMissingError(
                "nisqa needs torchmetrics, librosa and requests: pip install 'mixagent[train]'"
            )
        if not path.is_file():
            raise ModelMissingError(f"{path} is not there: run `mixagent models pull nisqa`")
        import torch

        self._package = importlib.import_module("torchmetrics.functional.audio.nisqa")
        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
            self._options = checkpoint["args"]
            self._network = self._package._NISQADIM(self._options).eval()
            self._network.load_state_dict(checkpoint["model_state_dict"])
        except (EOFError, KeyError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
            raise ModelMissingError(f"{path} does not hold NISQA's weights: {_line(error)}") from error

    def rate(self, monos: FloatArray, rate: int) -> FloatArray:
        """Opinion scores from 1 to 5, the mean over pieces of at most 30 s."""
        return self.dimensions(monos, rate)[:, 0]

    def dimensions(self, monos: FloatArray, rate: int) -> FloatArray:
        """Scores from 1 to 5 in each of `DIMENSIONS`, (signals, 5)."""
        scores = [self._rated(piece, rate) for piece in _pieces(monos, rate)]
        opinions: FloatArray = np.mean(scores, axis=0, dtype=np.float32)
        return opinions

    def _rated(self, monos: FloatArray, rate: int) -> FloatArray:
        import torch

        spectra = self._package._get_librosa_melspec(monos, rate, self._options)
        windows, count = self._package._segment_specs(torch.from_numpy(spectra), self._options)
        with torch.inference_mode():
            scores: FloatArray = self._network(windows, count.expand(len(monos))).numpy()
        return scores


class DistillMos:
    """DistillMOS' opinion score, by the network and the weights of its wheel.

    Raises:
        ModelMissingError: the wheel is not installed.
    """

    def __init__(self) -> None:
        weights = wheel_files("distillmos", "weights/distill_mos_v7.pt")
        if not weights:
            raise ModelMissingError("distillmos is not installed: pip install --no-deps distillmos xls-r-sqa")
        import torch

        with _stand_in("torchaudio"):
            package = importlib.import_module("distillmos.sqa")
        self._network = package.ConvTransformerSQAModel(load_weights=False).eval()
        self._network.load_state_dict(torch.load(weights[0], map_location="cpu", weights_only=True)["model"])

    def rate(self, monos: FloatArray, rate: int) -> FloatArray:
        """Opinion scores from 1 to 5, the mean over pieces of at most 30 s."""
        resampled = np.stack(
            [load(resample(Audio(mono[None], rate), _DISTILLMOS_HZ)).samples[0] for mono in monos]
        )
        import torch

        pieces = _pieces(resampled, _DISTILLMOS_HZ)
        with torch.inference_mode():
            scores = [self._network(torch.from_numpy(piece)).reshape(len(monos)) for piece in pieces]
            opinions: FloatArray = torch.stack(scores).mean(dim=0).numpy()
        return opinions


@contextmanager
def _stand_in(name: str) -> Iterator[None]:
    """An empty module under this name while a package is imported that names it and can do without.

    distillmos reads files with torchaudio, which does not import beside a CPU build of torch; its
    network has no use for it.
    """
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        if absent:
            del sys.modules[name]


def _pieces(monos: FloatArray, rate: int) -> list[FloatArray]:
    """Pieces of equal length, none over `_CHUNK_S`."""
    count = max(int(np.ceil(monos.shape[1] / (_CHUNK_S * rate))), 1)
    return [np.ascontiguousarray(piece) for piece in np.array_split(monos, count, axis=1)]


def _key(audio: Audio) -> int:
    return zlib.crc32(np.ascontiguousarray(audio.samples[:, ::101]).tobytes())


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]
