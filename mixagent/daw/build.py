"""A project of a mix: what a workstation has of our strips, and notes of what it has not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mixagent.daw.project import Band, Compressor, Fader, Project, Sent, Track, fader
from mixagent.pipeline.chain.mastering import master_filters
from mixagent.pipeline.chain.mixing import Levels, high_pass_pole_hz, strip_filters
from mixagent.pipeline.chain.parameters import BUSES, GRAPHIC_HZ, REPAIR, STEM_PLACES, Settings
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.dsp.equaliser import HIGHEST_SHARE, Filter
from mixagent.pipeline.dsp.graphic import graphic_filters
from mixagent.pipeline.dsp.image import image_matrix
from mixagent.pipeline.dsp.programme import Programme
from mixagent.pipeline.types import AudioSource, Stems, blocks
from mixagent.pipeline.untrusted import one_line
from mixagent.report.words import parameter_label, parameter_value, place_label

_EFFECTS = ("reverb", "delay")
_SEND_OFF_DB = -60.0
_SILENT_DBFS = -90.0
_LEAST_BAND_DB = 0.01

_COLOURS: Mapping[str, str] = {
    "vocals": "#c8632a",
    "drums": "#2a7fa8",
    "bass": "#3f8f4f",
    "other": "#8a5bb0",
    "piano": "#b08a2a",
    "guitar": "#b04a5b",
    "accompaniment": "#5b6fb0",
}
_OTHERWISE, _OF_RETURNS = "#7a7f87", "#4f9a94"

_COUNTERPARTS = frozenset(
    (
        *("high_pass_hz", "low_shelf_db", "bell_hz", "bell_db", "bell_q", "presence_db", "air_db"),
        *("comp_threshold_db", "comp_ratio", "comp_attack_ms", "comp_release_ms", "gain_db", "pan"),
        *(f"{effect}_send_db" for effect in _EFFECTS),
    )
)
"""What of a strip a mixer has: equaliser, compressor, fader, pan and sends."""


def project_of(
    title: str, stems: Stems, settings: Settings, levels: Levels, notes: Sequence[str] = ()
) -> Project:
    """A mix as a project; its tracks sum to the mix where nothing but faders, pans and equalisers is set.

    Args:
        title: of the song.
        stems: as they go into their strips.
        settings: that are rendered.
        levels: the programme level of each stem by name, which thresholds are against.
        notes: of the project as a whole.
    """
    applied = settings.without_idle()
    mix = stems.mix
    tracks = [track for name in stems.parts for track in _tracks(name, stems, applied, levels)]
    rest = stems.residual
    if _is_heard(rest):
        told = ("What the stems leave of the mix; no strip works on it",)
        tracks.append(Track("Rest", _OTHERWISE, rest, notes=told))
    sent = {send.to for track in tracks for send in track.sends}
    return Project(
        title=one_line(title),
        rate=mix.rate,
        channels=mix.channels,
        frames=mix.frames,
        tracks=tuple(tracks),
        returns=tuple(_return(effect, applied) for effect in _EFFECTS if place_label(effect) in sent),
        master=_master(applied, mix.rate, mix.channels),
        notes=tuple(notes),
    )


def _is_heard(source: AudioSource) -> bool:
    least = db_to_amplitude(_SILENT_DBFS)
    return any(float(np.abs(block).max(initial=0.0)) > least for block in blocks(source))


def _tracks(name: str, stems: Stems, settings: Settings, levels: Levels) -> Iterator[Track]:
    """The bus of a stem, where it does something, and the stem."""
    part, bus = stems.parts[name], BUSES.get(name)
    strip, programme = settings.section(name), levels[name]
    sends, colour = _sends(strip), _COLOURS.get(name, _OTHERWISE)
    used = bus is not None and settings.active(bus)
    if bus is not None and used:
        yield _bus(bus, settings, colour, programme.raised(strip["gain_db"]), sends)
    yield Track(
        name=place_label(name),
        colour=colour,
        audio=part,
        fader=_fader(strip, part.channels),
        bands=tuple(_strip_bands(strip, part.rate)),
        compressors=_compressors(strip, programme),
        sends=() if used else sends,
        notes=tuple(_notes(name, settings)),
        bus=place_label(bus) if bus is not None and used else None,
    )


def _bus(bus: str, settings: Settings, colour: str, programme: Programme, sends: tuple[Sent, ...]) -> Track:
    values = settings.section(bus)
    return Track(
        name=place_label(bus),
        colour=colour,
        fader=fader(values["gain_db"]),
        compressors=_compressors(values, programme),
        sends=sends,
        notes=tuple(_notes(bus, settings)),
    )


def _fader(strip: Mapping[str, float], channels: int) -> Fader:
    """The strip's fader and pan; a song of one channel, or of more than two, has no pan."""
    if channels != 2:
        return fader(strip["gain_db"])
    matrix = image_matrix(pan=strip["pan"])
    return fader(strip["gain_db"], float(matrix[0, 0]), float(matrix[1, 1]))


