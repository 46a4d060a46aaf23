"""The study of size and power: its shares and intervals, a kill on the way, and what the stored table says."""

import numpy as np
import pytest
from scipy.stats import beta

from companion.datasets import load_study
from studies import surrogate_power as module
from studies._study import run_study
from studies.surrogate_power import BDS_DIMENSIONS, CASES, POWER, SIZE, STATISTICS, TRAP, PowerConfig, surrogate_power

FEW = ((SIZE, "shuffle", "normal noise", 64), (POWER, "bds", "logistic map", 300), (TRAP, "zero_one", "GARCH", 300))
KEY = ["kind", "null", "process"]
SURROGATES = ("shuffle", "phase", "aaft", "iaaft", "garch", "gjr_garch")


def expected_statistics(null):
    named = {"bds": [f"BDS, dimension {m}" for m in BDS_DIMENSIONS], "zero_one": ["K of the 0-1 test"]}
    named["bds, garch"] = [f"BDS of residuals, dimension {m}" for m in BDS_DIMENSIONS]
    return named.get(null, list(STATISTICS))


def test_a_killed_study_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CASES", FEW)
    study, seen = surrogate_power(tiny=True), []

    def kill(what, done, total):
        if what == "zero_one on GARCH":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "killed", kill)
    again = run_study(study, tmp_path / "killed", lambda what, done, total: seen.append(what))
    assert set(seen) == {"zero_one on GARCH"}
    assert again == run_study(study, tmp_path / "whole")
    found = [(row["kind"], row["null"], row["process"], row["statistic"]) for row in again["rows"]]
    assert found == [(*case[:3], name) for case in FEW for name in expected_statistics(case[1])]


