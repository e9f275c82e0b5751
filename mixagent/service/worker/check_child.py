"""The process that finds out what an upload is: it decodes all of it within bounds, and says so as JSON.

Started as `python -P -m mixagent.service.worker.check_child FILE NAME FOLDER LIMITS`; nothing that a file can
do to a decoder reaches further than this process.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mixagent.service.worker.sandbox import confine, die_with_parent, leave_network

_HIGHEST_RATE_HZ, _CHANNELS, _FLOAT_BYTES = 192_000, 2, 4
_SMALL_BYTES = 4_000_000
_SLACK_BYTES = 1 << 20


def main() -> None:
    """Check one file."""
    die_with_parent()
    file, name, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    limits = json.loads(sys.argv[4])
    leave_network()
    most_frames = limits["duration_s"] * _HIGHEST_RATE_HZ
    confine(limits["memory_bytes"], limits["cpu_s"], int(most_frames * _CHANNELS * _FLOAT_BYTES))
    sys.stdout.write(json.dumps(found(file, name, folder, limits["duration_s"])))
    sys.stdout.flush()
    os._exit(0)


def found(file: Path, name: str, folder: Path, longest_s: float) -> dict[str, Any]:
    """What a file is: `{"kind": …}`, or `{"problem": {"code": …, "detail": …}}`.

    Args:
        file: the bytes.
        name: as the sender calls it.
        folder: for its samples while they are looked at.
        longest_s: that a song may last.
    """
    from mixagent.pipeline.errors import MixagentError

    try:
        text = _text(file, name)
        return text if text is not None else _audio(file, name, folder, longest_s)
    except MixagentError as error:
        code = "type" if error.code == "input" else error.code
        return _problem(code, str(error).replace(str(file), name))
    except (MemoryError, OSError) as error:
        return _problem("input", f"{name} cannot be decoded: {error or 'it takes too much memory'}")


def _text(file: Path, name: str) -> dict[str, Any] | None:
    """A profile or a cue sheet; None for anything else."""
    suffix = Path(name).suffix.lower()
    if suffix not in (".json", ".cue"):
        return None
    if file.stat().st_size > _SMALL_BYTES:
        return _problem("too_large", f"{name}: a profile or cue sheet is smaller")
    if suffix == ".cue":
        file.read_bytes().decode("utf-8", "replace")
        return {"kind": "cue"}
    from mixagent.pipeline.matching.library import read_profile

    read_profile(file)
    return {"kind": "profile"}


def _audio(file: Path, name: str, folder: Path, longest_s: float) -> dict[str, Any]:
    from mixagent.pipeline.io import decode, probe
    from mixagent.pipeline.types import blocks
    from mixagent.service.worker.waveform import peaks_of

    stated = probe(file)
    if stated.duration_s > longest_s:
        return _too_long(name, stated.duration_s, longest_s)
    # What a header states is not all that may be in a file.
    samples = folder / "samples.f32"
    try:
        decoded = decode(file, samples, _Watch(samples, longest_s * stated.rate * stated.channels))
        info, audio = asdict(decoded.info), decoded.audio
        duration_s = audio.frames / audio.rate
        if duration_s > longest_s:
            return _too_long(name, duration_s, longest_s)
        peaks = peaks_of(blocks(audio), audio.frames)
    except _TooLongError:
        return _too_long(name, None, longest_s)
    finally:
        samples.unlink(missing_ok=True)
    return {
        "kind": "audio",
        "audio": {
            "container": info["container"],
            "codec": info["subtype"],
            "rate_hz": audio.rate,
            "channels": audio.channels,
            "bit_depth": info["bit_depth"],
            "duration_s": round(duration_s, 3),
        },
        "peaks": peaks.hex(),
        "warnings": [warning.replace(str(file), name) for warning in decoded.warnings],
    }


class _TooLongError(Exception):
    """A song that goes on."""


class _Watch:
    """Ends the decoding of what is longer than its header says."""

    def __init__(self, samples: Path, most_samples: float) -> None:
        self._samples, self._most_bytes = samples, most_samples * _FLOAT_BYTES + _SLACK_BYTES

    def __call__(self, _share: float) -> None:
        if self._samples.exists() and self._samples.stat().st_size > self._most_bytes:
            raise _TooLongError


def _too_long(name: str, duration_s: float | None, longest_s: float) -> dict[str, Any]:
    lasts = "goes on" if duration_s is None else f"lasts {_length(duration_s)}"
    return _problem("too_long", f"{name} {lasts}: a song has at most {_length(longest_s)}")


def _length(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _problem(code: str, detail: str) -> dict[str, Any]:
    return {"problem": {"code": code, "detail": detail}}


if __name__ == "__main__":
    main()
