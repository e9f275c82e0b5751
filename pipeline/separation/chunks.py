"""A network over a whole song in overlapping chunks, joined by linear crossfades."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from mixagent.pipeline.audio import AudioSource, DiskAudio, DiskAudioWriter, FloatArray
from mixagent.pipeline.separation.base import Progress

Model = Callable[[FloatArray], FloatArray]
"""Takes (channels, frames) to (stems, channels, frames)."""


def run_chunks(source: AudioSource, model: Model, chunk: int, overlap: int) -> Iterator[FloatArray]:
    """The model's output for the whole source, block after block, each (stems, channels, frames).

    Chunks are `chunk` frames long and start every `chunk - overlap`; over the overlap one fades out
    as the next fades in. The last chunk reaches back to its full length, so that the network sees as
    much context at the end as elsewhere.
    """
    fade_in = np.arange(1, overlap + 1, dtype=np.float32) / np.float32(overlap + 1)
    stride = chunk - overlap
    tail: FloatArray | None = None
    for start in range(0, max(source.frames - overlap, min(source.frames, 1)), stride):
        stop = min(start + chunk, source.frames)
        reach = max(stop - chunk, 0)
        out = model(source.read(reach, stop))[..., start - reach :]
        if tail is not None:
            out[..., :overlap] = tail + (out[..., :overlap] - tail) * fade_in
        if stop == source.frames:
            yield out
            return
        yield out[..., :stride]
        tail = out[..., stride:]


def write_stems(
    pieces: Iterator[FloatArray],
    names: Sequence[str],
    scratch: Path,
    mix: AudioSource,
    progress: Progress | None,
) -> dict[str, DiskAudio]:
    """Blocks (stems, channels, frames) written to `scratch/<name>.f32`, one file for each name."""
    done = 0
    with ExitStack() as stack:
        writers = [
            stack.enter_context(DiskAudioWriter(scratch / f"{name}.f32", mix.rate, mix.channels))
            for name in names
        ]
        for piece in pieces:
            for writer, stem in zip(writers, piece, strict=True):
                writer.write(stem)
            done += piece.shape[-1]
            if progress:
                progress(done / mix.frames)
        return {name: writer.close() for name, writer in zip(names, writers, strict=True)}
