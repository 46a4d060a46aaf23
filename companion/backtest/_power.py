"""How many years of data a difference of Sharpe ratios needs before it shows.

The variance of the difference is that of Jobson and Korkie (1981) as Memmel (2003) corrected it, with the kurtosis of
elliptical returns for that of normal ones (Ledoit and Wolf 2008 estimate the same fourth moments). Found means: the
two-sided interval lies on the side of zero on which the truth is.
"""

import numpy as np
from scipy.special import ndtr, ndtri

from companion._checks import check_finite, check_positive
from companion.backtest._costs import BARS_PER_YEAR


def sharpe_difference_error(
    difference: float,
    *,
    correlation: float,
    sharpe: float = 0.4,
    kurtosis: float = 3.0,
    bars_per_year: float = BARS_PER_YEAR,
) -> float:
    r"""Standard error of a difference of yearly Sharpe ratios that one year of returns leaves; n years leave a √n-th.

    With ratios per bar :math:`s_1` and :math:`s_2`, correlation :math:`\rho` and kurtosis :math:`k`, n bars leave a
    variance of

    .. math:: \frac1n \left[ 2 - 2\rho + \frac{k - 1}{4} (s_1^2 + s_2^2)
              - \frac{s_1 s_2}{2} \left( \frac{k}{3} (1 + 2 \rho^2) - 1 \right) \right],

    which is equation 2 of Memmel (2003) for :math:`k = 3`.

    Parameters
    ----------
    difference : float
        True yearly Sharpe ratio of the strategy minus that of the baseline.
    correlation : float
        Of the returns of both, in (-1, 1). For a rule that is invested a share p of the time, at random, it is √p.
    sharpe : float
        True yearly Sharpe ratio of the baseline.
    kurtosis : float
        Of the returns, 3 if they are normal; 1 at least.
    bars_per_year : float
        Bars in a year.

    Raises
    ------
    ValueError
        Names the argument out of range.
    """
    if not -1.0 < correlation < 1.0:
        raise ValueError(f"correlation must lie in (-1, 1), got {correlation}")
    if not 1.0 <= kurtosis < np.inf:
        raise ValueError(f"kurtosis must be finite and at least 1, got {kurtosis}")
    year = check_positive("bars_per_year", bars_per_year)
    other = check_finite("sharpe", sharpe)
    one = other + check_finite("difference", difference)
    own = (kurtosis - 1.0) / 4.0 * (one**2 + other**2)
    shared = one * other / 2.0 * (kurtosis / 3.0 * (1.0 + 2.0 * correlation**2) - 1.0)
    return float(np.sqrt(2.0 - 2.0 * correlation + (own - shared) / year))


def power_of(
    difference: float,
    *,
    years: float,
    correlation: float,
    sharpe: float = 0.4,
    kurtosis: float = 3.0,
    level: float = 0.05,
    bars_per_year: float = BARS_PER_YEAR,
) -> float:
    """Probability that so many years of data show a difference of Sharpe ratios, as the two-sided test at `level` does.

    Parameters
    ----------
    difference, correlation, sharpe, kurtosis, bars_per_year
        As in `sharpe_difference_error`; the difference is not zero.
    years : float
        Length of the data.
    level : float
        Probability of a false alarm, in (0, 1); an interval at 95 % has .05.

    Raises
    ------
    ValueError
        Names the argument out of range.
    """
    error = sharpe_difference_error(
        difference, correlation=correlation, sharpe=sharpe, kurtosis=kurtosis, bars_per_year=bars_per_year
    )
    return float(ndtr(_size(difference) / error * np.sqrt(check_positive("years", years)) - _reach(level)))


def years_to_detect(
    difference: float,
    *,
    correlation: float,
    sharpe: float = 0.4,
    kurtosis: float = 3.0,
    power: float = 0.8,
    level: float = 0.05,
    bars_per_year: float = BARS_PER_YEAR,
) -> float:
    """Years of data that show a difference of Sharpe ratios with probability `power`: the inverse of `power_of`.

    `power` lies in (level / 2, 1), for half of the false alarms are on the right side.
    """
    error = sharpe_difference_error(
        difference, correlation=correlation, sharpe=sharpe, kurtosis=kurtosis, bars_per_year=bars_per_year
    )
    reach = _reach(level)
    if not level / 2.0 < power < 1.0:
        raise ValueError(f"power must lie in ({level / 2.0:g}, 1), got {power}")
    return float(((reach + ndtri(power)) * error / _size(difference)) ** 2)


def _size(difference: float) -> float:
    if not check_finite("difference", difference):
        raise ValueError("difference must not be zero: no data show what is not there")
    return abs(difference)


def _reach(level: float) -> float:
    """Standard errors from the estimate to an end of the interval."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    return float(-ndtri(level / 2.0))
