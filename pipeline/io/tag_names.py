"""What a tag is called in each format: the one table that tags are carried by, and what is left behind.

Names are Vorbis comments'; where these have no custom of their own, those of MusicBrainz Picard and Mp3tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Field:
    """A tag's name in Vorbis comments, ID3v2.4, MP4, APEv2 and Windows Media; empty where there is none."""

    name: str
    frame: str = ""
    atom: str = ""
    ape: str = ""
    asf: str = ""


FIELDS = (
    Field("title", "TIT2", "©nam", "title", "title"),
    Field("artist", "TPE1", "©ART", "artist", "author"),
    Field("album", "TALB", "©alb", "album", "wm/albumtitle"),
    Field("albumartist", "TPE2", "aART", "album artist", "wm/albumartist"),
    Field("date", "TDRC", "©day", "year", "wm/year"),
    Field("tracknumber", "TRCK", "trkn", "track", "wm/tracknumber"),
    Field("discnumber", "TPOS", "disk", "disc", "wm/partofset"),
    Field("genre", "TCON", "©gen", "genre", "wm/genre"),
    Field("composer", "TCOM", "©wrt", "composer", "wm/composer"),
    Field("bpm", "TBPM", "tmpo", "bpm", "wm/beatsperminute"),
    Field("initialkey", "TKEY", "----:com.apple.iTunes:initialkey", "initialkey", "wm/initialkey"),
    Field("copyright", "TCOP", "cprt", "copyright", "copyright"),
    Field("isrc", "TSRC", "----:com.apple.iTunes:ISRC", "isrc", "wm/isrc"),
    Field("comment", "COMM", "©cmt", "comment", "description"),
    Field("lyrics", "USLT", "©lyr", "lyrics", "wm/lyrics"),
    Field("label", "TPUB", "----:com.apple.iTunes:LABEL", "label", "wm/publisher"),
    Field("conductor", "TPE3", "©con", "conductor", "wm/conductor"),
    Field("remixer", "TPE4", "----:com.apple.iTunes:REMIXER", "mixartist", "wm/modifiedby"),
    Field("lyricist", "TEXT", "----:com.apple.iTunes:LYRICIST", "lyricist", "wm/writer"),
    Field("artistsort", "TSOP", "soar", "artistsort", "wm/artistsortorder"),
    Field("albumsort", "TSOA", "soal", "albumsort", "wm/albumsortorder"),
    Field("titlesort", "TSOT", "sonm", "titlesort", "wm/titlesortorder"),
    Field("albumartistsort", "TSO2", "soaa", "albumartistsort", "wm/albumartistsortorder"),
    Field("composersort", "TSOC", "soco", "composersort", "wm/composersortorder"),
    Field("compilation", "TCMP", "cpil", "compilation", "wm/iscompilation"),
    Field("grouping", "TIT1", "©grp", "grouping", "wm/contentgroupdescription"),
    Field("subtitle", "TIT3", "----:com.apple.iTunes:SUBTITLE", "subtitle", "wm/subtitle"),
    Field("discsubtitle", "TSST", "----:com.apple.iTunes:DISCSUBTITLE", "discsubtitle", "wm/setsubtitle"),
    Field("language", "TLAN", "----:com.apple.iTunes:LANGUAGE", "language", "wm/language"),
    Field("media", "TMED", "----:com.apple.iTunes:MEDIA", "media", "wm/media"),
    Field("mood", "", "----:com.apple.iTunes:MOOD", "mood", "wm/mood"),
    Field("originaldate", "TDOR", "", "originalyear", "wm/originalreleaseyear"),
    Field("releasedate", "TDRL"),
    Field("taggingdate", "TDTG"),
    Field("originalalbum", "TOAL", "", "", "wm/originalalbumtitle"),
    Field("originalartist", "TOPE", "", "", "wm/originalartist"),
    Field("originallyricist", "TOLY", "", "", "wm/originallyricist"),
    Field("originalfilename", "TOFN", "", "", "wm/originalfilename"),
    Field("encodedby", "TENC", "", "", "wm/encodedby"),
    Field("owner", "TOWN"),
    Field("producednotice", "TPRO"),
    Field("radiostation", "TRSN", "", "", "wm/radiostationname"),
    Field("radioowner", "TRSO", "", "", "wm/radiostationowner"),
    Field("work", "", "©wrk", "work", "wm/work"),
    Field("movementname", "MVNM", "©mvn"),
    Field("movement", "MVIN", "©mvi"),
    Field("movementtotal", "", "©mvc"),
    Field("description", "TDES", "desc"),
    Field("longdescription", "", "ldes"),
    Field("podcastid", "TGID", "egid"),
    Field("podcastcategory", "TCAT", "catg"),
    Field("podcastkeywords", "TKWD", "keyw"),
    Field("podcasturl", "WFED", "purl"),
    Field("podcast", "PCST", "pcst"),
    Field("itunesadvisory", "", "rtng"),
    Field("itunesmediatype", "", "stik"),
    Field("tvshow", "", "tvsh"),
    Field("tvepisodeid", "", "tven"),
    Field("tvseason", "", "tvsn"),
    Field("tvepisode", "", "tves"),
    Field("website", "WOAR", "", "", "wm/authorurl"),
    Field("license", "WCOP", "", "", "wm/copyrighturl"),
    Field("commercialurl", "WCOM"),
    Field("fileurl", "WOAF", "", "", "wm/audiofileurl"),
    Field("sourceurl", "WOAS", "", "", "wm/audiosourceurl"),
    Field("radiourl", "WORS"),
    Field("paymenturl", "WPAY"),
    Field("publisherurl", "WPUB"),
)

