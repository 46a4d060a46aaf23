"""How far each kernel is from what this machine can do, and which limit binds it.

`python benchmarks/roofline.py`. The limits are measured in the same process, in turns with the kernels: a large matrix
product for the flops; alone and in the first cache, the two things that a kernel does besides adding and multiplying,
exponentials and random numbers; and for the bytes a triad, over arrays that no cache holds, and for each kernel once
more over as many bytes as it moves, since what a cache holds comes from there. What a kernel needs is counted by the
formulas below. It can not take less than its arithmetic takes at those rates, one part after the other since all use
the same units of the processor, nor less than its triad, which can run beside it: the longer of the two is the floor.
Of each call the shortest time counts, because a limit is a best case too.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _timing import THREADS, Row, calls_worth_timing, main
from heston import PARAMS, random_numbers
from numba import njit
from scan import make_inputs

from companion._exp2 import exp2
from companion._jit import KERNEL
from companion.heston import RegimeSwitchingHeston, bayes_filter, simulate_heston
from companion.heston.kernels._regime_scheme import BURN_IN_BARS
from companion.mamba import MarketMamba
from companion.mamba.kernels._scan_cpu import TILE
from companion.mamba.kernels._threads import run_tasks

SINGLE, DOUBLE = 4, 8  # bytes of a number
TYPES = {SINGLE: torch.float32, DOUBLE: torch.float64}
CHUNK = 4096
CALL = 0.02  # seconds; a call shorter than this is timed in a loop


@dataclass(frozen=True)
class Need:
    """What a kernel must do: flops (an addition, a product, a division, a root is one each), bytes, and the rest.

    Bytes count what must come from memory and go there once, as if a cache of any size kept the rest.
    """

    flops: float
    bytes: float
    exponentials: float = 0.0
    normals: float = 0.0
    size: int = SINGLE
    threads: int = THREADS


@dataclass(frozen=True)
class Kernel:
    """A call, its case in the table, and what it needs."""

    case: str
    call: Callable[[], object]
    need: Need


@njit(**KERNEL)  # type: ignore[untyped-decorator]
def _exponentials(first: int, last: int, x: Any) -> None:
    """x = 2**-x again and again, in the first cache; a task is a pass over x."""
    y = x.copy()
    for _ in range(first, last):
        for k in range(len(y)):
            y[k] = exp2(-y[k])
    x[0] = y[0]


@njit(**KERNEL)  # type: ignore[untyped-decorator]
def _triad(first: int, last: int, a: Any, b: Any, c: Any) -> None:
    """a = b + 3 c; a task is `CHUNK` elements."""
    start, stop = first * CHUNK, last * CHUNK  # slices, since a loop over their elements becomes vector code
    to, one, other = a[start:stop], b[start:stop], c[start:stop]
    for k in range(len(to)):
        to[k] = one[k] + np.float32(3) * other[k]


def triad(n_bytes: float, threads: int = THREADS) -> Callable[[], object]:
    """A call that moves so many bytes: two arrays read, one written."""
    length = max(1, round(n_bytes / (3 * SINGLE)))
    a, b, c = (np.ones(length, np.float32) for _ in range(3))
    tasks, work = -(-length // CHUNK), 10**9 if threads > 1 else 0
    return lambda: run_tasks(_triad, tasks, work, a, b, c)


def limits(tiny: bool) -> dict[str, tuple[Callable[[], object], float, str]]:
    """A call for each limit, what it does in units, and the unit."""
    order, large, passes = (64, 1e5, 10) if tiny else (2048, 9e8, 200_000)
    square = {size: torch.randn(order, order, dtype=dtype) for size, dtype in TYPES.items()}
    x = np.full(1024, 0.5, np.float32)
    paths, steps = (200, 5) if tiny else (20_000, 252)
    flops = 2.0 * order**3 / 1e9
    return {
        "flops, float32": (lambda: square[SINGLE] @ square[SINGLE], flops, "Gflop/s"),
        "flops, float64": (lambda: square[DOUBLE] @ square[DOUBLE], flops, "Gflop/s"),
        "exponentials, float32": (lambda: run_tasks(_exponentials, passes, 10**9, x), passes * 1024 / 1e9, "G/s"),
        "normals, float64": (random_numbers(paths, steps), 2.0 * paths * steps / 1e9, "G/s"),
        "bytes, no cache": (triad(large), large / 1e9, "GB/s"),
    }


def mamba_kernels(tiny: bool) -> list[Kernel]:
    """Scan, convolution and norm, forward and backward, at the sizes of a training step; and one bar."""
    batch, dim, length, state, taps, width = (2, 32, 16, 4, 4, 16) if tiny else (16, 128, 1024, 16, 4, 64)
    given = {name: tensor.detach() for name, tensor in make_inputs(batch, dim, length, state).items()}
    scan = torch.ops.companion.selective_scan, torch.ops.companion.selective_scan_backward
    tensors = *(given[name] for name in ("u", "delta", "A", "B", "C", "D")), None, None
    y, last, checkpoints = scan[0](*tensors, True, None)
    bars, rows = batch * dim * length, batch * length
    each = bars * state
    between = 2 * batch * state * length  # B and C
    kept = batch * -(-length // TILE) * state * dim  # states between the two passes
    u, weight, bias = given["u"], torch.randn(dim, taps), torch.randn(dim)
    conv = torch.ops.companion.causal_conv_silu, torch.ops.companion.causal_conv_silu_backward
    x, scale = torch.randn(batch, length, width), torch.randn(width)
    norm = torch.ops.companion.rms_norm, torch.ops.companion.rms_norm_backward
    inverse = norm[0](x, scale, 1e-6)[1]
    case = f"({batch}, {length:,}, {dim}"
    # A state: its decay's exponent 1, decay and input 3, reading 2; backward 14 more: five sums of products, four
    # products. A bar and channel: a softplus, its exponential and 22, and 2 or 12 around it.
    return [
        Kernel(
            f"scan forward, {case}, {state})",
            lambda: scan[0](*tensors, True, None),
            Need(6 * each + 24 * bars, SINGLE * (3 * bars + between + kept), each + bars),
        ),
        Kernel(
            f"scan backward, {case}, {state})",
            lambda: scan[1](y, last, checkpoints, *tensors, True),
            Need(20 * each + 34 * bars, SINGLE * (5 * bars + 2 * between + kept), each + bars),
        ),
        # Two a tap, SiLU an exponential and 4; backward all that, its slope 4, and two a tap for each of two gradients.
        Kernel(
            f"convolution forward, {case})",
            lambda: conv[0](u, weight, bias),
            Need((2 * taps + 4) * bars, SINGLE * 2 * bars, bars),
        ),
        Kernel(
            f"convolution backward, {case})",
            lambda: conv[1](y, u, weight, bias),
            Need((6 * taps + 8) * bars, SINGLE * 3 * bars, bars),
        ),
        # Square and sum, two products; backward two sums of three and two, and four for the gradient of x.
        Kernel(
            f"norm forward, ({batch}, {length:,}, {width})",
            lambda: norm[0](x, scale, 1e-6),
            Need(4 * rows * width, SINGLE * 2 * rows * width),
        ),
        Kernel(
            f"norm backward, ({batch}, {length:,}, {width})",
            lambda: norm[1](x, x, scale, inverse),
            Need(10 * rows * width, SINGLE * 3 * rows * width),
        ),
        *one_bar(),
    ]


def one_bar() -> list[Kernel]:
    """One bar through the shipped shape of the model, on one core."""
    model = MarketMamba().eval()
    block: Any = model.blocks[0]
    weights = sum(weight.numel() for weight in model.parameters())
    layers, states = len(model.blocks), block.d_inner * block.d_state
    # Nearly every weight is multiplied and added once; a state is read and written, its decay is an exponential.
    flops, moved = 2 * weights + layers * 6 * states, weights + 2 * layers * (states + block.d_inner * 3)
    stepper, features = model.stepper(), np.zeros((1, 3), np.float32)
    state, latent = stepper.start(), np.empty((1, stepper.d_model), stepper.dtype)
    need = Need(flops, SINGLE * moved, layers * (states + 3 * block.d_inner), threads=1)
    return [Kernel("one bar, MarketMamba.stepper", lambda: stepper.step_in_place(features, state, latent), need)]


def heston_kernels(tiny: bool) -> list[Kernel]:
    """Both schemes, the regime-switching market and its particle filter, in float64."""
    paths, steps = (200, 5) if tiny else (20_000, 252)
    market, substeps = RegimeSwitchingHeston.equity_index(), 4
    particles, n_filtered, n_bars = (10, 2, 5) if tiny else (3000, 4, 200)
    returns = market.simulate(n_paths=n_filtered, n_steps=n_bars, seed=19).log_returns
    n, all_bars = paths * steps, steps + BURN_IN_BARS
    few = paths // 5
    moved = 2 * DOUBLE * paths * (steps + 1)
    updates = n_filtered * particles * (n_bars + BURN_IN_BARS)
    weighed = n_filtered * particles * n_bars

    def scheme(name: Any) -> Callable[[], object]:
        return lambda: simulate_heston(PARAMS, n_paths=paths, n_steps=steps, scheme=name, seed=0)

    # A step: 18 and a root for the two equations, 25 for the exponential of the price. QE: the branch's coefficients 28
    # with three roots and two quotients, a logarithm 22, the constant and the drift 25, the exponential 25.
    # A particle: its regime and source 6, each substep 14; a bar with a return also the guide 12 and a logarithm 22,
    # its weight another 22, an exponential 25 and 10.
    return [
        Kernel(f"Heston, Euler, {paths:,} x {steps}", scheme("euler"), Need(44 * n, moved, 0, 2 * n, DOUBLE)),
        Kernel(f"Heston, QE, {paths:,} x {steps}", scheme("qe"), Need(100 * n, moved, 0, 2 * n, DOUBLE)),
        Kernel(
            f"regime switching, {few:,} x {steps}, {substeps} substeps",
            lambda: market.simulate(n_paths=few, n_steps=steps, substeps=substeps, seed=0),
            Need(
                few * (19 * substeps * all_bars + 25 * steps),
                (2 * DOUBLE + 1) * few * (steps + 1),
                0,
                2 * few * substeps * all_bars,
                DOUBLE,
            ),
        ),
        Kernel(
            f"particle filter, {n_filtered} x {n_bars}, {particles:,} particles",
            lambda: bayes_filter(returns, market, n_particles=particles, seed=20),
            Need(
                (6 + 14 * substeps) * updates + 91 * weighed,
                DOUBLE * 3 * n_filtered * n_bars,
                0,
                substeps * updates,
                DOUBLE,
            ),
        ),
    ]


def shortest(calls: list[Callable[[], object]], *, rounds: int) -> list[float]:
    """The shortest time of each, in seconds; they take turns. A single turn only shows that they run."""
    best = [float("inf")] * len(calls)
    loops = [calls_worth_timing(call, CALL) if rounds > 1 else 1 for call in calls]
    for _ in range(rounds):
        for i, call in enumerate(calls):
            call()
            start = time.perf_counter()
            for _ in range(loops[i]):
                call()
            best[i] = min(best[i], (time.perf_counter() - start) / loops[i])
    return best


def arithmetic(need: Need, rates: dict[str, float]) -> dict[str, float]:
    """Seconds that each part of the arithmetic takes at its limit, on the cores that the kernel uses."""
    kind = "float32" if need.size == SINGLE else "float64"
    amounts = {
        "flops": need.flops / rates[f"flops, {kind}"],
        "exponentials": need.exponentials / rates["exponentials, float32"],
        "normals": need.normals / rates["normals, float64"],
    }
    return {name: seconds / 1e9 * THREADS / need.threads for name, seconds in amounts.items()}


def counted(need: Need) -> str:
    """What a kernel needs, in words."""
    amounts = {"flop": need.flops, "exponentials": need.exponentials, "normals": need.normals, "B": need.bytes}
    return ", ".join(_readable(amount, unit) for unit, amount in amounts.items() if amount)


def _readable(amount: float, unit: str) -> str:
    size, prefix = next(((size, p) for size, p in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if amount >= size), (1.0, ""))
    return f"{amount / size:.3g} {prefix}{unit}" if len(unit) <= 4 else f"{amount / size:.3g} {prefix} {unit}"


def rows_of(kernel: Kernel, seconds: float, moving: float, rates: dict[str, float], rounds: int) -> list[Row]:
    """The kernel, and its floor with the limit that binds it; `moving` is what its triad takes."""
    parts = arithmetic(kernel.need, rates)
    calculating, largest = sum(parts.values()), max(parts, key=lambda name: parts[name])
    floor, binds = (moving, "bytes") if moving > calculating else (calculating, largest)
    unit, factor = ("ms", 1e3) if seconds > 1e-4 else ("µs", 1e6)
    contender = f"floor, bound by {binds}: {counted(kernel.need)}"
    return [
        Row(kernel.case, "companion", factor * seconds, unit, 1.0, rounds),
        Row(kernel.case, contender, factor * floor, unit, floor / seconds, rounds),
    ]


@torch.no_grad()
def measure(tiny: bool) -> list[Row]:
    """Time limits and kernels in turns, and set each kernel against its floor."""
    rounds = 1 if tiny else 15
    bounds, kernels = limits(tiny), [*mamba_kernels(tiny), *heston_kernels(tiny)]
    moves = [triad(kernel.need.bytes, kernel.need.threads) for kernel in kernels]
    calls = [*(call for call, _, _ in bounds.values()), *(kernel.call for kernel in kernels), *moves]
    times = iter(shortest(calls, rounds=rounds))
    rates = {name: work / next(times) for name, (_, work, _) in bounds.items()}
    rows = [
        Row("limits of this machine", name, rates[name], unit, None, rounds) for name, (_, _, unit) in bounds.items()
    ]
    taken = [next(times) for _ in kernels]
    for kernel, seconds, moving in zip(kernels, taken, times, strict=True):
        rows += rows_of(kernel, seconds, moving, rates, rounds)
    return rows


if __name__ == "__main__":
    main(
        "roofline",
        measure,
        "How far each kernel is from this machine's limits; a call and its size, its time the shortest",
    )
