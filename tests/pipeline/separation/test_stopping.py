import pytest
import torch
from torch import nn

from mixagent.pipeline.errors import CancelledError
from mixagent.pipeline.separation.stopping import stoppable


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.TransformerEncoderLayer(4, 2, 8), nn.Linear(4, 4)).eval()


def test_a_network_ends_between_two_layers():
    seen, model = [], network()

    def progress(share):
        seen.append(share)
        if len(seen) == 3:
            raise CancelledError("stop")

    with stoppable([model], progress) as shown, torch.inference_mode():
        shown(0.25)
        with pytest.raises(CancelledError):
            model(torch.zeros(1, 3, 4))
    assert seen == [0.25, 0.25, 0.25]


def test_what_asks_computes_the_same_and_is_left_as_it_was():
    model, heard = network(), torch.randn(2, 3, 4)
    with torch.inference_mode():
        alone = model(heard)
        with stoppable([model], lambda share: None):
            asked = model(heard)
    assert torch.equal(alone, asked)
    assert not any(layer._forward_pre_hooks for layer in model.modules())


def test_without_progress_nothing_asks():
    model = network()
    with stoppable([model], None) as shown:
        assert shown is None
        assert not any(layer._forward_pre_hooks for layer in model.modules())
