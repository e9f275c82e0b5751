"""Goals in words: how many are understood, and what ten of them change.

    python scripts/benchmark_goals.py [--held-out] [--song SONG] [--output runs/goals.json]

The phrases stand in `tests/pipeline/matching`, each with what an engineer would make of it. A phrase counts
as understood where every piece that is expected was found with its scope, direction and amount, nothing
else was, and no word of it was left as not understood; as ignored in part where a word is in no piece, in
no list and is none of those that say nothing by themselves. `--held-out` looks at the sixty that were
written before the vocabulary grew, and is for the end.

With a song, it is taken apart once and ten goals are rendered through the one render, from neutral settings.
A row has what changed: the level of each stem behind its strip, the tone of the mix by region with its level
removed, its width, its loudness by section against the whole, and loudness and peak of the finished master.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixagent.pipeline.chain.edits import Span, section
from mixagent.pipeline.chain.mixing import is_active, measure_levels, strip_blocks
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.io import decode
from mixagent.pipeline.matching.moves import moved
from mixagent.pipeline.matching.reading import understood
from mixagent.pipeline.matching.section_goals import section_settings
from mixagent.pipeline.measure.analysis import Analysis, analyse
from mixagent.pipeline.measure.meters import integrated_lufs, measure
from mixagent.pipeline.measure.song_sections import SongSection, find_sections
from mixagent.pipeline.render import finished, premaster
from mixagent.pipeline.separation import choose_separator
from mixagent.pipeline.types import AudioSource, Stems, collect
from mixagent.session.guidance import Guidance, goal_lines

TESTS = Path(__file__).parent.parent / "tests"

GOALS = (
    "vocals 3 dB up",
    "less boxy guitars",
    "punchier drums, leave the bass alone",
    "warm, wide, less harsh",
    "a bit darker",
    "cassette",
    "chorus 2 dB louder and brighter",
    "keep the intro quiet, less bass in the verse",
    "everything louder except the drums",
    "-9 LUFS, ceiling -1.5 dBTP, twice as wide",
)


@dataclass(frozen=True)
class Change:
    """What a goal changed against the neutral render.

    Attributes:
        goal: in words.
        moves: parameters that it moved.
        stems_db: level of each stem behind its strip.
        tones_db: regions of each stem that was moved, level removed, and how sharp its attacks are.
        bands_db: of the mix by region, level removed.
        width_db: side against mid.
        sections_lu: loudness of each kind of section against the whole.
        lufs: of the finished master.
        peak_dbtp: of the finished master.
        told: what was not done, or not understood.
    """

    goal: str
    moves: int
    stems_db: Mapping[str, float]
    tones_db: Mapping[str, float]
    bands_db: Mapping[str, float]
    width_db: float
    sections_lu: Mapping[str, float]
    lufs: float
    peak_dbtp: float
    told: Sequence[str]


def main() -> None:
    """Print the shares, and the changes where a song is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--held-out", action="store_true", help="look at the sixty too")
    parser.add_argument("--song", type=Path, help="that ten goals are rendered on")
    parser.add_argument("--output", type=Path, help="where the figures go as JSON")
    options = parser.parse_args()
    sys.path[:0] = [str(TESTS), str(TESTS / "pipeline" / "matching")]
    found: dict[str, Any] = {"developed": _share("goal_phrases_developed", "DEVELOPED")}
    if options.held_out:
        found["held_out"] = _share("goal_phrases_held_out", "HELD_OUT")
    if options.song:
        found["changes"] = [asdict(change) for change in _changes(options.song)]
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _share(module: str, name: str) -> dict[str, int]:
    """How many of the phrases are understood, and in how many a word is ignored; those missed are printed."""
    marks = importlib.import_module("goal_marks")
    phrases: list[tuple[str, list[str]]] = getattr(importlib.import_module(module), name)
    right = ignored = 0
    for text, expected in phrases:
        missed = marks.misses(text, expected)
        right += not missed
        ignored += bool(marks.ignored(text))
        if missed:
            print(f"  {text!r}: {'; '.join(missed)}")
    share = 100 * right / len(phrases)
    print(f"{name}: {right} of {len(phrases)} understood ({share:.1f} %), {ignored} with a word ignored")
    return {"phrases": len(phrases), "understood": right, "ignored": ignored}


