"""A series with its chaos periods shaded, and the true regime in a strip below where it is known."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from companion.plotting._style import CHAOS, COLORS, figure, pair, translucent, use_log_axis, values

_STRIP = 0.07  # share of the height that the strip of the true regime takes


def regimes(
    x: ArrayLike,
    y: ArrayLike,
    regime: ArrayLike,
    *,
    alt: str,
    x_title: str = "",
    y_title: str = "",
    height: int = 380,
    truth: ArrayLike | None = None,
    truth_name: str = "true chaos",
    log_y: bool = False,
) -> go.Figure:
    """Draw a line with the chaos periods of `regime` shaded behind it.

    Parameters
    ----------
    x
        Bars or dates, shape (n_bars,).
    y
        The series, shape (n_bars,).
    regime
        0 stable, 1 chaos, shape (n_bars,). Find the periods on all bars and thin afterwards, or short ones are lost.
    truth
        The true regime, same shape: a thin strip below the line.
    truth_name
        What the legend calls the strip, where it is not the truth.
    log_y
        Logarithmic vertical axis.

    Raises
    ------
    ValueError
        If lengths differ or a regime is neither 0 nor 1.
    """
    xs, ys = pair(x, y, "regimes")
    fig = figure(alt=alt, x_title=x_title, y_title=y_title, height=height, showlegend=True, hovermode="x unified")
    fig.add_scatter(x=xs, y=ys, name=y_title or "series", mode="lines", line={"color": COLORS[4], "width": 1.4})
    shading = {"name": "chaos", "opacity": 1, "fillcolor": translucent(CHAOS, 0.28), "showlegend": True}
    _add_periods(fig, xs, _checked(regime, len(xs), "regime"), axis="y", **shading)
    if log_y:
        use_log_axis(fig, "y")
    if truth is None:
        return fig
    strip = {"name": truth_name, "fillcolor": CHAOS, "showlegend": True}
    _add_periods(fig, xs, _checked(truth, len(xs), "truth"), axis="y2", **strip)
    fig.update_layout(
        yaxis={"domain": [_STRIP + 0.03, 1]},
        yaxis2={"domain": [0, _STRIP], "range": [0, 1], "showgrid": False, "showticklabels": False, "title": ""},
        xaxis={"anchor": "y2"},
    )
    # An axis without a trace is not drawn, and neither are the shapes that refer to it.
    hidden = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    return fig.add_scatter(x=[xs[0], xs[-1]], y=[0, 0], yaxis="y2", **hidden)


def _checked(regime: ArrayLike, length: int, name: str) -> np.ndarray:
    flags = np.asarray(values(regime, name))
    if len(flags) != length:
        raise ValueError(f"{name} has {len(flags)} bars, the series {length}")
    if not np.isin(flags, (0, 1)).all():
        raise ValueError(f"{name} must hold 0 (stable) and 1 (chaos), got {np.unique(flags)[:5].tolist()}")
    return flags.astype(bool)


def _add_periods(fig: go.Figure, x: list[Any], chaos: np.ndarray, *, axis: str, **style: Any) -> None:
    """Add all periods as one path, a rectangle each: a shape for each period would fill the notebook."""
    change = np.flatnonzero(np.diff(chaos.astype(np.int8), prepend=0, append=0))
    last = len(x) - 1
    ends = [(x[start], x[min(stop, last)]) for start, stop in zip(change[::2], change[1::2], strict=True)]
    if ends:
        path = "".join(f"M{_point(a)},0V1H{_point(b)}V0Z" for a, b in ends)
        fig.add_shape(type="path", path=path, xref="x", yref=f"{axis} domain", layer="below", line_width=0, **style)


def _point(value: Any) -> str:
    """Write a place on the axis as a path has it: a blank would end the number."""
    return value.replace("T", "_") if isinstance(value, str) else f"{value:.7g}"
