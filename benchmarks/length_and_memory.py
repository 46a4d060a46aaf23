"""Cost of a bar against the length of the sequence, and the peak of memory, forward and backward.

`python benchmarks/length_and_memory.py`; the peak is read as Linux reports it. "Cost of a bar" is the median time over
the number of bars, once for a single sequence, once for as many sequences as make the same number of bars.
"""

import resource
from collections.abc import Callable
from pathlib import Path

from _timing import Row, main, race
from scan import DIM, STATE, both_passes, companion, make_inputs

LONGEST = 65_536


def peak_memory(length: int) -> Row:
    """Memory that the two passes need beyond their inputs, over the size of u, delta and y together."""
    both_passes(companion, make_inputs(1, DIM, 64, STATE))()  # loads and compiles
    inputs = make_inputs(1, DIM, length, STATE)
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    before = pages * resource.getpagesize()
    both_passes(companion, inputs)()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = 3 * inputs["u"].numel() * inputs["u"].element_size()
    return Row(f"(1, {length:,}, {DIM}, {STATE})", "peak beyond the inputs", (peak - before) / size, "x (u, delta, y)")


def costs(cases: list[tuple[int, int]], *, rounds: int) -> list[Row]:
    """Cost of a bar in each case (batch, length), in turns; the ratio is to the first."""
    calls: dict[str, Callable[[], object]] = {}
    for batch, length in cases:
        calls[f"({batch}, {length:,}, {DIM}, {STATE})"] = both_passes(companion, make_inputs(batch, DIM, length, STATE))
    first = next(iter(calls))
    raced = race("", {"companion": calls[first], **calls}, rounds=rounds)[1:]
    bars = [batch * length for batch, length in cases]
    per_bar = [row.value * 1e6 / n for row, n in zip(raced, bars, strict=True)]
    return [
        Row(row.contender, "companion", cost, "ns a bar", cost / per_bar[0], rounds)
        for row, cost in zip(raced, per_bar, strict=True)
    ]


def measure(tiny: bool) -> list[Row]:
    """Peak first, because the system reports the highest since the start of the process."""
    longest, rounds = (2048, 1) if tiny else (LONGEST, 9)
    memory = peak_memory(longest)
    lengths = [length for length in (1024, 4096, 16_384, LONGEST) if length <= longest]
    one = costs([(1, length) for length in lengths], rounds=rounds)
    same = costs([(longest // 1024, 1024), (1, longest)], rounds=rounds)
    return [*one, *same, memory]


if __name__ == "__main__":
    main("length_and_memory", measure, "Cost of a bar against length, and memory; (batch, length, dim, state)")
