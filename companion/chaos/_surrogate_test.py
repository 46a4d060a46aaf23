"""The surrogate test: is a series, by some statistic, unlike what a null hypothesis makes of it?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import ArrayLike

from companion._checks import Floats, check_count, check_seed
from companion.chaos._endpoints import EndpointMismatch, endpoint_mismatch
from companion.chaos._garch_surrogates import GarchNotFittedError
from companion.chaos._surrogates import Null, spectrum_error, surrogates

Alternative = Literal["two-sided", "greater", "less"]
Statistic = Callable[[Floats], float]

#: With fewer surrogates no p-value can come down to .05.
FEWEST_SURROGATES = 19
#: Surrogates of a surrogate: from so few on their standard deviation is a yardstick.
FEWEST_PIVOTS = 9
#: Near a persistence of 1 a fit to a surrogate may fail; ten in a row mean that the null has no place here.
MOST_REDRAWS = 10


@dataclass(frozen=True)
class SurrogateTest:
    """What a surrogate test found.

    Attributes
    ----------
    null : str
        Hypothesis the surrogates were drawn from.
    alternative : str
        ``"two-sided"``, ``"greater"`` or ``"less"``.
    n_surrogates : int
    table : pandas.DataFrame
        A row for each statistic: ``statistic``, ``observed``, and of the surrogates ``mean``, ``lower`` and ``upper``
        (95 % of them lie between), ``z`` (how many of their standard deviations the observed value lies above their
        mean; nan if they are all equal), ``p`` (see `rank_p_value`), and ``p_holm``: p adjusted for the number of rows.
    values : dict of str to ndarray of shape (n_surrogates,)
        Each statistic of each surrogate; with `n_pivot` these, and `observed`, are pivots.
    spectrum_error : float or None
        Largest `companion.chaos.spectrum_error` of a surrogate, where the null is one that keeps the spectrum. Beside
        a large one a small p-value speaks of the spectrum, and not of the hypothesis.
    endpoints : EndpointMismatch
        How far the ends of the series are from meeting, which the Fourier nulls take for granted.
    """

    null: str
    alternative: str
    n_surrogates: int
    table: pd.DataFrame
    values: dict[str, Floats]
    spectrum_error: float | None
    endpoints: EndpointMismatch


def surrogate_test(
    series: ArrayLike,
    statistics: Mapping[str, Statistic],
    *,
    null: Null,
    n_surrogates: int = 99,
    n_pivot: int = 0,
    alternative: Alternative = "two-sided",
    seed: int | np.random.Generator,
) -> SurrogateTest:
    """Compare statistics of a series with those of its surrogates; one draw of them serves all statistics.

    The level is exact where series and surrogates are exchangeable: for ``shuffle`` if the hypothesis holds, for the
    others as far as what is fitted (spectrum, values, parameters) is what was true. A series is nearer to what was
    fitted to it than to the truth, so a statistic that follows the fit is found far out too seldom. `n_pivot` mends
    that: each statistic is replaced by how far it is, in standard deviations, from the mean over surrogates of *the
    series it is computed on* (prepivoting, Beran 1988), for the series and for each surrogate alike.

    Parameters
    ----------
    series : array-like of shape (n_points,)
    statistics : mapping of str to callable
        Each takes a series of shape (n_points,) and gives a finite number.
    null : str
        As for `surrogates`.
    n_surrogates : int
        At least 19.
    n_pivot : int
        Surrogates of each series that the statistic is measured by, at least 9; 0 compares the statistics as they are.
        It takes `n_pivot` times as long, and a fit for each surrogate. A surrogate to which the null can not be fitted
        is drawn again, as a series to which it can not is refused.
    alternative : {"two-sided", "greater", "less"}
        Whether an observed value on either side, above or below the surrogates' speaks against the null.
    seed : int or numpy.random.Generator

    Raises
    ------
    ValueError
        When an argument is not as above, a statistic is not a finite number, or `surrogates` raises.

    Notes
    -----
    How often each test rejects where its null is true, with and without a pivot, is measured:
    ``companion.datasets.load_study("surrogate_power")``.

    References
    ----------
    Theiler, Eubank, Longtin, Galdrikian & Farmer (1992); Schreiber & Schmitz (2000); Beran (1988).
    """
    if check_count("n_surrogates", n_surrogates) < FEWEST_SURROGATES:
        raise ValueError(
            f"n_surrogates must be at least {FEWEST_SURROGATES}, or p never reaches 0.05, got {n_surrogates}"
        )
    if not isinstance(statistics, Mapping) or not statistics or not all(map(callable, statistics.values())):
        raise ValueError(f"statistics must map at least one name to a function of a series, got {statistics!r}")
    if n_pivot != 0 and check_count("n_pivot", n_pivot) < FEWEST_PIVOTS:
        raise ValueError(f"n_pivot must be 0 or at least {FEWEST_PIVOTS}, for a standard deviation, got {n_pivot}")
    _check_alternative(alternative)
    check_seed(seed)
    generator = np.random.default_rng(seed)
    draw = partial(surrogates, null=null, seed=generator)
    drawn = draw(series, n_surrogates=n_surrogates)
    observed_series = np.asarray(series, dtype=np.float64)
    if n_pivot:
        measure = partial(_pivots, statistics, partial(draw, n_surrogates=n_pivot))
    else:
        measure = partial(_values, statistics)
    observed = measure(observed_series, "the series")
    measured = [_first_fitted(measure, row, i, lambda: draw(series, n_surrogates=1)[0]) for i, row in enumerate(drawn)]
    values = {name: np.array([one[name] for one in measured]) for name in statistics}
    keeps_spectrum = null in ("phase", "aaft", "iaaft")
    return SurrogateTest(
        null=null,
        alternative=alternative,
        n_surrogates=n_surrogates,
        table=_table(observed, values, alternative),
        values=values,
        spectrum_error=float(spectrum_error(observed_series, drawn).max()) if keeps_spectrum else None,
        endpoints=endpoint_mismatch(observed_series),
    )


def rank_p_value(observed: float, values: ArrayLike, *, alternative: Alternative = "two-sided") -> float:
    """Share of all values, the observed one counted in, that are at least as extreme as it.

    With n values it is (1 + number of them at least as extreme) / (n + 1), and so never 0. If all n + 1 are
    exchangeable, p is at most k / (n + 1) with exactly that probability (at most that, if values tie).

    For ``"two-sided"`` extreme means far from the median of all n + 1. Twice the smaller one-sided p would be valid as
    well, but with 99 surrogates can be .04 and .06 and never .05; this one can be any hundredth. Where the values are
    skewed it looks mostly to their longer tail.

    Parameters
    ----------
    observed : float
    values : array-like of shape (n_values,)
    alternative : {"two-sided", "greater", "less"}

    Raises
    ------
    ValueError
        When a value is not finite, there is none, or `alternative` is none of those.
    """
    _check_alternative(alternative)
    pool = np.append(np.asarray(values, dtype=np.float64), float(observed))
    if len(pool) < 2 or not np.isfinite(pool).all():
        raise ValueError(f"observed and values must be finite numbers, got {observed!r} and {values!r}")
    extremes = {"greater": pool, "less": -pool, "two-sided": np.abs(pool - np.median(pool))}[alternative]
    return float(np.mean(extremes >= extremes[-1]))


def holm(p_values: ArrayLike) -> Floats:
    """Adjust p-values so that those below a level are wrong, even one of them, at most at that rate (Holm 1979).

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        Of tests that may depend on one another in any way.

    Raises
    ------
    ValueError
        When a p-value is not between 0 and 1, or there is none.
    """
    p = _check_p_values(p_values)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def benjamini_yekutieli(p_values: ArrayLike) -> Floats:
    """Adjust p-values so that of those below a level at most that share is wrong, on average.

    It is the method of Benjamini & Yekutieli (2001).

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        Of tests that may depend on one another in any way.

    Raises
    ------
    ValueError
        When a p-value is not between 0 and 1, or there is none.
    """
    return np.asarray(scipy.stats.false_discovery_control(_check_p_values(p_values), method="by"))


def _table(observed: dict[str, float], values: dict[str, Floats], alternative: Alternative) -> pd.DataFrame:
    rows = []
    for name, drawn in values.items():
        lower, upper = np.quantile(drawn, (0.025, 0.975))
        spread = drawn.std(ddof=1) if np.ptp(drawn) > 0 else np.nan
        rows.append(
            {
                "statistic": name,
                "observed": observed[name],
                "mean": drawn.mean(),
                "lower": lower,
                "upper": upper,
                "z": (observed[name] - drawn.mean()) / spread,
                "p": rank_p_value(observed[name], drawn, alternative=alternative),
            }
        )
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    return table


def _values(statistics: Mapping[str, Statistic], series: Floats, where: str) -> dict[str, float]:
    return {name: _number(name, f(series.copy()), where) for name, f in statistics.items()}


def _pivots(
    statistics: Mapping[str, Statistic], draw: Callable[[Floats], Floats], series: Floats, where: str
) -> dict[str, float]:
    """How far each statistic is from its mean over surrogates of the same series, in their standard deviations."""
    own = _values(statistics, series, where)
    drawn = [_values(statistics, row, f"a surrogate of {where}") for row in draw(series)]
    pivots = {}
    for name, value in own.items():
        others = np.array([one[name] for one in drawn])
        if not np.ptp(others) > 0:
            raise ValueError(
                f"statistics[{name!r}] must vary, or n_pivot be 0: all surrogates of {where} share a value"
            )
        pivots[name] = float((value - others.mean()) / others.std(ddof=1))
    return pivots


def _first_fitted(
    measure: Callable[[Floats, str], dict[str, float]], surrogate: Floats, number: int, redraw: Callable[[], Floats]
) -> dict[str, float]:
    """Measure a surrogate, or the first drawn in its stead to which the null can be fitted."""
    for _ in range(MOST_REDRAWS):
        try:
            return measure(surrogate, f"surrogate {number}")
        except GarchNotFittedError:
            surrogate = redraw()
    return measure(surrogate, f"surrogate {number}")


def _number(name: str, value: object, where: str) -> float:
    if isinstance(value, float | int | np.number) and np.isfinite(value):
        return float(value)
    raise ValueError(f"statistics[{name!r}] must give a finite number, got {value!r} for {where}")


def _check_alternative(alternative: str) -> None:
    if alternative not in get_args(Alternative):
        raise ValueError(f"alternative must be one of {', '.join(get_args(Alternative))}, got {alternative!r}")


def _check_p_values(p_values: ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not len(p) or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p_values must be numbers between 0 and 1, at least one, got {p_values!r}")
    return p
