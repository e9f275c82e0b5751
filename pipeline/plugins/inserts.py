"""Plug-ins in the slots of the chain: which stands where, and what became of each in a render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixagent.pipeline.plugins.child import LIMITS, Limits, PluginFault
from mixagent.pipeline.plugins.maps import PluginMap
from mixagent.pipeline.plugins.pool import POOL
from mixagent.pipeline.plugins.presets import Preset
from mixagent.pipeline.plugins.probing import Probed, opened
from mixagent.pipeline.plugins.processor import PluginProcessor, Sounding
from mixagent.pipeline.types import FloatArray


@dataclass(frozen=True)
class Insert:
    """A plug-in in a slot.

    Attributes:
        slot: `comp` for every compressor that the plug-in may stand in for, `vocals.comp` for one.
        name, version, sha256: of the plug-in.
        path, inside: where it lies here.
        channels: the numbers of channels that it takes.
        map: how it is set.
        preset: its state before it is set; None for its own.
    """

    slot: str
    name: str
    version: str
    sha256: str
    path: str
    inside: str
    channels: tuple[int, ...]
    map: PluginMap
    preset: Preset | None = None

    def settings(self) -> dict[str, Any]:
        """What the sound depends on, JSON-able: all but where the plug-in lies."""
        return {
            "slot": self.slot,
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            "map": self.map.to_json(),
            "preset": None if self.preset is None else asdict(self.preset),
        }

    def placed(self) -> dict[str, Any]:
        """The rest, JSON-able."""
        return {"path": self.path, "inside": self.inside, "channels": list(self.channels)}

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], path: str, inside: str, channels: Sequence[int]
    ) -> Insert:
        """The insert of `settings`, with the plug-in that lies here.

        Raises:
            InputError: a map or a preset that is none.
        """
        own = {key: settings[key] for key in ("slot", "name", "version", "sha256")}
        preset = settings["preset"]
        return cls(
            **own,
            path=path,
            inside=inside,
            channels=tuple(channels),
            map=PluginMap.from_json(settings["map"], "the report"),
            preset=None if preset is None else Preset.from_json(preset, "the report"),
        )


@dataclass(frozen=True)
class Played:
    """A plug-in at one place of a render.

    Attributes:
        slot: that it was in.
        place, effect: what it stood in for.
        values: that it had, by its keys.
        held: keys whose range ended before the value that was wanted.
        probed: what was measured of it before.
    """

    slot: str
    place: str
    effect: str
    values: Mapping[str, Any]
    held: tuple[str, ...]
    probed: Probed

    def to_json(self) -> dict[str, Any]:
        """As a stage keeps it."""
        return {**asdict(self), "held": list(self.held), "words": list(self.probed.words())}


class InsertFault(PluginFault):
    """A plug-in failed in its slot.

    Attributes:
        slot: that it was in.
    """

    def __init__(self, slot: str, fault: PluginFault) -> None:
        super().__init__(fault.name, fault.what, died=fault.died)
        self.slot = slot


class Inserts:
    """The plug-ins of one render. They remember what they were set to, so each render has its own.

    Args:
        inserts: one a slot.
        limits: of their processes.
    """

    def __init__(self, inserts: Sequence[Insert], limits: Limits = LIMITS) -> None:
        self._by_slot = {insert.slot: insert for insert in inserts}
        self._limits = limits
        self._played: dict[tuple[str, str], Played] = {}
        self._made: dict[tuple[str, str], list[_Twice]] = {}
        self._open: list[InsertProcessor] = []

    @property
    def played(self) -> tuple[Played, ...]:
        """Those that had something to do, by place; what they did twice is known once the render is whole."""
        rows = []
        for key, row in self._played.items():
            same = all(made.same_twice for made in self._made[key])
            rows.append(replace(row, probed=replace(row.probed, same_twice=row.probed.same_twice and same)))
        return tuple(rows)

    def settle(self) -> None:
        """Judge the ends of all that was played.

        Raises:
            InsertFault: one is not as it should be.
        """
        for processor in self._open:
            processor.settle()
        self._open.clear()

    def at(self, place: str, effect: str) -> Insert | None:
        """The plug-in that stands in for an effect at a place (`vocals`, `drum_bus`, `master`, `reverb`)."""
        found = self._by_slot.get(f"{place}.{effect}") or self._by_slot.get(effect)
        return found if found is not None and kind_of(place) in found.map.places else None

    def processor(
        self,
        place: str,
        effect: str,
        quantities: Mapping[str, float],
        rate: int,
        channels: int,
    ) -> tuple[InsertProcessor, Probed]:
        """The plug-in of a slot, set to these of our quantities, and what was measured of it.

        Raises:
            InsertFault: it is not fit to be used; or, while it works, failed.
        """
        insert = self.at(place, effect)
        assert insert is not None
        wanted = insert.map.values(quantities)
        doubled = channels == 1 and 1 not in insert.channels
        linked = channels > 1 and insert.map.linked
        preset = {} if insert.preset is None else dict(insert.preset.values)
        sounding = Sounding(
            rate=rate,
            channels=2 if doubled else channels,
            each=channels > 1 and not linked and (insert.map.each_channel or 2 not in insert.channels),
            linked=linked,
            values={**preset, **wanted},
            state="" if insert.preset is None else insert.preset.state,
            most_gain_db=insert.map.most_gain_db,
            in_return=effect == "reverb",
        )
        try:
            made, probed, values = opened(Path(insert.path), insert.inside, sounding, self._limits, POOL)
        except PluginFault as fault:
            raise InsertFault(insert.slot, fault) from fault
        held = tuple(
            key for key, value in wanted.items() if isinstance(value, float) and _is_off(values[key], value)
        )
        self._played[place, effect] = Played(insert.slot, place, effect, values, held, probed)
        twice = _Twice()
        self._made.setdefault((place, effect), []).append(twice)
        processor = InsertProcessor(made, insert.slot, doubled, twice)
        # The last of a place is the one that is heard; a trial before it gives its process back.
        self._open = [one for one in self._open if one.at != (place, effect)]
        processor.at = place, effect
        self._open.append(processor)
        return processor, probed


class _Twice:
    """Whether a processor that may be gone made the same of its sound twice."""

    same_twice = True


class InsertProcessor:
    """A plug-in's processor that says in which slot it failed; a `Processor`.

    `doubled` plays one channel to a plug-in that takes two.
    """

    def __init__(self, made: PluginProcessor, slot: str, doubled: bool, twice: _Twice) -> None:
        self.latency = made.latency
        self.at = ("", "")
        self._made, self._slot, self._doubled, self._twice = made, slot, doubled, twice

    def settle(self) -> None:
        """Judge the end of what was played.

        Raises:
            InsertFault: it is not as it should be.
        """
        try:
            self._made.settle()
        except PluginFault as fault:
            raise InsertFault(self._slot, fault) from fault

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames).

        Raises:
            InsertFault: the plug-in failed.
        """
        given = np.repeat(block, 2, axis=0) if self._doubled else block
        try:
            out = self._made.process(given)[: len(block)]
            self._twice.same_twice = self._made.same_twice
            return out
        except PluginFault as fault:
            raise InsertFault(self._slot, fault) from fault


def _is_off(value: object, wanted: float) -> bool:
    return isinstance(value, float) and abs(value - wanted) > 0.05 * max(abs(wanted), 1.0)


def kind_of(place: str) -> str:
    """The kind of a place, as the maps name it."""
    if place.endswith("_bus"):
        return "bus"
    return {"master": "master", "reverb": "return"}.get(place, "strip")


def without(inserts: Sequence[Insert], slot: str) -> tuple[Insert, ...]:
    """The inserts but that of a slot."""
    return tuple(insert for insert in inserts if insert.slot != slot)
