"""Real prices that come with the installation, each with a data card, and the door through which a user's prices enter.

Nothing here touches the network: the series ship inside the packages `arch` and `skfolio`.
"""

from companion.datasets.cards import CARDS, DataCard, values_sha256
from companion.datasets.prices import check_prices, log_returns, read_prices
from companion.datasets.sp500 import load_sp500, load_sp500_close

__all__ = [
    "CARDS",
    "DataCard",
    "check_prices",
    "load_sp500",
    "load_sp500_close",
    "log_returns",
    "read_prices",
    "values_sha256",
]