def test_the_command_runs_every_case(tmp_path, capsys):
    assert module.main(["--tiny", "--work", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert all(process in printed and null in printed for _, null, process, _ in CASES)


@pytest.mark.parametrize(
    ("count", "judged", "verdict"),
    [(0, True, "too seldom"), (25, True, "inside"), (40, True, "too often"), (500, False, "-"), (40, False, "-")],
)
def test_a_share_has_its_exact_interval_and_a_size_its_verdict(count, judged, verdict):
    """By the quantiles of the beta distribution (Clopper & Pearson 1934)."""
    share = module._share(count, 500, 0.05, judged=judged)
    assert share["rejected"] == count / 500
    assert share["lower"] == pytest.approx(beta.ppf(0.025, count, 501 - count) if count else 0.0, abs=1e-9)
    assert share["upper"] == pytest.approx(beta.ppf(0.975, count + 1, 500 - count) if count < 500 else 1.0, abs=1e-9)
    assert share["verdict"] == verdict


def test_a_series_that_a_model_can_not_be_fitted_to_counts_neither_way(tmp_path, monkeypatch):
    calls = []

    def refuse(null, series, config, generator):
        calls.append(null)
        if len(calls) == 2:
            raise ValueError("series must let GARCH(1, 1) converge, got 300 points")
        return {"leverage": len(calls) == 1}

    monkeypatch.setattr(module, "_reject", refuse)
    config = PowerConfig(n_series=3)
    (row,) = module._run(SIZE, "garch", "GARCH", 300, config, tmp_path, lambda *_: None)
    assert (row["n_series"], row["refused"], row["rejected"]) == (2, 1, 0.5)

    def fail(null, series, config, generator):
        raise ValueError("something else")

    monkeypatch.setattr(module, "_reject", fail)
    with pytest.raises(ValueError, match="something else"):
        module._run(SIZE, "garch", "GARCH", 300, config, tmp_path, lambda *_: None)


@pytest.fixture(scope="module")
def table():
    return load_study("surrogate_power")


def test_the_stored_table_has_every_case_with_its_interval(table):
    config = PowerConfig()
    found = table.groupby(KEY, sort=False)["statistic"].apply(list).to_dict()
    assert found == {case[:3]: expected_statistics(case[1]) for case in CASES}
    assert {SIZE, POWER, TRAP} == set(table["kind"])
    assert set(SURROGATES) <= set(table.loc[table["kind"] == SIZE, "null"])
    asked = np.where(table["kind"] == SIZE, config.n_series, config.n_series_power)
    assert (table["n_series"] + table["refused"] == asked).all()
    for row in table.itertuples():
        share = module._share(round(row.rejected * row.n_series), row.n_series, config.level, judged=row.verdict != "-")
        assert row.rejected == pytest.approx(share["rejected"], rel=1e-5)
        assert [row.lower, row.upper] == pytest.approx([share["lower"], share["upper"]], rel=1e-5)
        assert row.verdict == share["verdict"]
    judged = (table["kind"] == SIZE) & (table["null"] != "zero_one")
    assert (judged == (table["verdict"] != "-")).all()


def test_the_stored_table_is_what_the_study_finds_today(table, tmp_path):
    name = f"{POWER} of bds on threshold AR"
    stored = table.set_index([*KEY, "statistic"])["rejected"]
    for row in surrogate_power().runs[name](tmp_path, lambda *_: None):
        assert row["rejected"] == pytest.approx(stored[tuple(row[k] for k in (*KEY, "statistic"))], abs=0.021)


def test_what_the_chapters_may_say_of_sizes(table):
    """Inside: shuffles but for one cell in ten, Fourier surrogates of Gaussian series whose ends meet, IAAFT of normal
    scores, GARCH but for the correlation sum, BDS but on GARCH residuals. What is not inside has a form that is: AAFT
    of normal scores and GARCH with a pivot, BDS on GARCH residuals by the law over surrogates."""
    verdicts = table[table["verdict"] != "-"].set_index(["null", "process", "statistic"])["verdict"].sort_index()

    def not_inside(null, *processes):
        those = verdicts[null] if not processes else verdicts[null].loc[list(processes)]
        return {process_and_name: verdict for process_and_name, verdict in those.items() if verdict != "inside"}

    assert len(not_inside("shuffle")) == 1
    assert not_inside("phase", "AR(1), .6", "AR(1), .95, ends matched") == {}
    assert not_inside("phase", "AR(1), .95") == {
        ("AR(1), .95", name): "too often" for name in ("prediction error", "correlation sum")
    }
    assert not_inside("aaft", "exp of AR(1), .6") == {}
    assert set(not_inside("aaft", "exp of AR(1), .95").values()) == {"too often"}
    for process in ("exp of AR(1), .6", "exp of AR(1), .95", "exp of AR(1), .95, ends matched"):
        assert verdicts["iaaft", process, "correlation sum"] == "too often"
    for process in ("exp of AR(1), .6", "exp of AR(1), .95, ends matched"):
        assert len(not_inside("iaaft", process)) >= 4
        assert set(verdicts["iaaft", f"scores of {process}"].index) == set(STATISTICS)
        assert not_inside("iaaft", f"scores of {process}") == {}
    for null, processes in (("garch", ("GARCH", "GARCH, Student 6")), ("gjr_garch", ("GJR-GARCH",))):
        assert not_inside(null) == {(process, "correlation sum"): "too seldom" for process in processes}
    matched = "scores of exp of AR(1), .95, ends matched"
    assert set(not_inside("aaft", matched).values()) == {"too often"}
    assert not_inside("aaft, pivoted", matched) == {}
    for null in ("garch, pivoted", "gjr_garch, pivoted", "bds, garch"):
        assert not_inside(null) == {}
    assert set(not_inside("bds")) == {("residuals of GARCH", f"BDS, dimension {m}") for m in (3, 5)}
    assert set(not_inside("bds").values()) == {"too seldom"}


def test_what_the_chapters_may_say_of_power(table):
    """Chaos is found through noise of 7 dB; GARCH hides from all but the correlation sum and, lopsided, leverage."""
    power = table[table["kind"] == POWER].set_index(["null", "process", "statistic"])["rejected"].sort_index()
    chaos = ("Hénon", "Hénon, noise 10 dB below", "Hénon, noise 7 dB below", "logistic map", "Lorenz x, every 0.1")
    for process in chaos:
        for name in ("prediction error", "permutation entropy", "correlation sum"):
            assert power["iaaft", process, name] == 1.0
    assert power["iaaft", "Hénon, noise as large"].between(0.1, 0.95).all()
    for process in ("Hénon, noise as large", "Heston market"):
        # normal scores cost no power: of 100 series, two shares that differ by chance alone are this near
        difference = power["iaaft", f"scores of {process}"] - power["iaaft", process]
        assert difference.abs().max() < 0.15
    assert power["iaaft", "GARCH"].idxmax() == "correlation sum"
    assert power["iaaft", "GJR-GARCH", "leverage"] > 0.5
    assert power["garch", "GJR-GARCH"].idxmax() == power["garch", "Heston market"].idxmax() == "leverage"
    assert power["gjr_garch", "Heston market"].max() < 0.15
    assert power["bds"].min() > 0.8


def test_the_zero_one_test_takes_noise_for_chaos(table):
    answer = table[table["null"] == "zero_one"].set_index(["kind", "process"])["rejected"].sort_index()
    assert answer[SIZE, "two tones"] == 0.0
    assert (answer[POWER] == 1.0).all()
    assert (answer[TRAP].drop("1/f^2 noise") == 1.0).all()
    assert answer[TRAP, "1/f^2 noise"] == 0.0
