"""Stops a network between two of its layers: a chunk of a large one takes many seconds on a CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from mixagent.pipeline.types import Progress


@contextmanager
def stoppable(networks: Sequence[nn.Module], progress: Progress | None) -> Iterator[Progress | None]:
    """Inside, the networks call `progress` at each of their layers, and what it raises ends them.

    Args:
        networks: whose layers ask.
        progress: takes the share done; None leaves the networks as they are.

    Yields:
        What is to be called with the share done in its place.
    """
    if progress is None:
        yield None
        return
    share = 0.0

    def shown(now: float) -> None:
        nonlocal share
        share = now
        progress(now)

    def ask(_module: nn.Module, _inputs: tuple[Tensor, ...]) -> None:
        progress(share)

    handles = [layer.register_forward_pre_hook(ask) for network in networks for layer in _asking(network)]
    try:
        yield shown
    finally:
        for handle in handles:
            handle.remove()


def _asking(network: nn.Module) -> Iterator[nn.Module]:
    """The network and its layers, but for those whose computation a hook would change."""
    yield network
    for child in network.children():
        # torch takes another path through its own attention where a hook hangs in it.
        if not isinstance(child, nn.MultiheadAttention) and type(child) is not nn.TransformerEncoderLayer:
            yield from _asking(child)
