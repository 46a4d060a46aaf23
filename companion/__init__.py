"""The library behind *Modeling Financial Chaos*: each room (`companion.heston`, …) serves the chapters of its name."""

__version__ = "0.1.0"
