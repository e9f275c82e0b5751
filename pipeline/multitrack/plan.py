"""Plans a mix of a musician's tracks: the role and placement of each, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from mixagent.pipeline.decibels import power_to_db
from mixagent.pipeline.multitrack.alignment import (
    INVERTED,
    Correction,
    Relation,
    correction_to,
    corrections,
    loud_starts,
    related_pairs,
    relation,
)
from mixagent.pipeline.multitrack.bounces import bounces
from mixagent.pipeline.multitrack.content import listen, role_of
from mixagent.pipeline.multitrack.names import LEFT_OUT, RESIDUAL, ROLES, Named, names_of, sides_of, words_of
from mixagent.pipeline.multitrack.placement import Placement, Plan, summed
from mixagent.pipeline.types import AudioSource, Float64Array, Progress

Balance = Literal["keep", "auto"]

STEP_S = 0.1
"""Of `Track.energies`."""

BALANCE_LU: Mapping[str, float] = {
    "vocals": 0.0,
    "drums": -2.0,
    "bass": -4.0,
    "accompaniment": -2.0,
    "guitar": -6.0,
    "piano": -6.0,
    "other": -8.0,
}
"""The starting balance: loudness of each role against the vocals, shared equally by its tracks. A
convention to start from (the voice in front, the rhythm section next, the rest behind), not a measurement."""

NORMALISED_SPREAD_DB, NORMALISED_PEAK_DBFS = 0.5, -3.0
"""Tracks whose peaks all lie this close together and this high were each normalised."""

LEVELLED_SPREAD_LU = 1.0
"""Tracks whose loudnesses all lie this close together were each normalised to a loudness."""

_LEAST_LEVELLED, _LEAST_NORMALISED = 4, 3
_LEAST_DELAY_S = 1e-4
_FAR = {
    *("room", "rooms", "raum", "amb", "ambience", "hall", "chamber", "plate", "reverb", "verb", "echo"),
    *("delay", "return", "send", "fx", "fxs", "sfx", "wet"),
}
"""Words of tracks that are meant to come later: their offset is told and never undone."""


@dataclass(frozen=True)
class Track:
    """A decoded track at the song's rate.

    Attributes:
        name: of its file, without the ending.
        audio: its samples, mono or stereo, of its own length.
        lufs: integrated loudness; −inf for silence.
        peak_dbfs: sample peak; −inf for silence.
        energies: K-weighted mean square of each `STEP_S`.
    """

    name: str
    audio: AudioSource
    lufs: float
    peak_dbfs: float
    energies: Float64Array


@dataclass(frozen=True)
class Wish:
    """The user's choices for tracks.

    Attributes:
        roles: role by the track's place, for those that were named.
        align: whether offsets and polarity may be undone.
        balance: `auto` for `BALANCE_LU`, `keep` for the tracks' own.
        song: that the tracks belong to; None where their sum is the song.
    """

    roles: Mapping[int, str] = field(default_factory=dict)
    align: bool = True
    balance: Balance = "keep"
    song: AudioSource | None = None


def plan(tracks: Sequence[Track], wish: Wish, progress: Progress | None = None) -> Plan:
    """Decide on every track: its role by the user's word, by its name, by its content, and its place.

    Args:
        tracks: one or more, all of one rate, which is the song's.
        wish: what was asked for.
        progress: called with the share done, 0..1; may raise to cancel.
    """
    report = progress or (lambda share: None)
    named = _without_bounces(tracks, _named(tracks, wish))
    placements = _with_sides(tracks, _with_content(tracks, named, lambda share: report(0.5 * share)))
    if wish.balance == "auto":
        placements = _balanced(tracks, placements)
    relations = _relations(tracks, placements, lambda share: report(0.5 + 0.5 * share))
    made = Plan(tuple(placements), *_shape(tracks, placements, wish.song))
    if wish.song is not None:
        made = _laid_onto(wish.song, tracks, made) if wish.align else made
        found: Mapping[int, Correction] = {}
    else:
        found = _corrected(tracks, placements, relations) if wish.align else {}
        made = replace(made, placements=tuple(_moved(p, found.get(k)) for k, p in enumerate(placements)))
    warnings = (*made.warnings, *_warnings(tracks, made, wish))
    return replace(made, warnings=warnings, pairs=tuple(_told(tracks, relations, found)))


def _shape(
    tracks: Sequence[Track], placements: Sequence[Placement], song: AudioSource | None
) -> tuple[int, int]:
    """Channels and frames of the mix: the song's, or those that hold all tracks that are in it."""
    if song is not None:
        return song.channels, song.frames
    mixed = [k for k, placement in enumerate(placements) if placement.mixed] or range(len(tracks))
    stereo = any(tracks[k].audio.channels == 2 or placements[k].side for k in mixed)
    return 2 if stereo else 1, max(tracks[k].audio.frames for k in mixed)


# --- roles -----------------------------------------------------------------------------------------


