"""Processors on the bands of a crossover, and the saturation of the bands, summed again."""

from __future__ import annotations

from collections.abc import Sequence

from mixagent.pipeline.dsp.crossover import Crossover
from mixagent.pipeline.dsp.saturation import Saturation
from mixagent.pipeline.dsp.streaming import Delay, Processor, in_pieces
from mixagent.pipeline.types import FloatArray


class Multiband:
    """Splits, runs each band through its processors, and sums; a `Processor`.

    Args:
        crossover: for the channels of the blocks.
        bands: the processors of each band.
        saturation: of the bands behind them; None for none.
        channels: of the blocks.
    """

    def __init__(
        self,
        crossover: Crossover,
        bands: Sequence[Sequence[Processor]],
        saturation: Saturation | None,
        channels: int,
    ) -> None:
        own = [sum(processor.latency for processor in band) for band in bands]
        late = [Delay(max(own) - latency, channels) for latency in own]
        self._bands = [[*band, delay] for band, delay in zip(bands, late, strict=True)]
        self._crossover, self._saturation = crossover, saturation
        self._dry = Delay(saturation.latency if saturation else 0, channels)
        self.latency = max(own) + self._dry.latency

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames), `latency` frames late."""
        return in_pieces(self._process, block)

    def _process(self, block: FloatArray) -> FloatArray:
        bands = self._crossover.split(block)
        for band, processors in enumerate(self._bands):
            part = bands[band]
            for processor in processors:
                part = processor.process(part)
            bands[band] = part
        out = self._dry.process(bands.sum(axis=0))
        return out if self._saturation is None else out + self._saturation.process(bands)
