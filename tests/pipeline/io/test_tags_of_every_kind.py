"""What a file says of its song is kept where the output can hold it, and named in one warning where not."""

import shutil
import struct
import subprocess

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import apev2, asf, flac, id3, mp4
from test_files import RATE, tone

from mixagent.pipeline.io import encode, tag_texts
from mixagent.pipeline.types import Audio

FFMPEG = shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None
needs_ffmpeg = pytest.mark.skipif(not FFMPEG, reason="ffmpeg is not installed")
SONG = tone(2.0)
JPEG = b"\xff\xd8\xff\xe0" + bytes(40)

TEXT_FRAMES = {
    **{"TIT2": "title", "TPE1": "artist", "TALB": "album", "TPUB": "label", "TPE3": "conductor"},
    **{"TPE4": "remixer", "TEXT": "lyricist", "TSOP": "artistsort", "TSOA": "albumsort", "TSOT": "titlesort"},
    **{"TSO2": "albumartistsort", "TSOC": "composersort", "TCMP": "compilation", "TIT1": "grouping"},
    **{"TIT3": "subtitle", "TLAN": "language", "TMED": "media", "TMOO": "mood", "TDOR": "originaldate"},
    **{"TSRC": "isrc", "TBPM": "bpm", "TKEY": "initialkey", "TSST": "discsubtitle", "TENC": "encodedby"},
}
VALUES = {"TCMP": "1", "TDOR": "1999", "TBPM": "96"}


def rich_mp3(path, *more):
    encode(SONG, path)
    tags = id3.ID3()
    for frame in TEXT_FRAMES:
        tags.add(getattr(id3, frame)(encoding=3, text=[VALUES.get(frame, f"of {frame}")]))
    tags.add(id3.UFID("http://musicbrainz.org", b"7c9f1c1e"))
    tags.add(id3.WOAR("https://example.org/artist"))
    tags.add(id3.TIPL(encoding=3, people=[["producer", "P"], ["tea", "T"]]))
    tags.add(id3.POPM("a@example.org", 196, 5))
    tags.add(id3.PRIV("someone", b"secret"))
    tags.add(id3.SYLT(encoding=3, lang="eng", format=2, type=1, desc="", text=[("la", 100)]))
    tags.add(id3.CTOC("toc", 3, ["c1", "c2"], []))
    for name, start, title in (("c1", 0, "Intro"), ("c2", 1000, "Main")):
        sub = [id3.TIT2(encoding=3, text=[title])]
        tags.add(id3.CHAP(name, start, start + 1000, 0xFFFFFFFF, 0xFFFFFFFF, sub))
    tags.add(id3.RVA2(desc="track", channel=1, gain=-9.0, peak=0.9))
    for frame in more:
        tags.add(frame)
    tags.save(path)
    return tags


def mastered(tmp_path, song, suffix, audio=SONG):
    master = tmp_path / f"master.{suffix}"
    warnings = encode(audio, master, tags_from=song)
    return mutagen.File(master), warnings


@pytest.mark.parametrize("suffix", ["mp3", "wav"])
def test_every_frame_that_is_still_true_is_kept_in_id3(tmp_path, suffix):
    before = rich_mp3(tmp_path / "song.mp3")
    file, warnings = mastered(tmp_path, tmp_path / "song.mp3", suffix)
    assert warnings == ()
    assert set(file.tags.keys()) == set(before.keys()) - {"RVA2:track"}
    for key, frame in file.tags.items():
        assert frame == before[key]


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_every_frame_that_has_a_name_is_kept_in_vorbis_comments(tmp_path, suffix):
    rich_mp3(tmp_path / "song.mp3")
    file, warnings = mastered(tmp_path, tmp_path / "song.mp3", suffix)
    for frame, name in TEXT_FRAMES.items():
        assert file.tags[name] == [VALUES.get(frame, f"of {frame}")]
    assert file.tags["musicbrainz_trackid"] == ["7c9f1c1e"]
    assert file.tags["website"] == ["https://example.org/artist"]
    assert (file.tags["producer"], file.tags["performer"]) == (["P"], ["T (tea)"])
    assert file.tags["chapter002"] == ["00:00:01.000"]
    assert file.tags["chapter002name"] == ["Main"]
    (warning,) = warnings
    assert {"rating", "synchronised lyrics", "private data (someone)"} == set(
        warning.split(": ")[1].split(", ")
    )


@pytest.mark.parametrize("suffix", ["mp3", "wav"])
def test_a_text_that_is_another_takes_the_frames_place(tmp_path, suffix):
    rich_mp3(tmp_path / "song.mp3")
    master = tmp_path / f"master.{suffix}"
    encode(
        SONG,
        master,
        tags_from=tmp_path / "song.mp3",
        retag=lambda texts: {"title": [texts["title"][0] + "!"]},
    )
    tags = mutagen.File(master).tags
    assert [frame.text for frame in tags.getall("TIT2")] == [["of TIT2!"]]
    assert tags["TPUB"].text == ["of TPUB"]


