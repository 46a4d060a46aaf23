"""Heston markets: simulation, prices, regime switching, and the best possible observer of the regime (chapter 4)."""

from companion.heston.bayes_filter import FilterRun, bayes_filter, run_bayes_filter
from companion.heston.cir import variance_law
from companion.heston.params import HestonParams
from companion.heston.pricing import characteristic_function, heston_call_price, heston_put_price
from companion.heston.simulate import HestonPaths, simulate_heston
from companion.heston.stylized_facts import aggregate, autocorrelation, excess_kurtosis, leverage, skewness
from companion.heston.switching import RegimePaths, RegimeSwitchingHeston

__all__ = [
    "FilterRun",
    "HestonParams",
    "HestonPaths",
    "RegimePaths",
    "RegimeSwitchingHeston",
    "aggregate",
    "autocorrelation",
    "bayes_filter",
    "characteristic_function",
    "excess_kurtosis",
    "heston_call_price",
    "heston_put_price",
    "leverage",
    "run_bayes_filter",
    "simulate_heston",
    "skewness",
    "variance_law",
]
