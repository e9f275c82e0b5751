"""`mixagent master --reference …`: what a master is to sound like, as asked for and as found."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.finaliser.targets import LOUDEST_LUFS, QUIETEST_LUFS, LoudnessTarget, loudness_target
from mixagent.pipeline.io.decoding import content_hash
from mixagent.pipeline.matching.library import GENRE
from mixagent.pipeline.matching.profiles import Profile, blended

Method = Literal["profile", "matchering"]
METHODS: tuple[Method, ...] = ("profile", "matchering")

DIMENSIONS = ("tone", "dynamics", "width")
"""What can come from different references."""


@dataclass(frozen=True)
class Reference:
    """One thing to sound like: an audio file, a profile's JSON file, or a shipped profile.

    `name` is as it was given, `weight` its share among the others, at any scale.
    """

    name: str
    weight: float = 1.0

    @property
    def genre(self) -> str | None:
        """The shipped profile that it names."""
        return self.name.removeprefix(GENRE) if self.name.startswith(GENRE) else None

    @property
    def path(self) -> Path | None:
        """The file that it names."""
        return None if self.genre is not None else Path(self.name)

    @property
    def is_audio(self) -> bool:
        """Whether it is a song and not a profile."""
        return self.path is not None and self.path.suffix.lower() != ".json"


@dataclass(frozen=True)
class References:
    """What to sound like, for each of `DIMENSIONS` and in loudness; several are blended by weight.

    Attributes:
        tone: whose spectrum.
        dynamics: whose peak to loudness ratio.
        width: whose side over mid.
        loudness: whose loudness is the target; none leaves the target that was named.
        method: how tone and width are matched.
    """

    tone: tuple[Reference, ...] = ()
    dynamics: tuple[Reference, ...] = ()
    width: tuple[Reference, ...] = ()
    loudness: tuple[Reference, ...] = ()
    method: Method = "profile"

    @property
    def all(self) -> tuple[Reference, ...]:
        """Each reference once, in the order in which they were named, whatever its weights."""
        named = (*self.loudness, *self.tone, *self.dynamics, *self.width)
        return tuple({reference.name: reference for reference in named}.values())

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return tuple(reference.path for reference in self.all if reference.path is not None)


@dataclass(frozen=True)
class Aims:
    """What the references measure, blended: whose tone, dynamics and width, and which loudness."""

    tone: Profile | None
    dynamics: Profile | None
    width: Profile | None
    loudness: Profile | None


def check_references(references: References, song: Path | None) -> None:
    """Whether each file of the references can be read and is another than the song.

    Raises:
        InputError: a file that cannot be read.
        UsageError: the song itself.
    """
    own = None if song is None else content_hash(song)
    for file in references.files:
        if content_hash(file) == own:
            raise UsageError(f"the reference {file} is the song itself: name another")


def aims(references: References, profiles: Mapping[str, Profile], short: Collection[str] = ()) -> Aims:
    """What the references measure, blended.

    Args:
        references: as asked for.
        profiles: what each measures, by its name.
        short: names of those that say nothing of dynamics.
    """

    def of(chosen: Sequence[Reference]) -> Profile | None:
        parts = [(reference.weight, profiles[reference.name]) for reference in chosen]
        return None if not parts else parts[0][1] if len(parts) == 1 else blended(parts)

    lasting = [reference for reference in references.dynamics if reference.name not in short]
    return Aims(of(references.tone), of(lasting), of(references.width), of(references.loudness))


def reference_target(profile: Profile, ceiling_dbtp: float) -> LoudnessTarget:
    """The target that a reference's loudness sets, within the range of targets."""
    lufs = min(max(round(profile.integrated_lufs.mean, 2), QUIETEST_LUFS), LOUDEST_LUFS)
    return replace(loudness_target(str(lufs), ceiling_dbtp), name=f"{lufs:.1f} LUFS, as the reference")
