"""What is remembered of a master: an experience in the user's store, judged by the blind reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.errors import MixagentError
from mixagent.pipeline.files import write_atomically
from mixagent.pipeline.measure.features import describe_song
from mixagent.pipeline.types import Audio, AudioSource, FloatArray, Stems
from mixagent.policies.base import Context
from mixagent.policies.experience import CORRECTION, Excerpt, Experience, ExperienceStore, Preference
from mixagent.policies.promotion import weights_sha256
from mixagent.report.model import Report

PATIENCE_S = 2.0
"""How long a master waits for another program to let go of the store."""

KEPT_SEGMENTS = 3
KEPT_S = 4.0
"""Audio that is kept with consent: so many pieces of this length, of the song and of its master."""


@dataclass(frozen=True)
class Made:
    """One master, as the session has it at hand.

    Attributes:
        report: of the master.
        context: what the policy was shown.
        features: of the song, as "mix", and of its stems; the missing ones are taken from the stems.
        settings: what was rendered.
        stems: of the restored song.
        song: as it came.
        master: the finished song.
        asked: what was set by hand, and amounts other than 1, see `Experience.asked`.
    """

    report: Report
    context: Context
    features: Mapping[str, FloatArray]
    settings: Settings
    stems: Stems
    song: AudioSource
    master: AudioSource
    asked: Mapping[str, float] = field(default_factory=dict)


def record(made: Made, keep_audio: bool = False) -> list[str]:
    """Remember a master; nothing that goes wrong with it stops the master.

    Args:
        made: the master. One with more than two channels is not remembered: no policy serves it.
        keep_audio: also keep pieces of the song and of its master; only with the user's consent.

    Returns:
        Warnings for the user: none, or one line that says why it was not remembered.
    """
    if made.song.channels > 2:
        return []
    try:
        store = replace(ExperienceStore.default(), patience_s=PATIENCE_S)
        verdict = _judged_before(store, made) or judged(made)
        earlier = store.of(made.report.input.sha256)
        experience = experience_of(made, *verdict)
        number = store.add(experience, _excerpts(made) if keep_audio else ())
        corrected = corrected_by(replace(experience, number=number), earlier)
        if corrected is not None:
            store.prefer(Preference(experience.song, number, corrected.number, source=CORRECTION))
    except MixagentError as error:
        return [f"not remembered for `mixagent learn`: {error}"]
    return []


def hand_over(made: Made, file: Path) -> list[str]:
    """Write a master as an experience into a file, for whoever keeps experiences; as quick as it can be.

    Returns:
        Warnings, as of `record`.
    """
    if made.song.channels > 2:
        return []
    try:
        write_atomically(file, experience_of(made, brief=True).to_bytes())
    except MixagentError as error:
        return [f"not remembered for `mixagent learn`: {error}"]
    return []


def corrected_by(version: Experience, earlier: Sequence[Experience]) -> Experience | None:
    """The version of a song that a later one sets right by hand; None where it corrects none.

    It is the last one before, if that was decided by the same policy and something else was asked for by
    hand. Another target, reference or goal is another wish, not a correction.
    """
    others = [each for each in earlier if each.master != version.master and not each.origin]
    if not others or version.context is None:
        return None
    last = others[-1]
    same = (last.policy, last.policy_sha256) == (version.policy, version.policy_sha256)
    known = last.context is not None and last.context.target == version.context.target
    changed = dict(last.asked) != dict(version.asked) and dict(last.settings) != dict(version.settings)
    return last if same and known and changed else None


def _judged_before(store: ExperienceStore, made: Made) -> tuple[float | None, Mapping[str, float]] | None:
    """What was said of these settings at another target: that changes little, and listening takes time."""
    for earlier in reversed(store.of(made.report.input.sha256)):
        same = dict(earlier.settings) == made.settings.changed() and earlier.version == made.report.version
        if same and earlier.blind is not None:
            return earlier.blind, earlier.terms
    return None


def experience_of(
    made: Made, blind: float | None = None, terms: Mapping[str, float] | None = None, brief: bool = False
) -> Experience:
    """A master as an experience.

    Args:
        made: the master.
        blind, terms: what the blind reward says of it.
        brief: without the features of song and stems, which cost a pass over each.
    """
    report = made.report
    assert report.output is not None
    return Experience(
        song=report.input.sha256,
        master=report.output.sha256,
        name=_printable(report.input.path.replace("\\", "/").rpartition("/")[2]),
        context=replace(made.context, features={} if brief else _features(made), bands=None, trial=None),
        settings=made.settings.changed(),
        policy=report.decision.policy,
        policy_sha256=weights_sha256(report.decision.policy),
        terms=terms or {},
        blind=blind,
        version=report.version,
        asked=made.asked,
    )


def _printable(name: str) -> str:
    """A file's name with what is no text in it replaced: the store holds text."""
    return name.encode(errors="replace").decode()


def _features(made: Made) -> Mapping[str, Any]:
    sources = {"mix": made.stems.mix, **made.stems.parts}
    return {
        name: made.features[name] if name in made.features else describe_song(source)
        for name, source in sources.items()
    }


def judged(made: Made) -> tuple[float | None, dict[str, float]]:
    """The blind reward and its terms, meaned over the song's loudest parts, as a search would judge them.

    None and nothing for a song that is silent or too short.
    """
    from mixagent.envs.mixing import Material
    from mixagent.policies.trial import blind_part, song_cases
    from mixagent.reward.model import load_reward

    reward = blind_part(load_reward())
    cases = song_cases(made.stems, made.context.mix, made.context.target)
    scores = [reward.score(Material(case, made.context.space).render_pair(made.settings)) for case in cases]
    if not scores:
        return None, {}
    shared = [name for name in scores[0].terms if all(name in score.terms for score in scores)]
    terms = {name: float(np.mean([score.terms[name] for score in scores])) for name in shared}
    return float(np.mean([score.blind for score in scores])), terms


def _excerpts(made: Made) -> list[Excerpt]:
    """Pieces at the same places of the song and of its master."""
    duration_s = made.song.frames / made.song.rate
    starts_s = np.linspace(0.0, max(duration_s - KEPT_S, 0.0), KEPT_SEGMENTS)
    sides = {"before": made.song, "after": made.master}
    return [Excerpt(name, float(s), _cut(side, float(s))) for s in starts_s for name, side in sides.items()]


def _cut(source: AudioSource, start_s: float) -> Audio:
    start = round(start_s * source.rate)
    stop = min(start + round(KEPT_S * source.rate), source.frames)
    return Audio(np.asarray(source.read(start, stop), np.float32), source.rate)