@pytest.mark.parametrize("suffix", ["mp3", "wav", "ogg"])
def test_chapters_go_from_vorbis_comments_to_id3_and_back(tmp_path, suffix):
    encode(SONG, tmp_path / "song.flac")
    file = flac.FLAC(tmp_path / "song.flac")
    file["CHAPTER001"], file["CHAPTER001NAME"] = "00:00:00.000", "Intro"
    file["CHAPTER002"], file["CHAPTER002NAME"] = "00:00:01.500", "Main"
    file.save()
    first, _ = mastered(tmp_path, tmp_path / "song.flac", suffix)
    if suffix != "ogg":
        chapters = first.tags.getall("CHAP")
        assert sorted((c.start_time, str(c.sub_frames["TIT2"])) for c in chapters) == [
            (0, "Intro"),
            (1500, "Main"),
        ]
        assert len(first.tags.getall("CTOC")) == 1
    (tmp_path / f"master.{suffix}").rename(tmp_path / f"again.{suffix}")
    second, _ = mastered(tmp_path, tmp_path / f"again.{suffix}", "flac")
    assert (second["chapter002"], second["chapter002name"]) == (["00:00:01.500"], ["Main"])


def test_chapters_of_a_song_that_was_trimmed_are_named(tmp_path):
    rich_mp3(tmp_path / "song.mp3")
    file, (warning,) = mastered(tmp_path, tmp_path / "song.mp3", "mp3", tone(1.0))
    assert "chapters, as the length changed" in warning
    assert not file.tags.getall("CHAP")


# --- other containers ------------------------------------------------------------------------------


def ffmpeg(tmp_path, name, *options):
    encode(SONG, tmp_path / "plain.wav", "16")
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "plain.wav", *options, tmp_path / name]
    subprocess.run([*map(str, command)], check=True)
    return tmp_path / name


def wavpack(tmp_path):
    path = ffmpeg(tmp_path, "song.wv")
    tags = apev2.APEv2()
    tags["Title"], tags["Artist"], tags["Track"], tags["Label"] = "Song", "Singer", "3/12", "Small"
    tags["Cover Art (Front)"] = apev2.APEValue(b"cover.jpg\0" + JPEG, apev2.BINARY)
    tags.save(path)
    return path


def windows_media(tmp_path):
    path = ffmpeg(tmp_path, "song.wma")
    file = asf.ASF(path)
    file["Title"], file["Author"], file["WM/TrackNumber"], file["WM/Publisher"] = (
        "Song",
        "Singer",
        "3/12",
        "Small",
    )
    picture = struct.pack("<BI", 3, len(JPEG)) + "image/jpeg\0\0".encode("utf-16-le") + JPEG
    file["WM/Picture"] = asf.ASFByteArrayAttribute(picture)
    file.save()
    return path


def mpeg4(tmp_path):
    path = ffmpeg(tmp_path, "song.m4a")
    file = mp4.MP4(path)
    file["©nam"], file["©ART"], file["trkn"] = "Song", "Singer", [(3, 12)]
    file["----:com.apple.iTunes:LABEL"] = [b"Small"]
    file["covr"] = [mp4.MP4Cover(JPEG, mp4.MP4Cover.FORMAT_JPEG)]
    file.save()
    return path


def mp3_with_ape(tmp_path):
    path = tmp_path / "song.mp3"
    encode(SONG, path)
    tags = apev2.APEv2()
    tags["Title"], tags["Artist"], tags["Track"], tags["Label"] = "Song", "Singer", "3/12", "Small"
    tags["Cover Art (Front)"] = apev2.APEValue(b"cover.jpg\0" + JPEG, apev2.BINARY)
    tags.save(path)
    return path


