"""Small readers of REAPER projects and DAWprojects, which know nothing of how these are written.

Each gives the tracks as `Read`, whose sum a workstation would play: faders are linear, a pan lowers the side
that it turns away from (a balance of 0 dB at the centre), equalisers are the Audio EQ Cookbook's.
"""

import io
import math
import shlex
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import soundfile
from scipy.signal import lfilter


@dataclass
class Read:
    """A track, a bus or the master; `into` is where its sound goes."""

    name: str
    volume: float
    pan: float
    mute: bool = False
    into: "Read | None" = None
    samples: np.ndarray | None = None
    rate: int = 0
    bands: list = field(default_factory=list)
    sends: dict = field(default_factory=dict)
    notes: str = ""
    colour: str = ""


def played(tracks: list[Read], master: Read) -> np.ndarray:
    """What the master plays, shape (frames, channels)."""
    heard = next(track.samples for track in tracks if track.samples is not None)
    sums = {id(each): np.zeros(heard.shape) for each in (*tracks, master)}
    # Buses stand before their tracks.
    for track in reversed(tracks):
        own = sums[id(track)] + (0 if track.samples is None else track.samples)
        sums[id(track.into or master)] += 0 if track.mute else _through(own, track, tracks)
    return _through(sums[id(master)], master, tracks)


def _through(samples: np.ndarray, track: Read, tracks: list[Read]) -> np.ndarray:
    rate = next(each.rate for each in tracks if each.rate)
    for band in track.bands:
        b, a = _cookbook(*band, rate)
        samples = lfilter(b, a, samples, axis=0)
    balance = [1 - max(track.pan, 0), 1 - max(-track.pan, 0)]
    return samples * track.volume * (balance if samples.shape[1] == 2 else 1)


def _cookbook(kind: str, hz: float, gain_db: float, q: float, rate: int):
    """Robert Bristow-Johnson's Audio EQ Cookbook."""
    w, a = 2 * math.pi * hz / rate, 10 ** (gain_db / 40)
    cos, alpha = math.cos(w), math.sin(w) / (2 * q)
    if kind == "highPass":
        return [(1 + cos) / 2, -1 - cos, (1 + cos) / 2], [1 + alpha, -2 * cos, 1 - alpha]
    if kind == "bell":
        return [1 + alpha * a, -2 * cos, 1 - alpha * a], [1 + alpha / a, -2 * cos, 1 - alpha / a]
    root, turn = 2 * math.sqrt(a) * alpha, 1 if kind == "lowShelf" else -1
    return [
        a * (a + 1 - turn * (a - 1) * cos + root),
        turn * 2 * a * (a - 1 - turn * (a + 1) * cos),
        a * (a + 1 - turn * (a - 1) * cos - root),
    ], [
        a + 1 + turn * (a - 1) * cos + root,
        turn * -2 * (a - 1 + turn * (a + 1) * cos),
        a + 1 + turn * (a - 1) * cos - root,
    ]


# --- REAPER ----------------------------------------------------------------------------------------


def rpp_tree(text: str) -> list:
    """A project's text as nested lists: the words of each line, and of a chunk its head and its lines."""
    root: list = []
    open_chunks = [root]
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("|"):
            open_chunks[-1].append(line)
        elif line == ">":
            open_chunks.pop()
        elif line.startswith("<"):
            chunk = [_words(line[1:])]
            open_chunks[-1].append(chunk)
            open_chunks.append(chunk)
        else:
            open_chunks[-1].append(_words(line))
    assert open_chunks == [root]
    return root[0]


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True)
    lexer.quotes, lexer.escape, lexer.commenters, lexer.whitespace_split = "\"'`", "", "", True
    return list(lexer)


def _chunks(tree: list, name: str) -> list:
    return [each for each in tree[1:] if isinstance(each[0], list) and each[0][0] == name]


def _line(tree: list, name: str) -> list[str]:
    return next(each[1:] for each in tree[1:] if not isinstance(each, str) and each[0] == name)


def read_rpp(path: Path) -> tuple[list[Read], Read, str]:
    """Tracks, master and the project's notes."""
    tree = rpp_tree(path.read_text("utf-8"))
    assert tree[0][0] == "REAPER_PROJECT"
    assert _line(tree, "PANMODE") == ["3"]
    assert _line(tree, "PANLAW") == ["1"]
    assert _line(tree, "PANLAWFLAGS") == ["2"]
    master = Read("Master", *map(float, _line(tree, "MASTER_VOLUME")[:2]))
    tracks, folders = [], []
    for chunk in _chunks(tree, "TRACK"):
        track = _rpp_track(chunk, path.parent)
        track.into = folders[-1] if folders else None
        tracks.append(track)
        _, deeper = map(int, _line(chunk, "ISBUS"))
        if deeper > 0:
            folders.append(track)
        elif deeper < 0:
            del folders[deeper:]
    for chunk, track in zip(_chunks(tree, "TRACK"), tracks, strict=True):
        for words in (each for each in chunk[1:] if each[0] == "AUXRECV"):
            assert words[2] == "0"
            tracks[int(words[1])].sends[track.name] = float(words[3])
    (notes,) = _chunks(tree, "NOTES")
    told = {each[0][1]: each[1:] for each in _chunks(_chunks(tree, "EXTENSIONS")[0], "S&M_TRACKNOTES")}
    for chunk, track in zip(_chunks(tree, "TRACK"), tracks, strict=True):
        track.notes = "\n".join(line[1:] for line in told.get(_line(chunk, "TRACKID")[0], []))
    return tracks, master, "\n".join(line[1:] for line in notes[1:])


