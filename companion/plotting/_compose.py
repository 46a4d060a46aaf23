"""Figures made of figures: panels above each other, and frames behind a slider."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from companion.plotting._figures import lines
from companion.plotting._style import NEUTRAL, figure, padded, pair

_GAP = 0.05  # share of the height between two panels
_BUTTON = 0.14  # share of the width that a button takes beside its slider


def stack(
    figures: Sequence[go.Figure],
    *,
    alt: str,
    x_title: str = "",
    y_title: str = "",
    height: int | None = None,
    shared_x: bool = True,
    heights: Sequence[float] | None = None,
) -> go.Figure:
    """Put figures above each other as one figure, the first on top; a name appears once in the legend.

    Parameters
    ----------
    figures
        Figures made by the functions of this package; their vertical titles stay.
    x_title
        Title of the lowest horizontal axis; its own where empty.
    y_title
        Title of the top vertical axis; its own where empty.
    height
        Pixels; 210 a panel where not given.
    shared_x
        The panels zoom together, and only the lowest shows the labels of its axis.
    heights
        Relative heights of the panels, from the top.

    Raises
    ------
    ValueError
        If there is no figure, or `heights` does not have one positive number a figure.
    """
    weights = np.ones(len(figures)) if heights is None else np.asarray(heights, dtype=float)
    if not figures or len(weights) != len(figures) or not (weights > 0).all():
        raise ValueError(f"heights must have one positive number for each of the {len(figures)} figures, got {heights}")
    result = figure(alt=alt, x_title="", y_title="", height=height or 210 * len(figures))
    result.update_layout(hovermode="x unified", showlegend=True)
    shares = weights / weights.sum() * (1 - _GAP * (len(figures) - 1))
    tops = 1 - np.concatenate([[0.0], np.cumsum(shares + _GAP)[:-1]])
    named: set[str] = set()
    n_axes = 0
    for i, (part, top, share) in enumerate(zip(figures, tops, shares, strict=True)):
        panel = _Panel(part.to_plotly_json(), x_axis=_key(i), first_y=n_axes, low=float(top - share), high=float(top))
        panel.add_to(result, named)
        n_axes += panel.n_y
        if shared_x:
            lowest = i == len(figures) - 1
            result.layout[f"xaxis{_key(i)}"].update(
                matches=None if lowest else f"x{_key(len(figures) - 1)}", showticklabels=lowest
            )
            if not lowest:
                result.layout[f"xaxis{_key(i)}"].title = {}
    if x_title:
        result.layout[f"xaxis{_key(len(figures) - 1)}"].title.text = x_title
    if y_title:
        result.layout.yaxis.title.text = y_title
    return result


def _key(index: int) -> str:
    """Plotly's name of axis `index`: nothing for the first, then 2, 3, …"""
    return "" if index == 0 else str(index + 1)


class _Panel:
    """One figure moved to its own axes between the heights `low` and `high`."""

    def __init__(self, part: dict[str, Any], *, x_axis: str, first_y: int, low: float, high: float) -> None:
        self.part, self.x_axis, self.low, self.high = part, x_axis, low, high
        own = sorted({trace.get("yaxis", "y") for trace in part["data"]})
        self.y_axis = {name: f"y{_key(first_y + j)}" for j, name in enumerate(own)}
        self.n_y = len(own)

    def add_to(self, result: go.Figure, named: set[str]) -> None:
        layout = self.part["layout"]
        shapes = layout.get("shapes", ())
        for trace in self.part["data"]:
            moved = {**trace, "xaxis": f"x{self.x_axis}", "yaxis": self.y_axis[trace.get("yaxis", "y")]}
            result.add_trace(self._named_once(moved, named))
        for shape in shapes:
            # A shape may count along an axis ("x") or in shares of the panel ("x domain"): it keeps its way.
            x_unit = shape["xref"].partition(" ")[2]
            y_axis, _, y_unit = shape["yref"].partition(" ")
            x_reference, y_reference = f"x{self.x_axis} {x_unit}".strip(), f"{self.y_axis[y_axis]} {y_unit}".strip()
            moved = {**shape, "xref": x_reference, "yref": y_reference}
            result.add_shape(self._named_once(moved, named))
        anchor = layout["xaxis"].get("anchor", "y")
        result.update_layout({f"xaxis{self.x_axis}": {**layout["xaxis"], "anchor": self.y_axis[anchor]}})
        for name, new in self.y_axis.items():
            axis = layout[f"yaxis{name[1:]}"]
            bottom, top = axis.get("domain", (0, 1))
            span = self.high - self.low
            domain = [round(self.low + bottom * span, 4), round(self.low + top * span, 4)]
            result.update_layout({f"yaxis{new[1:]}": {**axis, "anchor": f"x{self.x_axis}", "domain": domain}})

    @staticmethod
    def _named_once(item: dict[str, Any], named: set[str]) -> dict[str, Any]:
        name = item.get("name")
        if name is None or item.get("showlegend") is False:
            return item
        item["legendgroup"], item["showlegend"] = name, name not in named
        named.add(name)
        return item


