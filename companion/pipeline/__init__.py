"""The system in four steps, each a command that reads files and writes one: simulate, train, read regimes, backtest."""