def flac_after_id3(tmp_path):
    path = tmp_path / "song.flac"
    encode(SONG, path)
    file = flac.FLAC(path)
    file["artist"] = "Singer"
    file.save()
    tags = id3.ID3()
    for frame, text in (("TIT2", "Song"), ("TRCK", "3/12"), ("TPUB", "Small"), ("TPE1", "Another")):
        tags.add(getattr(id3, frame)(encoding=3, text=[text]))
    tags.add(id3.APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=JPEG))
    tags.save(tmp_path / "front.id3")
    path.write_bytes((tmp_path / "front.id3").read_bytes() + path.read_bytes())
    return path


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(wavpack, marks=needs_ffmpeg),
        pytest.param(windows_media, marks=needs_ffmpeg),
        pytest.param(mpeg4, marks=needs_ffmpeg),
        mp3_with_ape,
        flac_after_id3,
    ],
)
def test_tags_of_every_container_are_kept(tmp_path, make):
    file, warnings = mastered(tmp_path, make(tmp_path), "flac")
    assert warnings == ()
    found = {name.lower(): value for name, value in file.tags}
    assert found == {"title": "Song", "artist": "Singer", "tracknumber": "3/12", "label": "Small"}
    assert [(p.mime, p.type, p.data) for p in file.pictures] == [("image/jpeg", 3, JPEG)]


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["mka", "webm"])
def test_tags_of_matroska_are_kept_and_those_of_its_encoder_are_not(tmp_path, suffix):
    words = ["-metadata", "title=Song", "-metadata", "artist=Singer", "-metadata", "MOOD=calm"]
    song = ffmpeg(tmp_path, f"song.{suffix}", *words)
    file, warnings = mastered(tmp_path, song, "flac")
    assert warnings == ()
    found = {name.lower(): value for name, value in file.tags}
    assert found == {"title": "Song", "artist": "Singer", "mood": "calm"}


@needs_ffmpeg
def test_marks_of_provenance_that_cannot_be_kept_are_named(tmp_path):
    song = ffmpeg(tmp_path, "song.m4a")
    uuid = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    song.write_bytes(song.read_bytes() + struct.pack(">I", 64) + b"uuid" + uuid + bytes(40))
    _, (warning,) = mastered(tmp_path, song, "wav")
    assert "C2PA provenance mark" in warning


@pytest.mark.parametrize(("suffix", "kept"), [("mp3", True), ("wav", True), ("flac", False), ("ogg", False)])
def test_marks_of_provenance_in_id3_stay_in_id3(tmp_path, suffix, kept):
    mark = id3.GEOB(encoding=3, mime="application/x-c2pa-manifest-store", filename="c2pa", desc="", data=b"1")
    rich_mp3(tmp_path / "song.mp3", mark)
    file, warnings = mastered(tmp_path, tmp_path / "song.mp3", suffix)
    assert ("C2PA provenance mark" in " ".join(warnings)) == (not kept)
    assert not kept or file.tags.getall("GEOB") == [mark]


# --- wav -------------------------------------------------------------------------------------------


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def bext():
    data = bytearray(602)
    data[:11] = b"Description"
    data[338:346] = struct.pack("<Q", RATE * 3600)
    data[346:348] = struct.pack("<H", 2)
    data[412:422] = struct.pack("<5h", -1400, 500, -100, -1200, -1300)
    return bytes(data) + b"A=PCM,F=44100\r\n"


CUE = struct.pack("<I", 2) + b"".join(
    struct.pack("<II4sIII", number, frame, b"data", 0, 0, frame) for number, frame in ((1, 0), (2, RATE))
)
LABELS = b"adtl" + b"".join(
    chunk(b"labl", struct.pack("<I", number) + text) for number, text in ((1, b"Intro\0"), (2, b"Main\0"))
)


def rich_wav(path, *chunks):
    encode(SONG, path, "16")
    data = path.read_bytes() + b"".join(chunks)
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    return path


def chunks_of(path):
    data, at, found = path.read_bytes(), 12, {}
    while at + 8 <= len(data):
        size = struct.unpack("<I", data[at + 4 : at + 8])[0]
        found[data[at : at + 4]] = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    assert at == len(data) == struct.unpack("<I", data[4:8])[0] + 8
    return found


def test_a_wavs_own_chunks_stay_in_a_wav(tmp_path):
    own = {b"iXML": b"<BWFXML/>", b"C2PA": b"jumbf", b"WMRK": b"a watermark's", b"cue ": CUE, b"LIST": LABELS}
    song = rich_wav(tmp_path / "song.wav", chunk(b"bext", bext()), *(chunk(*pair) for pair in own.items()))
    assert encode(SONG, tmp_path / "master.wav", tags_from=song) == ()
    found = chunks_of(tmp_path / "master.wav")
    assert {name: found[name] for name in own} == own
    # Its loudness is no longer known; all else is as it was.
    assert struct.unpack("<5h", found[b"bext"][412:422]) == (0x7FFF,) * 5
    assert found[b"bext"][:412] + found[b"bext"][422:] == bext()[:412] + bext()[422:]
    assert soundfile.info(tmp_path / "master.wav").frames == SONG.frames


def test_markers_move_with_the_rate(tmp_path):
    song = rich_wav(tmp_path / "song.wav", chunk(b"cue ", CUE), chunk(b"bext", bext()))
    samples = np.zeros((2, 2 * 88_200), np.float32)
    assert encode(Audio(samples, 88_200), tmp_path / "master.wav", tags_from=song) == ()
    found = chunks_of(tmp_path / "master.wav")
    assert struct.unpack("<II4sIII", found[b"cue "][28:52])[1] == 88_200
    assert struct.unpack("<Q", found[b"bext"][338:346])[0] == 88_200 * 3600


