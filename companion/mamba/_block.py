"""The Mamba block: weights that move to and from mamba-ssm, a forward pass over sequences, a step for one bar."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion._checks import check_count, check_positive
from companion.mamba._precision import check_input, in_weights_precision
from companion.mamba._scan import selective_scan
from companion.mamba.kernels._conv_op import causal_conv_silu
from companion.mamba.kernels._scan_reference import softplus


class MambaState(NamedTuple):
    """What a block remembers between bars: everything the past can say to the future."""

    conv: Tensor
    """Last inputs of the convolution, (batch, d_inner, d_conv - 1), the oldest first."""
    hidden: Tensor
    """State of the scan, (batch, d_inner, d_state)."""


class Mamba(nn.Module):
    """Selective state-space block of Gu and Dao (2023), figure 3.

    The constructor and the keys of `state_dict` are those of `mamba_ssm.Mamba`, so weights move both ways. It computes
    in the precision of its weights, float32 or float64, and inside a `torch.autocast` region too.

    Parameters
    ----------
    d_model : int
        Width of input and output.
    d_state : int
        States a channel.
    d_conv : int
        Taps of the causal convolution.
    expand : int or float
        Channels inside are `expand * d_model`, rounded down.
    dt_rank : int or "auto"
        Rank of the projection to the step size; "auto" is `ceil(d_model / 16)`.
    dt_min, dt_max, dt_init, dt_scale, dt_init_floor
        How the step size is initialized: log-uniform between `dt_min` and `dt_max`, never under `dt_init_floor`.
    conv_bias, bias : bool
        Whether the convolution, and the projections in and out, have a bias.
    use_fast_path : bool
        Accepted for mamba-ssm's sake; there is one path here.
    layer_idx : int, optional
        Kept as an attribute.

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | str = "auto",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_init: str = "random",
        dt_scale: float = 1.0,
        dt_init_floor: float = 1e-4,
        conv_bias: bool = True,
        bias: bool = False,
        use_fast_path: bool = True,
        layer_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if dt_init not in ("random", "constant"):
            raise ValueError(f"dt_init must be 'random' or 'constant', got {dt_init!r}")
        self.d_model, self.d_state = check_count("d_model", d_model), check_count("d_state", d_state)
        self.d_conv, self.expand = check_count("d_conv", d_conv), expand
        self.d_inner = int(check_positive("expand", expand) * d_model)
        if self.d_inner < 1:
            raise ValueError(f"expand must leave at least one channel of d_model = {d_model}, got {expand!r}")
        self.dt_rank = math.ceil(d_model / 16) if dt_rank == "auto" else check_count("dt_rank", dt_rank)
        for name, value in {"dt_min": dt_min, "dt_scale": dt_scale, "dt_init_floor": dt_init_floor}.items():
            check_positive(name, value)
        if check_positive("dt_max", dt_max) < dt_min:
            raise ValueError(f"dt_max must not be below dt_min = {dt_min}, got {dt_max}")
        self.use_fast_path, self.layer_idx = use_fast_path, layer_idx

        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=bias, **place)
        inner, past = self.d_inner, d_conv - 1
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner, padding=past, bias=conv_bias, **place)
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False, **place)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner, bias=True, **place)
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=bias, **place)
        self.A_log = nn.Parameter(torch.empty(self.d_inner, d_state, **place))
        self.D = nn.Parameter(torch.ones(self.d_inner, **place))
        self._initialize(dt_min, dt_max, dt_init, dt_scale, dt_init_floor)

    @torch.no_grad()
    def _initialize(self, dt_min: float, dt_max: float, dt_init: str, dt_scale: float, dt_init_floor: float) -> None:
        """Set A to -1, -2, …, -d_state in each channel (S4D-real) and the step size to a log-uniform draw."""
        self.A_log.copy_(torch.arange(1, self.d_state + 1, dtype=torch.float64).log().expand_as(self.A_log))
        scale = dt_scale / math.sqrt(self.dt_rank)
        nn.init.uniform_(self.dt_proj.weight, -scale, scale)
        if dt_init == "constant":
            nn.init.constant_(self.dt_proj.weight, scale)
        span = math.log(dt_max) - math.log(dt_min)
        dt = (torch.rand(self.d_inner, dtype=torch.float64) * span + math.log(dt_min)).exp().clamp(min=dt_init_floor)
        self.dt_proj.bias.copy_(dt + (-torch.expm1(-dt)).log())  # the inverse of softplus

    @property
    def precision(self) -> torch.dtype:
        """Type of the weights."""
        return self.D.dtype

    @in_weights_precision
    def forward(self, x: Tensor) -> Tensor:
        """Map x (batch, length, d_model) to an output of the same shape; bar t sees bars 0 to t only."""
        check_input("x", x, ("batch", "length", self.d_model), self.precision)
        shape = x.shape[:2]
        u, z, delta, B, C = self._select(x)
        A = -self.A_log.exp()
        y = selective_scan(u, delta, A, B, C, self.D, z=z, delta_bias=self.dt_proj.bias, delta_softplus=True)
        return self.out_proj(_rows(y).T).view(*shape, self.d_model)

    @in_weights_precision
    def step_sizes(self, x: Tensor) -> Tensor:
        r"""Step sizes :math:`\Delta_t` (batch, length, d_inner) at which the scan reads x (batch, length, d_model).

        State n of channel c keeps the share :math:`e^{-\Delta_t a_{cn}}` of itself at bar t, where a is
        ``A_log.exp()`` (Gu and Dao 2023, equations 2a and 4).
        """
        check_input("x", x, ("batch", "length", self.d_model), self.precision)
        return softplus(self._select(x)[2] + self.dt_proj.bias[:, None]).transpose(1, 2)

    def _select(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What the scan takes of x: u, z and delta before its bias, each (batch, d_inner, length), and B and C."""
        shape, rows = x.shape[:2], x.flatten(0, 1).T
        u, z = (_sequences(half, shape) for half in self._project_in(rows))
        u = causal_conv_silu(u, self.conv1d.weight[:, 0], self.conv1d.bias)
        dt, B, C = (self.x_proj.weight @ _rows(u)).split([self.dt_rank, self.d_state, self.d_state])
        return u, z, _sequences(self.dt_proj.weight @ dt, shape), _sequences(B, shape), _sequences(C, shape)

    def _project_in(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Input of the convolution and gate, each (d_inner, batch * length), of rows (d_model, batch * length)."""
        halves = [weight @ rows for weight in self.in_proj.weight.chunk(2)]
        if self.in_proj.bias is not None:
            halves = [half + bias[:, None] for half, bias in zip(halves, self.in_proj.bias.chunk(2), strict=True)]
        return halves[0], halves[1]

    def init_state(self, batch: int) -> MambaState:
        """State before the first bar: zeros."""
        zeros = self.D.new_zeros
        return MambaState(zeros(batch, self.d_inner, self.d_conv - 1), zeros(batch, self.d_inner, self.d_state))

    @in_weights_precision
    def step(self, x_t: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        """Advance by one bar: x_t (batch, d_model) to y_t (batch, d_model) and the next state.

        Repeated steps give what `forward` gives on the whole sequence. The state passed in is left as it is. For a
        whole model bar by bar, `MarketMamba.stepper` is some twenty times as fast.
        """
        check_input("x", x_t, (len(x_t), self.d_model), self.precision)
        check_input("state.conv", state.conv, (len(x_t), self.d_inner, self.d_conv - 1), self.precision)
        check_input("state.hidden", state.hidden, (len(x_t), self.d_inner, self.d_state), self.precision)
        u, z = self.in_proj(x_t).chunk(2, dim=-1)
        window = torch.cat([state.conv, u[..., None]], dim=-1)
        u = (window * self.conv1d.weight[:, 0]).sum(-1)
        u = functional.silu(u if self.conv1d.bias is None else u + self.conv1d.bias)
        dt, B, C = self.x_proj(u).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        delta = softplus(self.dt_proj(dt))
        decay = torch.exp(-delta[..., None] * self.A_log.exp())
        hidden = decay * state.hidden + (delta * u)[..., None] * B[:, None]
        y = (hidden @ C[..., None])[..., 0] + self.D * u
        return self.out_proj(y * functional.silu(z)), MambaState(window[..., 1:], hidden)


# Inside the block the channels lie first in memory and time last. Each projection is then one product of two matrices
# for the whole batch, forward and backward, and the scan finds time contiguous: nothing is copied in between.


def _sequences(rows: Tensor, shape: torch.Size) -> Tensor:
    """Rows (channels, batch * length) seen as sequences (batch, channels, length) of shape (batch, length)."""
    return rows.unflatten(1, shape).transpose(0, 1)


def _rows(sequences: Tensor) -> Tensor:
    """Sequences (batch, channels, length) as rows (channels, batch * length)."""
    return sequences.transpose(0, 1).flatten(1)
