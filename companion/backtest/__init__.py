"""Honest backtests: decide on the past, trade after a delay, pay for every trade, put intervals on the result."""

from companion.backtest.bootstrap import SharpeInterval, sharpe_difference_interval, sharpe_interval
from companion.backtest.costs import rebalance
from companion.backtest.engine import BacktestResult, run_backtest
from companion.backtest.performance import Performance, drawdown, performance, sharpe_ratio, sortino_ratio
from companion.backtest.walk_forward import WalkForwardSplit, walk_forward_probabilities, walk_forward_splits

__all__ = [
    "BacktestResult",
    "Performance",
    "SharpeInterval",
    "WalkForwardSplit",
    "drawdown",
    "performance",
    "rebalance",
    "run_backtest",
    "sharpe_difference_interval",
    "sharpe_interval",
    "sharpe_ratio",
    "sortino_ratio",
    "walk_forward_probabilities",
    "walk_forward_splits",
]
