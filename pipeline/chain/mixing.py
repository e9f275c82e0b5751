"""Strips, buses and sends: stems and settings in, mix out.

The mix is made in difference form, the input plus what each active strip changes of its stem. So a
stem whose strip is neutral costs nothing, a separator's errors stay where they cancel, and a neutral
mix is the input itself, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pedalboard

from mixagent.pipeline.chain.parameters import BUSES, Settings
from mixagent.pipeline.chain.section_settings import SectionSettings, section_faders
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.dsp.board import BoardProcessor
from mixagent.pipeline.dsp.cascade import Cascade, first_order_high_pass
from mixagent.pipeline.dsp.dynamic_bells import MARGIN_DB, dynamic_cut
from mixagent.pipeline.dsp.dynamics import BODY, Detector, LevelDynamics, compressor, lost_db
from mixagent.pipeline.dsp.equaliser import HIGHEST_SHARE, Filter
from mixagent.pipeline.dsp.image import Image, image_matrix
from mixagent.pipeline.dsp.programme import LOW_MID, SHIMMER, Levelled, Programme, measure_programme
from mixagent.pipeline.dsp.streaming import Processor, process_blocks, through
from mixagent.pipeline.dsp.transients import TransientShaper
from mixagent.pipeline.types import (
    BLOCK_FRAMES,
    AudioSource,
    Combination,
    Float64Array,
    FloatArray,
    Shifted,
    Stems,
    blocks,
)

if TYPE_CHECKING:
    from mixagent.pipeline.plugins.inserts import Inserts

Levels = Mapping[str, Programme]
"""The programme level of each stem by name, and of the mix under `mix`."""

CARVING: Mapping[str, float] = MappingProxyType({LOW_MID.name: 0.5})
"""A strip's low-mid cut works the further down the deeper it is: at 6 dB from the band's usual level on, at
12 dB from 3 dB under it. A stem that is muddy throughout is so at its usual level."""

ROOM_ABOVE_HZ = 200.0
"""The lows under this are kept out of the room, so that it does not blur kick and bass."""

_SEND_OFF_DB = -60.0
# Two equal first-order sections are 3 dB down at the corner when each stands at this share of it.
_CASCADED_CORNER = math.sqrt(math.sqrt(2) - 1)


def measure_levels(stems: Stems) -> dict[str, Programme]:
    """The programme level of the mix and of every stem: what `render` measures if not given it."""
    levels = {name: measure_programme(part) for name, part in stems.parts.items()}
    return {"mix": measure_programme(stems.mix), **levels}


def mix_blocks(
    stems: Stems,
    settings: Settings,
    levels: Levels | None = None,
    size: int = BLOCK_FRAMES,
    strips_done: Mapping[str, AudioSource] | None = None,
    sections: Sequence[SectionSettings] = (),
    inserts: Inserts | None = None,
) -> Iterator[FloatArray]:
    """The mix of the stems under these settings, in blocks of `size` frames, of the input's length.

    Active strips run side by side in threads. Stems without a strip in the settings stay as they are, and
    those of `strips_done` are behind their strips already. What `sections` say of a stem works behind its
    strip and its bus, before the sends. The plug-ins of `inserts` stand in for effects.
    """
    faded = {each.where for each in sections}
    active = [name for name in stems.parts if name in faded or is_active(settings, name)]
    if not active:
        yield from blocks(stems.mix, size)
        return
    known = strips_done or {}
    strips = [
        blocks(known[name], size)
        if name in known
        else strip_blocks(stems, name, settings, levels, size, inserts)
        for name in active
    ]
    strips = [
        _faded(strip, stems, name, settings, levels, size, sections) if name in faded else strip
        for name, strip in zip(active, strips, strict=True)
    ]
    returns = _Returns(settings, active, stems.mix, inserts)
    with ThreadPoolExecutor(len(active)) as pool:
        for start in range(0, stems.mix.frames, size):
            stop = min(start + size, stems.mix.frames)
            done = list(pool.map(next, strips))
            block = stems.mix.read(start, stop).copy()
            for name, part in zip(active, done, strict=True):
                block += part - stems.parts[name].read(start, stop)
            returns.add(done, block)
            yield block


def _faded(
    strip: Iterator[FloatArray],
    stems: Stems,
    name: str,
    settings: Settings,
    levels: Levels | None,
    size: int,
    sections: Sequence[SectionSettings],
) -> Iterator[FloatArray]:
    """A strip's blocks with what stretches of the song have beside its settings."""
    part = stems.parts[name]
    programme = levels[name] if levels is not None else measure_programme(part)

    def processors(values: Mapping[str, float]) -> list[Processor]:
        return strip_processors(settings.space.settings(values).section(name), part, programme)

    faders = section_faders(sections, name, part.rate, part.channels, processors)
    return _even(through(strip, faders, part.channels), size)


