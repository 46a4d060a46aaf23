"""Whole paths through the model: how many threads and paths at a time changes no bit, and PyTorch's setting stays."""

import threading

import numpy as np
import pytest
import torch

from companion.mamba import latents, load_pretrained

RETURNS = np.random.default_rng(0).normal(scale=0.01, size=(9, 130))


@pytest.fixture
def threads():
    """Set the number of threads, and have it put back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 4, 9])
def test_latents_are_the_same_bits(threads, n_threads, batch):
    model = load_pretrained()
    threads(1)
    alone = np.stack([latents(model, path) for path in RETURNS])
    threads(n_threads)
    np.testing.assert_array_equal(latents(model, RETURNS, batch=batch), alone)


def test_the_number_of_threads_stays_as_it_is(threads):
    threads(2)
    latents(load_pretrained(), RETURNS, batch=2)
    later: list[int] = []
    starting = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    starting.start()
    starting.join()
    assert torch.get_num_threads() == 2
    assert later == [2]


def test_an_error_in_a_worker_reaches_the_caller(threads):
    threads(2)
    with pytest.raises(ValueError, match="the weights of MarketMamba must be float32 or float64"):
        latents(load_pretrained().half(), RETURNS, batch=2)
