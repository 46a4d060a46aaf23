"""Trajectories through two coordinates of a phase space."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from companion.plotting._style import colors_of, figure, padded, pair


def phase(
    trajectories: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    alt: str,
    x_title: str = "",
    y_title: str = "",
    height: int = 440,
) -> go.Figure:
    """Draw trajectories as thin, smooth curves, one coordinate against another; time runs along the curve.

    The curve is a spline through the points, so that a dozen points a loop look like the flow itself: take every k-th
    point of a trajectory that was computed with small steps. The points of a map belong to no curve: use `scatter`.

    Parameters
    ----------
    trajectories
        Name to two coordinates, each of shape (n_points,), in the order of time.
    """
    fig = figure(alt=alt, x_title=x_title, y_title=y_title, height=height, showlegend=len(trajectories) > 1)
    colors = colors_of(trajectories)
    for name, (x, y) in trajectories.items():
        xs, ys = pair(x, y, name)
        line = {"color": colors[name], "shape": "spline", "width": 0.9}
        fig.add_scatter(x=xs, y=ys, name=name, mode="lines", line=line)
    # Plotly lets a curve touch the frame, and the spline bulges over its outermost points.
    for axis, index in (("xaxis", 0), ("yaxis", 1)):
        drawn = np.concatenate([np.ravel(xy[index]) for xy in trajectories.values()]).astype(float)
        fig.layout[axis].range = padded(drawn, 0.05)
    return fig