def test_markers_become_chapters_elsewhere_and_the_rest_is_named(tmp_path):
    song = rich_wav(
        tmp_path / "song.wav",
        chunk(b"cue ", CUE),
        chunk(b"LIST", LABELS),
        chunk(b"bext", bext()),
        chunk(b"C2PA", b"jumbf"),
    )
    file, (warning,) = mastered(tmp_path, song, "flac")
    assert (file["chapter002"], file["chapter002name"]) == (["00:00:01.000"], ["Main"])
    assert warning.endswith(": broadcast extension (bext), C2PA provenance mark")


@pytest.mark.parametrize(
    ("title", "encoding", "page"),
    [("Песня", "cp1251", 1251), ("歌", "shift_jis", 932), ("Lied ü", "cp1252", 0), ("歌", "utf-8", 0)],
)
def test_info_is_read_in_its_code_page(tmp_path, title, encoding, page):
    info = b"INFO" + chunk(b"INAM", title.encode(encoding) + b"\0")
    stated = [chunk(b"CSET", struct.pack("<4H", page, 0, 0, 0))] if page else []
    song = rich_wav(tmp_path / "song.wav", *stated, chunk(b"LIST", info))
    assert tag_texts(song)["title"] == [title]


# --- what is too large, and what is broken ---------------------------------------------------------


@pytest.mark.parametrize(("suffix", "kept"), [("flac", 0), ("ogg", 0), ("mp3", 1)])
def test_a_cover_that_no_block_can_hold_costs_the_cover_alone(tmp_path, suffix, kept):
    cover = id3.APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=JPEG + bytes(16_800_000))
    # Just under what one frame may be, and over what a block of FLAC holds with its head.
    cover.data = cover.data[: (1 << 24) - 40]
    rich_mp3(tmp_path / "song.mp3", cover)
    file, warnings = mastered(tmp_path, tmp_path / "song.mp3", suffix)
    assert ("cover of 16.8 MB" in " ".join(warnings)) == (not kept)
    assert str(file.tags["TIT2" if suffix == "mp3" else "title"][0]) == "of TIT2"


def test_a_cover_of_hundreds_of_megabytes_takes_neither_memory_nor_the_other_tags(tmp_path):
    encode(SONG, tmp_path / "bare.mp3")
    size = 200_000_000
    title = b"TIT2" + bytes((0, 0, 0, 5)) + b"\0\0" + b"\3Song"
    head = b"APIC" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + b"\0\0"
    whole = len(title) + 10 + size
    with (tmp_path / "song.mp3").open("wb") as file:
        file.write(b"ID3\4\0\0" + bytes(whole >> shift & 127 for shift in (21, 14, 7, 0)) + head)
        # A hole: the file system does not store it.
        file.seek(size, 1)
        file.write(title + (tmp_path / "bare.mp3").read_bytes())
    assert tag_texts(tmp_path / "song.mp3") == {"title": ["Song"]}
    file, (warning,) = mastered(tmp_path, tmp_path / "song.mp3", "flac")
    assert "cover of 200.0 MB" in warning
    assert file["title"] == ["Song"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_damaged_tags_never_cost_the_master(tmp_path, suffix):
    rng = np.random.default_rng(11)
    rich_mp3(tmp_path / "whole.mp3")
    data = (tmp_path / "whole.mp3").read_bytes()
    for _ in range(25):
        broken = bytearray(data)
        for place in rng.integers(0, 3000, 6):
            broken[place] = rng.integers(256)
        (tmp_path / "song.mp3").write_bytes(broken)
        master = tmp_path / f"master.{suffix}"
        warnings = encode(tone(0.5), master, tags_from=tmp_path / "song.mp3")
        assert len(warnings) <= 1
        assert soundfile.info(master).frames == tone(0.5).frames


def test_a_text_of_megabytes_is_named_and_costs_nothing_else(tmp_path):
    encode(SONG, tmp_path / "song.mp3")
    tags = id3.ID3()
    tags.add(id3.TIT2(encoding=3, text=["T"]))
    tags.add(id3.TXXX(encoding=3, desc="note", text=["x" * 5_000_000]))
    tags.save(tmp_path / "song.mp3")
    file, (warning,) = mastered(tmp_path, tmp_path / "song.mp3", "flac")
    assert file["title"] == ["T"]
    assert "note of 5.0 MB" in warning


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_half_a_character_in_a_text_costs_nothing(tmp_path, suffix):
    encode(SONG, tmp_path / f"m.{suffix}", retag=lambda texts: {"title": ["a\ud800b"], "artist": ["A"]})
    assert tag_texts(tmp_path / f"m.{suffix}") == {"title": ["a?b"], "artist": ["A"]}
