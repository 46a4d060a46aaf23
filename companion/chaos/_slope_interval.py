"""The interval of the slope of a scaling region: sampling error and the choice of the region."""

import numpy as np

from companion._checks import Floats
from companion.chaos._scaling import ScalingRegion

#: Blocks of time, of which one after the other is left out.
N_BLOCKS = 30
#: 97.5 % quantile of Student's t with 29 degrees of freedom.
_T_QUANTILE = 2.045


def slope_interval(region: ScalingRegion, x: Floats, without_block: Floats, *, factor: float = 1.0) -> Floats:
    """95 % interval (2,) of a region's slope, the two errors joined as if independent.

    Parameters
    ----------
    region : ScalingRegion
        Its own interval tells how far the choice moves the slope.
    x : ndarray of shape (n_points,)
        Abscissas of the curve.
    without_block : ndarray of shape (N_BLOCKS, n_points)
        The curve without one block of time after the other (jackknife).
    factor : float
        By which the standard error of the jackknife is too small.
    """
    part = slice(region.start, region.stop)
    centered = x[part] - x[part].mean()
    slopes = without_block[:, part] @ centered / (centered @ centered)
    error = _T_QUANTILE * factor * np.sqrt((N_BLOCKS - 1) * slopes.var())
    low, high = region.slope - region.interval[0], region.interval[1] - region.slope
    return np.array([region.slope - np.hypot(low, error), region.slope + np.hypot(high, error)])
