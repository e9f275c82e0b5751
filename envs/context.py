"""The context of a decision: what a policy may look at, the same in training, search and product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.diagnosis.diagnose import Diagnosis
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.measure.analysis import Analysis

Trial = Callable[[Sequence[Settings]], NDArray[np.float64]]
"""Renders settings and says what each is worth: the blind total of the reward, shape (settings,)."""


@dataclass(frozen=True)
class Context:
    """Measures of the mix and of each stem, never the samples.

    Attributes:
        mix: what the mix measures.
        stems: what each stem measures, by name.
        diagnosis: what is wrong with the mix.
        target: loudness and ceiling that the finaliser will aim at.
        space: the parameters to decide.
        features: `describe` of the mix (`mix`) and of each stem by name, shape (features,) each;
            empty where no policy needs them.
        measures: what the mix is held against finished music by; None for silence.
        bands: reads the mix as bands over time (`read_song`), for a policy that needs them; None where they
            cannot be read.
        trial: tries settings on this song, for a policy that searches; None where none can.
    """

    mix: Analysis
    stems: Mapping[str, Analysis]
    diagnosis: Diagnosis
    target: LoudnessTarget
    space: ParameterSpace
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    measures: SongMeasures | None = None
    bands: Callable[[], NDArray[np.float32]] | None = None
    trial: Trial | None = None
