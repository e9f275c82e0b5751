"""Cases that what is learnt must hold on: of mixes in disorder and of finished songs, measures and truth.

They ship as numbers (`checkpoints/mixing_cases`), so that every machine can judge a net that mixes in a
second, without a corpus and without a render. `scripts/train_mixing.py held-out` makes them from passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.files import atomically
from mixagent.pipeline.folders import checkpoint_folder
from mixagent.pipeline.measure.stem_measures import ROLES, ROW
from mixagent.pipeline.types import FloatArray
from mixagent.policies.mixing.examples import Batch, batch_of
from mixagent.policies.mixing.material import Pass
from mixagent.policies.mixing.outcome import loss_of, outcome
from mixagent.policies.mixing.steering import STATIC

FILE = "cases.npz"

CLEAN = ""
"""The kind of a song as it was made."""

UNBALANCED = ("balance", "one stem")
"""Disorders that put levels of stems out of balance."""


@dataclass(frozen=True)
class HeldOut:
    """Cases to judge a net that mixes on, and mixes on which it should stay as it is.

    Attributes:
        songs: of each case, (N,).
        kinds: its disorders, joined by `+`; `CLEAN` for a song as it was made.
        shown: measures of the mix and of what was found in it, (N, 1 + roles, ROW).
        truth: of the song as it was made.
        disordered: of the true stems in disorder.
        anchors: of mixes of other songs, (M, 1 + roles, ROW).
    """

    songs: tuple[str, ...]
    kinds: tuple[str, ...]
    shown: FloatArray
    truth: FloatArray
    disordered: FloatArray
    anchors: FloatArray

    @property
    def batch(self) -> Batch:
        """The cases as what the outcome of actions is worked out on."""
        return batch_of(self.shown, self.truth, self.disordered)

    @classmethod
    def of(cls, judging: Sequence[Pass], holding: Sequence[Pass]) -> HeldOut:
        """The cases of passes: all versions of songs to judge on, two of others to hold."""
        rows = [
            (
                song,
                CLEAN if number == 0 else "+".join(kinds[number - 1]),
                shown[number],
                truth[0],
                truth[number],
            )
            for done in judging
            for song, shown, truth, kinds in zip(done.songs, done.shown, done.truth, done.kinds, strict=True)
            for number in range(len(shown))
        ]
        songs, kinds, shown, truth, disordered = zip(*rows, strict=True)
        held = [done.shown[:, :2].reshape(-1, *done.shown.shape[2:]) for done in holding]
        return cls(
            songs=tuple(songs),
            kinds=tuple(kinds),
            shown=np.stack(shown),
            truth=np.stack(truth),
            disordered=np.stack(disordered),
            anchors=np.concatenate(held),
        )

    def save(self, folder: Path) -> None:
        """Write the file; levels are kept to a sixteenth of a dB."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self, name).astype(np.float16) for name in _ARRAYS}
        with atomically(folder / FILE) as place, place.open("wb") as file:
            np.savez_compressed(file, songs=np.array(self.songs), kinds=np.array(self.kinds), **arrays)

    @classmethod
    def load(cls, folder: Path | None = None) -> HeldOut:
        """The cases that ship, or those of a folder.

        Raises:
            ModelMissingError: they are missing, damaged, or of another version of this program.
        """
        path = (folder or checkpoint_folder("mixing_cases")) / FILE
        try:
            with np.load(path, allow_pickle=False) as found:
                songs, kinds = (tuple(map(str, found[name])) for name in ("songs", "kinds"))
                arrays = [found[name].astype(np.float32) for name in _ARRAYS]
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise ModelMissingError(f"the held-out cases in {path} cannot be used: {error}") from error
        if any(array.shape[1:] != (1 + len(ROLES), ROW) for array in arrays):
            raise ModelMissingError(f"the held-out cases in {path} are of another version of mixagent")
        return cls(songs, kinds, *arrays)


_ARRAYS = ("shown", "truth", "disordered", "anchors")


@torch.no_grad()
def losses(actions: torch.Tensor, batch: Batch) -> FloatArray:
    """The distance that is left in dB after actions of the strips (N, roles, ≥ len(STATIC)), (N,)."""
    return np.asarray(loss_of(outcome(batch, actions[..., : len(STATIC)]), batch).numpy(), np.float32)
