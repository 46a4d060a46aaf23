"""The one-panel figures: lines, histograms, bars, scatter, reliability, heatmap.

Every function takes ``alt`` (what the figure shows, in words), ``x_title``, ``y_title`` and ``height`` (pixels), and
returns a `plotly.graph_objects.Figure`. Series named "stable" and "chaos" get their fixed colors.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from companion.plotting._style import (
    NEUTRAL,
    PATTERNS,
    SYMBOLS,
    colors_of,
    figure,
    mode_of,
    pair,
    translucent,
    use_log_axis,
    values,
    whiskers,
)

_DIAGONAL = {"color": NEUTRAL, "dash": "dot", "width": 1.2}


def lines(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    alt: str,
    x_title: str = "",
    y_title: str = "",
    height: int = 380,
    log_x: bool = False,
    log_y: bool = False,
    dash: Collection[str] = (),
    steps: Collection[str] = (),
    band: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]] | None = None,
) -> go.Figure:
    """Draw named lines, each given as (x, y); x may be dates.

    Parameters
    ----------
    series
        Name to (x, y), each of shape (length,).
    log_x, log_y
        Logarithmic axes.
    dash
        Names of the series to draw dashed, such as a theory beside its measurement.
    steps
        Names of the series that hold each value until the next point, such as a position.
    band
        Name to (x, low, high): a translucent band under the line of the same name.

    Raises
    ------
    ValueError
        If lengths differ, or `dash`, `steps` or `band` name a series that is not there.
    """
    unknown = (set(dash) | set(steps) | set(band or {})) - set(series)
    if unknown:
        raise ValueError(f"dash, steps and band must name series, got {sorted(unknown)}")
    fig = figure(alt=alt, x_title=x_title, y_title=y_title, height=height)
    fig.update_layout(hovermode="x unified", showlegend=len(series) > 1)
    colors = colors_of(series)
    for name, (x, low, high) in (band or {}).items():
        _draw_band(fig, name, x, low, high, color=colors[name])
    for i, (name, (x, y)) in enumerate(series.items()):
        xs, ys = pair(x, y, name)
        line = {"color": colors[name], "width": 1.8}
        if name in dash:
            line["dash"] = "dash"
        if name in steps:
            line["shape"] = "hv"
        mode = "lines" if name in steps else mode_of(len(xs))
        marker = {"symbol": SYMBOLS[i % len(SYMBOLS)], "size": 7} if "markers" in mode else None
        fig.add_scatter(x=xs, y=ys, name=name, mode=mode, line=line, marker=marker)
    if log_x:
        use_log_axis(fig, "x")
    if log_y:
        use_log_axis(fig, "y")
    return fig


def _draw_band(fig: go.Figure, name: str, x: ArrayLike, low: ArrayLike, high: ArrayLike, *, color: str) -> None:
    xs, lows = pair(x, low, f"{name} band, low")
    _, highs = pair(x, high, f"{name} band, high")
    fig.add_scatter(
        x=xs + xs[::-1],
        y=highs + lows[::-1],
        name=name,
        legendgroup=name,
        mode="lines",
        fill="toself",
        fillcolor=translucent(color, 0.18),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def histogram(
    samples: Mapping[str, ArrayLike],
    *,
    bins: int | ArrayLike,
    alt: str,
    x_title: str = "",
    y_title: str = "density",
    height: int = 380,
    density: bool = True,
    log_y: bool = False,
) -> go.Figure:
    """Draw histograms as filled steps over common bins; only the bin heights are stored, not the samples.

    Parameters
    ----------
    samples
        Name to sample of shape (n,).
    bins
        Number of bins between the smallest and the largest value of all samples, or the edges.
    density
        Heights that integrate to 1 over the bins instead of counts.
    log_y
        Logarithmic heights; empty bins become gaps.
    """
    edges = np.histogram_bin_edges(np.concatenate([np.ravel(sample) for sample in samples.values()]), bins=bins)
    fig = figure(alt=alt, x_title=x_title, y_title=y_title, height=height)
    fig.update_layout(showlegend=len(samples) > 1)
    colors = colors_of(samples)
    for name, sample in samples.items():
        heights = np.histogram(np.ravel(sample), bins=edges, density=density)[0].astype(float)
        # "hv" holds a height until the next edge: up at the first edge, back down at the last.
        x, y = np.concatenate([edges[:1], edges]), np.concatenate([[0.0], heights, [0.0]])
        if log_y:
            y[y == 0] = np.nan
        fig.add_scatter(
            x=x.tolist(),
            y=y.tolist(),
            name=name,
            mode="lines",
            line={"color": colors[name], "shape": "hv", "width": 1.5},
            fill=None if log_y else "tozeroy",
            fillcolor=translucent(colors[name], 0.22),
        )
    return use_log_axis(fig, "y") if log_y else fig.update_yaxes(rangemode="tozero")


def bars(
    values_by_group: Mapping[str, Mapping[str, float]],
    *,
    alt: str,
    x_title: str = "",
    y_title: str = "",
    height: int = 380,
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    horizontal: bool = False,
) -> go.Figure:
    """Draw grouped bars: one color and pattern a group, one place on the axis a label.

    Parameters
    ----------
    values_by_group
        Group to label to value.
    intervals
        Group to label to the (low, high) ends of its whisker, for the groups and labels that have one.
    horizontal
        Labels on the vertical axis, the first at the top: better when they are long.
    """
    fig = figure(alt=alt, x_title=x_title, y_title=y_title, height=height, barmode="group")
    fig.update_layout(showlegend=len(values_by_group) > 1)
    colors = colors_of(values_by_group)
    along, across = ("y", "x") if horizontal else ("x", "y")
    for i, (group, by_label) in enumerate(values_by_group.items()):
        data: dict[str, Any] = {along: list(by_label), across: values(list(by_label.values()), group)}
        ends = (intervals or {}).get(group)
        if ends:
            bounds = [ends.get(label, (value, value)) for label, value in by_label.items()]
            data[f"error_{across}"] = whiskers(list(by_label.values()), bounds)
        marker = {"color": colors[group], "pattern": {"shape": PATTERNS[i % len(PATTERNS)], "solidity": 0.25}}
        fig.add_bar(name=group, orientation="h" if horizontal else "v", marker=marker, **data)
    return fig.update_yaxes(autorange="reversed") if horizontal else fig


def forest(
    estimates: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    alt: str,
    x_title: str = "",
    y_title: str = "",
    height: int | None = None,
    reference: float | None = 0.0,
) -> go.Figure:
    """Draw estimates as points with their intervals, a row a label: what differs, and what only seems to.

    Parameters
    ----------
    estimates
        Group to label to (estimate, low, high). Labels stand on the vertical axis, the first at the top; the groups of
        one label stand below each other.
    height
        Pixels; by the number of rows where not given.
    reference
        Where to draw a line to compare with, such as no difference; None for no line.

    Raises
    ------
    ValueError
        If an interval does not contain its estimate.
    """
    labels = list(dict.fromkeys(label for by_label in estimates.values() for label in by_label))
    n_groups = len(estimates)
    rows = len(labels) * max(1.0, 0.7 * n_groups)
    fig = figure(alt=alt, x_title=x_title, y_title=y_title, height=height or int(110 + 30 * rows))
    fig.update_layout(showlegend=n_groups > 1, hovermode="closest")
    colors = colors_of(estimates)
    for i, (group, by_label) in enumerate(estimates.items()):
        offset = 0.7 * ((i + 0.5) / n_groups - 0.5)
        places = [labels.index(label) + offset for label in by_label]
        centers = values([estimate for estimate, _, _ in by_label.values()], group)
        marker = {"color": colors[group], "symbol": SYMBOLS[i % len(SYMBOLS)], "size": 9}
        bounds = [(low, high) for _, low, high in by_label.values()]
        error = {**whiskers(centers, bounds), "color": colors[group], "thickness": 1.8}
        fig.add_scatter(x=centers, y=places, name=group, mode="markers", marker=marker, error_x=error)
    if reference is not None:
        fig.add_vline(x=reference, line=_DIAGONAL)
    ticks = {"tickvals": list(range(len(labels))), "ticktext": labels, "range": [len(labels) - 0.4, -0.6]}
    return fig.update_yaxes(showgrid=False, **ticks)


def scatter(
    groups: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    alt: str,
    x_title: str = "",
    y_title: str = "",
    height: int = 380,
    diagonal: bool = False,
    size: float = 5,
) -> go.Figure:
    """Draw points, one color and symbol a group.

    Parameters
    ----------
    groups
        Name to (x, y), each of shape (n,).
    diagonal
        Add the line y = x over the range of the points.
    size
        Diameter of a point in pixels.
    """
    fig = figure(alt=alt, x_title=x_title, y_title=y_title, height=height, showlegend=len(groups) > 1)
    colors = colors_of(groups)
    if diagonal:
        both = np.concatenate([np.ravel(array) for xy in groups.values() for array in xy]).astype(float)
        ends = [float(np.nanmin(both)), float(np.nanmax(both))]
        fig.add_scatter(x=ends, y=ends, mode="lines", line=_DIAGONAL, hoverinfo="skip", showlegend=False)
    for i, (name, (x, y)) in enumerate(groups.items()):
        xs, ys = pair(x, y, name)
        marker = {"color": colors[name], "opacity": 0.7, "size": size, "symbol": SYMBOLS[i % len(SYMBOLS)]}
        fig.add_scatter(x=xs, y=ys, name=name, mode="markers", marker=marker)
    return fig


def reliability(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    *,
    alt: str,
    x_title: str = "predicted probability",
    y_title: str = "observed frequency",
    height: int = 420,
) -> go.Figure:
    """Draw reliability curves; the dotted diagonal is perfect calibration, larger points hold more cases.

    Parameters
    ----------
    curves
        Name to (mean predicted, observed, count), each of shape (n_bins,).
    """
    fig = figure(alt=alt, x_title=x_title, y_title=y_title, height=height)
    fig.add_scatter(x=[0, 1], y=[0, 1], name="perfect calibration", mode="lines", line=_DIAGONAL, hoverinfo="skip")
    colors = colors_of(curves)
    for i, (name, (predicted, observed, count)) in enumerate(curves.items()):
        xs, ys = pair(predicted, observed, name)
        share = np.asarray(count, dtype=float) / np.max(count)
        marker = {"size": (5 + 11 * np.sqrt(share)).tolist(), "symbol": SYMBOLS[i % len(SYMBOLS)]}
        line = {"color": colors[name], "width": 1.8}
        fig.add_scatter(x=xs, y=ys, name=name, mode="lines+markers", line=line, marker=marker)
    return fig.update_xaxes(range=[0, 1]).update_yaxes(range=[0, 1])


def heatmap(
    z: ArrayLike,
    *,
    x: ArrayLike,
    y: ArrayLike,
    color_title: str,
    alt: str,
    x_title: str = "",
    y_title: str = "",
    height: int = 420,
) -> go.Figure:
    """Draw a matrix as colors on the Cividis scale, which reads the same with any color vision.

    Parameters
    ----------
    z
        Values of shape (len(y), len(x)).
    color_title
        What the colors measure.

    Raises
    ------
    ValueError
        If the shape of `z` does not fit `x` and `y`.
    """
    matrix, xs, ys = np.asarray(z), values(x, "x"), values(y, "y")
    if matrix.shape != (len(ys), len(xs)):
        raise ValueError(f"z must have shape (len(y), len(x)) = {(len(ys), len(xs))}, got {matrix.shape}")
    fig = figure(alt=alt, x_title=x_title, y_title=y_title, height=height)
    bar = {"title": {"text": color_title, "side": "right"}, "thickness": 14}
    fig.add_heatmap(z=matrix.tolist(), x=xs, y=ys, colorscale="Cividis", colorbar=bar)
    return fig
