"""A musician's tracks made into stems: which role each has, what is left out, where each is placed.

Tracks of one role are summed into one stem, so the chain has one strip a role, as with a separator's
stems, and the musician's balance within a role stays. What is done to a single track (its side, its
offset, its polarity, a starting balance) is done before that sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.alignment import (
    INVERTED,
    Correction,
    Relation,
    corrections,
    loud_starts,
    related_pairs,
    relation,
)
from mixagent.pipeline.audio import AudioSource, Combination, FloatArray
from mixagent.pipeline.stem_content import listen, role_of
from mixagent.pipeline.stem_names import LEFT_OUT, ROLES, Named, names_of, sides_of, words_of

Float64Array = NDArray[np.float64]
Progress = Callable[[float], None]

How = Literal["map", "name", "content", "sum", "silence"]
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
_SUM_DB, _NAMED_SUM_DB = -30.0, -10.0
_LEAST_WEIGHT = 0.1
_SUM_WINDOWS, _SUM_WINDOW_S = 24, 0.5
_LEAST_DELAY_S = 1e-4
_FAR = (
    *("room", "rooms", "raum", "amb", "ambience", "hall", "chamber", "plate", "reverb", "verb", "echo"),
    *("delay", "return", "send", "fx", "fxs", "sfx", "wet"),
)
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
class Placement:
    """What becomes of a track.

    Attributes:
        role: one of `ROLES`, `residual`, or `out` for what is not in the mix.
        how: what decided the role.
        why: the same in one clause.
        side: −1 or 1 for one side of a stereo pair, else 0.
        advance: frames by which it is brought forward; negative where it is held back.
        invert: whether its polarity is turned.
        gain_db: of a starting balance.
    """

    role: str
    how: How
    why: str
    side: int = 0
    advance: int = 0
    invert: bool = False
    gain_db: float = 0.0

    @property
    def heard(self) -> bool:
        """Whether the track is in the mix."""
        return self.role != LEFT_OUT


@dataclass(frozen=True)
class Plan:
    """What becomes of every track, in their order, and what the user should know.

    `pairs` says which tracks carry one sound, how they lie, and whether that was undone.
    """

    placements: tuple[Placement, ...]
    channels: int
    frames: int
    warnings: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that have a strip, in the order of `ROLES`."""
        found = {placement.role for placement in self.placements}
        return tuple(role for role in ROLES if role in found)


@dataclass(frozen=True)
class Wish:
    """What the user asked for.

    Attributes:
        roles: role by the track's place, for those that were named.
        align: whether offsets and polarity may be undone.
        balance: `auto` for `BALANCE_LU`, `keep` for the tracks' own.
        channels: of the song that the tracks belong to; None where they are the song.
        frames: its length; None the same.
    """

    roles: Mapping[int, str] = field(default_factory=dict)
    align: bool = True
    balance: Balance = "keep"
    channels: int | None = None
    frames: int | None = None


def plan(tracks: Sequence[Track], wish: Wish, progress: Progress | None = None) -> Plan:
    """Decide on every track: its role by the user's word, by its name, by its content, and its place.

    Args:
        tracks: all of one rate.
        wish: what was asked for.
        progress: called with the share done, 0..1; may raise to cancel.
    """
    report = progress or (lambda share: None)
    placements = _with_content(tracks, _left_out(tracks, _named(tracks, wish)), report)
    placements = _with_sides(tracks, placements)
    heard = [k for k, placement in enumerate(placements) if placement.heard]
    relations = _relations(tracks, placements, lambda share: report(0.5 + 0.5 * share))
    found: dict[int, Correction] = {}
    if wish.align and wish.channels is None:
        found = _corrected(tracks, placements, relations)
    placements = [
        replace(placement, advance=found[k].advance, invert=found[k].invert) if k in found else placement
        for k, placement in enumerate(placements)
    ]
    if wish.balance == "auto":
        placements = _balanced(tracks, placements)
    frames = max((tracks[k].audio.frames for k in heard), default=max(t.audio.frames for t in tracks))
    stereo = any(tracks[k].audio.channels == 2 or placements[k].side for k in heard)
    complete = Plan(
        tuple(placements),
        wish.channels or (2 if stereo else 1),
        wish.frames or frames,
        pairs=tuple(_told(tracks, relations, found)),
    )
    return replace(complete, warnings=tuple(_warnings(tracks, complete, wish)))


# --- roles -----------------------------------------------------------------------------------------


