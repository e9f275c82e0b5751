"""The stems of a mix as a page's player has them: a passage of each, before and behind its strip."""

from __future__ import annotations

from dataclasses import replace

from mixagent.pipeline.chain.edits import Span, section
from mixagent.report.listening import Excerpt
from mixagent.report.player import StemSide, StemSides, match_db
from mixagent.report.sounds import MixSound, StemSound
from mixagent.report.words import place_label

_LEAST_S = 1.0
_COLOURS = (2, 4, 1, 5, 7, 3, 6)
_RESIDUAL_COLOUR = 8


def stem_sides(mix: MixSound, start_s: float, excerpt: Excerpt) -> StemSides | None:
    """The stems that a player takes; None where it holds less than a second of their passage.

    Args:
        mix: the passage.
        start_s: where the page's time begins in the song.
        excerpt: of the player, in the page's time.
    """
    first = next(iter(mix.stems.values())).before
    begin_s = mix.start_s - start_s - excerpt.start_s
    end_s = min(begin_s + first.frames / first.rate, excerpt.stop_s - excerpt.start_s)
    inside = Span(max(-begin_s, 0.0), end_s - begin_s)
    if inside.stop_s - inside.start_s < min(_LEAST_S, excerpt.stop_s - excerpt.start_s):
        return None
    return StemSides(
        start_s=max(begin_s, 0.0),
        stop_s=end_s,
        lufs=mix.lufs,
        stems=tuple(
            _side(place, name, _cut(stem, inside)) for place, (name, stem) in enumerate(mix.stems.items())
        ),
    )


def _cut(stem: StemSound, inside: Span) -> StemSound:
    before = section(stem.before, inside)
    return replace(
        stem, before=before, after=before if stem.after is stem.before else section(stem.after, inside)
    )


def _side(place: int, name: str, stem: StemSound) -> StemSide:
    matched = match_db(dict(zip(("before", "after"), stem.lufs, strict=True)))
    colour = _RESIDUAL_COLOUR if place >= len(_COLOURS) else _COLOURS[place]
    label = "Rest" if name == "residual" else place_label(name)
    gains = matched["before"], matched["after"]
    return StemSide(name, label, f"side-{colour}", stem.before, stem.after, gains)
