"""Judges of the voice: models that give it an opinion score, 1 to 5, and what each is valid for.

All of them were trained on speech and hear the voice alone, levelled as speech is. Of a full mix they say
nothing, and of singing little: a clean sung stem can score 1.3 with NISQA. So only a change counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.io import resample
from mixagent.pipeline.models import nisqa_path
from mixagent.pipeline.types import Audio, FloatArray, load
from mixagent.reward.quality import DIMENSIONS, DistillMos, Nisqa

JUDGE_HZ = 16000
"""Rate of what a user's own judge hears."""


class Judge(Protocol):
    """Gives a voice scores by name, 1 to 5."""

    def grade(self, mono: FloatArray, rate: int) -> Mapping[str, float]:
        """The scores of a signal, (frames,), levelled as `reward.quality.levelled` does."""


@dataclass(frozen=True)
class NisqaJudge:
    """NISQA: the overall score `nisqa`, and noisiness, coloration, discontinuity and loudness."""

    model: Nisqa

    def grade(self, mono: FloatArray, rate: int) -> Mapping[str, float]:
        """The five scores; higher is better in each."""
        found = self.model.dimensions(mono[None], rate)[0]
        return {name: float(score) for name, score in zip(DIMENSIONS, found, strict=True)}


@dataclass(frozen=True)
class DistillMosJudge:
    """DistillMOS, a judge distilled from self-supervised speech models: `distillmos`."""

    model: DistillMos

    def grade(self, mono: FloatArray, rate: int) -> Mapping[str, float]:
        """Its one score."""
        return {"distillmos": float(self.model.rate(mono[None], rate)[0])}


@dataclass(frozen=True)
class OwnJudge:
    """A user's own judge, a TorchScript module from (1, frames) at 16 kHz to a score: `judge`."""

    module: Any

    @classmethod
    def load(cls, path: Path) -> OwnJudge:
        """Read the module.

        Raises:
            ModelMissingError: it is not there, or no TorchScript module.
        """
        import torch

        if not path.is_file():
            raise ModelMissingError(f"{path} is not there: name a TorchScript module")
        try:
            return cls(torch.jit.load(str(path), map_location="cpu").eval())  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            first = str(error).strip().partition("\n")[0]
            raise ModelMissingError(f"{path} is no TorchScript module: {first}") from error

    def grade(self, mono: FloatArray, rate: int) -> Mapping[str, float]:
        """Its score.

        Raises:
            ModelMissingError: the module fails, or what it gives is no number.
        """
        import torch

        heard = load(resample(Audio(np.ascontiguousarray(mono[None]), rate), JUDGE_HZ)).samples
        try:
            with torch.inference_mode():
                score = float(torch.as_tensor(self.module(torch.from_numpy(heard))).reshape(-1)[0])
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            first = str(error).strip().partition("\n")[0]
            raise ModelMissingError(f"the judge cannot hear a voice: {first}") from error
        if not np.isfinite(score):
            raise ModelMissingError("the judge gives no number")
        return {"judge": score}


JUDGES: Mapping[str, Callable[[], Judge]] = MappingProxyType(
    {
        "nisqa": lambda: NisqaJudge(Nisqa(nisqa_path())),
        "distillmos": lambda: DistillMosJudge(DistillMos()),
    }
)
"""The judges that may be here, by the name of their overall score."""


def judges_here(own: Path | None = None) -> list[Judge]:
    """The judges whose weights are here, and the user's own.

    Raises:
        ModelMissingError: the user's own cannot be used.
    """
    found: list[Judge] = [] if own is None else [OwnJudge.load(own)]
    for make in JUDGES.values():
        try:
            found.append(make())
        except ModelMissingError:
            continue
    return found