def _named(tracks: Sequence[Track], wish: Wish) -> list[Placement | None]:
    """What the user, silence and the names decide; None where they say nothing."""
    names = names_of([track.name for track in tracks])
    return [_by_word(track, names[k], wish.roles.get(k)) for k, track in enumerate(tracks)]


def _by_word(track: Track, name: Named | None, wished: str | None) -> Placement | None:
    if wished is not None:
        return Placement(wished, "map", "as you said")
    if not math.isfinite(track.peak_dbfs):
        return Placement(LEFT_OUT, "silence", "silent")
    if name is None:
        return None
    if name.kind == "click":
        return Placement(LEFT_OUT, "name", f"a click track by its name ({name.word})")
    if name.kind == "mix":
        return Placement(LEFT_OUT, "name", f"a bounce of the song by its name ({name.word})")
    return Placement(name.kind, "name", name.word)


def _left_out(tracks: Sequence[Track], placements: list[Placement | None]) -> list[Placement | None]:
    """The same without tracks that are the sum of others; what only is called a mix stays if it is alone."""
    if not any(placement is None or placement.heard for placement in placements):
        placements = [
            None if placement and placement.how == "name" else placement for placement in placements
        ]
    while True:
        heard = [k for k, placement in enumerate(placements) if placement is None or placement.heard]
        free = [k for k in heard if (placement := placements[k]) is None or placement.how == "name"]
        found = _sum_of_others([tracks[k] for k in heard], [heard.index(k) for k in free], placements, heard)
        if found is None:
            return placements
        place, parts = found
        names = ", ".join(tracks[heard[k]].name for k in parts[:3]) + (" …" if len(parts) > 3 else "")
        placements[heard[place]] = Placement(LEFT_OUT, "sum", f"the sum of {names}")


def _sum_of_others(
    tracks: Sequence[Track], free: Sequence[int], placements: Sequence[Placement | None], heard: Sequence[int]
) -> tuple[int, list[int]] | None:
    """The track that is a weighted sum of most of the others, and of which; None where none is one."""
    if len(tracks) < 3:
        return None
    gram = _gram(tracks)
    best: tuple[int, list[int]] | None = None
    for k in free:
        placement = placements[heard[k]]
        backing = placement is not None and placement.role == "accompaniment"
        parts = _parts_of(gram, k, _NAMED_SUM_DB if backing else _SUM_DB)
        if len(parts) > (1 if best is None else len(best[1])):
            best = k, parts
    return best


def _gram(tracks: Sequence[Track]) -> Float64Array:
    """Inner products of the tracks, folded to mono, over windows spread over the longest of them."""
    rate, frames = tracks[0].audio.rate, max(track.audio.frames for track in tracks)
    size = min(round(_SUM_WINDOW_S * rate), frames)
    gram = np.zeros((len(tracks), len(tracks)))
    for start in np.unique(np.linspace(0, frames - size, _SUM_WINDOWS).astype(int)):
        window = np.zeros((len(tracks), size))
        for row, track in zip(window, tracks, strict=True):
            samples = track.audio.read(start, start + size)
            row[: samples.shape[1]] = samples.mean(axis=0)
        gram += window @ window.T
    return gram


def _parts_of(gram: Float64Array, k: int, most_db: float) -> list[int]:
    """The others of which a track is the sum, to within `most_db` of it; empty where it is none."""
    others = [j for j in range(len(gram)) if j != k and gram[j, j] > 0]
    if gram[k, k] <= 0 or len(others) < 2:
        return []
    inner, mine = gram[np.ix_(others, others)], gram[others, k]
    scale = np.sqrt(np.diag(inner))
    weights = (
        np.linalg.solve(inner / np.outer(scale, scale) + 1e-6 * np.eye(len(others)), mine / scale) / scale
    )
    left = gram[k, k] - 2 * weights @ mine + weights @ inner @ weights
    telling = np.abs(weights) * scale > 1e-2 * math.sqrt(gram[k, k])
    if left > 10 ** (most_db / 10) * gram[k, k] or (weights[telling] < 0).any():
        return []
    return [
        j
        for j, weight, tells in zip(others, weights, telling, strict=True)
        if tells and weight > _LEAST_WEIGHT
    ]


def _with_content(
    tracks: Sequence[Track], placements: Sequence[Placement | None], report: Progress
) -> list[Placement]:
    """Roles by content for the tracks that have none yet."""
    decided: list[Placement] = []
    for k, placement in enumerate(placements):
        report(0.5 * k / len(tracks))
        if placement is None:
            role, why = role_of(listen(tracks[k].audio))
            placement = Placement(role, "content", why)
        decided.append(placement)
    return decided