def _named(tracks: Sequence[Track], wish: Wish) -> list[Placement | None]:
    """The placements that the user, silence and the names decide; None where they say nothing."""
    names = names_of([track.name for track in tracks])
    return [_by_word(track, names[k], wish.roles.get(k)) for k, track in enumerate(tracks)]


def _by_word(track: Track, name: Named | None, wished: str | None) -> Placement | None:
    if wished is not None:
        return Placement(wished, "map", "as you said")
    if name is not None and name.kind == RESIDUAL:
        return Placement(RESIDUAL, "name", name.word)
    if not math.isfinite(track.peak_dbfs):
        return Placement(LEFT_OUT, "silence", "silent")
    if name is None:
        return None
    if name.kind == "click":
        return Placement(LEFT_OUT, "name", f"a click track by its name ({name.word})")
    if name.kind == "mix":
        return Placement(LEFT_OUT, "name", f"a bounce of the song by its name ({name.word})")
    return Placement(name.kind, "name", name.word)


def _without_bounces(tracks: Sequence[Track], placements: list[Placement | None]) -> list[Placement | None]:
    """The same without tracks that are the sum of others; what only is called a mix stays if it is alone."""
    if not any(placement is None or placement.mixed for placement in placements):
        placements = [None if p and p.how == "name" else p for p in placements]
    mixed = {k: p for k, p in enumerate(placements) if p is None or p.mixed}
    free = [k for k, p in mixed.items() if p is None or (p.how == "name" and p.role != RESIDUAL)]
    backing = [k for k, p in mixed.items() if p is not None and p.role == "accompaniment"]
    for k, parts in bounces({k: tracks[k].audio for k in mixed}, free, backing).items():
        names = ", ".join(tracks[part].name for part in parts[:3]) + (" …" if len(parts) > 3 else "")
        placements[k] = Placement(LEFT_OUT, "sum", f"the sum of {names}")
    return placements


def _with_content(
    tracks: Sequence[Track], placements: Sequence[Placement | None], report: Progress
) -> list[Placement]:
    """Roles by content for the tracks that have none yet."""
    decided: list[Placement] = []
    for k, placement in enumerate(placements):
        report(k / len(tracks))
        if placement is None:
            role, why = role_of(listen(tracks[k].audio))
            placement = Placement(role, "content", why)
        decided.append(placement)
    return decided


def _with_sides(tracks: Sequence[Track], placements: list[Placement]) -> list[Placement]:
    """Mono tracks that are named as two sides of one go left and right."""
    mono = [k for k, placement in enumerate(placements) if placement.mixed and tracks[k].audio.channels == 1]
    sides = {mono[at]: side for at, side in sides_of([tracks[k].name for k in mono]).items()}
    return [replace(placement, side=sides.get(k, 0)) for k, placement in enumerate(placements)]


def _balanced(tracks: Sequence[Track], placements: Sequence[Placement]) -> list[Placement]:
    """The starting balance: only attenuation, so that the sum comes out no louder than it has to be."""
    roles = [placement.role for placement in placements]
    wanted = {
        k: BALANCE_LU[role] - power_to_db(roles.count(role)) - tracks[k].lufs
        for k, role in enumerate(roles)
        if role in BALANCE_LU and math.isfinite(tracks[k].lufs)
    }
    most = max(wanted.values(), default=0.0)
    return [replace(p, gain_db=wanted[k] - most) if k in wanted else p for k, p in enumerate(placements)]


# --- places ----------------------------------------------------------------------------------------

Pairs = Mapping[tuple[int, int], Relation]


def _step(tracks: Sequence[Track]) -> int:
    return round(STEP_S * tracks[0].audio.rate)


def _energies(tracks: Sequence[Track]) -> list[Float64Array]:
    """The tracks' energies, all of the longest's length."""
    longest = max(track.energies.size for track in tracks)
    return [np.pad(track.energies, (0, longest - track.energies.size)) for track in tracks]


def _relations(tracks: Sequence[Track], placements: Sequence[Placement], report: Progress) -> Pairs:
    """The relation of each two tracks of one role that are loud together."""
    energies = _energies(tracks)
    groups = [[k for k, placement in enumerate(placements) if placement.role == role] for role in ROLES]
    pairs = [pair for group in groups for pair in related_pairs({k: energies[k] for k in group})]
    found: dict[tuple[int, int], Relation] = {}
    for done, (a, b) in enumerate(pairs):
        report(done / len(pairs))
        if starts := loud_starts(energies[a], energies[b], _step(tracks)):
            found[a, b] = relation(tracks[a].audio, tracks[b].audio, starts)
    report(1.0)
    return found


