"""Figures: what is stored, what is refused, and that a reader can tell the series apart."""

import base64
import itertools
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from companion import plotting
from companion.plotting._store import MIME, StoredRenderer, stored

X = np.arange(50)
Y = np.sin(X / 5.0)
REGIME = (Y > 0.5).astype(int)
SERIES = {"stable": (X, Y), "chaos": (X, Y**2)}


def examples() -> dict[str, go.Figure]:
    """Return one figure of each kind."""
    words = {"alt": "What the figure shows.", "x_title": "bar", "y_title": "value"}
    rng = np.random.default_rng(0)
    samples = {"stable": rng.normal(size=500), "chaos": 2 * rng.normal(size=500)}
    return {
        "lines": plotting.lines(SERIES, band={"chaos": (X, Y - 1, Y + 1)}, dash=["stable"], **words),
        "histogram": plotting.histogram(samples, bins=20, **words),
        "bars": plotting.bars({"AUC": {"a": 0.8, "b": 0.7}}, intervals={"AUC": {"a": (0.75, 0.82)}}, **words),
        "forest": plotting.forest({"AUC": {"a": (0.8, 0.75, 0.82), "b": (0.7, 0.6, 0.9)}}, **words),
        "diagram": plotting.diagram(
            {"in": plotting.Box("returns", 0, 0, "data"), "out": plotting.Box("latent", 0, -1)},
            [("in", "out", "Mamba")],
            alt="What the figure shows.",
        ),
        "scatter": plotting.scatter(SERIES, diagonal=True, **words),
        "regimes": plotting.regimes(X, Y, REGIME, truth=np.roll(REGIME, 3), **words),
        "reliability": plotting.reliability({"Platt": ([0.1, 0.9], [0.2, 0.8], [10, 30])}, **words),
        "heatmap": plotting.heatmap(np.outer(Y[:3], Y[:4]), x=X[:4], y=["a", "b", "c"], color_title="z", **words),
        "stack": plotting.stack(
            [plotting.regimes(X, Y, REGIME, truth=REGIME, **words), plotting.lines(SERIES, **words)], **words
        ),
        "animate": plotting.animate({"1": SERIES, "2": SERIES}, slider_title="k", **words),
        "animate in a plane": plotting.animate(
            {"1": SERIES, "2": {"stable": (X, -Y), "chaos": (X, Y - 3)}},
            slider_title="k",
            draw=plotting.scatter,
            still={"path": ([-10, 60], [0, 9])},
            play_ms=200,
            **words,
        ),
        "phase": plotting.phase(SERIES, **words),
    }


KINDS = sorted(examples())


@pytest.fixture(scope="module")
def figures() -> dict[str, go.Figure]:
    return examples()


def as_text(figure: go.Figure) -> str:
    return json.dumps(stored(figure.to_dict()), sort_keys=True, allow_nan=False)


# --- what is stored --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_figure_is_stored_as_one_small_mime_type(figures: dict[str, go.Figure], kind: str) -> None:
    bundle = StoredRenderer().to_mimebundle(figures[kind].to_dict())
    assert list(bundle) == [MIME]
    text = json.dumps(bundle[MIME], allow_nan=False)
    assert "bdata" not in text
    assert len(text) < 20_000
    assert len(json.dumps(bundle[MIME]["layout"]["template"])) < 1000
    assert bundle[MIME]["layout"]["meta"]["alt"] == "What the figure shows."