def _sends(strip: Mapping[str, float]) -> tuple[Sent, ...]:
    levels = {effect: strip[f"{effect}_send_db"] for effect in _EFFECTS}
    return tuple(
        Sent(place_label(effect), db_to_amplitude(level))
        for effect, level in levels.items()
        if level > _SEND_OFF_DB
    )


def _compressors(values: Mapping[str, float], programme: Programme) -> tuple[Compressor, ...]:
    if values["comp_ratio"] == 1:
        return ()
    threshold_db = programme.level_db + values["comp_threshold_db"]
    times = values["comp_attack_ms"], values["comp_release_ms"]
    return (Compressor(threshold_db, values["comp_ratio"], *times),)


def _strip_bands(strip: Mapping[str, float], rate: int) -> Iterator[Band]:
    if strip["high_pass_hz"] > 20:
        yield Band("high_pass", high_pass_pole_hz(strip["high_pass_hz"]), 0.5)
    yield from _bands(strip_filters(strip), rate)


def _bands(filters: Sequence[Filter], rate: int) -> Iterator[Band]:
    for each in filters:
        if abs(each.gain_db) >= _LEAST_BAND_DB and each.frequency_hz < HIGHEST_SHARE * rate:
            yield Band(each.kind, each.frequency_hz, each.q, each.gain_db)


def _return(effect: str, settings: Settings) -> Track:
    told = f"No {effect} stands here: put one on this track, all wet, and unmute it"
    values = (_value(f"{effect}.{name}", settings) for name in settings.section(effect))
    return Track(place_label(effect), _OF_RETURNS, notes=(told, *values), mute=True)


def _master(settings: Settings, rate: int, channels: int) -> Track:
    """The master: its equalisers as one, and notes of all else."""
    tone = np.array([settings[f"graphic.tone_{hz}_db"] for hz in GRAPHIC_HZ])
    graphic = graphic_filters(tone, rate) if tone.any() else []
    matrix = image_matrix(balance_db=settings["master.balance_db"] if channels == 2 else 0.0)
    return Track(
        name="Master",
        colour=_OTHERWISE,
        fader=fader(0.0, float(matrix[0, 0]), float(matrix[1, 1])),
        bands=(*_bands(graphic, rate), *_bands(master_filters(settings, rate), rate)),
        notes=tuple(
            _value(name, settings)
            for name in _moved_of_master(settings)
            if not _is_tone(name) and name != "master.balance_db"
        ),
    )


def _moved_of_master(settings: Settings) -> Iterator[str]:
    """What works on the whole mix; the repairs are in the stems, and the finaliser is told by itself."""
    for name in settings.changed():
        if settings.space[name].where not in (REPAIR, *_EFFECTS, *STEM_PLACES):
            yield name


def _is_tone(name: str) -> bool:
    return name.startswith(("graphic.tone_", "master.eq_", "master.bell_"))


def _notes(place: str, settings: Settings) -> Iterator[str]:
    """What of a strip or bus a mixer does not show as it was set, or has no counterpart for."""
    changed = settings.changed()
    if f"{place}.gain_db" in changed or f"{place}.pan" in changed:
        gain = parameter_value(settings[f"{place}.gain_db"], "dB")
        yield f"Fader {gain}{_pan_words(place, settings)}"
    for name in settings.section(place):
        if name not in _COUNTERPARTS and f"{place}.{name}" in changed:
            yield _value(f"{place}.{name}", settings)


def _pan_words(place: str, settings: Settings) -> str:
    pan = settings.values.get(f"{place}.pan", 0.0)
    return f", pan {pan:+.2f} of constant power, written as a balance" if pan else ""


def _value(name: str, settings: Settings) -> str:
    """A setting in words: “Low mid cut 4.0 dB (most that the dynamic cut takes off 200–500 Hz)”."""
    parameter = settings.space[name]
    value = parameter_value(settings[name], parameter.unit, parameter.low < 0)
    own = parameter.where in (*STEM_PLACES, *_EFFECTS, "master", "graphic")
    place = "" if own else f"{place_label(parameter.where)} "
    return f"{place}{parameter_label(name)} {value} ({parameter.purpose})"
