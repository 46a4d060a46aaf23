"""A model's weights, taken once and laid out for one bar: features in, latent out, all layers in one compiled call."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from companion._exp2 import LOG2_E, exp2
from companion._jit import KERNEL, compiled
from companion.mamba.kernels._scan_math import logistic, softplus

Array = NDArray[Any]
StackState = tuple[Array, Array]
"""Last inputs of the convolutions (batch, layers, d_conv - 1, d_inner), the oldest first; states of the scans (batch,
layers, d_state, d_inner). Channels are contiguous, so that every loop of the kernel runs along them."""


class Stepper:
    """The compiled step of a stack of Mamba blocks with residuals: a copy of the weights, good until they are changed.

    Whoever trains the model further takes another: nothing here looks at the model again.

    Parameters
    ----------
    model : MarketMamba
        In float32 or float64, on any device; the step runs on the processor.
    """

    def __init__(self, model: nn.Module) -> None:
        parts: Any = model
        dtype = parts.head.weight.dtype
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"model must be in float32 or float64 to be stepped, got {dtype}: call model.float()")
        block = parts.blocks[0]
        n_in, d_model = parts.embedding.in_features, block.d_model
        self._sizes = np.array(
            [n_in, d_model, block.d_inner, block.d_state, block.d_conv, block.dt_rank, len(parts.blocks)], np.int64
        )
        ends = [parts.embedding.weight.T, parts.embedding.bias, parts.final_norm.weight]
        rows = [row for pair in zip(parts.norms, parts.blocks, strict=True) for row in _laid_out(*pair)]
        flat = [tensor.detach().to("cpu", torch.float64).numpy().ravel() for tensor in (*ends, *rows)]
        self.weights = np.concatenate(flat).astype(np.float64 if dtype == torch.float64 else np.float32)
        self._eps = self.weights.dtype.type(parts.final_norm.eps)
        self.n_features, self.d_model, self.dtype = n_in, d_model, self.weights.dtype

    def start(self, batch: int = 1) -> StackState:
        """State before the first bar: zeros."""
        _, _, inner, states, taps, _, layers = self._sizes
        return np.zeros((batch, layers, taps - 1, inner), self.dtype), np.zeros(
            (batch, layers, states, inner), self.dtype
        )

    def step(self, features: Array, state: StackState) -> tuple[Array, StackState]:
        """Latent (batch, d_model) of one bar's features (batch, n_features), and the state after it.

        The state passed in is left as it is. Another shape is a `ValueError`.
        """
        features = np.asarray(features)
        wanted = [(len(features), self.n_features), *(part.shape for part in self.start(len(features)))]
        for name, given, shape in zip(("features", "state", "state"), (features, *state), wanted, strict=True):
            if given.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {given.shape}")
        conv, hidden = state[0].copy(), state[1].copy()
        latent = np.empty((len(features), self.d_model), self.dtype)
        _step(features.astype(self.dtype), conv, hidden, latent, self.weights, self._sizes, self._eps)
        return latent, (conv, hidden)

    def step_in_place(self, features: Array, state: StackState, latent: Array) -> None:
        """The same for a caller who owns the state (it is overwritten) and the memory of the latent, all of `dtype`.

        It takes three microseconds less, and checks nothing.
        """
        _step(features, *state, latent, self.weights, self._sizes, self._eps)


def _laid_out(norm: Any, block: Any) -> list[torch.Tensor]:
    """A block's weights in the kernel's order: matrices with their outputs contiguous, A as a rate in powers of two."""
    zeros = block.D.new_zeros
    in_bias = zeros(2 * block.d_inner) if block.in_proj.bias is None else block.in_proj.bias
    out_bias = zeros(block.d_model) if block.out_proj.bias is None else block.out_proj.bias
    conv_bias = zeros(block.d_inner) if block.conv1d.bias is None else block.conv1d.bias
    return [
        norm.weight,
        block.in_proj.weight.T,
        in_bias,
        block.conv1d.weight[:, 0].T,
        conv_bias,
        block.x_proj.weight.T,
        block.dt_proj.weight.T,
        block.dt_proj.bias,
        (-LOG2_E * block.A_log.double().exp()).T,
        block.D,
        block.out_proj.weight.T,
        out_bias,
    ]


@compiled(forceinline=True, **KERNEL)
def _affine(y, x, weights, at, columns, rows, bias_at):  # type: ignore[no-untyped-def]
    """y = bias + weight @ x for a weight (rows, columns) stored by columns; no bias where `bias_at` is negative."""
    for r in range(rows):
        y[r] = weights[bias_at + r] if bias_at >= 0 else x[0] * x.dtype.type(0)
    for c in range(columns):
        factor, column = x[c], weights[at + c * rows : at + (c + 1) * rows]
        for r in range(rows):
            y[r] += factor * column[r]


@compiled(forceinline=True, **KERNEL)
def _rms_norm(y, x, weights, at, eps, size):  # type: ignore[no-untyped-def]
    real = x.dtype.type
    total = real(0)
    for c in range(size):
        total += x[c] * x[c]
    scale = real(1) / np.sqrt(total / real(size) + eps)
    for c in range(size):
        y[c] = x[c] * scale * weights[at + c]


@compiled(**KERNEL)
def _step(features, conv, hidden, latent, weights, sizes, eps):  # type: ignore[no-untyped-def]
    """One bar for each sequence: `conv` and `hidden` move on, `latent` is filled."""
    n_in, d, inner, states, taps, rank, layers = sizes
    real = weights.dtype.type
    x, normed, out = np.empty(d, weights.dtype), np.empty(d, weights.dtype), np.empty(d, weights.dtype)
    uz, selected = np.empty(2 * inner, weights.dtype), np.empty(rank + 2 * states, weights.dtype)
    u, z, y, delta = uz[:inner], uz[inner:], np.empty(inner, weights.dtype), np.empty(inner, weights.dtype)
    for i in range(len(features)):
        at = n_in * d
        _affine(x, features[i], weights, 0, n_in, d, at)
        final_norm = at + d
        at = final_norm + d
        for layer in range(layers):
            _rms_norm(normed, x, weights, at, eps, d)
            at += d
            _affine(uz, normed, weights, at, d, 2 * inner, at + d * 2 * inner)
            at += d * 2 * inner + 2 * inner
            # The convolution, and its window one bar on.
            window, bias_at = conv[i, layer], at + taps * inner
            for c in range(inner):
                y[c] = weights[bias_at + c] + u[c] * weights[at + (taps - 1) * inner + c]
            for k in range(taps - 1):
                for c in range(inner):
                    y[c] += window[k, c] * weights[at + k * inner + c]
            for k in range(taps - 2):
                window[k] = window[k + 1]
            if taps > 1:
                window[taps - 2] = u
            for c in range(inner):
                u[c] = y[c] * logistic(y[c], real)
            at = bias_at + inner
            _affine(selected, u, weights, at, inner, rank + 2 * states, -1)
            at += inner * (rank + 2 * states)
            _affine(delta, selected, weights, at, rank, inner, at + rank * inner)
            at += rank * inner + inner
            for c in range(inner):
                delta[c] = softplus(delta[c], real)
            # The recurrence: h = exp(delta A) h + delta u B, y = C h + D u.
            skip_at = at + states * inner
            for c in range(inner):
                y[c] = weights[skip_at + c] * u[c]
                u[c] *= delta[c]
            for n in range(states):
                B, C, h = selected[rank + n], selected[rank + states + n], hidden[i, layer, n]
                for c in range(inner):
                    h[c] = exp2(delta[c] * weights[at + n * inner + c]) * h[c] + u[c] * B
                    y[c] += h[c] * C
            at = skip_at + inner
            for c in range(inner):
                y[c] *= z[c] * logistic(z[c], real)
            _affine(out, y, weights, at, inner, d, at + inner * d)
            at += inner * d + d
            for c in range(d):
                x[c] += out[c]
        _rms_norm(latent[i], x, weights, final_norm, eps, d)