def animate(
    frames: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    *,
    slider_title: str,
    alt: str,
    x_title: str = "",
    y_title: str = "",
    height: int = 440,
    draw: Callable[..., go.Figure] = lines,
    still: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    play_ms: int | None = None,
) -> go.Figure:
    """Draw series behind a slider, one frame a position; the axes keep one range, so that frames compare.

    Parameters
    ----------
    frames
        Frame name (shown at the slider) to the series of that frame, as `draw` takes them but with numbers on both
        axes; the same names in each.
    slider_title
        What the slider changes.
    draw
        The figure function of one frame: `lines`, `phase` or `scatter`.
    still
        Name to (x, y): thin gray curves behind all frames, stored once.
    play_ms
        Milliseconds a frame: a button then plays the frames in order. The slider is there in any case, and the book
        leaves the button out for a reader who asked for reduced motion.

    Raises
    ------
    ValueError
        If there is no frame, the frames do not have the same series, or `play_ms` is not positive.
    """
    if not frames:
        raise ValueError("frames must not be empty")
    if play_ms is not None and play_ms <= 0:
        raise ValueError(f"play_ms must be positive, got {play_ms}")
    first = next(iter(frames.values()))
    for name, series in frames.items():
        if list(series) != list(first):
            raise ValueError(f"every frame must have the series {list(first)}, frame {name!r} has {list(series)}")
    fig = draw(first, alt=alt, x_title=x_title, y_title=y_title, height=height)
    moving = {}
    if still:
        fig = _put_behind(fig, still)
        moving = {"traces": list(range(len(still), len(fig.data)))}
    fig.frames = [go.Frame(name=name, data=_moved_points(series), **moving) for name, series in frames.items()]
    drawn = [*(still or {}).values(), *(xy for series in frames.values() for xy in series.values())]
    # Time runs from edge to edge; the points of a plane keep off both.
    for axis, index, share in (("xaxis", 0, 0.0 if draw is lines else 0.05), ("yaxis", 1, 0.05)):
        fig.layout[axis].range = padded(np.concatenate([np.ravel(xy[index]) for xy in drawn]), share)
    options = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    steps = [{"label": name, "method": "animate", "args": [[name], options]} for name in frames]
    slider: dict[str, Any] = {"steps": steps, "currentvalue": {"prefix": f"{slider_title}: "}, "pad": {"t": 48}}
    if play_ms is not None:
        slider |= {"x": _BUTTON, "len": 1 - _BUTTON}
        fig.update_layout(updatemenus=[_play_button({**options, "frame": {"duration": play_ms, "redraw": False}})])
    return fig.update_layout(sliders=[slider], hovermode="closest")


def _put_behind(fig: go.Figure, still: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> go.Figure:
    """Add gray curves before the traces of `fig`: what comes later is drawn on top."""
    style = {"mode": "lines", "line": {"color": NEUTRAL, "shape": "spline", "width": 0.6}, "opacity": 0.6}
    points = {name: pair(x, y, name) for name, (x, y) in still.items()}
    curves = [go.Scatter(x=xs, y=ys, name=name, hoverinfo="skip", **style) for name, (xs, ys) in points.items()]
    return go.Figure(data=[*curves, *fig.data], layout=fig.layout).update_layout(showlegend=True)


def _play_button(options: dict[str, Any]) -> dict[str, Any]:
    """Plotly's own button, as JupyterLab shows it; the book puts one in its place that the keyboard reaches."""
    button = {"label": "Play", "method": "animate", "args": [None, {**options, "fromcurrent": True}]}
    place = {"x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "pad": {"t": 58}}
    return {"type": "buttons", "showactive": False, "buttons": [button], **place}


def _moved_points(series: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> list[go.Scatter]:
    points = (pair(x, y, name) for name, (x, y) in series.items())
    return [go.Scatter(x=xs, y=ys) for xs, ys in points]
