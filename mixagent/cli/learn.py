"""`mixagent learn`: the policy fine-tuned on the user's songs and ratings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import Printing
from mixagent.pipeline.errors import EXIT_DONE, ModelMissingError, UsageError

if TYPE_CHECKING:
    from mixagent.envs.cases import CaseStore
    from mixagent.pipeline.types import ShowProgress
    from mixagent.policies.experience import ExperienceStore
    from mixagent.policies.learning import Corpus, Learned

ANCHORS = 256
"""Cases of the training split on which learning holds the policy."""

SYNTHETIC = {"train": 24, "validation": 12}
"""Cases made of synthesised songs where there is no corpus."""


@command()
def learn(
    cases: Annotated[
        Path | None,
        typer.Option(
            help="Cases that hold the policy and judge it, made by `mixagent corpus build`.",
            show_default="those of the corpus",
        ),
    ] = None,
    renders: Annotated[
        int, typer.Option(min=8, help="Validation cases that both policies render, at most.")
    ] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    *,
    printing: Printing,
) -> int:
    """Fine-tune the policy on your songs and ratings; it is used if it does not lose on other songs."""
    from mixagent.cli.progress import shown_progress
    from mixagent.policies.experience import ExperienceStore
    from mixagent.policies.preference_data import usable

    experiences = ExperienceStore.default()
    usable(experiences.all())
    with shown_progress(printing.quiet) as progress:
        learned, folder, source = _learned(experiences, cases, renders, seed, progress)
    if printing.as_json:
        where = None if folder is None else str(folder)
        print_json({"schema": "mixagent.learning/1", **learned.to_json(), "policy": where, "cases": source})
    else:
        print_text(_report(learned, folder, source))
    return EXIT_DONE


def _learned(
    store: ExperienceStore, cases: Path | None, renders: int, seed: int, progress: ShowProgress
) -> tuple[Learned, Path | None, str]:
    """What came of it, the folder of the promoted policy, and what it was judged on."""
    from mixagent.policies import load_policy
    from mixagent.policies.learned import Checkpoint
    from mixagent.policies.learning import card
    from mixagent.policies.learning import learn as fine_tuned
    from mixagent.policies.promotion import Promotions, find_checkpoint

    current = find_checkpoint()
    if current is None:
        raise ModelMissingError(
            "there is no trained policy to learn with: train one with `mixagent train`, or reinstall mixagent"
        )
    checkpoint = Checkpoint.load(current)
    adviser = load_policy(checkpoint.adviser)
    corpus, source = _corpus(cases, renders, progress)
    learned = fine_tuned(
        checkpoint,
        store.all(),
        store.preferences(),
        corpus,
        lambda context: adviser.decide(context).settings,
        seed=seed,
        progress=progress,
    )
    better = learned.checkpoint
    if better is None:
        return learned, None, source
    folder = Promotions().promote(lambda place: better.save(place, card(learned, str(current))))
    return learned, folder, source


def _corpus(cases: Path | None, renders: int, progress: ShowProgress) -> tuple[Corpus, str]:
    """The cases that hold the policy and judge it, and where they are from in words."""
    from mixagent.envs.cases import CaseStore
    from mixagent.envs.corpus import default_corpus
    from mixagent.envs.mixing import StoredCases
    from mixagent.policies.learning import Corpus
    from mixagent.reward.model import load_reward

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
    from mixagent.envs.case_building import build_cases
    from mixagent.envs.cases import CaseStore
    from mixagent.envs.synthetic import debug_corpus
    from mixagent.policies.experience import data_folder

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


def _report(learned: Learned, folder: Path | None, source: str) -> str:
    counts, compared = learned.counts, learned.comparison
    lines = [f"learned from {counts['experiences']} masters and {counts['preferences']} preferences"]
    if counts["left_out"]:
        lines.append(f"left out: {counts['left_out']} masters that another version of mixagent measured")
    if counts["preferences"]:
        lines.append(
            "chooses as you did with a likelihood of {:.0%}, before {:.0%}".format(*learned.agreement[::-1])
        )
    if compared is not None:
        lines.append(
            f"on {compared.cases} {source}: distance undone {compared.recovery.mean:+.1%} "
            f"(95 % sure of {compared.recovery.least:+.1%}), blind reward {compared.blind.mean:+.4f} "
            f"({compared.blind.least:+.4f})"
        )
    lines.append(learned.why)
    if folder is not None:
        lines.append(f"{folder} is in use; `mixagent models rollback` takes the one before")
    return "\n".join(lines)