def is_active(settings: Settings, stem: str) -> bool:
    """True if the strip of this stem, or the bus that it feeds, is off neutral."""
    return settings.active(stem) or (stem in BUSES and _works(settings.section(BUSES[stem])))


def _works(bus: Mapping[str, float]) -> bool:
    return bool(bus) and (bus["comp_ratio"] > 1 or bus["gain_db"] != 0)


def strip_blocks(
    stems: Stems,
    name: str,
    settings: Settings,
    levels: Levels | None = None,
    size: int = BLOCK_FRAMES,
    inserts: Inserts | None = None,
) -> Iterator[FloatArray]:
    """One stem through its strip and its bus, in blocks of `size` frames, of the input's length."""
    part = stems.parts[name]
    if not is_active(settings, name):
        return blocks(part, size)
    programme = levels[name] if levels is not None else measure_programme(part)
    part = aligned(part, settings[f"{name}.align_ms"], settings[f"{name}.invert"] > 0)
    processors = strip_processors(settings.section(name), part, programme, name, inserts)
    if name in BUSES:
        raised = programme.raised(settings[f"{name}.gain_db"])
        bus = BUSES[name]
        processors += bus_processors(settings.section(bus), part, programme, raised, bus, inserts)
    return _even(process_blocks(part, processors, size), size)


def aligned(part: AudioSource, later_ms: float, inverted: bool) -> AudioSource:
    """A stem that plays later by whole samples, or earlier, of the same length; where asked for, inverted."""
    frames = round(later_ms * part.rate / 1000)
    shifted = Shifted(part, frames) if frames else part
    return Combination(((-1.0, shifted),)) if inverted else shifted


def _even(parts: Iterator[FloatArray], size: int) -> Iterator[FloatArray]:
    """The same frames in blocks of exactly `size`, the last one shorter."""
    held: list[FloatArray] = []
    for part in parts:
        held.append(part)
        while sum(piece.shape[1] for piece in held) >= size:
            joined = np.concatenate(held, axis=1)
            yield joined[:, :size]
            held = [joined[:, size:]]
    rest = np.concatenate(held, axis=1) if held else None
    if rest is not None and rest.shape[1]:
        yield rest


def strip_processors(
    strip: Mapping[str, float],
    part: AudioSource,
    programme: Programme,
    place: str = "",
    inserts: Inserts | None = None,
) -> list[Processor]:
    """One stem's strip in the order of the signal, without what is neutral or beyond Nyquist.

    `place` is its name, by which `inserts` know it.
    """
    rate, channels = part.rate, part.channels
    processors = place_cuts(strip, rate, channels, programme, CARVING, place, inserts)
    sections = [*_high_pass(strip["high_pass_hz"], rate), *sections_of(strip_filters(strip), rate)]
    if sections and inserts is not None and inserts.at(place, "eq"):
        from mixagent.pipeline.chain.inserted import strip_equaliser

        processors += strip_equaliser(inserts, place, strip, rate, channels)
    elif sections:
        processors.append(Cascade(np.stack(sections), channels))
    processors += _stem_compressors(strip, part, programme, programme, place, inserts)
    processors += transient_shapers(strip, rate, channels)
    if strip["gain_db"] != 0 or (channels == 2 and (strip["pan"] != 0 or strip["width"] != 1)):
        matrix = image_matrix(strip["gain_db"], strip["pan"], strip["width"])
        processors.append(Image(matrix, strip["gain_db"]))
    return processors


