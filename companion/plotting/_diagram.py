"""A diagram of boxes and arrows: the picture of a machine before its code, in the book's language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from companion.plotting._style import COLORS, NEUTRAL, colors_of, figure, translucent

_KINDS = {"data": COLORS[3], "step": COLORS[0], "decision": COLORS[2], "plain": COLORS[4]}


@dataclass(frozen=True)
class Box:
    """One box of a diagram.

    Attributes
    ----------
    text : str
        What stands in it; ``<br>`` breaks a line. Plain Unicode: no LaTeX.
    x : float
        Its center across, in widths of a box.
    y : float
        Its center upwards, in lines of boxes.
    kind : str
        "data", "step", "decision", "plain", or a regime, "stable" or "chaos": its color.
    width : float
        In the unit of `x`.
    height : float
        In the unit of `y`.
    """

    text: str
    x: float
    y: float
    kind: str = "step"
    width: float = 0.86
    height: float = 0.6

    def __post_init__(self) -> None:
        if self.kind not in {*_KINDS, "stable", "chaos"}:
            raise ValueError(f"kind must be one of {[*_KINDS, 'stable', 'chaos']}, got {self.kind!r}")


def diagram(
    boxes: Mapping[str, Box],
    arrows: Sequence[tuple[str, str] | tuple[str, str, str]],
    *,
    alt: str,
    height: int | None = None,
    row: int = 78,
) -> go.Figure:
    """Draw boxes and the arrows between them.

    A phone is 340 pixels wide: at most three boxes beside each other, with short lines of text. Let a diagram grow
    downwards.

    Parameters
    ----------
    boxes
        Name to `Box`.
    arrows
        Pairs (from, to) of names, or (from, to, words at the arrow). An arrow runs from edge to edge.
    height
        Pixels; by the number of rows where not given.
    row
        Pixels of one unit up.

    Raises
    ------
    ValueError
        If there is no box, or an arrow names one that is not there.
    """
    if not boxes:
        raise ValueError("boxes must not be empty")
    if unknown := sorted({name for arrow in arrows for name in arrow[:2]} - set(boxes)):
        raise ValueError(f"arrows name {unknown}, which are no boxes of {list(boxes)}")
    left, right = (f(b.x + side * b.width / 2 for b in boxes.values()) for f, side in ((min, -1), (max, 1)))
    low, high = (f(b.y + side * b.height / 2 for b in boxes.values()) for f, side in ((min, -1), (max, 1)))
    fig = figure(alt=alt, x_title="", y_title="", height=height or int(row * (high - low) + 32))
    fig.update_layout(margin={"b": 8, "l": 8, "r": 8, "t": 8}, hovermode=False, dragmode=False)
    hidden = {"visible": False, "fixedrange": True}
    fig.update_xaxes(range=[left - 0.05, right + 0.05], **hidden).update_yaxes(range=[low - 0.1, high + 0.1], **hidden)
    for box in boxes.values():
        _draw_box(fig, box)
    for arrow in arrows:
        _draw_arrow(fig, boxes[arrow[0]], boxes[arrow[1]], arrow[2] if len(arrow) == 3 else "")
    return fig.add_scatter(x=[left], y=[low], mode="markers", marker={"opacity": 0}, hoverinfo="skip", showlegend=False)


def _draw_box(fig: go.Figure, box: Box) -> None:
    color = {**_KINDS, **colors_of(())}[box.kind]
    half_width, half_height = box.width / 2, box.height / 2
    corners = {"x0": box.x - half_width, "x1": box.x + half_width, "y0": box.y - half_height, "y1": box.y + half_height}
    fig.add_shape(type="rect", fillcolor=translucent(color, 0.16), line={"color": color, "width": 1.4}, **corners)
    fig.add_annotation(x=box.x, y=box.y, text=box.text, showarrow=False, font={"size": 12})


def _draw_arrow(fig: go.Figure, start: Box, end: Box, words: str) -> None:
    (x0, y0), (x1, y1) = _edge(start, end), _edge(end, start)
    tail = {"ax": x0, "ay": y0, "axref": "x", "ayref": "y", "xref": "x", "yref": "y"}
    fig.add_annotation(
        x=x1, y=y1, text="", showarrow=True, arrowhead=2, arrowsize=1.1, arrowwidth=1.5, arrowcolor=NEUTRAL, **tail
    )
    if words:
        # Beside an arrow that runs down, above one that runs across: never on its line.
        aside = {"xanchor": "left", "xshift": 4} if abs(y1 - y0) > 0.1 else {"yanchor": "bottom"}
        middle = {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2}
        fig.add_annotation(text=words, showarrow=False, font={"size": 11}, **middle, **aside)


def _edge(box: Box, other: Box) -> tuple[float, float]:
    """Where the line from the center of `box` to that of `other` leaves it."""
    dx, dy = other.x - box.x, other.y - box.y
    if dx == dy == 0:
        return box.x, box.y
    reach = min(box.width / 2 / abs(dx) if dx else float("inf"), box.height / 2 / abs(dy) if dy else float("inf"))
    return box.x + dx * reach, box.y + dy * reach
