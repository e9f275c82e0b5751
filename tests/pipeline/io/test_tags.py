"""Tags and pictures survive every change of format; what is no longer true does not."""

import base64
import subprocess

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import flac, id3, mp4
from test_files import content_hash, tone

from mixagent.pipeline.io import copy_tags, decode, encode, replaygain_texts

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TEXTS = {
    "title": "Häuser 歌",
    "artist": "The Band",
    "album": "Record",
    "albumartist": "Various",
    "date": "2024-05-01",
    "tracknumber": "3/12",
    "discnumber": "1/2",
    "genre": "Synthpop",
    "composer": "A. Writer",
    "bpm": "128",
    "comment": "made at home",
    "lyrics": "one\ntwo",
    "isrc": "QZABC2400001",
}
ID3_FRAMES = {
    "title": "TIT2",
    "artist": "TPE1",
    "album": "TALB",
    "albumartist": "TPE2",
    "date": "TDRC",
    "tracknumber": "TRCK",
    "discnumber": "TPOS",
    "genre": "TCON",
    "composer": "TCOM",
    "bpm": "TBPM",
    "isrc": "TSRC",
}


def tag_id3(path):
    file = mutagen.File(path)
    file.add_tags()
    for name, frame in ID3_FRAMES.items():
        file.tags.add(getattr(id3, frame)(encoding=3, text=[TEXTS[name]]))
    file.tags.add(id3.COMM(encoding=3, lang="eng", desc="", text=[TEXTS["comment"]]))
    file.tags.add(id3.USLT(encoding=3, lang="eng", desc="", text=TEXTS["lyrics"]))
    file.tags.add(id3.TXXX(encoding=3, desc="MOOD", text=["calm"]))
    file.tags.add(id3.TXXX(encoding=3, desc="REPLAYGAIN_TRACK_GAIN", text=["-9.1 dB"]))
    file.tags.add(id3.COMM(encoding=3, lang="eng", desc="iTunNORM", text=[" 000004"]))
    file.tags.add(id3.RVA2(desc="track", channel=1, gain=-9.0, peak=0.9))
    file.tags.add(id3.TSSE(encoding=3, text=["some encoder"]))
    file.tags.add(id3.APIC(encoding=3, mime="image/png", type=3, desc="front", data=PNG))
    file.save()


def tag_vorbis(path):
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    for name, value in TEXTS.items():
        file.tags[name] = value
    file.tags["mood"] = "calm"
    file.tags["replaygain_track_gain"] = "-9.1 dB"
    file.tags["R128_TRACK_GAIN"] = "-2304"
    picture = flac.Picture()
    picture.mime, picture.type, picture.desc, picture.data = "image/png", 3, "front", PNG
    if isinstance(file, flac.FLAC):
        file.add_picture(picture)
    else:
        file.tags["metadata_block_picture"] = [base64.b64encode(picture.write()).decode()]
    file.save()


def tag(path):
    (tag_id3 if path.suffix in (".wav", ".mp3") else tag_vorbis)(path)


def read(path):
    """Texts by name and pictures, by mutagen's own names for each format."""
    file = mutagen.File(path)
    if isinstance(file.tags, id3.ID3):
        texts = {
            name: str(file.tags[frame].text[0]) for name, frame in ID3_FRAMES.items() if frame in file.tags
        }
        (comment,) = file.tags.getall("COMM") or [None]
        (lyrics,) = file.tags.getall("USLT") or [None]
        texts |= {} if comment is None else {"comment": comment.text[0]}
        texts |= {} if lyrics is None else {"lyrics": lyrics.text}
        texts |= {frame.desc.lower(): frame.text[0] for frame in file.tags.getall("TXXX")}
        assert not file.tags.getall("RVA2")
        return texts, [(p.mime, int(p.type), p.data) for p in file.tags.getall("APIC")]
    texts = {name.lower(): value for name, value in file.tags if name.lower() != "metadata_block_picture"}
    # The name of the encoder that wrote this file, which is true.
    assert texts.pop("encoder", "libsndfile") == "libsndfile"
    pictures = getattr(file, "pictures", None)
    if pictures is None:
        values = file.tags.get("metadata_block_picture", [])
        pictures = [flac.Picture(base64.b64decode(value)) for value in values]
    return texts, [(p.mime, int(p.type), p.data) for p in pictures]


