"""Colors, template and the small helpers that every figure function shares."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

STABLE = "#0072B2"
"""The stable regime, in every figure of the book."""
CHAOS = "#D55E00"
"""The chaos regime, in every figure of the book."""
COLORS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
"""Every other series, in order: the colors of Okabe and Ito (2008) that are left, then a gray."""
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")
NEUTRAL = "#8C8C8C"  # lines that belong to no series: visible on white and on black alike
PATTERNS = ("", "/", "x", ".", "-")

_REGIME_COLORS = {"stable": STABLE, "chaos": CHAOS}
_GRID = "rgba(128,128,128,0.22)"
_MARKERS_UP_TO = 40  # a line of so few points shows them, which also tells series apart without color


def _template() -> go.layout.Template:
    """Build the template: neutral grays that are legible on white and on black alike.

    A stored figure carries its template, so it holds only what differs from Plotly's own defaults.
    """
    axis = {
        "automargin": True,
        "gridcolor": _GRID,
        "linecolor": _GRID,
        "zeroline": False,
        "title": {"standoff": 8},
    }
    return go.layout.Template(
        layout={
            "colorway": COLORS,
            "font": {"color": "#777777", "family": "system-ui, sans-serif", "size": 13},
            "hovermode": "closest",
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "margin": {"b": 48, "l": 56, "r": 12, "t": 16},
            "modebar": {"remove": ["autoscale", "lasso", "select"]},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
        }
    )


TEMPLATE = _template()


def colors_of(names: Iterable[str]) -> dict[str, str]:
    """Give each name its color: the regimes their own, the others the cycle in order.

    Raises
    ------
    ValueError
        If there are more names than the cycle has colors.
    """
    names = list(names)
    others = [name for name in names if name not in _REGIME_COLORS]
    if len(others) > len(COLORS):
        raise ValueError(f"a figure tells at most {len(COLORS)} series apart besides the regimes, got {len(others)}")
    return {**_REGIME_COLORS, **dict(zip(others, COLORS, strict=False))}


def translucent(color: str, alpha: float) -> str:
    """Turn ``#rrggbb`` into ``rgba(...)``."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def values(array: ArrayLike, name: str) -> list[Any]:
    """Turn a one-dimensional array of numbers, dates or labels into a plain list; days become ``YYYY-MM-DD``.

    Raises
    ------
    ValueError
        If `array` is not one-dimensional or empty.
    """
    flat = np.asarray(array)
    if flat.ndim != 1 or flat.size == 0:
        raise ValueError(f"{name} must be one-dimensional and not empty, got shape {flat.shape}")
    if np.issubdtype(flat.dtype, np.datetime64):
        whole_days = bool((flat == flat.astype("datetime64[D]")).all())
        return flat.astype("datetime64[D]" if whole_days else "datetime64[s]").astype(str).tolist()
    return flat.tolist()


def pair(x: ArrayLike, y: ArrayLike, name: str) -> tuple[list[Any], list[Any]]:
    """Return `x` and `y` as plain lists of one length."""
    xs, ys = values(x, f"x of {name!r}"), values(y, f"y of {name!r}")
    if len(xs) != len(ys):
        raise ValueError(f"x and y of {name!r} differ in length: {len(xs)} and {len(ys)}")
    return xs, ys


def padded(array: np.ndarray, share: float) -> list[float]:
    """Range of the finite values of `array`, wider by `share` of it on either side."""
    finite = array[np.isfinite(array)]
    low, high = float(finite.min()), float(finite.max())
    pad = share * (high - low) if high > low else 0.5
    return [low - pad, high + pad]


def mode_of(n_points: int) -> str:
    """Lines of few points show their points."""
    return "lines+markers" if n_points <= _MARKERS_UP_TO else "lines"


def figure(*, alt: str, x_title: str, y_title: str, height: int, **layout: Any) -> go.Figure:
    """Return an empty figure with axis titles and its alternative text.

    Raises
    ------
    ValueError
        If `alt` says nothing.
    """
    if not alt.strip():
        raise ValueError(f"alt must describe the figure in words, got {alt!r}")
    fig = go.Figure(layout={"template": TEMPLATE})
    fig.update_layout(height=height, meta={"alt": alt}, **layout)
    return fig.update_xaxes(title_text=x_title).update_yaxes(title_text=y_title)


def whiskers(centers: list[float], bounds: list[tuple[float, float]]) -> dict[str, Any]:
    """Error bars that are the intervals themselves, in a gray that shows on white and on black.

    Raises
    ------
    ValueError
        If an interval does not contain its estimate.
    """
    for center, (low, high) in zip(centers, bounds, strict=True):
        if low > center or high < center:
            raise ValueError(f"an interval must contain its estimate, got {center} outside [{low}, {high}]")
    up = [high - center for center, (_, high) in zip(centers, bounds, strict=True)]
    down = [center - low for center, (low, _) in zip(centers, bounds, strict=True)]
    return {"type": "data", "array": up, "arrayminus": down, "color": NEUTRAL, "thickness": 1.5, "width": 4}


def use_log_axis(fig: go.Figure, axis: str) -> go.Figure:
    """Make the axis "x" or "y" logarithmic, with ticks that a person reads: 1, 2, 5, 10 … or powers of ten."""
    drawn = [trace[axis] for trace in fig.data if trace[axis] is not None]
    data = np.concatenate([np.asarray(array, dtype=float) for array in drawn])
    data = data[np.isfinite(data) & (data > 0)]
    update = fig.update_xaxes if axis == "x" else fig.update_yaxes
    if not data.size:
        return update(type="log")
    low, high = np.log10(data.min()), np.log10(data.max())
    steps = (1, 2, 5) if high - low < 2.2 else (1,)
    every = [m * 10.0**k for k in range(int(np.floor(low)), int(np.ceil(high)) + 1) for m in steps]
    ticks = [tick for tick in every if low - 0.15 <= np.log10(tick) <= high + 0.15]
    return update(type="log", tickvals=ticks, ticktext=[f"{tick:,.10g}" for tick in ticks])


def thin(x: ArrayLike, *ys: ArrayLike, n: int = 600) -> tuple[np.ndarray, ...]:
    """Keep about `n` points of each array: the first, the last, and every stretch's extremes, so that no low is lost.

    Parameters
    ----------
    x, *ys
        Arrays of shape (length,), all of one length.
    n
        How many points to keep at most, at least 2. Where it is below two a series, the points are evenly spaced.

    Returns
    -------
    tuple of ndarray
        `x` and every `y`, thinned at the same places.

    Raises
    ------
    ValueError
        If `n` is below 2 or the lengths differ.
    """
    arrays = [np.asarray(array) for array in (x, *ys)]
    lengths = {len(array) for array in arrays}
    if n < 2:
        raise ValueError(f"n must be at least 2, got {n}")
    if len(lengths) > 1:
        raise ValueError(f"x and ys must have one length, got {sorted(lengths)}")
    length = lengths.pop()
    if length <= n:
        return tuple(arrays)
    n_stretches = (n - 2) // (2 * len(ys)) if ys else 0
    if n_stretches == 0:
        even = np.linspace(0, length - 1, n).round().astype(int)
        return tuple(array[even] for array in arrays)
    edges = np.linspace(0, length, n_stretches + 1).round().astype(int)
    kept = {0, length - 1}
    for y in arrays[1:]:
        for start, stop in itertools.pairwise(edges):
            part = y[start:stop]
            kept |= {start + int(np.argmin(part)), start + int(np.argmax(part))}
    places = np.array(sorted(kept))
    return tuple(array[places] for array in arrays)