def test_importing_the_room_changes_nothing_and_use_does() -> None:
    program = """
import plotly.graph_objects as go, plotly.io as pio
before = pio.renderers.default, pio.templates.default
from companion.plotting import lines, use
lines({"a": ([1, 2], [3, 4])}, alt="a line", x_title="x", y_title="y")
assert (pio.renderers.default, pio.templates.default) == before
go.Figure(go.Scatter(y=[0.5] * 60_000))._repr_mimebundle_()
use()
assert pio.renderers.default == "companion"
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_figures_are_stored_the_same_twice() -> None:
    first, second = examples(), examples()
    assert {kind: as_text(figure) for kind, figure in first.items()} == {
        kind: as_text(figure) for kind, figure in second.items()
    }


def test_a_packed_array_becomes_a_rounded_list() -> None:
    array = np.array([[1 / 3, 2e-9], [np.nan, -np.inf]])
    packed = {"dtype": "f8", "bdata": base64.b64encode(array.tobytes()).decode(), "shape": "2, 2"}
    assert stored({"z": packed}) == {"z": [[0.33333, 2e-9], [None, None]]}


def test_a_figure_made_by_hand_is_stored_as_plain_lists_too() -> None:
    figure = go.Figure(go.Scatter(x=X, y=Y))
    assert stored(figure.to_dict())["data"][0]["x"] == X.tolist()


def test_whole_numbers_and_days_stay_exact() -> None:
    days = pd.bdate_range("1999-12-31", periods=3)
    figure = plotting.lines({"n": (days, [1234567, 2, 3])}, alt="Counts.")
    trace = stored(figure.to_dict())["data"][0]
    assert trace["x"] == ["1999-12-31", "2000-01-03", "2000-01-04"]
    assert trace["y"] == [1234567, 2, 3]


def test_a_figure_of_more_than_100_kb_is_refused() -> None:
    x = np.linspace(0, 1, 20_000)
    with pytest.raises(ValueError, match=r"more than 100,000: thin"):
        stored(plotting.lines({"a": (x, x)}, alt="Too much.").to_dict())


# --- what a reader sees ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lines", "histogram", "phase", "scatter"])
def test_regimes_have_their_colors_and_others_do_not(figures: dict[str, go.Figure], kind: str) -> None:
    text = as_text(figures[kind])
    assert plotting.STABLE in text
    assert plotting.CHAOS in text
    other = plotting.lines({"a": (X, Y), "b": (X, Y)}, alt="Others.")
    assert {trace.line.color for trace in other.data} == set(plotting.COLORS[:2])
    assert not {plotting.STABLE, plotting.CHAOS} & set(plotting.COLORS)


def test_series_differ_in_more_than_color() -> None:
    few = plotting.lines({"a": (X[:9], Y[:9]), "b": (X[:9], Y[:9])}, alt="Few points.")
    assert len({trace.marker.symbol for trace in few.data}) == 2
    bars = plotting.bars({"a": {"x": 1}, "b": {"x": 2}}, alt="Bars.")
    assert len({trace.marker.pattern.shape for trace in bars.data}) == 2


def test_shading_covers_the_chaos_bars_and_no_others() -> None:
    figure = plotting.regimes([0, 1, 2, 3, 4, 5], [1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 0, 1], alt="Two periods.")
    assert figure.layout.shapes[0].path == "M1,0V1H3V0ZM5,0V1H5V0Z"
    assert not plotting.regimes(X, Y, np.zeros(50, int), alt="Calm.").layout.shapes


def test_a_histogram_integrates_to_one() -> None:
    sample = np.random.default_rng(1).normal(size=1000)
    trace = plotting.histogram({"a": sample}, bins=30, alt="A sample.").data[0]
    x, y = np.array(trace.x), np.array(trace.y)
    assert np.sum(np.diff(x) * y[:-1]) == pytest.approx(1)
    assert y[-1] == 0


def test_stacked_panels_do_not_overlap_and_name_each_series_once(figures: dict[str, go.Figure]) -> None:
    layout = figures["stack"].layout
    domains = sorted(layout[axis].domain for axis in layout if axis.startswith("yaxis"))
    assert len(domains) == 3
    assert all(low[1] < high[0] for low, high in itertools.pairwise(domains))
    shown = [
        item.name for item in (*figures["stack"].data, *layout.shapes) if item.name and item.showlegend is not False
    ]
    assert len(shown) == len(set(shown))
    assert layout.xaxis.matches == "x2"


def test_a_line_across_a_panel_stays_one_in_a_stack() -> None:
    level = plotting.lines({"a": ([10, 20], [-1, 1])}, alt="A line.").add_hline(y=0).add_vline(x=15)
    across, down = plotting.stack([plotting.lines(SERIES, alt="Above."), level], alt="Two panels.").layout.shapes
    assert (across.xref, across.yref) == ("x2 domain", "y2")
    assert (down.xref, down.yref) == ("x2", "y2 domain")


def test_frames_keep_one_range(figures: dict[str, go.Figure]) -> None:
    low, high = figures["animate"].layout.yaxis.range
    assert low < Y.min()
    assert high > Y.max()
    assert [frame.name for frame in figures["animate"].frames] == ["1", "2"]


def test_frames_move_their_own_series_and_leave_the_still_ones(figures: dict[str, go.Figure]) -> None:
    figure = figures["animate in a plane"]
    assert [trace.name for trace in figure.data] == ["path", "stable", "chaos"]  # what is drawn last is on top
    assert [trace.mode for trace in figure.data] == ["lines", "markers", "markers"]
    last = figure.frames[1]
    for place, y in zip(last.traces, (-Y, Y - 3), strict=True):
        moved = last.data[last.traces.index(place)]
        assert figure.data[place].name != "path"
        np.testing.assert_array_equal(moved.y, y)
    for axis, low, high in (("xaxis", -10, 60), ("yaxis", -4, 9)):
        assert figure.layout[axis].range[0] < low
        assert figure.layout[axis].range[1] > high


def test_play_steps_through_the_frames_beside_the_slider(figures: dict[str, go.Figure]) -> None:
    layout = figures["animate in a plane"].layout
    (menu,) = layout.updatemenus
    names, options = menu.buttons[0].args
    assert names is None  # every frame, in order
    assert options["frame"]["duration"] == 200
    assert layout.sliders[0].x + layout.sliders[0].len == pytest.approx(1)
    assert not figures["animate"].layout.updatemenus


def test_a_trajectory_is_a_smooth_thin_curve_in_the_order_of_time() -> None:
    angle = np.linspace(0, 4 * np.pi, 48)
    figure = plotting.phase({"spring": (np.cos(angle), np.sin(angle))}, alt="A circle, twice.")
    (curve,) = figure.data
    assert (curve.mode, curve.line.shape) == ("lines", "spline")
    np.testing.assert_array_equal(curve.x, np.cos(angle))
    assert figure.layout.xaxis.range[0] < -1.02  # room for the bulge of the spline
    assert figure.layout.yaxis.range[1] > 1.02


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.lines({"a": (X, Y)}, alt="  "), "alt must describe"),
        (lambda: plotting.lines({"a": (X, Y[:-1])}, alt="a"), r"x and y of 'a' differ in length: 50 and 49"),
        (lambda: plotting.lines({"a": (X, Y)}, dash=["b"], alt="a"), r"must name series, got \['b'\]"),
        (lambda: plotting.lines({"a": (X, Y)}, steps=["b"], alt="a"), r"must name series, got \['b'\]"),
        (
            lambda: plotting.bars({"a": {"x": 1.0}}, intervals={"a": {"x": (2, 3)}}, alt="a"),
            "must contain its estimate",
        ),
        (lambda: plotting.forest({"a": {"x": (1.0, 2.0, 3.0)}}, alt="a"), r"1.0 outside \[2.0, 3.0\]"),
        (lambda: plotting.diagram({}, [], alt="a"), "boxes must not be empty"),
        (lambda: plotting.diagram({"a": plotting.Box("A", 0, 0)}, [("a", "b")], alt="a"), r"arrows name \['b'\]"),
        (lambda: plotting.Box("A", 0, 0, "cloud"), "kind must be one of"),
        (lambda: plotting.lines({"a": ([], [])}, alt="a"), "not empty"),
        (lambda: plotting.lines({str(i): (X, Y) for i in range(6)}, alt="a"), "at most 5 series"),
        (lambda: plotting.regimes(X, Y, REGIME + 1, alt="a"), r"regime must hold 0 \(stable\) and 1"),
        (lambda: plotting.regimes(X, Y, REGIME, truth=REGIME[1:], alt="a"), "truth has 49 bars"),
        (lambda: plotting.heatmap(np.eye(2), x=[1], y=[1, 2], color_title="", alt="a"), r"\(2, 1\), got \(2, 2\)"),
        (lambda: plotting.stack([], alt="a"), "0 figures"),
        (lambda: plotting.animate({}, slider_title="k", alt="a"), "frames must not be empty"),
        (lambda: plotting.animate({"1": SERIES, "2": {"a": (X, Y)}}, slider_title="k", alt="a"), "frame '2' has"),
        (lambda: plotting.animate({"1": SERIES}, slider_title="k", play_ms=0, alt="a"), "play_ms must be positive"),
        (lambda: plotting.phase({"a": (X, Y[1:])}, alt="a"), "x and y of 'a' differ in length"),
        (lambda: plotting.thin(X, n=1), "n must be at least 2"),
        (lambda: plotting.thin(X, Y[1:]), "one length"),
    ],
)
def test_bad_input_is_named(draw, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


def test_alt_can_not_be_forgotten() -> None:
    with pytest.raises(TypeError, match="alt"):
        plotting.lines({"a": (X, Y)})


def test_whiskers_are_the_interval_itself() -> None:
    bars = plotting.bars({"a": {"x": 1.0}}, intervals={"a": {"x": (0.5, 3.0)}}, alt="A bar.").data[0]
    forest = plotting.forest({"a": {"x": (1.0, 0.5, 3.0)}}, alt="A point.").data[0]
    for error in (bars.error_y, forest.error_x):
        assert (error.arrayminus[0], error.array[0]) == (0.5, 2.0)
        assert error.color  # Plotly's own is nearly black: it can not be seen in the dark


def test_steps_are_drawn_as_steps() -> None:
    figure = plotting.lines({"position": (X[:5], Y[:5]), "price": (X[:5], Y[:5])}, steps=["position"], alt="Steps.")
    assert [trace.line.shape for trace in figure.data] == ["hv", None]


@pytest.mark.parametrize(
    ("y", "ticks"),
    [([1, 30], ["1", "2", "5", "10", "20"]), ([0.001, 1000], ["0.001", "0.01", "0.1", "1", "10", "100", "1,000"])],
)
def test_a_log_axis_has_ticks_that_a_person_reads(y: list[float], ticks: list[str]) -> None:
    axis = plotting.lines({"a": ([0, 1], y)}, log_y=True, alt="A line.").layout.yaxis
    assert axis.type == "log"
    assert list(axis.ticktext) == ticks
    assert [float(text.replace(",", "")) for text in axis.ticktext] == pytest.approx(list(axis.tickvals))


def test_the_strip_below_is_called_what_it_is() -> None:
    figure = plotting.regimes(X, Y, REGIME, truth=REGIME, truth_name="dated crisis", alt="Crises.")
    assert {shape.name for shape in figure.layout.shapes} == {"chaos", "dated crisis"}


def test_an_arrow_runs_from_edge_to_edge() -> None:
    boxes = {"a": plotting.Box("A", 0, 0), "b": plotting.Box("B", 0, -1)}
    arrow = next(a for a in plotting.diagram(boxes, [("a", "b")], alt="Two boxes.").layout.annotations if a.showarrow)
    assert (arrow.ax, arrow.ay, arrow.x, arrow.y) == (0, -0.3, 0, -0.7)


def test_thinning_keeps_the_ends_the_extremes_and_the_pairing() -> None:
    x = np.arange(10_000)
    y = np.sin(x / 700.0)
    y[4321], y[8765] = -3.0, 5.0
    few_x, few_y = plotting.thin(x, y, n=101)
    assert few_x[0] == 0
    assert few_x[-1] == 9_999
    assert len(few_x) <= 101
    np.testing.assert_array_equal(few_y, y[few_x])
    assert (few_y.min(), few_y.max()) == (-3.0, 5.0)
    for kept in plotting.thin(x, y, -y, y > 0, n=100)[1:3]:
        assert {abs(kept.min()), abs(kept.max())} == {3.0, 5.0}
    assert len(plotting.thin(x, n=101)[0]) == 101  # without a series, evenly spaced
    np.testing.assert_array_equal(plotting.thin(X, n=200)[0], X)
