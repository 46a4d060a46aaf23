"""The whole chain with the shipped detectors: bar by bar as in batch, causal; and the fifteen lines of the README."""

import math
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from companion.datasets import load_sp500
from companion.desk import Decision, Desk
from companion.heston import RegimeSwitchingHeston
from companion.regimes import NeuralRegimeFilter, RegimeDetector
from companion.risk import DrawdownBreaker, InstrumentRules, SafetyMonitor, SizingConfig, bars_from_paths, dimmer

ROOT = Path(__file__).parents[2]
EQUITY = Decimal(100_000)
SIZING = SizingConfig(kappa=0.001, gamma=2.0, f_max=1.0, sigma_target=0.02)
SHIPPED = {
    "Mamba K-Means": RegimeDetector.load_pretrained,
    "equity_index": NeuralRegimeFilter.load_pretrained,
    "universal": lambda: NeuralRegimeFilter.load_pretrained("universal"),
}


@pytest.fixture(scope="module")
def normal():
    return RegimeSwitchingHeston.equity_index().simulate(n_paths=80, n_steps=360, seed=5).log_returns


@pytest.fixture(scope="module", params=SHIPPED)
def parts(request, normal):
    """A shipped detector and its monitor."""
    detector = SHIPPED[request.param]()
    return detector, SafetyMonitor.for_detector(detector, normal, false_kill=0.1)


def test_a_monitor_of_another_detector_is_refused_at_once(normal):
    small, large = NeuralRegimeFilter.load_pretrained(), NeuralRegimeFilter.load_pretrained("universal")
    monitor = SafetyMonitor.for_detector(small, normal, false_kill=0.1)
    with pytest.raises(ValueError, match=r"state must have shape \(32,\)"):
        new_desk((large, monitor))
    with pytest.raises(ValueError, match="monitor must be of this detector"):
        new_desk((NeuralRegimeFilter.from_network(small.model_), monitor))


def test_prices_that_trend_without_end_are_none_that_the_network_knows(normal):
    """A drift of a sigma a day: no single day is strange, and the desk is flat by their sum."""
    detector = NeuralRegimeFilter.load_pretrained()
    monitor = SafetyMonitor.for_detector(detector, normal, false_kill=0.1)
    path = RegimeSwitchingHeston.equity_index().simulate(n_paths=1, n_steps=700, seed=9).log_returns[0]
    path[400:] += 0.008
    close = 100.0 * np.exp(np.cumsum(path))
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close))
    made = new_desk((detector, monitor)).run(bars, equity=EQUITY)
    assert all(decision.safe for decision in made[:400])
    assert all(decision.quantity == 0 for decision in made[-100:])
    reason = "flatten: out of distribution: the past is unlike any market of the detector's training"
    assert all(reason in decision.reasons for decision in made[-100:])


def simulated_bars():
    market = RegimeSwitchingHeston.equity_index()
    paths = market.simulate(n_paths=1, n_steps=8 * 700, dt=1 / (8 * 252), seed=3)
    ohlc = bars_from_paths(paths, steps_per_bar=8, night_steps=0, seed=4).ohlc[0]
    dates = pd.bdate_range("2001-01-01", periods=len(ohlc), name="date")
    return pd.DataFrame(ohlc, columns=["open", "high", "low", "close"], index=dates)


@pytest.fixture(scope="module", params=["simulated", "real"])
def bars(request):
    return simulated_bars() if request.param == "simulated" else load_sp500().iloc[2200:2900]


def new_desk(parts):
    detector, monitor = parts
    return Desk(
        detector,
        monitor,
        sizing=SIZING,
        instrument=InstrumentRules(2, Decimal("0.01")),
        drawdown=DrawdownBreaker(0.3),
    )


def test_bar_by_bar_is_the_batch_and_every_part_says_what_it_says_alone(parts, bars):
    detector, monitor = parts
    every = new_desk(parts).run(bars, equity=EQUITY)
    made = [every[0], *(decision for decision in every[1:] if not math.isnan(decision.p_stable))]
    assert all(not decision.safe for decision in every[1:] if math.isnan(decision.p_stable))
    every_return = np.diff(np.log(bars["close"].to_numpy()))
    believed = np.array([not math.isnan(decision.p_stable) for decision in every[1:]])
    returns = every_return[believed]
    p_stable = detector.predict_proba(returns)[:, 0]
    np.testing.assert_allclose([d.p_stable for d in made[1:]], p_stable, rtol=0, atol=1e-6)
    assert [d.regime for d in made[1:]] == detector.predict(returns).tolist()
    latents = detector.transform(returns)
    p_values = detector.ood_p_value(returns) if "past" in monitor.thresholds else None
    strange = np.any([*monitor.alarms(log_returns=every_return).values()], axis=0)
    assert (~believed).tolist() == strange.tolist()
    alarms = np.any([*monitor.alarms(latents, p_values=p_values).values()], axis=0)
    assert [not d.safe for d in made[1:]] == alarms.tolist()
    led = np.where(alarms | (np.arange(len(returns)) < detector.warm_up), 0.0, dimmer(p_stable))
    np.testing.assert_array_equal([d.leverage for d in made[1:]], led)
    assert any(d.quantity > 0 for d in made)
    assert all((d.quantity == 0) for d in made if not d.safe)