@pytest.mark.parametrize("after", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("before", ["wav", "flac", "mp3", "ogg"])
def test_tags_and_pictures_survive_and_stale_ones_do_not(tmp_path, before, after):
    song, master = tmp_path / f"song.{before}", tmp_path / f"master.{after}"
    encode(tone(), song)
    tag(song)
    untouched = content_hash(song)
    assert encode(tone(), master, tags_from=song) == ()
    assert read(master) == (TEXTS | {"mood": "calm"}, [("image/png", 3, PNG)])
    assert content_hash(song) == untouched
    assert decode(master, tmp_path / "raw").info.frames == tone().frames


@pytest.mark.parametrize("after", ["wav", "flac", "mp3", "ogg"])
def test_equal_tags_give_equal_bytes(tmp_path, after):
    encode(tone(), tmp_path / "song.flac")
    tag(tmp_path / "song.flac")
    first, second = tmp_path / f"a.{after}", tmp_path / f"b.{after}"
    for master in (first, second):
        encode(tone(), master, tags_from=tmp_path / "song.flac")
    assert content_hash(first) == content_hash(second)


def test_m4a_tags_are_read(tmp_path):
    encode(tone(), tmp_path / "song.wav")
    song = tmp_path / "song.m4a"
    try:
        subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "song.wav", song], check=True)
    except FileNotFoundError:
        pytest.skip("ffmpeg is not installed")
    file = mp4.MP4(song)
    file["©nam"], file["trkn"], file["tmpo"], file["©lyr"] = "Häuser 歌", [(3, 12)], [128], "one\ntwo"
    file["covr"] = [mp4.MP4Cover(PNG, mp4.MP4Cover.FORMAT_PNG)]
    file["----:com.apple.iTunes:iTunSMPB"] = [b"00000000"]
    file["----:com.apple.iTunes:ISRC"] = [b"QZABC2400001"]
    file.save()
    encode(tone(), tmp_path / "master.flac", tags_from=song)
    texts, pictures = read(tmp_path / "master.flac")
    names = ("title", "tracknumber", "bpm", "lyrics", "isrc")
    assert texts == {name: TEXTS[name] for name in names}
    assert pictures == [("image/png", 3, PNG)]


def test_several_values_and_pictures_are_kept(tmp_path):
    encode(tone(), tmp_path / "song.flac")
    file = flac.FLAC(tmp_path / "song.flac")
    file["artist"] = ["One", "Two"]
    for kind in (3, 4):
        picture = flac.Picture()
        picture.mime, picture.type, picture.data = "image/png", kind, PNG
        file.add_picture(picture)
    file.save()
    encode(tone(), tmp_path / "master.mp3", tags_from=tmp_path / "song.flac")
    tags = mutagen.File(tmp_path / "master.mp3").tags
    assert tags["TPE1"].text == ["One", "Two"]
    assert sorted(int(picture.type) for picture in tags.getall("APIC")) == [3, 4]


def test_a_wavs_info_chunk_is_read(tmp_path):
    with soundfile.SoundFile(tmp_path / "song.wav", "w", 44100, 2) as file:
        file.title, file.artist = "Title", "Artist"
        file.write(np.zeros((44100, 2)))
    encode(tone(), tmp_path / "master.ogg", tags_from=tmp_path / "song.wav")
    assert read(tmp_path / "master.ogg")[0] == {"title": "Title", "artist": "Artist"}


def test_tags_that_cannot_be_read_are_a_warning_and_not_an_end(tmp_path):
    (tmp_path / "song.flac").write_bytes(b"fLaC" + bytes(20))
    encode(tone(), tmp_path / "master.wav")
    (warning,) = copy_tags(tmp_path / "song.flac", tmp_path / "master.wav")
    assert "were not kept" in warning


def test_no_tags_change_nothing(tmp_path):
    encode(tone(), tmp_path / "song.wav")
    encode(tone(), tmp_path / "plain.mp3")
    encode(tone(), tmp_path / "tagged.mp3", tags_from=tmp_path / "song.wav")
    assert content_hash(tmp_path / "plain.mp3") == content_hash(tmp_path / "tagged.mp3")


@pytest.mark.parametrize("name", ["m.flac", "m.mp3", "m.ogg", "m.wav"])
def test_replaygain_tags_hold_the_gain_to_18_lufs_and_the_highest_sample(tmp_path, name):
    # ReplayGain 2.0: gain = -18 LUFS less the loudness, peak as a share of full scale.
    texts = replaygain_texts(-13.5, -6.0206)
    encode(tone(), tmp_path / name, retag=lambda found: texts)
    found, _ = read(tmp_path / name)
    assert found["replaygain_track_gain"] == "-4.50 dB"
    assert found["replaygain_track_peak"] == "0.500000"


def test_a_songs_own_replaygain_gives_way_to_the_masters(tmp_path):
    encode(
        tone(), tmp_path / "song.flac", retag=lambda found: {"title": ["T"], **replaygain_texts(-9.0, 0.0)}
    )
    encode(
        tone(),
        tmp_path / "m.flac",
        tags_from=tmp_path / "song.flac",
        retag=lambda found: replaygain_texts(-14.0, -1.0),
    )
    found, _ = read(tmp_path / "m.flac")
    assert (found["title"], found["replaygain_track_gain"]) == ("T", "-4.00 dB")
