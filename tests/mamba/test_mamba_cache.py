"""Kernels compiled anew and kernels read from numba's cache compute the same bits."""

import os
import subprocess
import sys

HASH = """
import hashlib, torch
from companion.mamba import MarketMamba
torch.manual_seed(0)
model, features = MarketMamba(), torch.randn(2, 100, 3)
outputs = model(features)
outputs.square().sum().backward()
tensors = [outputs, *(weight.grad for weight in model.parameters())]
print(hashlib.sha256(b"".join(tensor.detach().numpy().tobytes() for tensor in tensors)).hexdigest())
"""


def test_a_cached_kernel_computes_what_a_fresh_one_does(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    fresh, cached = (
        subprocess.run([sys.executable, "-c", HASH], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert fresh == cached
    assert list(tmp_path.rglob("*.nbc")), "nothing was cached"