BY_NAME: Mapping[str, Field] = MappingProxyType({field.name: field for field in FIELDS})
BY_FRAME: Mapping[str, Field] = MappingProxyType(
    # A mood is written as many players look for it, in TXXX.
    {**{field.frame: field for field in FIELDS if field.frame}, "TMOO": BY_NAME["mood"]}
)
BY_ATOM: Mapping[str, Field] = MappingProxyType({field.atom: field for field in FIELDS if field.atom})
BY_APE: Mapping[str, Field] = MappingProxyType({field.ape: field for field in FIELDS if field.ape})
BY_ASF: Mapping[str, Field] = MappingProxyType({field.asf: field for field in FIELDS if field.asf})

ALIASES: Mapping[str, str] = MappingProxyType(
    {"unsyncedlyrics": "lyrics", "description": "comment", "tempo": "bpm", "year": "date"}
)

INFO: Mapping[str, str] = MappingProxyType(
    {
        **{"INAM": "title", "IART": "artist", "IPRD": "album", "ICRD": "date", "ICMT": "comment"},
        **{"IGNR": "genre", "ITRK": "tracknumber", "IPRT": "tracknumber", "ICOP": "copyright"},
        **{"IMUS": "composer", "ILNG": "language", "IMED": "media", "ISRC": "source", "IKEY": "keywords"},
        **{"ITCH": "technician", "IENG": "engineer", "ISBJ": "subject", "IARL": "archive"},
        **{"NAME": "title", "AUTH": "artist", "(c) ": "copyright", "ANNO": "comment"},
    }
)
"""Texts of a RIFF file's INFO list, and of an AIFF file."""

# Loudness tags and gapless information describe the input's samples: on the master a player would
# turn it down or cut it by what is no longer true. The encoder named is not the one that wrote it.
STALE_PREFIXES = (
    *("replaygain_", "r128_", "itunnorm", "itunsmpb", "mp3gain_", "encoder", "encoding", "length"),
    *("_statistics", "number_of_bytes", "number_of_frames", "bps", "duration", "wmfsdk", "isvbr"),
    *("major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id", "creation_time"),
    *("deviceconformancetemplate", "asfleakybucket", "aspectratio", "tool name", "tool version", "cuesheet"),
)
STALE_FRAMES = frozenset(
    {
        *("RVA2", "RVAD", "EQU2", "TLEN", "TSSE", "TSIZ", "TFLT", "TDEN", "MLLT", "ASPI", "SEEK", "RBUF"),
        *("POSS", "AENC", "RVRB", "TDLY"),
    }
)
STALE_ATOMS = frozenset({"©too", "pgap", "©enc"})
STALE_CHUNKS = frozenset(
    {
        *(b"fmt ", b"data", b"fact", b"ds64", b"PEAK", b"JUNK", b"junk", b"PAD ", b"FLLR", b"levl", b"slnt"),
        *(b"COMM", b"SSND", b"FVER", b"id3 ", b"ID3 ", b"CSET", b"LIST", b"NAME", b"AUTH", b"(c) ", b"ANNO"),
    }
)
"""Chunks that describe the bytes of the file they stand in, are padding, or are read as tags."""

FRAME_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "COMR": "commercial frame",
        "ENCR": "encryption method",
        "ETCO": "event times",
        "GEOB": "attached file",
        "GRID": "group identification",
        "LINK": "linked information",
        "MCDI": "CD's table of contents",
        "OWNE": "ownership",
        "PCNT": "play counter",
        "POPM": "rating",
        "PRIV": "private data",
        "SIGN": "signature",
        "SYLT": "synchronised lyrics",
        "SYTC": "tempo map",
        "UFID": "file identifier",
        "USER": "terms of use",
    }
)
CHUNK_WORDS: Mapping[bytes, str] = MappingProxyType(
    {
        b"bext": "broadcast extension (bext)",
        b"iXML": "iXML",
        b"cue ": "cue markers",
        b"smpl": "sampler loops",
        b"cart": "cart chunk",
        b"_PMX": "XMP",
        b"axml": "axml",
        b"C2PA": "C2PA provenance mark",
        b"c2pa": "C2PA provenance mark",
        b"MARK": "markers",
        b"INST": "instrument",
        b"COMT": "comments with times",
    }
)
C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""The MP4 box that holds Content Credentials (C2PA 2.1, A.5)."""
