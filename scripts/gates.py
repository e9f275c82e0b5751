"""The two gates that a reward passes before any policy counts.

adversarial  Every song is ruined in every way of `reward/adversarial_edits.py`, finished as the product
             would, and judged against its input: the blind total must fall in at least 98 % of cases. Once
             with the song itself as the input, once with a damaged song. A pure change of gain must
             move the total by nothing that matters.
agreement    Damaged songs are rendered with random settings of the master chain. Spearman's ρ between
             the blind total and the true recovery is taken over the settings of each song; its median
             must be at least 0.7.
scrambled    Both again on mixes whose stems are in disorder, in a store of cases: single stems are ruined
             in every way of `STEM_EDITS`, of the finished song taken apart and of the scrambled mix, where
             that takes it further from its original; and random settings move strips, buses, sends and
             master. The setting that the blind total likes best must undo more than nothing on average.

    python scripts/gates.py --split validation [--corpus DIR] [--quick]
    python scripts/gates.py --split validation --cases DIR --gate scrambled
    python scripts/gates.py --songs DIR [DIR …] --count 40
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
from benchmark_recovery import excerpt, find_songs
from omegaconf import OmegaConf
from scipy.stats import spearmanr

from mixagent.envs.cases import STAGES, Case, CaseStore, Curriculum, draw_damage, make_case, separate
from mixagent.envs.corpus import Corpus
from mixagent.envs.disorders import there
from mixagent.envs.mixing import Material
from mixagent.pipeline.chain.mixing import measure_levels
from mixagent.pipeline.chain.parameters import ADVANCED_PLACES, ParameterSpace, Settings
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.finaliser.loop import finalise
from mixagent.pipeline.finaliser.targets import LoudnessTarget, loudness_target
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.render import render
from mixagent.pipeline.separation import choose_separator
from mixagent.pipeline.types import Audio, Float64Array, Stems, load
from mixagent.reward.adversarial_edits import (
    ADVERSARIAL_EDITS,
    STEM_EDITS,
    edit_adversarially,
    edit_stem_adversarially,
)
from mixagent.reward.model import RewardModel, Score, load_reward
from mixagent.reward.recovery import Original
from mixagent.reward.render_pair import AnalysedAudio, AnalysedStems, RenderPair
from mixagent.reward.terms.truth import LEAST_DISTANCE

MATTERS = 0.02
"""The change of the total that counts: a fall is at least this, and a gain moves it by less."""


TRACE = LEAST_DISTANCE
"""A ruin that leaves the render nearer than this to its input did nothing: a fold of a mono song."""

FALLS_SHARE = 0.98
AGREEMENT = 0.7
GAINS_DB = (-20.0, 6.0)
BASES = ("the song", "a damaged song")
DAMAGED: tuple[Curriculum, ...] = ("single", "pair", "all")


@dataclass(frozen=True)
class Segment:
    """A segment of a song by name."""

    name: str
    audio: Audio


@dataclass(frozen=True)
class Ruin:
    """One song ruined in one way.

    `fall` is that of the blind total against the song only finished, `trace` the distance of the two
    renders, `terms` the ruin's.
    """

    song: str
    base: str
    edit: str
    fall: float
    trace: float
    terms: Mapping[str, float]


@dataclass(frozen=True)
class Agreement:
    """One damaged song rendered with random settings: the blind totals and the true recoveries."""

    song: str
    stage: str
    rho: float
    before: float
    blind: tuple[float, ...]
    recovery: tuple[float, ...]
    terms: tuple[Mapping[str, float], ...]


def main() -> None:
    """Run the gates and print their tables."""
    options = _options()
    model = _model(options)
    songs = [] if options.gate == "scrambled" else list(_segments(options))
    target = loudness_target(options.target)
    print(f"{len(songs)} songs, {options.seconds:g} s each, target {target.name}; weights:")
    print(", ".join(f"{name} {weight:g}" for name, weight in model.weights.items()))
    found: dict[str, object] = {}
    if options.gate in ("adversarial", "both"):
        ruins = adversarial_gate(model, songs, target, options.seed)
        found["adversarial"], found["fallen_share"] = [asdict(ruin) for ruin in ruins], fallen_share(ruins)
    if options.gate in ("agreement", "both"):
        table = agreement_gate(model, songs, target, options)
        found["agreement"] = [asdict(row) for row in table]
        found["median_rho"] = float(np.median([row.rho for row in table]))
    if options.gate == "scrambled":
        found |= scrambled_gates(model, options)
    if options.output:
        options.output.write_text(json.dumps(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--split", choices=("train", "validation", "test"), help="of a corpus")
    source.add_argument("--songs", type=Path, nargs="+", help="folders of finished songs")
    parser.add_argument("--corpus", type=Path, help="with --split; default: the user's corpus")
    parser.add_argument("--gate", choices=("adversarial", "agreement", "both", "scrambled"), default="both")
    parser.add_argument("--cases", type=Path, help="with the gate scrambled: a store of cases in four stems")
    parser.add_argument(
        "--count", type=int, default=40, help="segments, each of its own song if there are enough"
    )
    parser.add_argument("--settings", type=int, default=64, help="random settings a song")
    parser.add_argument("--reach", type=float, help="of the settings, 0 to 1; default: drawn for each")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--sweep", nargs="*", default=[], metavar="TERM", help="gates by the term's weight")
    parser.add_argument("--target", default="streaming")
    parser.add_argument("--reward", default="default", help="a file of conf/reward")
    parser.add_argument(
        "--weight", nargs="*", default=[], metavar="TERM=WEIGHT", help="in place of the file's"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="8 songs, 16 settings")
    parser.add_argument("--output", type=Path, help="every case with every term, as JSON")
    options = parser.parse_args()
    if options.quick:
        options.count, options.settings = min(options.count, 8), min(options.settings, 16)
    return options


def _model(options: argparse.Namespace) -> RewardModel:
    rows = OmegaConf.to_container(
        OmegaConf.load(str(resources.files("mixagent.conf").joinpath(f"reward/{options.reward}.yaml")))
    )
    for name, _, weight in (given.partition("=") for given in options.weight):
        rows["terms"].setdefault(name, {})["weight"] = float(weight)
    for row in rows["terms"].values():
        row.pop("every", None)
    return load_reward(rows)


# --- songs -----------------------------------------------------------------------------------------


def _segments(options: argparse.Namespace) -> Iterator[Segment]:
    found = _from_corpus(options) if options.split else _from_folders(options)
    return (segment for segment in found if np.isfinite(integrated_lufs(segment.audio)))


def _from_folders(options: argparse.Namespace) -> Iterator[Segment]:
    for path in find_songs(options.songs, options.count, options.seconds):
        yield Segment(path.stem, excerpt(path, options.seconds))


def _from_corpus(options: argparse.Namespace) -> Iterator[Segment]:
    """Songs spread over the split; several segments of each where there are too few of them."""
    corpus = Corpus.open(options.corpus)
    songs = corpus.songs(options.split, "clean truth")
    if not songs:
        raise SystemExit(f"the corpus has no clean song in its {options.split} split")
    turns = -(-options.count // len(songs))
    for number in range(options.count):
        song = songs[number * len(songs) // options.count if turns == 1 else number % len(songs)]
        place = (number // len(songs) + 1) / (turns + 1) if turns > 1 else 0.5
        start_s = place * (song.duration_s - options.seconds)
        yield Segment(f"{song.id}@{start_s:.0f}", corpus.segment(song, start_s, options.seconds))


def _damaged(segment: Segment, stage: Curriculum, number: int, target: LoudnessTarget) -> Audio:
    """Damage of a stage; every second song by the mechanisms kept for validation."""
    random = np.random.default_rng([number, STAGES.index(stage)])
    done = draw_damage(random, stage, validation=bool(number % 2))
    return load(make_case(segment.name, segment.audio, done, None, target).stems.mix)


# --- adversarial edits -------------------------------------------------------------------------------


def adversarial_gate(
    model: RewardModel, songs: Sequence[Segment], target: LoudnessTarget, seed: int
) -> list[Ruin]:
    """Ruin every song in every way, print what does not fall, and give every case."""
    ruins: list[Ruin] = []
    moved: list[float] = []
    for number, song in enumerate(songs):
        damaged = _damaged(song, "all", number, target)
        for base, audio in zip(BASES, (song.audio, damaged), strict=True):
            before = AnalysedAudio(audio)
            neutral, finished = judge(model, before, audio, target)
            for name in ADVERSARIAL_EDITS:
                score, render = judge(model, before, edit_adversarially(audio, name, seed + number), target)
                trace = Original(finished).distance(render).total
                fall = neutral.blind - score.blind
                ruins.append(Ruin(song.name, base, name, fall, trace, dict(score.terms)))
            moved.append(_moved_by_gain(model, before, neutral, target))
    _print_ruins(ruins, moved)
    return ruins


def judge(
    model: RewardModel, before: AnalysedAudio, audio: Audio, target: LoudnessTarget
) -> tuple[Score, Audio]:
    """The score of audio finished as the product would, against its input; and the finished audio."""
    finish = finalise(audio, target, None)
    after = load(finish.audio)
    settings = ParameterSpace.for_stems(()).settings()
    return model.score(RenderPair(before, AnalysedAudio(after), settings, finish, target=target)), after


def _moved_by_gain(
    model: RewardModel, before: AnalysedAudio, neutral: Score, target: LoudnessTarget
) -> float:
    """The most by which a pure gain moves the total: of the render, finished or not, or of the input."""
    audio = before.audio
    quieter, louder = (
        Audio(audio.samples * np.float32(db_to_amplitude(gain_db)), audio.rate) for gain_db in GAINS_DB
    )
    raw = [model.score(RenderPair(before, AnalysedAudio(gained))) for gained in (quieter, louder)]
    finished = [judge(model, before, gained, target)[0] for gained in (quieter, louder)]
    inputs = [judge(model, AnalysedAudio(gained), audio, target)[0] for gained in (quieter, louder)]
    same = model.score(RenderPair(before, before))
    return max(
        *(abs(score.blind - same.blind) for score in raw),
        *(abs(score.blind - neutral.blind) for score in (*finished, *inputs)),
    )


def fallen_share(ruins: Sequence[Ruin]) -> float:
    """Of the ruins that left a trace, the share whose total fell."""
    traced = [ruin for ruin in ruins if ruin.trace >= TRACE]
    return sum(ruin.fall >= MATTERS for ruin in traced) / max(len(traced), 1)


def _print_ruins(ruins: Sequence[Ruin], moved: Sequence[float]) -> None:
    traced = [ruin for ruin in ruins if ruin.trace >= TRACE]
    fallen = sum(ruin.fall >= MATTERS for ruin in traced)
    share = fallen_share(ruins)
    print(f"\nGate 1: {fallen} of {len(traced)} fall ({share:.1%}); {_verdict(share >= FALLS_SHARE)}")
    print(f"{len(ruins) - len(traced)} left no trace (nothing to take away) and are not counted\n")
    print("| adversarial edit | " + " | ".join(f"fell, of {base} | least | median" for base in BASES) + " |")
    print("|---|" + "--:|" * 3 * len(BASES))
    for name in ADVERSARIAL_EDITS:
        cells = [_cells([r for r in traced if (r.edit, r.base) == (name, base)]) for base in BASES]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nDid not fall:")
    for ruin in sorted((r for r in traced if r.fall < MATTERS), key=lambda r: (r.edit, r.fall)):
        print(f"  {ruin.edit} of {ruin.base}, {ruin.song}: {-ruin.fall:+.3f} (distance {ruin.trace:.2f})")
    steady = _verdict(max(moved) < MATTERS)
    print(f"\nA gain of −20 or +6 dB moves the total by at most {max(moved):.4f}; {steady}")


def _cells(ruins: Sequence[Ruin]) -> str:
    falls = [ruin.fall for ruin in ruins]
    if not falls:
        return "– | – | –"
    fell = sum(fall >= MATTERS for fall in falls)
    return f"{fell}/{len(falls)} | {min(falls):.2f} | {np.median(falls):.2f}"


def _verdict(passed: bool) -> str:
    return "passed" if passed else "NOT PASSED"


# --- agreement -------------------------------------------------------------------------------------


def agreement_gate(
    model: RewardModel, songs: Sequence[Segment], target: LoudnessTarget, options: argparse.Namespace
) -> list[Agreement]:
    """Render each damaged song with random settings, print how the ranks agree, and give every case."""
    table: list[Agreement] = []
    for number, song in enumerate(songs):
        stage = DAMAGED[number % len(DAMAGED)]
        damaged = _damaged(song, stage, number, target)
        random = np.random.default_rng(options.seed + number)
        settings = [random_settings(random, options.reach) for _ in range(options.settings)]
        table.append(_agreement(model, song, damaged, stage, target, settings))
        print(f"# {song.name} {stage}: {table[-1].rho:.2f}", flush=True)
    _print_agreement(table)
    return table


def _agreement(
    model: RewardModel,
    song: Segment,
    damaged: Audio,
    stage: Curriculum,
    target: LoudnessTarget,
    chosen: Sequence[Settings],
) -> Agreement:
    stems, before, original = Stems(damaged, {}), AnalysedAudio(damaged), Original(song.audio)
    levels = measure_levels(stems)
    distance = before.distance(original).total
    scores: list[Score] = []
    recoveries: list[float] = []
    for settings in chosen:
        rendered = render(stems, settings, target, levels=levels)
        after = AnalysedAudio(load(rendered.audio))
        scores.append(model.score(RenderPair(before, after, settings, rendered.finish, target=target)))
        recoveries.append(1.0 - after.distance(original).total / distance)
    blind = [score.blind for score in scores]
    rho = float(spearmanr(blind, recoveries).statistic)
    terms = tuple(dict(score.terms) for score in scores)
    return Agreement(song.name, stage, rho, distance, tuple(blind), tuple(recoveries), terms)


def random_settings(
    random: np.random.Generator, reach: float | None = None, stems: Sequence[str] = ()
) -> Settings:
    """Settings of strips, buses and master: a random share of them, moved either way by up to `reach`.

    The share is uniform, and so is the reach (in action units) where none is given, so that subtle
    settings and gross ones are ranked together. At one reach the size of a setting says less of what
    it is worth, and its direction more.
    """
    space = ParameterSpace.for_stems(stems)
    share, drawn = random.uniform(0.05, 1.0), random.uniform(0.05, 1.0)
    moved = random.random(len(space)) < share
    chosen = np.array([_is_mixed(parameter.where, stems) for parameter in space])
    action = random.uniform(-1.0, 1.0, len(space)) * (reach or drawn) * moved * chosen
    return space.from_action(action)


def _is_mixed(where: str, stems: Sequence[str]) -> bool:
    return where == "master" or (bool(stems) and where not in ADVANCED_PLACES)


def _print_agreement(table: Sequence[Agreement]) -> None:
    rhos: Float64Array = np.array([row.rho for row in table])
    median = float(np.median(rhos))
    verdict = _verdict(median >= AGREEMENT)
    print(f"\nGate 2: median Spearman's ρ {median:.3f} over {len(table)} songs; {verdict}\n")
    print("| damage | songs | least | 10 % | 25 % | median | 75 % | 90 % | most |")
    print("|---|" + "--:|" * 8)
    for stage in (*dict.fromkeys(row.stage for row in table), "any"):
        chosen = [row.rho for row in table if stage in (row.stage, "any")]
        if chosen:
            cuts = " | ".join(f"{value:.2f}" for value in np.percentile(chosen, (0, 10, 25, 50, 75, 90, 100)))
            print(f"| {stage} | {len(chosen)} | {cuts} |")
    _print_choice(table)


def _print_choice(table: Sequence[Agreement]) -> None:
    """Print what the ranks of everything cannot say: what is left of them without the size of the settings,
    how the good renders are ordered, and what the best by the blind total is worth."""
    rows = [
        (np.array(row.blind), np.array(row.recovery), np.array([terms["prior"] for terms in row.terms]))
        for row in table
    ]
    nearer = np.mean([np.mean(recovery > 0) for _, recovery, _ in rows])
    alone = np.median([_rho(prior, recovery) for _, recovery, prior in rows])
    beyond = np.median([_partial_rho(*row) for row in rows])
    better = np.median([_rho(blind[half], true[half]) for blind, true, half in _better_halves(rows)])
    chosen = [true[np.argmax(blind)] if blind.max() > 0 else 0.0 for blind, true, _ in rows]
    most = np.mean([max(true.max(), 0.0) for _, true, _ in rows])
    print(f"\n{nearer:.0%} of the random settings bring the song nearer to its original")
    print(f"Median ρ of the size of the action alone {alone:.2f}; of the total beyond the size {beyond:.2f}")
    print(f"Median ρ among the truly better half of each song's settings {better:.2f}")
    print(f"The setting best by the blind total (none where none is over 0) undoes {np.mean(chosen):+.1%},")
    print(f"{min(chosen):+.1%} at worst; the best by the truth undoes {most:+.1%}")


def _rho(a: Float64Array, b: Float64Array) -> float:
    return float(spearmanr(a, b).statistic)


def _partial_rho(a: Float64Array, b: Float64Array, given: Float64Array) -> float:
    """Spearman's ρ of a and b with the ranks of a third taken out of both."""
    ab, ac, bc = _rho(a, b), _rho(a, given), _rho(b, given)
    return (ab - ac * bc) / float(np.sqrt((1 - ac**2) * (1 - bc**2)))


