"""A mix as a DAWproject: a zip of its XML and its sound, with the same bytes for the same mix.

Source: the format's version 1.0 and its schemas, github.com/bitwig/dawproject (MIT).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from mixagent.daw.project import Band, BandKind, Compressor, Project, Track, audio_tracks, track_notes

_KINDS: Mapping[BandKind, str] = {
    "high_pass": "highPass",
    "low_shelf": "lowShelf",
    "bell": "bell",
    "high_shelf": "highShelf",
}
SWITCHED_OFF = "The compressor is off: each workstation has its own make-up gain, so match it by ear"

_LOUDEST = 2.0
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o644 << 16
_NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def write_dawproject(project: Project, sounds: Mapping[str, Path], version: str, path: Path) -> None:
    """Write the zip.

    Args:
        project: the mix.
        sounds: the files of the tracks' sound, by track; they are put into the zip by their names.
        version: of this program.
        path: where it goes.

    Raises:
        OSError: the disk is full, or refuses the file.
    """
    files = {name: f"audio/{sound.name}" for name, sound in sounds.items()}
    with zipfile.ZipFile(path, "w") as archive:
        _put(archive, "project.xml", project_xml(project, files, version))
        _put(archive, "metadata.xml", metadata_xml(project))
        for track in audio_tracks(project):
            # Samples hardly become less by being packed.
            info = _info(files[track.name], zipfile.ZIP_STORED)
            info.file_size = sounds[track.name].stat().st_size
            with sounds[track.name].open("rb") as sound, archive.open(info, "w") as entry:
                while block := sound.read(1 << 20):
                    entry.write(block)


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_info(name, zipfile.ZIP_DEFLATED), content)


def _info(name: str, compression: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _FIRST_DAY)
    info.compress_type, info.external_attr, info.create_system = compression, _READABLE, 3
    return info


def metadata_xml(project: Project) -> bytes:
    """`metadata.xml`: the title, and all notes as its comment."""
    root = ElementTree.Element("MetaData")
    for name, text in (("Title", project.title), ("Comment", "\n".join(project.told(devices=True)))):
        ElementTree.SubElement(root, name).text = _text(text)
    return _document(root)


def project_xml(project: Project, files: Mapping[str, str], version: str) -> bytes:
    """`project.xml`.

    Args:
        project: the mix.
        files: places of the tracks' sound in the zip, by track.
        version: of this program.
    """
    root = ElementTree.Element("Project", version="1.0")
    ElementTree.SubElement(root, "Application", name="mixagent", version=version)
    transport = ElementTree.SubElement(root, "Transport")
    _real(transport, "Tempo", 120.0, "bpm")
    ElementTree.SubElement(transport, "TimeSignature", numerator="4", denominator="4")
    structure, nested = ElementTree.SubElement(root, "Structure"), dict[str, ElementTree.Element]()
    for track in (*project.all_tracks, project.master):
        above = structure if track.bus is None else nested[track.bus]
        nested[track.name] = _track(above, project, track)
    _arrangement(root, project, files)
    return _document(root)


def _track(above: ElementTree.Element, project: Project, track: Track) -> ElementTree.Element:
    is_bus = any(other.bus == track.name for other in project.tracks)
    element = ElementTree.SubElement(
        above,
        "Track",
        contentType="tracks" if is_bus else "audio",
        loaded="true",
        id=_id(project, track, "track"),
        name=track.name,
        color=track.colour,
    )
    told = [*track_notes(track, devices=False), *([SWITCHED_OFF] if track.compressors else [])]
    if told:
        element.set("comment", _text("\n".join(told)))
    role = "master" if track is project.master else "submix" if is_bus else "regular"
    role = "effect" if track in project.returns else role
    channel = ElementTree.SubElement(
        element,
        "Channel",
        audioChannels=str(project.channels),
        role=role,
        solo="false",
        id=_id(project, track, "channel"),
    )
    if track is not project.master:
        channel.set("destination", _destination(project, track))
    _devices(channel, track)
    ElementTree.SubElement(channel, "Mute", value=_flag(track.mute))
    _real(channel, "Pan", (track.fader.pan + 1) / 2, "normalized", (0.0, 1.0))
    _sends(channel, project, track)
    _real(channel, "Volume", track.fader.volume, "linear", (0.0, max(track.fader.volume, _LOUDEST)))
    return element


def _destination(project: Project, track: Track) -> str:
    bus = next((other for other in project.tracks if other.name == track.bus), project.master)
    return _id(project, bus, "channel")


def _devices(channel: ElementTree.Element, track: Track) -> None:
    if not (track.bands or track.compressors):
        return
    devices = ElementTree.SubElement(channel, "Devices")
    if track.bands:
        equaliser = ElementTree.SubElement(
            devices, "Equalizer", deviceName="Equalizer", deviceRole="audioFX", loaded="true"
        )
        ElementTree.SubElement(equaliser, "Enabled", value="true")
        for order, band in enumerate(track.bands):
            _band(equaliser, band, order)
    for compressor in track.compressors:
        _compressor(devices, compressor)


def _band(equaliser: ElementTree.Element, band: Band, order: int) -> None:
    element = ElementTree.SubElement(equaliser, "Band", type=_KINDS[band.kind], order=str(order))
    _real(element, "Freq", band.frequency_hz, "hertz")
    if band.kind != "high_pass":
        _real(element, "Gain", band.gain_db, "decibel")
    _real(element, "Q", band.q, "linear")
    ElementTree.SubElement(element, "Enabled", value="true")


def _compressor(devices: ElementTree.Element, compressor: Compressor) -> None:
    element = ElementTree.SubElement(
        devices, "Compressor", deviceName="Compressor", deviceRole="audioFX", loaded="true"
    )
    ElementTree.SubElement(element, "Enabled", value="false")
    _real(element, "Attack", compressor.attack_ms / 1000, "seconds")
    ElementTree.SubElement(element, "AutoMakeup", value="true")
    # The format has the ratio in percent, from none of what is over the threshold to all of it.
    _real(element, "Ratio", 100 * (1 - 1 / compressor.ratio), "percent")
    _real(element, "Release", compressor.release_ms / 1000, "seconds")
    _real(element, "Threshold", compressor.threshold_db, "decibel")


def _sends(channel: ElementTree.Element, project: Project, track: Track) -> None:
    if not track.sends:
        return
    sends = ElementTree.SubElement(channel, "Sends")
    returns = {each.name: each for each in project.returns}
    for send in track.sends:
        to = _id(project, returns[send.to], "channel")
        element = ElementTree.SubElement(sends, "Send", destination=to, type="post")
        ElementTree.SubElement(element, "Enable", value="true")
        _real(element, "Volume", send.volume, "linear", (0.0, 1.0))


def _arrangement(root: ElementTree.Element, project: Project, files: Mapping[str, str]) -> None:
    arrangement = ElementTree.SubElement(root, "Arrangement", id="arrangement")
    lanes = ElementTree.SubElement(arrangement, "Lanes", timeUnit="seconds", id="lanes")
    duration = _number(project.duration_s)
    for track in audio_tracks(project):
        lane = ElementTree.SubElement(lanes, "Lanes", track=_id(project, track, "track"))
        clips = ElementTree.SubElement(lane, "Clips")
        clip = ElementTree.SubElement(
            clips,
            "Clip",
            name=track.name,
            time="0",
            duration=duration,
            contentTimeUnit="seconds",
            playStart="0",
        )
        audio = ElementTree.SubElement(
            clip,
            "Audio",
            timeUnit="seconds",
            duration=duration,
            sampleRate=str(project.rate),
            channels=str(project.channels),
        )
        ElementTree.SubElement(audio, "File", path=files[track.name])


def _real(
    above: ElementTree.Element, name: str, value: float, unit: str, span: tuple[float, float] | None = None
) -> None:
    ends = {} if span is None else {"min": _number(span[0]), "max": _number(span[1])}
    ElementTree.SubElement(above, name, {**ends, "unit": unit, "value": _number(value)})


def _id(project: Project, track: Track, what: str) -> str:
    return f"{what}{(*project.all_tracks, project.master).index(track)}"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _number(value: float) -> str:
    return f"{value:.10f}".rstrip("0").rstrip(".")


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)


def _document(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"
