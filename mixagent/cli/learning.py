"""`mixagent rate`, `learn`, `models rollback` and `experience`: what the user likes, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from mixagent.cli.common import AsJson, Quiet, choice, command, print_json, print_text
from mixagent.pipeline.errors import EXIT_DONE, InputError, ModelMissingError, UsageError

if TYPE_CHECKING:
    from mixagent.envs.cases import CaseStore
    from mixagent.policies.experience import Experience, ExperienceStore
    from mixagent.policies.learning import Corpus, Learned
    from mixagent.types import ShowProgress

experience_app = typer.Typer(help="What was remembered of mastered songs, here only.", no_args_is_help=True)

ANCHORS = 256
"""Cases of the training split on which learning holds the policy."""

SYNTHETIC = {"train": 24, "validation": 12}
"""Cases made of synthesised songs where there is no corpus."""


def rate(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="A song, its master, or a report: A is the song as it came, B its master. "
            "Or two of them, of one song: A is the first, B the second.",
            show_default=False,
        ),
    ],
    better: Annotated[str, typer.Option("--better", help="A or B.", show_default=False)],
    as_json: AsJson = False,
) -> int:
    """Say which of two versions of a song is better; `mixagent learn` makes use of it."""
    from mixagent.policies.experience import ExperienceStore, Preference

    chosen = choice("answer", better.upper(), ("A", "B"))
    store = ExperienceStore.default()
    a, b = _versions(store, files)
    liked, other = (a, b) if chosen == "A" else (b, a)
    song = liked or other
    assert song is not None
    numbers = [None if each is None else each.number for each in (liked, other)]
    store.prefer(Preference(song.song, *numbers))
    if as_json:
        masters = [None if each is None else each.master for each in (liked, other)]
        found = {"song": song.song, "better": masters[0], "worse": masters[1]}
        print_json({"schema": "mixagent.preference/1", **found})
    else:
        print_text(f"{song.name}: {_named(liked)} is better than {_named(other)}")
    return EXIT_DONE


def _versions(store: ExperienceStore, files: Sequence[Path]) -> tuple[Experience | None, Experience | None]:
    """A and B; None is the song as it came."""
    if len(files) == 1:
        return None, _found(store, files[0], _sha256(files[0]))
    if len(files) != 2:
        raise UsageError(f"rate compares two versions of a song, not {len(files)}")
    hashes = [_sha256(path) for path in files]
    found = [_found(store, path, sha256) for path, sha256 in zip(files, hashes, strict=True)]
    if found[0].song != found[1].song:
        raise UsageError(f"{files[0]} and {files[1]} are versions of different songs")
    a, b = (None if each.song == h else each for each, h in zip(found, hashes, strict=True))
    if (a and a.number) == (b and b.number):
        raise UsageError(f"{files[0]} and {files[1]} are the same version of the song")
    return a, b


def _sha256(path: Path) -> str:
    """Of the audio file, or of the master that a report is about."""
    from mixagent.pipeline.io import content_hash
    from mixagent.session.replay import read_report

    if path.suffix.lower() != ".json":
        return content_hash(path)
    return read_report(path).output.sha256


def _found(store: ExperienceStore, path: Path, sha256: str) -> Experience:
    """The latest experience with this song or master."""
    known = store.of(sha256)
    if not known:
        raise InputError(f"{path} is not known here: master the song first, on this machine")
    return known[-1]


def _named(version: Experience | None) -> str:
    if version is None:
        return "the song as it came"
    return f"the master of {version.made_at[:16].replace('T', ' ')} by {version.policy}"


# --- learning --------------------------------------------------------------------------------------


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
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Fine-tune the policy on your songs and ratings; it is used if it does not lose on other songs."""
    from mixagent.cli.progress import shown_progress
    from mixagent.policies.experience import ExperienceStore
    from mixagent.policies.lessons import usable

    experiences = ExperienceStore.default()
    usable(experiences.all())
    with shown_progress(quiet) as progress:
        learned, folder, source = _learned(experiences, cases, renders, seed, progress)
    if as_json:
        where = None if folder is None else str(folder)
        print_json({"schema": "mixagent.learning/1", **learned.to_json(), "policy": where, "cases": source})
    else:
        print_text(_account(learned, folder, source))
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
    from mixagent.envs.cases import CaseStore
    from mixagent.envs.synthetic import debug_corpus
    from mixagent.policies.experience import data_folder

    folder = data_folder() / "synthetic"
    store, corpus = CaseStore(folder / "cases"), debug_corpus(folder / "corpus")
    for split, count in SYNTHETIC.items():
        store.build(
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


def _account(learned: Learned, folder: Path | None, source: str) -> str:
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


def rollback(as_json: AsJson = False) -> int:
    """Take the policy before the last `mixagent learn` into use again."""
    from mixagent.policies.promotion import Promotions, find_checkpoint

    restored = Promotions().rollback()
    if as_json:
        found = {"policy": str(find_checkpoint() or ""), "own": restored is not None}
        print_json({"schema": "mixagent.rollback/1", **found})
    else:
        print_text(f"{restored} is in use" if restored else "the shipped policy is in use")
    return EXIT_DONE


# --- what is remembered ----------------------------------------------------------------------------


@command(experience_app, "list")
def list_experiences(as_json: AsJson = False) -> int:
    """List the mastered songs that are remembered."""
    from mixagent.policies.experience import ExperienceStore

    store = ExperienceStore.default()
    if as_json:
        print_json({"schema": "mixagent.experiences/1", "path": str(store.path), **_rows(store)})
        return EXIT_DONE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("song", "mastered (UTC)", "policy", "blind reward", "moved"):
        table.add_column(heading, overflow="fold")
    for each in store.all():
        blind = "" if each.blind is None else f"{each.blind:+.3f}"
        table.add_row(each.name, each.made_at[:16], each.policy, blind, str(len(each.settings)))
    print_text(table)
    print_text(f"{store.path}: {len(store.preferences())} preferences")
    return EXIT_DONE


@command(experience_app)
def forget(
    song: Annotated[
        Path | None, typer.Argument(help="A song, its master, or a report.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All songs.")] = False,
) -> int:
    """Forget what was remembered of a song: measures, settings, ratings, audio."""
    from mixagent.policies.experience import ExperienceStore

    if (song is None) == (not everything):
        raise UsageError("forget takes a song, or --all")
    store = ExperienceStore.default()
    gone = store.forget(None if song is None else _found(store, song, _sha256(song)).song)
    print_text(f"{gone} {'master' if gone == 1 else 'masters'} forgotten")
    return EXIT_DONE


def _rows(store: ExperienceStore) -> dict[str, Any]:
    numbers = {each.number: each.master for each in store.all()}
    return {
        "experiences": [
            {
                "song": each.song,
                "master": each.master,
                "name": each.name,
                "made_at": each.made_at,
                "policy": each.policy,
                "policy_sha256": each.policy_sha256,
                "version": each.version,
                "usable": each.context is not None,
                "settings": dict(each.settings),
                "terms": dict(each.terms),
                "blind": each.blind,
            }
            for each in store.all()
        ],
        "preferences": [
            {"song": p.song, **{side: numbers.get(getattr(p, side) or 0) for side in ("better", "worse")}}
            for p in store.preferences()
        ],
    }
