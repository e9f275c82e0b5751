"""A network over a whole song in overlapping chunks, joined by linear crossfades."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from mixagent.pipeline.types import AudioSource, DiskAudio, DiskAudioWriter, FloatArray, Progress

Model = Callable[[FloatArray], FloatArray]
"""Takes (channels, frames) to (stems, channels, frames)."""


BatchModel = Callable[[Sequence[FloatArray]], Sequence[FloatArray]]
"""Takes several chunks, each (channels, frames), to as many of (stems, channels, frames)."""


def run_chunks(source: AudioSource, model: Model, chunk: int, overlap: int) -> Iterator[FloatArray]:
    """The model's output for the whole source, block after block, each (stems, channels, frames).

    Chunks are `chunk` frames long and start every `chunk - overlap`; over the overlap one fades out
    as the next fades in. The last chunk reaches back to its full length, so that the network sees as
    much context at the end as elsewhere.
    """
    return run_batches(source, lambda chunks: [model(one) for one in chunks], chunk, overlap, 1)


def run_batches(
    source: AudioSource, model: BatchModel, chunk: int, overlap: int, batch: int
) -> Iterator[FloatArray]:
    """`run_chunks` for a model that takes up to `batch` chunks at a time; the blocks are the same."""
    fade_in = np.arange(1, overlap + 1, dtype=np.float32) / np.float32(overlap + 1)
    stride = chunk - overlap
    tail: FloatArray | None = None
    for start, stop, whole in _outputs(source, model, chunk, stride, batch):
        out = whole[..., start - max(stop - chunk, 0) :]
        del whole
        if tail is not None:
            out[..., :overlap] = tail + (out[..., :overlap] - tail) * fade_in
        if stop == source.frames:
            yield out
            return
        yield out[..., :stride]
        tail = out[..., stride:]


def _outputs(
    source: AudioSource, model: BatchModel, chunk: int, stride: int, batch: int
) -> Iterator[tuple[int, int, FloatArray]]:
    """The start and stop of each chunk's own part, with the model's output for the chunk."""
    overlap = chunk - stride
    starts = range(0, max(source.frames - overlap, min(source.frames, 1)), stride)
    spans = [(start, min(start + chunk, source.frames)) for start in starts]
    for first in range(0, len(spans), batch):
        some = spans[first : first + batch]
        outs = list(model([source.read(max(stop - chunk, 0), stop) for _, stop in some]))
        # Taken out of the list, so that none is kept while the model works on the next.
        yield from ((start, stop, outs.pop(0)) for start, stop in some)


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