def _corrected(
    tracks: Sequence[Track], placements: Sequence[Placement], relations: Pairs
) -> dict[int, Correction]:
    """Offsets and polarity to undo, role by role, without what is meant to be apart."""
    energies = _energies(tracks)
    far = {k for k, track in enumerate(tracks) if _FAR & set(words_of(track.name))}
    near = {
        (a, b): one
        for (a, b), one in relations.items()
        if not {a, b} & far and not _sides_apart(placements[a], placements[b], one)
    }
    found: dict[int, Correction] = {}
    for role in ROLES:
        group = [k for k, placement in enumerate(placements) if placement.role == role and k not in far]
        edges = {pair: one for pair, one in near.items() if pair[0] in group}
        sources = {k: tracks[k].audio for k in group}
        found |= corrections(sources, edges, {k: energies[k] for k in group}, _step(tracks))
    return found


def _sides_apart(one: Placement, other: Placement, relation: Relation) -> bool:
    """Two sides of a picture: an offset between them is its width; only an inverted side is wrong."""
    return one.side * other.side < 0 and abs(relation.undone_s) >= _LEAST_DELAY_S


def _moved(placement: Placement, found: Correction | None) -> Placement:
    if found is None:
        return placement
    return replace(placement, advance=found.advance, invert=found.invert)


def _laid_onto(song: AudioSource, tracks: Sequence[Track], made: Plan) -> Plan:
    """All tracks moved by what aligns their sum with the song."""
    mixed = [e for e, p in zip(_energies(tracks), made.placements, strict=True) if p.mixed]
    energies = np.sum(mixed, axis=0) if mixed else np.zeros(1)
    starts = loud_starts(energies, energies, _step(tracks))
    found = correction_to(song, summed([track.audio for track in tracks], made), starts)
    if found is None:
        return made
    ms = 1000 * found.advance / song.rate
    how = [f"{abs(ms):.1f} ms {'later' if ms > 0 else 'earlier'}"] * (ms != 0)
    told = f"the tracks hold the sound of the song, {' and '.join(how + ['upside down'] * found.invert)}"
    return replace(
        made, placements=tuple(_moved(p, found) for p in made.placements), warnings=(f"{told}: laid onto it",)
    )


def _told(tracks: Sequence[Track], relations: Pairs, found: Mapping[int, Correction]) -> Iterator[str]:
    """One sentence for each misaligned pair."""
    for (a, b), one in relations.items():
        name, other = tracks[a].name, tracks[b].name
        faults = _faults(one)
        undone = (
            f"laid onto it, {one.gain_db:+.1f} dB in the lows" if {a, b} & set(found) else "left as it is"
        )
        if one.one_sound and faults:
            yield f"{other} holds the sound of {name}, {' and '.join(faults)}: {undone}"
        elif one.low_correlation < INVERTED:
            low = f"{one.low_correlation:.2f}".replace("-", "−")
            yield f"{name} and {other} cancel each other in the lows (correlation {low}): left as they are"


def _faults(relation: Relation) -> list[str]:
    ms = 1000 * relation.delay_s
    offset = [f"{abs(ms):.1f} ms {'later' if ms > 0 else 'earlier'}"]
    return offset * (abs(relation.delay_s) >= _LEAST_DELAY_S) + ["upside down"] * relation.inverted


# --- what the user should know ---------------------------------------------------------------------


def _warnings(tracks: Sequence[Track], made: Plan, wish: Wish) -> Iterator[str]:
    for track, placement in zip(tracks, made.placements, strict=True):
        if not placement.mixed and placement.how != "map":
            yield f"{track.name} is left out: {placement.why}"
    kept = [track for track, placement in zip(tracks, made.placements, strict=True) if placement.mixed]
    lengths = [track.audio.frames for track in kept]
    whole = "the song" if wish.song else "the others"
    if shorter := sum(frames < made.frames for frames in lengths):
        yield f"{_of(shorter, lengths)} shorter than {whole}: silence follows"
    if longer := sum(frames > made.frames for frames in lengths):
        yield f"{_of(longer, lengths)} longer than {whole}: cut at its end"
    if wish.song is None and wish.balance == "keep" and (words := _unbalanced(kept)):
        yield f"{words}: their sum is not a mix; the balance `auto` gives a starting one"
    if made.channels == 1 and any(track.audio.channels == 2 for track in kept):
        yield "stereo tracks were folded to mono, as the song is"


def _of(count: int, tracks: Sequence[object]) -> str:
    return f"{count} of {len(tracks)} tracks {'is' if count == 1 else 'are'}"


def _unbalanced(tracks: Sequence[Track]) -> str | None:
    peaks = [track.peak_dbfs for track in tracks]
    high = len(tracks) >= _LEAST_NORMALISED and min(peaks) >= NORMALISED_PEAK_DBFS
    if high and max(peaks) - min(peaks) <= NORMALISED_SPREAD_DB:
        return f"all {len(tracks)} tracks peak at {min(peaks):.1f} dBFS, as if each had been normalised"
    loudness = [track.lufs for track in tracks if math.isfinite(track.lufs)]
    if len(loudness) >= _LEAST_LEVELLED and max(loudness) - min(loudness) <= LEVELLED_SPREAD_LU:
        return f"all {len(loudness)} tracks are equally loud, as if each had been normalised"
    return None
