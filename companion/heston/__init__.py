"""Heston markets: simulation, prices, regime switching, and the best possible observer of the regime (chapter 4)."""

from companion.heston.bayes_filter import FilterRun, bayes_filter, run_bayes_filter
from companion.heston.cir import variance_law
from companion.heston.implied_volatility import implied_volatility
from companion.heston.params import HestonParams
from companion.heston.pricing import characteristic_function, heston_call_price, heston_put_price
from companion.heston.simulate import HestonPaths, simulate_heston, simulate_heston_terminal
from companion.heston.stylized_facts import aggregate, autocorrelation, excess_kurtosis, leverage, skewness
from companion.heston.switching import RegimePaths, RegimeSwitchingHeston
from companion.heston.weak_error import WeakError, weak_error

__all__ = [
    "FilterRun",
    "HestonParams",
    "HestonPaths",
    "RegimePaths",
    "RegimeSwitchingHeston",
    "WeakError",
    "aggregate",
    "autocorrelation",
    "bayes_filter",
    "characteristic_function",
    "excess_kurtosis",
    "heston_call_price",
    "heston_put_price",
    "implied_volatility",
    "leverage",
    "run_bayes_filter",
    "simulate_heston",
    "simulate_heston_terminal",
    "skewness",
    "variance_law",
    "weak_error",
]
