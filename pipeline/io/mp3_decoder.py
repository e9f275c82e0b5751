"""A program of its own that decodes one MP3 to an AU stream on standard output.

libmpg123 prints its warnings on the process's standard error, where they would run into the
progress display, and only a process of its own can be silenced without silencing everything else.

    python -P mp3_decoder.py song.mp3 > song.au
"""

from __future__ import annotations

import os
import struct
import sys

import soundfile

_BLOCK_FRAMES = 1 << 14
_UNKNOWN_SIZE = 0xFFFFFFFF
_AU_FLOAT = 6


def main() -> int:
    """Write the samples of the file named by the first argument as 32-bit float AU."""
    try:
        # As `pipeline.names.for_libsndfile`, which this program stands apart from.
        song = sys.argv[1] if os.name == "nt" else os.fsencode(sys.argv[1])
        with soundfile.SoundFile(song) as file:
            size = min(file.frames * file.channels * 4, _UNKNOWN_SIZE)
            header = struct.pack(">4s5I", b".snd", 24, size, _AU_FLOAT, file.samplerate, file.channels)
            sys.stdout.buffer.write(header)
            while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                sys.stdout.buffer.write(block.astype(">f4").tobytes())
    except soundfile.LibsndfileError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
