"""Audio files in and out: the one door to the modules that read, write, convert and tag them."""

from mixagent.pipeline.io.decoding import Decoded, FileInfo, content_hash, decode, probe
from mixagent.pipeline.io.encoding import BitDepth, check_output, encode, encode_all
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.io.tag_reading import Texts
from mixagent.pipeline.io.tags import add_texts, copy_tags, replaygain_texts, tag_texts

__all__ = [
    "BitDepth",
    "Decoded",
    "FileInfo",
    "Texts",
    "add_texts",
    "check_output",
    "content_hash",
    "copy_tags",
    "decode",
    "encode",
    "encode_all",
    "probe",
    "replaygain_texts",
    "resample",
    "tag_texts",
]