def _with_sides(tracks: Sequence[Track], placements: list[Placement]) -> list[Placement]:
    """Mono tracks that are named as two sides of one go left and right."""
    mono = [k for k, placement in enumerate(placements) if placement.heard and tracks[k].audio.channels == 1]
    sides = {mono[at]: side for at, side in sides_of([tracks[k].name for k in mono]).items()}
    return [replace(placement, side=sides.get(k, 0)) for k, placement in enumerate(placements)]


# --- places ----------------------------------------------------------------------------------------

Pairs = Mapping[tuple[int, int], Relation]


def _relations(tracks: Sequence[Track], placements: Sequence[Placement], report: Progress) -> Pairs:
    """How the tracks of each role lie to each other, where two are loud together."""
    pairs = [
        pair
        for role in ROLES
        for pair in related_pairs(
            _of_one_length({k: tracks[k].energies for k, p in enumerate(placements) if p.role == role})
        )
    ]
    found: dict[tuple[int, int], Relation] = {}
    for done, (a, b) in enumerate(pairs):
        report(done / len(pairs))
        one, other = tracks[a], tracks[b]
        energies = _of_one_length({0: one.energies, 1: other.energies})
        if starts := loud_starts(energies[0], energies[1], _step(one)):
            found[a, b] = relation(one.audio, other.audio, starts)
    report(1.0)
    return found


def _step(track: Track) -> int:
    return round(STEP_S * track.audio.rate)


def _of_one_length(energies: Mapping[int, Float64Array]) -> dict[int, Float64Array]:
    longest = max((energy.size for energy in energies.values()), default=0)
    return {key: np.pad(energy, (0, longest - energy.size)) for key, energy in energies.items()}


def _corrected(
    tracks: Sequence[Track], placements: Sequence[Placement], relations: Pairs
) -> dict[int, Correction]:
    """Offsets and polarity to undo, role by role, without what is meant to be apart."""
    meant = {k for k, track in enumerate(tracks) if set(_FAR) & set(words_of(track.name))}
    found: dict[int, Correction] = {}
    for role in ROLES:
        group = [k for k, p in enumerate(placements) if p.role == role and k not in meant]
        edges = {
            (a, b): lies
            for (a, b), lies in relations.items()
            if a in group and b in group and not _sides_apart(placements[a], placements[b], lies)
        }
        if edges:
            energies = _of_one_length({k: tracks[k].energies for k in group})
            found |= corrections(
                {k: tracks[k].audio for k in group}, edges, energies, _step(tracks[group[0]])
            )
    return found


def _sides_apart(one: Placement, other: Placement, lies: Relation) -> bool:
    """Two sides of a picture: an offset between them is its width; only an inverted side is wrong."""
    return one.side * other.side < 0 and abs(lies.undone_s) >= _LEAST_DELAY_S


def _told(tracks: Sequence[Track], relations: Pairs, found: Mapping[int, Correction]) -> Iterator[str]:
    """One sentence for each pair of one sound that does not lie as it should."""
    for (a, b), lies in relations.items():
        off = abs(lies.delay_s) >= _LEAST_DELAY_S
        opposed = lies.inverted or lies.low_correlation < INVERTED
        if not lies.one_sound or not (off or opposed):
            continue
        words = [
            f"comes {abs(lies.delay_s) * 1000:.1f} ms {'after' if lies.delay_s > 0 else 'before'} it"
        ] * off
        words += ["is upside down against it"] * lies.inverted
        words += [f"works against it in the lows (correlation {lies.low_correlation:.2f})"] * (
            lies.low_correlation < INVERTED and not lies.inverted
        )
        undone = a in found or b in found
        end = f"laid onto it: {lies.gain_db:+.1f} dB in the lows" if undone else "left as it is"
        yield f"{tracks[b].name} holds the sound of {tracks[a].name} and {' and '.join(words)}; {end}"


def _balanced(tracks: Sequence[Track], placements: Sequence[Placement]) -> list[Placement]:
    """The starting balance: only attenuation, so that the sum comes out no louder than it has to be."""
    roles = [placement.role for placement in placements]
    wanted = {
        k: BALANCE_LU[role] - 10 * math.log10(roles.count(role)) - tracks[k].lufs
        for k, role in enumerate(roles)
        if role in BALANCE_LU and math.isfinite(tracks[k].lufs)
    }
    most = max(wanted.values(), default=0.0)
    return [
        replace(placement, gain_db=wanted[k] - most) if k in wanted else placement
        for k, placement in enumerate(placements)
    ]