def _rpp_track(chunk: list, folder: Path) -> Read:
    volume, pan = map(float, _line(chunk, "VOLPAN")[:2])
    (name,), mute = _line(chunk, "NAME"), _line(chunk, "MUTESOLO")[0] == "1"
    colour = int(_line(chunk, "PEAKCOL")[0])
    assert colour & 0x1000000
    red, green, blue = (colour >> shift & 255 for shift in (0, 8, 16))
    track = Read(name, volume, pan, mute, colour=f"#{red:02x}{green:02x}{blue:02x}")
    for item in _chunks(chunk, "ITEM"):
        assert _line(item, "POSITION") == ["0"]
        (file,) = _line(_chunks(item, "SOURCE")[0], "FILE")
        assert Path(file).name == file
        track.samples, track.rate = soundfile.read(folder / file, always_2d=True)
        assert math.isclose(float(_line(item, "LENGTH")[0]), len(track.samples) / track.rate, abs_tol=1e-6)
    return track


# --- DAWproject ------------------------------------------------------------------------------------

ORDER = {
    "Project": ("Application", "Transport", "Structure", "Arrangement"),
    "Channel": ("Devices", "Mute", "Pan", "Sends", "Volume"),
    "Equalizer": ("Enabled", "Band"),
    "Band": ("Freq", "Gain", "Q", "Enabled"),
    "Compressor": ("Enabled", "Attack", "AutoMakeup", "Ratio", "Release", "Threshold"),
    "Send": ("Enable", "Volume"),
    "Track": ("Channel", "Track"),
    "Clip": ("Audio",),
    "Audio": ("File",),
}
"""The sequences of Project.xsd, as far as they are used: other children, or another order, are not valid."""


def read_dawproject(path: Path) -> tuple[list[Read], Read, str]:
    """Tracks, master and the comment of the metadata."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        project = ElementTree.fromstring(archive.read("project.xml"))
        metadata = ElementTree.fromstring(archive.read("metadata.xml"))
        _check(project)
        elements = list(project.find("Structure").iter("Track"))
        channels = {each.find("Channel").get("id"): each for each in elements}
        tracks = {each.get("id"): _xml_track(each) for each in elements}
        for lane in project.find("Arrangement/Lanes"):
            (audio,) = lane.iter("Audio")
            assert lane.find("Clips/Clip").get("time") == "0"
            track = tracks[lane.get("track")]
            sound = archive.read(audio.find("File").get("path"))
            track.samples, track.rate = soundfile.read(io.BytesIO(sound), always_2d=True)
            assert track.rate == int(audio.get("sampleRate"))
            assert math.isclose(float(audio.get("duration")), len(track.samples) / track.rate, abs_tol=1e-6)
    master = next(tracks[each.get("id")] for each in elements if each.find("Channel").get("role") == "master")
    for element in elements:
        channel, track = element.find("Channel"), tracks[element.get("id")]
        if track is not master:
            track.into = tracks[channels[channel.get("destination")].get("id")]
        for send in channel.iter("Send"):
            assert send.get("type") == "post"
            to = channels[send.get("destination")].get("name")
            track.sends[to] = float(send.find("Volume").get("value"))
    return [each for each in tracks.values() if each is not master], master, metadata.findtext("Comment")


def _xml_track(element: ElementTree.Element) -> Read:
    channel = element.find("Channel")
    assert channel.find("Pan").get("unit") == "normalized"
    assert channel.find("Volume").get("unit") == "linear"
    value = lambda name: channel.find(name).get("value")  # noqa: E731
    return Read(
        element.get("name"),
        float(value("Volume")),
        2 * float(value("Pan")) - 1,
        value("Mute") == "true",
        bands=[_band(band) for band in channel.findall("Devices/Equalizer/Band")],
        notes=element.get("comment", ""),
        colour=element.get("color"),
    )


def _band(band: ElementTree.Element) -> tuple[str, float, float, float]:
    hz, gain, q = (band.find(name) for name in ("Freq", "Gain", "Q"))
    return (
        band.get("type"),
        float(hz.get("value")),
        0.0 if gain is None else float(gain.get("value")),
        float(q.get("value")),
    )


def _check(project: ElementTree.Element) -> None:
    """Whether children come as the schema has them, and each reference leads somewhere."""
    for element in project.iter():
        names = [child.tag for child in element]
        if element.tag in ORDER:
            places = [ORDER[element.tag].index(name) for name in names]
            assert places == sorted(places), (element.tag, names)
    ids = [element.get("id") for element in project.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    led = [e.get(name) for e in project.iter() for name in ("destination", "track") if e.get(name)]
    assert set(led) <= set(ids)