def _better_halves(
    rows: Sequence[tuple[Float64Array, Float64Array, Float64Array]],
) -> list[tuple[Float64Array, Float64Array, Float64Array]]:
    return [(blind, true, true >= np.median(true)) for blind, true, _ in rows]


# --- scrambled mixes -------------------------------------------------------------------------------


@dataclass(frozen=True)
class StemRuin:
    """One stem of one mix ruined in one way: the fall of the blind total, and the share undone.

    `terms` are the ruin's, `before` those of the mix that was only finished.
    """

    case: str
    base: str
    stem: str
    edit: str
    fall: float
    undone: float
    terms: Mapping[str, float]
    before: Mapping[str, float]


def scrambled_gates(model: RewardModel, options: argparse.Namespace) -> dict[str, object]:
    """Ruin single stems, then move strips and master at random, of every case; print and give all of it."""
    store = CaseStore(options.cases)
    names = [row["name"] for row in store.rows() if row["split"] == options.split and row.get("disorder")]
    separator = choose_separator("embedded", "cpu", 4).separator
    ruins: list[StemRuin] = []
    table: list[Agreement] = []
    for number, name in enumerate(names[: options.count]):
        case = store.load(name)
        assert case.original is not None
        assert case.damage is not None
        for base, stems in zip(SCRAMBLED, (separate(case.original, separator), case.stems), strict=True):
            ruins += _stem_ruins(model, case, base, stems)
        random = np.random.default_rng(options.seed + number)
        parts = tuple(case.stems.parts)
        drawn = [random_settings(random, options.reach, parts) for _ in range(options.settings)]
        table.append(_scrambled_agreement(model, case, drawn))
        print(f"# {name} {'+'.join(case.damage.kinds)}: {table[-1].rho:.2f}", flush=True)
    _print_stem_ruins(ruins)
    _print_agreement(table)
    for name in options.sweep:
        _print_sweep(model, name, ruins, table)
    return {"stems": [asdict(ruin) for ruin in ruins], "agreement": [asdict(row) for row in table]}