@pytest.mark.parametrize("factor", [1 / 20, 1 / 2, 10.0])
def test_a_split_or_a_bad_tick_does_not_blind_the_detector(factor, normal):
    """Fed to the scale-free filter, one move of log 20 made it miss a trebled volatility for years."""
    detector = NeuralRegimeFilter.load_pretrained("scale_free")
    monitor = SafetyMonitor.for_detector(detector, normal, false_kill=0.1)
    scale = np.where((np.arange(900) >= 800) & (np.arange(900) < 860), 0.03, 0.01)
    returns = scale * np.random.default_rng(1).standard_normal(900)
    seen = []
    for jump in (1.0, factor):
        close = 100.0 * np.exp(np.cumsum(returns)) * np.where(np.arange(900) >= 650, jump, 1.0)
        bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close))
        bars.index = pd.bdate_range("2001-01-01", periods=900, name="date")
        seen.append(new_desk((detector, monitor)).run(bars, equity=EQUITY))
    clean, split = seen
    assert split[650].quantity == 0
    assert not split[650].safe
    assert np.mean([decision.p_stable for decision in clean[815:860]]) < 0.4
    apart = [abs(one.p_stable - other.p_stable) for one, other in zip(clean[700:], split[700:], strict=True)]
    assert max(apart) < 0.1


def test_the_chain_does_not_look_ahead_and_replays(parts, bars):
    made = new_desk(parts).run(bars, equity=EQUITY)
    changed = bars.copy()
    changed.iloc[400:] *= 1.7
    again = new_desk(parts).run(changed, equity=EQUITY)
    assert again[:400] == made[:400]
    assert again[400:] != made[400:]
    desk = new_desk(parts)
    assert [desk.replay(Decision.from_json(d.to_json())) for d in made] == made


@pytest.mark.parametrize("daily", [0.001, 0.05])
def test_what_is_of_another_scale_is_not_read_as_a_calm_or_a_wild_index(parts, daily):
    """A short bond fund looked stable for ever, with full leverage; a small share looked like chaos for ever."""
    close = 100.0 * np.exp(np.cumsum(daily * np.random.default_rng(0).standard_normal(400)))
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close))
    bars.index = pd.bdate_range("2001-01-01", periods=400, name="date")
    detector, _ = parts
    made = Desk(detector, sizing=SIZING, instrument=InstrumentRules(2, Decimal("0.01"))).run(bars, equity=EQUITY)
    late = made[detector.warm_up + 150 :]
    assert all(decision.quantity == 0 for decision in late)
    assert all("flat: the returns are of another scale than the detector was made for" in d.reasons for d in late)


# --- the reader's own file -------------------------------------------------------------------------------------------


def printed():
    """The code that README.md and the API page show; they show the same."""
    code = (ROOT / "book" / "own_csv.py").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown == code
    assert "```{literalinclude} own_csv.py" in (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    return code


@pytest.mark.parametrize("daily", [0.001, 0.03])
def test_the_printed_lines_read_a_bond_and_a_share(daily, tmp_path, monkeypatch):
    """Two regimes whose volatilities are as 1 to 3, in spells of 150 days, are called as two."""
    truth = np.arange(1500) // 150 % 2
    returns = daily * np.where(truth, 1.5, 0.5) * np.random.default_rng(0).standard_normal(1500)
    close = pd.Series(100.0 * np.exp(np.cumsum(returns)), pd.bdate_range("2001-01-01", periods=1500, name="date"))
    pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close)).to_csv(tmp_path / "prices.csv")
    monkeypatch.chdir(tmp_path)
    lines, names = printed().splitlines(), {}
    assert lines[-1].startswith("print(desk.run(bars")
    exec("\n".join(lines[:-1]), names)
    made = names["desk"].run(names["bars"], equity=EQUITY)[-600:]
    assert not any("another scale" in reason for decision in made for reason in decision.reasons)
    assert np.mean([decision.regime for decision in made]) == pytest.approx(truth[-600:].mean(), abs=0.2)
    assert np.mean([decision.regime == regime for decision, regime in zip(made, truth[-600:], strict=True)]) > 0.75
    assert any(decision.quantity for decision in made)


def layouts():
    """The same bars as five kinds of file."""
    bars = load_sp500().iloc[3000:3300]
    yahoo = bars.rename(columns=str.capitalize).rename_axis("Date")
    stooq = yahoo.drop(columns="Volume")
    vantage = bars.rename_axis("timestamp")
    opened = bars.index.as_unit("ms").astype("int64")
    kline = pd.DataFrame(
        {"t": opened, **bars.astype(str), "T": opened + 86_399_999, "q": 1, "n": 1, "tb": 1, "tq": 1, "i": 0}
    )
    return {
        "Yahoo": yahoo.to_csv(),
        "Stooq": stooq.to_csv(date_format="%Y-%m-%d"),
        "Alpha Vantage": vantage.to_csv(),
        "Binance": kline.to_csv(index=False, header=False),
        "European Excel": "\ufeff" + yahoo.to_csv(sep=";", decimal=",", date_format="%d.%m.%Y"),
    }


def test_fifteen_lines_go_from_a_file_to_a_decision_on_five_layouts(tmp_path):
    """One process for all five: the lines are run as printed, each time beside another `prices.csv`."""
    code, said = printed(), {}
    assert len([line for line in code.splitlines() if line]) <= 15
    for name, text in layouts().items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "prices.csv").write_text(text, encoding="utf-8")
    (tmp_path / "own_csv.py").write_text(code, encoding="utf-8")
    loop = """
import os, runpy, sys
for place in sys.argv[1:]:
    os.chdir(place)
    runpy.run_path("../own_csv.py")
    print("----")
"""
    places = [str(tmp_path / name) for name in layouts()]
    run = subprocess.run([sys.executable, "-c", loop, *places], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    said = dict(zip(layouts(), run.stdout.split("----\n"), strict=False))
    assert said["Yahoo"].startswith("2012-02-13 00:00:00: hold ")
    assert "P(stable)" in said["Yahoo"]
    for name, answer in said.items():
        assert answer.partition(": ")[2] == said["Yahoo"].partition(": ")[2], name
