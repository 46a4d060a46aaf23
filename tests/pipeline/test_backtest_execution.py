"""From one command to a report of an execution: simulated or recorded, the same twice, one line for what is bad."""

import json
import re
import sys
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from companion.cli import main

MINUTES, QUOTES = 800, 12  # the desk watches the first 720
SHORT = ["--minutes", f"{MINUTES}", "--quotes-per-minute", f"{QUOTES}", "--shock-minute", "770", "--shock-minutes", "3"]


def call(out, *more):
    return main(["backtest-execution", f"--out={out}", *more])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "execution.json"
    assert call(out, *SHORT) == 0
    return out


def test_the_report_adds_up(report):
    stored = json.loads(report.read_text())
    summary, series = stored["summary"], stored["series"]
    costs = {name: Decimal(value) for name, value in summary["costs"].items()}
    assert costs.pop("total") == sum(costs.values())
    assert Decimal(summary["paper_profit"]) - Decimal(summary["profit"]) == sum(costs.values())
    assert summary["n_bars"] == len(series["time_ns"]) == MINUTES
    assert summary["n_quotes"] == MINUTES * QUOTES
    assert summary["n_fills"] == len(stored["fills"]) > 0
    assert summary["n_orders"] + summary["n_children"] == len(stored["orders"])
    assert sum(summary["refusals"].values()) == len(stored["refusals"])
    assert {mode["mode"] for mode in stored["modes"]} >= {"active", "reducing"}  # the shock, and the warm-up
    for name in ("held", "target", "equity", "funding_paid"):
        assert len(series[name]) == MINUTES


def test_the_page_says_what_the_json_says_and_needs_no_network(report):
    stored, page = json.loads(report.read_text()), report.with_suffix(".html").read_text()
    assert stored["conclusion"] in page
    assert 'name="viewport"' in page
    assert page.count('class="plotly-graph-div"') == 4
    without_library = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)=", without_library)
    for part in ("fee", "spread", "impact", "delay", "funding"):
        assert f"<td>{part}</td><td>{Decimal(stored['summary']['costs'][part]):+,.2f}</td>" in page
    Closed().feed(without_library)


