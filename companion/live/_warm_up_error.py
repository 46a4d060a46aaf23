"""How far a desk that was warmed by n bars is from one that never stopped: measured, and what is stated of it."""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from companion._checks import check_count
from companion.desk import Bar, Desk

STATED_ERRORS = {721: 0.32, 1000: 0.29, 2000: 0.21, 4000: 0.07, 8000: 0.03}
"""Bars of a warm-up, and the difference of P(chaos) that 99 % of comparisons stay within; see `stated_error`."""
_EQUITY = 100_000


def stated_error(n_bars: int) -> float:
    """Difference of P(chaos) that a `companion.desk.minute_desk` warmed by so many bars makes, but for 1 % of cases.

    Parameters
    ----------
    n_bars : int
        Bars that were replayed; below 721, after which the desk may first trade, nothing is stated: 1.

    Notes
    -----
    Measured with `warm_up_error` against desks that had seen 8,000 to 16,000 bars, at 11 bars of each of 17 markets of
    `companion.execution.simulate_perpetual`. From 61 bars on the volatility is the same but for rounding. The target is
    in shares of equity; where it differs, it is mostly by a step of the dimmer.

    ======  ====  ====  =======  ======  =======
    ..      P(chaos)             target
    ------  -------------------  ---------------
    bars    mean  95 %  maximum  mean    differs
    ======  ====  ====  =======  ======  =======
    100     .153  .318  .444     (flat)
    250     .118  .266  .468     (flat)
    500     .094  .231  .370     (flat)
    721     .077  .216  .359     .026    25 %
    1,000   .060  .178  .301     .018    19 %
    2,000   .038  .142  .237     .012    11 %
    4,000   .014  .054  .100     .003    4 %
    8,000   .003  .010  .024     .000    0 %
    ======  ====  ====  =======  ======  =======

    What is missing after few bars is the filter's slow scale, whose half-life is 2,000 bars: with n bars it lacks
    2^(-n / 2000) of its past. Given the right scale, about half of the error after 100 bars is left: what the network
    itself remembers of the time before.
    """
    return min((error for least, error in STATED_ERRORS.items() if least <= n_bars), default=1.0)


def warm_up_error(
    desk_factory: Callable[[], Desk], bars: Iterable[Bar], n_bars_list: Sequence[int], *, every: int = 1000
) -> pd.DataFrame:
    """How far a desk that was warmed by the last n bars is from one that never stopped.

    Both decide on the same next bar, the first on which the warmed one may trade.

    Parameters
    ----------
    desk_factory : callable
        Makes the desk.
    bars : iterable of Bar
        One path; the longer it is than the longest warm-up, the less has the other desk just started itself.
    n_bars_list : sequence of int
        Bars of the warm-up.
    every : int
        Bars from one comparison to the next; the last is at the last bar.

    Returns
    -------
    DataFrame
        One row per comparison and n: ``n_bars``, ``bar`` (index of the bar that is decided on), and absolute
        differences of ``p_chaos``, of ``sigma_bar`` as a share of the right one, and of ``target`` as a share of
        equity.

    Raises
    ------
    ValueError
        If the path is not longer than a warm-up, or a number is not positive.
    """
    path = list(bars)
    longest, step = max(check_count("n_bars_list", n) for n in n_bars_list), check_count("every", every)
    if len(path) <= longest:
        raise ValueError(f"bars must be more than the longest warm-up, {longest}, got {len(path)}")
    desk = desk_factory()
    desk.reset()
    right = desk.run(path, equity=_EQUITY)
    rows = []
    for last in range(len(path) - 1, longest - 1, -step):
        for n in n_bars_list:
            desk.reset()
            found, truth = desk.run(path[last - n : last + 1], equity=_EQUITY)[-1], right[last]
            rows.append(
                (
                    n,
                    last,
                    abs(found.p_stable - truth.p_stable),
                    abs(found.sigma_bar / truth.sigma_bar - 1.0),
                    abs(float(found.quantity - truth.quantity)) * path[last].close / _EQUITY,
                )
            )
    return pd.DataFrame(rows, columns=["n_bars", "bar", "p_chaos", "sigma_bar", "target"])