def bus_processors(
    bus: Mapping[str, float],
    part: AudioSource,
    programme: Programme,
    raised: Programme,
    place: str = "",
    inserts: Inserts | None = None,
) -> list[Processor]:
    """A bus: its compressor and its fader. Behind the strip's fader its programme is `raised`."""
    if not bus:
        return []
    processors = _stem_compressors(bus, part, programme, raised, place, inserts)
    if bus["gain_db"] != 0:
        processors.append(Image(image_matrix(bus["gain_db"]), bus["gain_db"]))
    return processors


def dynamic_cuts(
    values: Mapping[str, float],
    rate: int,
    channels: int,
    programme: Programme,
    carving: Mapping[str, float] = MappingProxyType({}),
) -> list[Processor]:
    """The dynamic low-mid and shimmer cuts that are on and lie below Nyquist.

    A cut takes down what stands `MARGIN_DB` over the band's usual level, less the share of the cut that
    `carving` names for the band.
    """
    pairs = ((LOW_MID, values["low_mid_cut_db"]), (SHIMMER, values["shimmer_cut_db"]))
    return [
        dynamic_cut(
            band, most_db, programme, rate, channels, MARGIN_DB - carving.get(band.name, 0.0) * most_db
        )
        for band, most_db in pairs
        if most_db > 0 and band.fits(rate)
    ]


def place_cuts(
    values: Mapping[str, float],
    rate: int,
    channels: int,
    programme: Programme,
    carving: Mapping[str, float] = MappingProxyType({}),
    place: str = "",
    inserts: Inserts | None = None,
) -> list[Processor]:
    """The dynamic cuts of a strip or of the master; a plug-in of `inserts` may make that of the low mids."""
    most_db = values["low_mid_cut_db"]
    if inserts is None or most_db <= 0 or not LOW_MID.fits(rate) or not inserts.at(place, "cut"):
        return dynamic_cuts(values, rate, channels, programme, carving)
    from mixagent.pipeline.chain.inserted import low_mid_cut

    others = dynamic_cuts({**values, "low_mid_cut_db": 0.0}, rate, channels, programme, carving)
    return [*low_mid_cut(inserts, place, most_db, rate, channels, programme), *others]


def compressors(
    values: Mapping[str, float],
    rate: int,
    channels: int,
    programme: Levelled,
    detector: Detector = BODY,
    made_up_db: float | None = None,
) -> list[LevelDynamics]:
    """The compressor, unless its ratio is 1; see `LevelDynamics` for `made_up_db`."""
    if values["comp_ratio"] == 1:
        return []
    return [
        compressor(
            threshold_db=values["comp_threshold_db"],
            ratio=values["comp_ratio"],
            attack_ms=values["comp_attack_ms"],
            release_ms=values["comp_release_ms"],
            programme=programme,
            rate=rate,
            channels=channels,
            detector=detector,
            made_up_db=made_up_db,
        )
    ]


def _stem_compressors(
    values: Mapping[str, float],
    part: AudioSource,
    programme: Programme,
    heard: Programme,
    place: str,
    inserts: Inserts | None,
) -> list[Processor]:
    """The compressor of a strip or a bus, which keeps the power that the stem itself has.

    How much it takes depends on attack and release, and so is measured on the stem.
    """
    if inserts is not None and values["comp_ratio"] != 1 and inserts.at(place, "comp"):
        from mixagent.pipeline.chain.inserted import strip_compressor

        return strip_compressor(inserts, place, values, part, programme, heard)
    made_up_db = 0.0
    for trial in compressors(values, part.rate, part.channels, programme, made_up_db=0.0):
        made_up_db = lost_db(trial, part)
    return [*compressors(values, part.rate, part.channels, heard, made_up_db=made_up_db)]


def transient_shapers(values: Mapping[str, float], rate: int, channels: int) -> list[Processor]:
    """The transient shaper, unless both of its gains are 0."""
    attack_db, sustain_db = values["transient_attack_db"], values["transient_sustain_db"]
    return [TransientShaper(attack_db, sustain_db, rate, channels)] if attack_db or sustain_db else []


