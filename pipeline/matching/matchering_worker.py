"""Runs matchering on two files in a process of its own: `python matchering_worker.py SONG REFERENCE OUTPUT`.

It loads both songs whole, so the memory that it takes goes back with the process. Its limiter is left out:
what it writes is 32-bit float and may pass full scale.
"""

import math
import sys
from pathlib import Path

import matchering
import soundfile

FFT_SIZE, FFT_RATE_HZ = 4096, 44100
"""Length of its filters at the rate that they were made for."""


def main() -> None:
    """Match and write; what cannot be matched becomes one line on stderr and exit status 1."""
    song, reference, output = sys.argv[1:]
    rate = soundfile.info(song).samplerate
    config = matchering.Config(
        internal_sample_rate=rate,
        fft_size=FFT_SIZE * 2 ** max(round(math.log2(rate / FFT_RATE_HZ)), -3),
        temp_folder=str(Path(output).parent),
    )
    result = matchering.Result(output, subtype="FLOAT", use_limiter=False, normalize=False)
    try:
        matchering.process(song, reference, [result], config)
    except matchering.log.ModuleError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