# --- what the user should know ---------------------------------------------------------------------


def _warnings(tracks: Sequence[Track], complete: Plan, wish: Wish) -> Iterator[str]:
    kept = [k for k, placement in enumerate(complete.placements) if placement.heard]
    for k, placement in enumerate(complete.placements):
        if not placement.heard and placement.how != "map":
            yield f"{tracks[k].name} is left out: {placement.why}"
    if lines := _length_words([tracks[k] for k in kept], complete.frames):
        yield lines
    if wish.channels is None and wish.balance == "keep" and (words := _unbalanced([tracks[k] for k in kept])):
        yield f"{words}: their sum is not a mix; --balance auto gives a starting balance"
    if wish.channels == 1 and any(tracks[k].audio.channels == 2 for k in kept):
        yield "stereo tracks were folded to mono, as the song is"


def _length_words(tracks: Sequence[Track], frames: int) -> str:
    rate = tracks[0].audio.rate if tracks else 1
    shorter = sum(track.audio.frames < frames for track in tracks)
    longer = [track for track in tracks if track.audio.frames > frames]
    words = [f"{shorter} of {len(tracks)} tracks end before the others: silence follows them"] * (shorter > 0)
    words += [
        f"{len(longer)} of {len(tracks)} tracks are longer than the song's {frames / rate:.1f} s: cut"
    ] * (len(longer) > 0)
    return "; ".join(words)


def _unbalanced(tracks: Sequence[Track]) -> str | None:
    peaks = [track.peak_dbfs for track in tracks]
    high = len(tracks) >= _LEAST_NORMALISED and min(peaks) >= NORMALISED_PEAK_DBFS
    if high and max(peaks) - min(peaks) <= NORMALISED_SPREAD_DB:
        return f"all {len(tracks)} tracks peak at {min(peaks):.1f} dBFS, as if each had been normalised"
    loudness = [track.lufs for track in tracks if math.isfinite(track.lufs)]
    if len(loudness) >= _LEAST_LEVELLED and max(loudness) - min(loudness) <= LEVELLED_SPREAD_LU:
        return f"all {len(loudness)} tracks are equally loud, as if each had been normalised"
    return None


# --- sums ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """A track in its place in the mix: its length, channels, side, offset, polarity and gain.

    A mono track stands in both channels of a stereo mix at its own level; a stereo one is folded to
    (L + R)/2 in a mono mix.
    """

    source: AudioSource
    placement: Placement
    channels: int
    frames: int

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""
        return self.source.rate

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` of the placed track, silence outside it, shape (channels, frames)."""
        start = min(max(start, 0), self.frames)
        stop = min(max(stop, start), self.frames)
        first = start + self.placement.advance
        samples = self.source.read(max(first, 0), max(stop + self.placement.advance, 0))
        block = np.zeros((self.channels, stop - start), np.float32)
        at = min(max(-first, 0), stop - start)
        block[:, at : at + samples.shape[1]] = self._matrix() @ samples if self._changes() else samples
        return block

    def _changes(self) -> bool:
        placement = self.placement
        same = self.source.channels == self.channels
        return not same or bool(
            placement.invert or placement.gain_db or (placement.side and self.channels == 2)
        )

    def _matrix(self) -> FloatArray:
        gain = 10 ** (self.placement.gain_db / 20) * (-1.0 if self.placement.invert else 1.0)
        if self.source.channels == self.channels:
            matrix = np.eye(self.channels)
        elif self.channels == 2:
            left, right = {-1: (1.0, 0.0), 0: (1.0, 1.0), 1: (0.0, 1.0)}[self.placement.side]
            matrix = np.array([[left], [right]])
        else:
            matrix = np.array([[0.5, 0.5]])
        return np.asarray(gain * matrix, np.float32)


def summed(tracks: Sequence[AudioSource], made: Plan, role: str | None = None) -> AudioSource:
    """The sum of the tracks of a role, or of all that is in the mix, as it is read; silence for no track."""
    placed = [
        Placed(track, p, made.channels, made.frames) for track, p in zip(tracks, made.placements, strict=True)
    ]
    terms = [(1.0, p) for p in placed if (p.placement.heard if role is None else p.placement.role == role)]
    return Combination(tuple(terms or [(0.0, placed[0])]))