def sections_of(filters: Sequence[Filter], rate: int) -> list[Float64Array]:
    """The sections of those filters that do something and lie below Nyquist."""
    return [f.section(rate) for f in filters if f.gain_db != 0 and f.frequency_hz < HIGHEST_SHARE * rate]


def _high_pass(corner_hz: float, rate: int) -> list[Float64Array]:
    if corner_hz <= 20:
        return []
    return [first_order_high_pass(high_pass_pole_hz(corner_hz), rate)] * 2


def high_pass_pole_hz(corner_hz: float) -> float:
    """Where both first-order sections of a strip's high-pass stand, which is 3 dB down at its corner.

    Together they are a second-order high-pass at this frequency with a Q of 0.5.
    """
    return corner_hz * _CASCADED_CORNER


def strip_filters(strip: Mapping[str, float]) -> list[Filter]:
    """The bells and shelves of a strip, those at 0 dB among them."""
    return [
        Filter("low_shelf", 100.0, strip["low_shelf_db"], math.sqrt(0.5)),
        Filter("bell", strip["bell_hz"], strip["bell_db"], strip["bell_q"]),
        Filter("bell", 3500.0, strip["presence_db"], 0.7),
        Filter("high_shelf", 10000.0, strip["air_db"], math.sqrt(0.5)),
    ]


class _Returns:
    """The reverb and the delay, fed by the strips' sends after their faders and buses."""

    def __init__(
        self, settings: Settings, names: Sequence[str], mix: AudioSource, inserts: Inserts | None = None
    ) -> None:
        self._paths: list[tuple[list[float], list[Processor]]] = []
        for effect, returned in (("reverb", _reverb), ("delay", _delay)):
            if any(sends := _sends(settings, names, effect)):
                self._paths.append((sends, returned(settings.section(effect), mix, inserts)))

    def add(self, strips: Sequence[FloatArray], block: FloatArray) -> None:
        """Add the returns of the strips' blocks to `block`, in place."""
        for sends, processors in self._paths:
            sent = np.zeros_like(block)
            for gain, strip in zip(sends, strips, strict=True):
                if gain:
                    sent += np.float32(gain) * strip
            for processor in processors:
                sent = processor.process(sent)
            block += sent


def _sends(settings: Settings, names: Sequence[str], effect: str) -> list[float]:
    levels_db = [settings[f"{name}.{effect}_send_db"] for name in names]
    return [db_to_amplitude(level) if level > _SEND_OFF_DB else 0.0 for level in levels_db]


def _reverb(values: Mapping[str, float], mix: AudioSource, inserts: Inserts | None) -> list[Processor]:
    high_pass = Cascade(np.stack(_high_pass(ROOM_ABOVE_HZ, mix.rate)), mix.channels)
    if inserts is not None and inserts.at("reverb", "reverb"):
        from mixagent.pipeline.chain.inserted import reverb

        return [high_pass, *reverb(inserts, values, mix.rate, mix.channels)]
    plugin = pedalboard.Reverb(
        values["size"],
        values["damping"],
        wet_level=_wet_level(values["size"], values["damping"], mix.rate),
        dry_level=0.0,
    )
    return [high_pass, BoardProcessor([plugin], mix.rate, mix.channels)]


def _wet_level(size: float, damping: float, rate: int) -> float:
    """The level at which a room returns about the power that is sent to it, of whatever size it is.

    The mean over an octave scale of what comes back of the reverb's parallel comb filters, whose feedback
    passes a one-pole low-pass (J. O. Smith, "Physical Audio Signal Processing", Freeverb).
    """
    feedback, pole = 0.7 + 0.28 * size, 0.4 * damping
    turns = 2 * np.pi * np.geomspace(100.0, 0.45 * rate, 48) / rate
    low_pass = (1 - pole) ** 2 / (1 - 2 * pole * np.cos(turns) + pole**2)
    return 1 / math.sqrt(float(np.mean(1 / (1 - feedback**2 * low_pass))))


def _delay(values: Mapping[str, float], mix: AudioSource, inserts: Inserts | None) -> list[Processor]:
    plugin = pedalboard.Delay(values["time_ms"] / 1000, values["feedback"], mix=1.0)
    return [BoardProcessor([plugin], mix.rate, mix.channels)]