def _changes(path: Path) -> list[Change]:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        song = decode(path, scratch / "song.f32").audio
        stems = choose_separator("embedded", "cpu").separator.separate(song, scratch, lambda _: None)
        sections = find_sections(song)
        print("sections:", ", ".join(f"{s.start_s:.0f}–{s.stop_s:.0f} s {s.label}" for s in sections))
        rendered = _Renderer(stems, sections, scratch)
        changes = [rendered.change(goal) for goal in GOALS]
    for change in changes:
        _print(change)
    return changes


class _Renderer:
    """Renders goals of one song and measures them against the neutral render."""

    def __init__(self, stems: Stems, sections: Sequence[SongSection], scratch: Path) -> None:
        self._stems, self._sections, self._scratch = stems, sections, scratch
        self._space = ParameterSpace.for_stems(tuple(stems.parts))
        self._levels = measure_levels(stems)
        self._before = analyse(stems.mix)
        self._stem_lufs = {name: integrated_lufs(part) for name, part in stems.parts.items()}
        self._by_section = self._section_lu(stems.mix)

    def change(self, text: str) -> Change:
        """What a goal changes."""
        goal, stems = understood(text), self._stems
        settings, _ = moved(self._space.settings(), {}, goal.moves(self._space))
        by_section, unplaced = section_settings(goal, self._sections, self._space)
        mix = premaster(stems, settings, self._scratch, self._levels, sections=by_section)
        after = analyse(mix)
        target = Guidance(goal=goal).target(loudness_target("streaming"), named=False)
        finish, _ = finished(mix, settings, target, self._scratch)
        master = measure(finish.audio)
        lu = self._section_lu(mix)
        reach = [f"“{piece.words}”: {why}" for piece, why in goal.out_of_reach(self._space)]
        return Change(
            goal=text,
            moves=len(settings.changed()) + sum(len(s.values) + bool(s.gain_db) for s in by_section),
            stems_db={name: self._stem_db(name, settings) for name in stems.parts},
            tones_db=self._tones(settings),
            bands_db=_bands(self._before, after),
            width_db=_width_db(after) - _width_db(self._before),
            sections_lu={name: lu[name] - self._by_section[name] for name in lu},
            lufs=master.integrated_lufs,
            peak_dbtp=master.true_peak_dbtp,
            told=(*goal_lines(goal), *unplaced, *reach),
        )

    def _stem_db(self, name: str, settings: Settings) -> float:
        return integrated_lufs(self._behind(name, settings)) - self._stem_lufs[name]

    def _behind(self, name: str, settings: Settings) -> AudioSource:
        """A stem behind its strip and bus."""
        part = self._stems.parts[name]
        return collect(strip_blocks(self._stems, name, settings, self._levels), part.rate, part.channels)

    def _tones(self, settings: Settings) -> dict[str, float]:
        """What became of the tone and the attacks of the stems that were moved."""
        found = {}
        for name, part in self._stems.parts.items():
            if not is_active(settings, name):
                continue
            before, after = analyse(part), analyse(self._behind(name, settings))
            found |= {f"{name} {band}": db for band, db in _bands(before, after).items()}
            found[f"{name} attacks"] = after.transient_sharpness_db - before.transient_sharpness_db
        return found

    def _section_lu(self, source: AudioSource) -> dict[str, float]:
        """The loudness of each kind of section against the whole."""
        whole = integrated_lufs(source)
        levels: dict[str, list[float]] = {}
        for each in self._sections:
            lufs = integrated_lufs(section(source, Span(each.start_s, each.stop_s)))
            levels.setdefault(each.label, []).append(lufs - whole)
        return {name: float(np.mean(found)) for name, found in levels.items()}


def _bands(before: Analysis, after: Analysis) -> dict[str, float]:
    return {name: after.bands_db[name] - level for name, level in before.bands_db.items()}


def _width_db(analysis: Analysis) -> float:
    """Side against mid, the mean of the regions."""
    return float(np.mean([level for level in analysis.side_ratio_db.values() if np.isfinite(level)]))


def _print(change: Change) -> None:
    def row(values: Mapping[str, float]) -> str:
        return ", ".join(f"{name} {value:+.1f}" for name, value in values.items() if abs(value) >= 0.05)

    print(f"“{change.goal}”: {change.moves} settings")
    print(f"  stems dB: {row(change.stems_db) or '–'}; their tone: {row(change.tones_db) or '–'}")
    print(f"  bands dB: {row(change.bands_db) or '–'}; width {change.width_db:+.1f} dB")
    print(f"  sections LU: {row(change.sections_lu) or '–'}")
    print(f"  master: {change.lufs:.2f} LUFS, {change.peak_dbtp:.2f} dBTP")
    for line in change.told:
        print(f"  ! {line}")


if __name__ == "__main__":
    main()
