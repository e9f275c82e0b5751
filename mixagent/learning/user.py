"""Learning from the user: the policies in use fine-tuned on what is remembered, and promoted by the gates.

`mixagent learn` and the background learner both call `learn_from_user`; a service's learner runs it in a
process of its own.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mixagent.envs.case_building import build_cases
from mixagent.envs.cases import CaseStore
from mixagent.envs.corpus import default_corpus
from mixagent.envs.mixing import StoredCases
from mixagent.envs.synthetic import debug_corpus
from mixagent.pipeline.errors import ModelMissingError, UsageError
from mixagent.pipeline.files import write_atomically
from mixagent.pipeline.folders import checkpoint_folder
from mixagent.pipeline.types import ShowProgress
from mixagent.policies import load_policy
from mixagent.policies.experience import ExperienceStore, data_folder
from mixagent.policies.learned import Checkpoint
from mixagent.policies.learning import Corpus, Learned, card
from mixagent.policies.learning import learn as learn_master
from mixagent.policies.mixing.learning import MixLearned, learn_mix
from mixagent.policies.mixing.learning import card as mix_card
from mixagent.policies.mixing.policy import MixingCheckpoint, shown_of
from mixagent.policies.preference_data import has_features, usable
from mixagent.policies.promotion import LEARNED, MIX, Promotions, find_checkpoint, weights_sha256
from mixagent.reward.model import load_reward

ANCHORS = 256
"""Cases of the training split on which learning holds the policy."""

RENDERS = 60
"""Validation cases that both policies render, at most."""

SYNTHETIC = {"train": 24, "validation": 12}
"""Cases made of synthesised songs where there is no corpus."""


@dataclass(frozen=True)
class Lesson:
    """The result of learning, of each policy that there was something to learn for.

    Attributes:
        master: of the policy that sets the master.
        mix: of the net that sets the strips.
        source: the cases that the master's policy was judged on, in words.
        folders: of the promoted checkpoints, by the policy's name.
    """

    master: Learned | None
    mix: MixLearned | None
    source: str
    folders: dict[str, Path]


@dataclass(frozen=True)
class LessonSettings:
    """How to learn.

    Attributes:
        cases: a store of cases that hold and judge the master's policy; None for the corpus's.
        renders: validation cases that it is judged on, at most.
        seed: of everything random.
        policies: which are learnt, `learned` and `mix`.
    """

    cases: Path | None = None
    renders: int = RENDERS
    seed: int = 0
    policies: Sequence[str] = (LEARNED, MIX)


def learn_from_user(
    store: ExperienceStore,
    settings: LessonSettings,
    progress: ShowProgress,
    kept: Path | None = None,
) -> Lesson:
    """Fine-tune the policies in use, and put those in use that lose nowhere.

    Args:
        store: what is remembered.
        settings: how.
        progress: called with a part of the work and the share of it that is done; may raise, which ends it.
        kept: a folder in which an ended run is kept, to go on from.

    Raises:
        UsageError: there is nothing to learn from.
        ModelMissingError: a policy in use cannot be used.
    """
    experiences = store.all()
    usable(experiences)
    folders: dict[str, Path] = {}
    mix = master = None
    source = ""
    if MIX in settings.policies and any(each.context and shown_of(each.context) for each in experiences):
        mix = _mix(store, settings, progress, folders, kept)
    if LEARNED in settings.policies and has_features(experiences):
        master, source = _master(store, settings, progress, folders, kept)
    if mix is None and master is None:
        raise UsageError("nothing that is remembered teaches these policies: master songs with them first")
    return Lesson(master, mix, source, folders)


def _mix(
    store: ExperienceStore,
    settings: LessonSettings,
    progress: ShowProgress,
    folders: dict[str, Path],
    kept: Path | None,
) -> MixLearned:
    current, shipped = _in_use(MIX), checkpoint_folder("mixing")
    learned = learn_mix(
        MixingCheckpoint.load(current),
        store.all(),
        store.preferences(),
        seed=settings.seed,
        progress=lambda part, share: progress(f"{part} to mix", share),
        kept=kept,
        shipped=None if current == shipped else MixingCheckpoint.load(shipped),
    )
    if (better := learned.checkpoint) is not None:
        told = mix_card(learned, str(current))
        folders[MIX] = Promotions.of(MIX).promote(lambda place: better.save(place, told))
    return learned


def _master(
    store: ExperienceStore,
    settings: LessonSettings,
    progress: ShowProgress,
    folders: dict[str, Path],
    kept: Path | None,
) -> tuple[Learned, str]:
    current = _in_use(LEARNED)
    checkpoint = Checkpoint.load(current)
    adviser = load_policy(checkpoint.adviser)
    corpus, source = _corpus(settings.cases, settings.renders, progress)
    learned = learn_master(
        checkpoint,
        store.all(),
        store.preferences(),
        corpus,
        lambda context: adviser.decide(context).settings,
        seed=settings.seed,
        progress=progress,
        kept=kept,
    )
    if (better := learned.checkpoint) is not None:
        folders[LEARNED] = Promotions().promote(lambda place: better.save(place, card(learned, str(current))))
    return learned, source


def _in_use(name: str) -> Path:
    found = find_checkpoint(name)
    if found is None:
        raise ModelMissingError(
            "there is no trained policy to learn with: train one with `mixagent train`, or reinstall mixagent"
        )
    return found


def _corpus(cases: Path | None, renders: int, progress: ShowProgress) -> tuple[Corpus, str]:
    """The cases that hold the policy and judge it, and where they are from in words."""
    store, source = CaseStore(cases or default_corpus() / "cases"), "cases of the corpus"
    if not store.names("train") or not store.names("validation"):
        if cases is not None:
            raise UsageError(
                f"{cases} holds no training or no validation cases: make some with `mixagent corpus build`"
            )
        store = _synthetic(progress)
        source = "synthesised songs, since there is no corpus (`mixagent corpus add`, then `corpus build`)"
    training, validation = (
        _spread(store.names(split), most) for split, most in (("train", ANCHORS), ("validation", renders))
    )
    held = StoredCases(store, (*training, *validation))
    return Corpus(held, training, validation, load_reward()), source


def _synthetic(progress: ShowProgress) -> CaseStore:
    """Cases of songs made of nothing, kept for the next time."""
    folder = data_folder() / "synthetic"
    store, corpus = CaseStore(folder / "cases"), debug_corpus(folder / "corpus")
    for split, count in SYNTHETIC.items():
        build_cases(
            store,
            corpus,
            "train" if split == "train" else "validation",
            count,
            progress=partial(progress, f"{split} cases"),
            seconds=2.0,
            stems_share=0.0,
        )
    return store


def _spread(names: Sequence[str], most: int) -> tuple[str, ...]:
    """At most so many of the names, evenly spaced."""
    count = min(most, len(names))
    return tuple(names[k * len(names) // count] for k in range(count))


# --- what is new ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notebook:
    """How far a learner is that comes and goes, in a folder; the default is `learning` in `data_folder()`."""

    folder: Path

    @classmethod
    def default(cls) -> Notebook:
        """The user's own."""
        return cls(data_folder() / "learning")

    def new(self, store: ExperienceStore) -> str | None:
        """A key of what there is to learn; None where nobody chose between versions since the last lesson."""
        if not store.path.is_file() or not (said := store.preferences()):
            return None
        in_use = [weights_sha256(name) for name in (LEARNED, MIX)]
        key = hashlib.sha256(json.dumps([[str(each) for each in said], in_use]).encode()).hexdigest()[:16]
        try:
            done = json.loads(self._done.read_text(encoding="utf-8"))["key"]
        except (OSError, ValueError, KeyError, TypeError):
            done = None
        return None if done == key else key

    def place(self, key: str) -> Path:
        """The folder in which a lesson that was ended early is kept."""
        return self.folder / key

    def learned(self, store: ExperienceStore, lesson: Lesson) -> None:
        """Put a lesson down as done: the same is not learnt again."""
        for each in self.folder.glob("[0-9a-f]*"):
            shutil.rmtree(each, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._done.unlink(missing_ok=True)
        told = {"key": self.new(store), "lesson": lesson_json(lesson)}
        write_atomically(self._done, json.dumps(told, indent=1) + "\n")

    @property
    def _done(self) -> Path:
        return self.folder / "last.json"


class NotIdleError(Exception):
    """The machine has something else to do."""


def learn_while(
    is_idle: Callable[[], bool],
    store: ExperienceStore,
    settings: LessonSettings,
    notebook: Notebook,
    progress: ShowProgress | None = None,
) -> Lesson | None:
    """Learn what is new as long as the machine is idle; None where nothing was new, or it was ended.

    What was ended is kept, and goes on from there the next time, to the same result.
    """
    key = notebook.new(store)
    if key is None or not is_idle():
        return None

    def going_on(part: str, share: float) -> None:
        if not is_idle():
            raise NotIdleError
        if progress:
            progress(part, share)

    try:
        lesson = learn_from_user(store, settings, going_on, notebook.place(key))
    except NotIdleError:
        return None
    notebook.learned(store, lesson)
    return lesson


def lesson_json(lesson: Lesson) -> dict[str, Any]:
    """A lesson as plain values: the master's policy at the top, the net that mixes under `mix`."""
    nothing = {"promoted": False, "why": "nothing that is remembered teaches the master's policy"}
    folders = {name: str(folder) for name, folder in lesson.folders.items()}
    mix = None if lesson.mix is None else {**lesson.mix.to_json(), "policy": folders.get(MIX)}
    return {
        **(nothing if lesson.master is None else lesson.master.to_json()),
        "policy": folders.get(LEARNED),
        "cases": lesson.source,
        "mix": mix,
    }


def lines_of(lesson: Lesson) -> list[str]:
    """A lesson in words."""
    lines = list(_master_lines(lesson.master, lesson.source)) if lesson.master is not None else []
    if lesson.mix is not None:
        lines += _mix_lines(lesson.mix)
    rollback = {LEARNED: "", MIX: " --policy mix"}
    return lines + [
        f"{folder} is in use; `mixagent models rollback{rollback[name]}` takes the one before"
        for name, folder in lesson.folders.items()
    ]


def _master_lines(learned: Learned, source: str) -> Iterable[str]:
    counts, compared = learned.counts, learned.comparison
    yield f"learned from {counts['experiences']} masters and {counts['preferences']} preferences"
    if counts["left_out"]:
        yield f"left out: {counts['left_out']} masters that another version of mixagent measured"
    if counts["preferences"]:
        yield _agreed(learned.agreement)
    if compared is not None:
        yield (
            f"on {compared.cases} {source}: distance undone {compared.recovery.mean:+.1%} "
            f"(95 % sure of {compared.recovery.least:+.1%}), blind reward {compared.blind.mean:+.4f} "
            f"({compared.blind.least:+.4f})"
        )
    yield learned.why


def _mix_lines(learned: MixLearned) -> Iterable[str]:
    counts, compared = learned.counts, learned.comparison
    yield f"the mix: learned from {counts['experiences']} masters and {counts['preferences']} preferences"
    if counts["preferences"]:
        yield _agreed(learned.agreement)
    if compared is not None:
        yield (
            f"on {compared.cases} held-out cases of {compared.songs} songs: disorder undone "
            f"{compared.truth.mean:+.1%} (95 % sure of {compared.truth.least:+.1%}), mixes out of balance "
            f"{compared.scrambled.mean:+.1%} ({compared.scrambled.least:+.1%}), finished songs "
            f"{compared.finished.mean:+.1%} ({compared.finished.least:+.1%})"
        )
    yield learned.why


def _agreed(agreement: tuple[float, float]) -> str:
    return "chooses as you did with a likelihood of {:.0%}, before {:.0%}".format(*agreement[::-1])