SCRAMBLED = ("the song", "a scrambled mix")


def _stem_ruins(model: RewardModel, case: Case, base: str, stems: Stems) -> list[StemRuin]:
    assert case.original is not None
    before, original = AnalysedAudio(load(stems.mix)), Original(case.original)
    parts = {name: load(part) for name, part in stems.parts.items()}
    known = AnalysedStems(before, parts)
    settings = ParameterSpace.for_stems(()).settings()

    def judged(edited: Stems) -> tuple[Score, float]:
        finish = finalise(load(edited.mix), case.target, None)
        after = AnalysedAudio(load(finish.audio))
        heard = AnalysedStems(after, {name: load(part) for name, part in edited.parts.items()})
        pair = RenderPair(before, after, settings, finish, None, known, heard, case.target)
        return model.score(pair), after.distance(original).total

    neutral, near = judged(stems)
    found = []
    for name in there(stems):
        for edit in STEM_EDITS:
            score, far = judged(edit_stem_adversarially(stems, name, edit))
            undone = (near - far) / max(near, LEAST_DISTANCE)
            fall = neutral.blind - score.blind
            terms = (dict(score.terms), dict(neutral.terms))
            found.append(StemRuin(case.name, base, name, edit, fall, undone, *terms))
    return found


def _print_stem_ruins(ruins: Sequence[StemRuin]) -> None:
    harmful = [ruin for ruin in ruins if ruin.undone < -HARM]
    fallen = sum(ruin.fall >= MATTERS for ruin in harmful) / max(len(harmful), 1)
    print(f"\nStems ruined: {fallen:.1%} of {len(harmful)} fall; {_verdict(fallen >= FALLS_SHARE)}")
    print(f"{len(ruins) - len(harmful)} did no harm to the distance and are not counted\n")
    print("| edit of a stem | " + " | ".join(f"fell, of {base} | median" for base in SCRAMBLED) + " |")
    print("|---|" + "--:|" * 2 * len(SCRAMBLED))
    for edit in STEM_EDITS:
        cells = []
        for base in SCRAMBLED:
            falls = [ruin.fall for ruin in harmful if (ruin.edit, ruin.base) == (edit, base)]
            fell = sum(fall >= MATTERS for fall in falls)
            cells.append(f"{fell}/{len(falls)} | {np.median(falls):.2f}" if falls else "– | –")
        print(f"| {edit} | " + " | ".join(cells) + " |")


