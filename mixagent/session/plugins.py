"""Plug-ins of a master: found by what was asked for or recorded, and given up where they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from mixagent.pipeline.chain.parameters import BUSES, STEM_NAMES
from mixagent.pipeline.errors import InputError, UsageError, option
from mixagent.pipeline.plugins.inserts import Insert, InsertFault, kind_of, without
from mixagent.pipeline.plugins.library import Plugin, PluginMissingError, find_plugin
from mixagent.pipeline.plugins.maps import EFFECTS, PLACES, PluginMap, map_of
from mixagent.pipeline.plugins.pool import POOL
from mixagent.pipeline.plugins.presets import load_preset
from mixagent.report.words import place_label
from mixagent.session.decide import Decided

T = TypeVar("T")

_AT = "@"


def chosen_inserts(choices: Mapping[str, str]) -> tuple[Insert, ...]:
    """The plug-ins that were asked for, loaded once to see that they can be.

    Args:
        choices: by slot (`comp`, `vocals.comp`), names or paths of plug-ins, each with `@PRESET` behind it
            where a preset is meant.

    Raises:
        UsageError: no such slot, or a plug-in that cannot stand in it.
        PluginMissingError: a plug-in that is not here.
        InputError: one that cannot be used.
    """
    return tuple(_insert(slot, text) for slot, text in choices.items())


def recorded_inserts(recorded: Iterable[Mapping[str, Any]]) -> tuple[Insert, ...]:
    """The plug-ins of a report, as they are here; set as they were.

    Raises:
        PluginMissingError: one is not here: the master cannot come out the same, so none is begun that would
            take its place.
        InputError: it cannot be used, or the report is damaged.
    """
    found = []
    for settings in recorded:
        plugin = _still_here(settings["name"], settings["version"])
        insert = Insert.from_settings(settings, plugin.path, plugin.inside, plugin.channels)
        _check_slot(insert.slot)
        insert.map.check(plugin)
        found.append(replace(insert, version=plugin.version, sha256=plugin.sha256))
    return tuple(found)


def _still_here(name: str, version: str) -> Plugin:
    try:
        return find_plugin(name)
    except PluginMissingError as missing:
        raise PluginMissingError(
            f"the master was made with the plug-in {name[:80]} {version[:40]}, which is not here, so it "
            "cannot be rendered again: install it"
        ) from missing


def changed_plugins(recorded: Iterable[Mapping[str, Any]], played: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is not as it was, of the plug-ins that a report names and those of its replay; for a sentence."""
    here = {settings["slot"]: settings for settings in played}
    words = []
    for was in recorded:
        name, now = was["name"], here.get(was["slot"])
        if now is None:
            words.append(f"{name} {was['version']} failed")
        elif now["version"] != was["version"]:
            words.append(f"{name} was {was['version']} and is {now['version']} here")
        elif now["sha256"] != was["sha256"]:
            words.append(f"{name} {now['version']} is of another build here")
    return words


def rendered_with_plugins(render: Callable[[Decided], T], decided: Decided) -> T:
    """What `render` makes of the decision; a plug-in that fails in it gives its place to our own effect.

    One whose process died is tried once more in new ones: it may have served too long.
    """
    again: set[str] = set()
    while True:
        try:
            return render(decided)
        except InsertFault as fault:
            if fault.died and fault.slot not in again:
                again.add(fault.slot)
                POOL.clear()
                continue
            decided = _without(decided, fault)


def _without(decided: Decided, fault: InsertFault) -> Decided:
    request = decided.request
    effect = EFFECTS[fault.slot.rpartition(".")[2]]
    words = f"The plug-in {fault.name} {fault.what}: the built-in {effect} stands in its place."
    kept = replace(request, inserts=without(request.inserts, fault.slot))
    return replace(decided, request=kept, told=(*decided.told, words))


def _insert(slot: str, text: str) -> Insert:
    effect = _check_slot(slot)
    name, at, preset = text.rpartition(_AT)
    name, preset = (name, preset) if at and name else (text, "")
    if not name:
        raise UsageError(f"{option('plugins', f'{slot}=')}: name a plug-in", field="plugins")
    plugin = find_plugin(name)
    if plugin.instrument or not plugin.channels:
        what = "an instrument" if plugin.instrument else "no effect of one channel or of two"
        raise InputError(f"{plugin.name} is {what}: it cannot stand in a slot", field="plugins")
    found = _map(plugin, slot, effect, bool(preset))
    found.check(plugin)
    return Insert(
        slot=slot,
        name=plugin.name,
        version=plugin.version,
        sha256=plugin.sha256,
        path=plugin.path,
        inside=plugin.inside,
        channels=plugin.channels,
        map=found,
        preset=load_preset(plugin.name, preset) if preset else None,
    )


def _map(plugin: Plugin, slot: str, effect: str, has_preset: bool) -> PluginMap:
    """How a plug-in is set in a slot: by its map, or by a preset alone."""
    found = map_of(plugin.name, effect)
    if found is None and not has_preset:
        raise UsageError(
            f"{plugin.name} has no map as {_a(EFFECTS[effect])}: write one (docs/plugins.md), or give a "
            f"preset with {option('plugins', f'{slot}={plugin.name}@PRESET')}",
            field="plugins",
        )
    found = found or PluginMap(plugin.name, effect, PLACES)
    place = slot.rpartition(".")[0]
    if place and kind_of(place) not in found.places:
        raise UsageError(
            f"{plugin.name} does not stand in for the {EFFECTS[effect]} of {place_label(place).lower()}",
            field="plugins",
        )
    return found


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _check_slot(slot: str) -> str:
    """The effect of a slot.

    Raises:
        UsageError: there is no such slot.
    """
    place, _, effect = slot.rpartition(".")
    places = {"reverb": ("", "reverb"), "eq": ("", *STEM_NAMES), "cut": ("", *STEM_NAMES, "master")}
    if effect in EFFECTS and place in places.get(effect, ("", *STEM_NAMES, *BUSES.values(), "master")):
        return effect
    raise UsageError(
        f"no slot is called {slot[:40]!r}: give {', '.join(EFFECTS)}, or one of a place, such as vocals.comp",
        field="plugins",
    )