class Closed(HTMLParser):
    """Fails where a table's tag is closed that was not opened last."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag in ("table", "tr", "td", "th", "div", "figure", "p"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("table", "tr", "td", "th", "div", "figure", "p"):
            assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--klines", "bars.csv"], "klines and quotes belong together"),
        (["--minutes", "0"], "--minutes: minutes must be a positive integer, got 0"),
        (["--minutes", "1.5"], "--minutes must be a whole number, got '1.5'"),
        (["--latency-ms", "0"], "--latency-ms: latency_ms must be a positive finite number, got 0.0"),
        (["--balance", "nan"], "--balance: balance must be a positive finite number, got nan"),
        (["--leverage", "0.5"], "--leverage: leverage must be 1 to 125, got 0.5"),
        (["--dead-band", "-1"], "--dead-band: dead_band must be a share of 0 to 1, got -1.0"),
        (["--shock-minutes", "inf"], "--shock-minutes: shock_minutes must be a finite number of minutes"),
        (["--max-daily-loss", "1"], "--max-daily-loss: max_daily_loss must be a share above 0 and below 1"),
        (["--twap-horizon-s", "5"], "--twap-horizon-s: twap_horizon_s must be above 5 seconds"),
        (["--minutes", "1000000"], "minutes times quotes_per_minute must be at most 10,000,000, got 1,000,000 and 60"),
        (["--balance", "20", "--minutes", "2"], "--balance: 20.0 USDT buys less than .001 BTC at 500"),
        (["--klines", "no.csv", "--quotes", "no.zip"], "no.csv"),
        (["--horizon", "5"], "--horizon"),
    ],
)
def test_what_can_not_be_is_one_line(tmp_path, capsys, flags, says):
    assert call(tmp_path / "execution.json", *flags) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("companion backtest-execution: ")
    assert said.err.count("\n") == 1
    assert says in said.err
    assert not list(tmp_path.iterdir())


def test_a_desk_that_never_trades_says_why_and_the_report_runs_itself_again(tmp_path, capsys):
    first, second = tmp_path / "execution.json", tmp_path / "again.json"
    assert call(first, "--minutes", "20", "--quotes-per-minute", "20") == 0
    stored = json.loads(first.read_text())
    said = capsys.readouterr().out
    assert said.startswith(f"backtest-execution: {stored['conclusion']} See {tmp_path / 'execution.html'} -> {first} (")
    assert said.count("\n") == 1
    assert stored["conclusion"].startswith("0 orders in 0 slices and 0 fills, 0 refused: +0.00 USDT")
    assert stored["notes"][0] == "The market is simulated, with no shock to its spread."
    assert stored["notes"][1].startswith("No order was sent. The last that the strategy said: flat: warming up, 19 of")
    assert call(second, "--config", str(first)) == 0
    assert second.read_bytes() == first.read_bytes()
    assert second.with_suffix(".html").read_bytes() == first.with_suffix(".html").read_bytes()


def record(folder, *, bars=30, tick="", start_ms=1_704_067_200_000):
    """Files in Binance's format: a bar a minute with one missing, and a quote a second with two minutes of silence."""
    minutes = [start_ms + 60_000 * n for n in range(bars) if n != 20]
    lines = [
        f"{t},50000.0,50001.0,49999.0,50000.{n % 9},9.5,{t + 59_999},475000,10,4,200000,0"
        for n, t in enumerate(minutes)
    ]
    seconds = [1_704_067_200_500 + 1_000 * n for n in range(60 * 30) if not 600 <= n < 720]
    quotes = [f"{n},50000.0{tick},1.5,50000.1,2.25,{t},{t + 3}" for n, t in enumerate(seconds, 1)]
    files = folder / "klines.csv", folder / "quotes.csv"
    for file, content in zip(files, (lines, quotes), strict=True):
        file.write_text("\n".join(content) + "\n")
    return [f"--klines={files[0]}", f"--quotes={files[1]}"], len(lines), len(quotes)


def test_recorded_files_are_read_whole_and_their_gaps_are_told(tmp_path):
    flags, n_bars, n_quotes = record(tmp_path)
    assert call(tmp_path / "execution.json", *flags) == 0
    stored = json.loads((tmp_path / "execution.json").read_text())
    assert (stored["summary"]["n_bars"], stored["summary"]["n_quotes"]) == (n_bars, n_quotes) == (29, 1680)
    assert stored["notes"][:3] == [
        "The data are recorded and hold no funding rates: funding is not charged.",
        "1 minutes have no bar, in 1 gaps, the first after 2024-01-01 00:20:00.",
        "1 times no quote came for more than a minute, at most 121 s after 2024-01-01 00:09:59: without a fresh quote "
        "nothing is sent.",
    ]
    assert set(stored["provenance"]["inputs"]) == {"klines 1", "quotes 1"}
    assert "halted" in {mode["mode"] for mode in stored["modes"]}


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"tick": "5"}, "bid must be a multiple of 0.1, got 50000.05 at [0]"),
        ({"start_ms": 1_704_153_600_000}, "--klines and --quotes must overlap, got 2024-01-02 00:01:00 to"),
    ],
)
def test_recorded_files_that_do_not_fit_are_one_line(tmp_path, capsys, how, says):
    flags, *_ = record(tmp_path, **how)
    assert call(tmp_path / "execution.json", *flags) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert says in said


def test_the_engine_is_asked_for_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "nautilus_trader", None)  # not installed
    assert call(tmp_path / "execution.json", "--minutes", "100000") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the package nautilus_trader is not installed: pip install" in said


def test_an_input_is_never_overwritten(tmp_path, capsys):
    flags, *_ = record(tmp_path)
    (tmp_path / "klines.csv").rename(tmp_path / "execution.html")
    flags[0] = f"--klines={tmp_path / 'execution.html'}"
    assert call(tmp_path / "execution.json", *flags) == 2
    assert "execution.html is an input; choose another name" in capsys.readouterr().err