def _print_sweep(
    model: RewardModel, name: str, ruins: Sequence[StemRuin], table: Sequence[Agreement]
) -> None:
    """Print both gates at other weights of one term, the others as they are."""
    print(f"\n| weight of {name} | stems ruined that fall | median ρ | favourite undoes |\n|--:|--:|--:|--:|")
    for weight in SWEPT:
        weights = {**model.weights, name: weight}
        harmful = [ruin for ruin in ruins if ruin.undone < -HARM]
        falls = [_total(ruin.before, weights) - _total(ruin.terms, weights) for ruin in harmful]
        fallen = np.mean(np.array(falls) >= MATTERS)
        totals = [np.array([_total(terms, weights) for terms in row.terms]) for row in table]
        true = [np.array(row.recovery) for row in table]
        rho = np.median([_rho(*pair) for pair in zip(totals, true, strict=True)])
        best = np.mean([b[np.argmax(a)] if a.max() > 0 else 0.0 for a, b in zip(totals, true, strict=True)])
        print(f"| {weight:g} | {fallen:.1%} | {rho:.2f} | {best:+.1%} |")


def _total(terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return sum(weights.get(name, 0.0) * value for name, value in terms.items())


SWEPT = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
"""The weights that `--sweep` tries."""

HARM = 0.1
"""The share of its distance by which an edit of a stem takes a mix further from its original, to count."""


def _scrambled_agreement(model: RewardModel, case: Case, drawn: Sequence[Settings]) -> Agreement:
    assert case.damage is not None
    assert case.distance is not None
    material = Material(case, drawn[0].space)
    assert material.original is not None
    scores: list[Score] = []
    recoveries: list[float] = []
    for settings in drawn:
        pair = replace(material.render_pair(settings, model.hears_stems), original=None)
        scores.append(model.score(pair))
        after = pair.after.distance(material.original).total
        recoveries.append(1.0 - after / max(case.distance.total, LEAST_DISTANCE))
    blind = [score.blind for score in scores]
    rho = float(spearmanr(blind, recoveries).statistic)
    terms = tuple(dict(score.terms) for score in scores)
    alone = "scrambled alone" if not case.damage.severities else "scrambled and damaged"
    return Agreement(case.name, alone, rho, case.distance.total, tuple(blind), tuple(recoveries), terms)


if __name__ == "__main__":
    main()
