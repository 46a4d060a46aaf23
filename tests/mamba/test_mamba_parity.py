"""The block computes what mambapy's and transformers' blocks compute from the same weights: outputs and gradients."""

import pytest
import torch
from torch import nn

from companion.mamba import Mamba

BATCH, LENGTH, WIDTH, STATE = 2, 37, 16, 8
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def mambapy_block() -> nn.Module:
    from mambapy.mamba import MambaBlock, MambaConfig

    return MambaBlock(MambaConfig(d_model=WIDTH, n_layers=1, d_state=STATE))


def transformers_block() -> nn.Module:
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    config = MambaConfig(hidden_size=WIDTH, num_hidden_layers=1, state_size=STATE, expand=2, time_step_rank=1)
    return MambaMixer(config, layer_idx=0)


def results(block: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, and the gradients of the input and of every weight, by their names."""
    x = x.clone().requires_grad_()
    y = block(x)
    weights = dict(block.named_parameters())
    slope = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    gradients = torch.autograd.grad((y * slope).sum(), (x, *weights.values()))
    return {"output": y.detach(), **dict(zip(("input", *weights), gradients, strict=True))}


def relative_error(value: torch.Tensor, expected: torch.Tensor) -> float:
    return ((value - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("peer", [mambapy_block, transformers_block])
def test_same_weights_same_results(peer, dtype, monkeypatch):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours, x = Mamba(WIDTH, d_state=STATE), torch.randn(BATCH, LENGTH, WIDTH)
        theirs = peer()
    theirs.load_state_dict(ours.state_dict())
    if dtype == torch.float64:  # both peers turn A and D to float32, whatever the dtype of the block
        monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)
    expected = results(theirs.to(dtype), x.to(dtype))
    found = results(ours.to(dtype), x.to(dtype))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert relative_error(value, expected[name]) < TOLERANCE[dtype], name


@pytest.mark.parametrize("peer", [mambapy_block, transformers_block])
def test_weights_move_both_ways(peer):
    theirs, ours = peer(), Mamba(WIDTH, d_state=STATE)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(Mamba(WIDTH, d_state=STATE).state_dict())
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    assert {name: tensor.shape for name, tensor in theirs.state_dict().items()} == shapes
