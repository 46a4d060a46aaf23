"""The ledger: exact where one can reckon by hand, and the engine's own account after any fills."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.events import OrderFilled

from companion.errors import InputError
from companion.live import AuditLog, Ledger
from companion.live._ledger import CENT
from tests.execution.engine import BUY, INSTRUMENT, SELL, PlannedStrategy, random_market, run_engine, signed_quantity

D = Decimal
BALANCE = D(100_000)


def after(*fills, balance=BALANCE):
    ledger = Ledger(balance)
    for fill in fills:
        ledger.on_fill(*map(D, fill))
    return ledger


@pytest.mark.parametrize(
    ("fills", "position", "average", "balance"),
    [
        ([], "0", "0", "100000"),
        ([("2", "100", "1")], "2", "100", "99999"),
        ([("2", "100", "0"), ("2", "110", "0")], "4", "105", "100000"),
        ([("2", "100", "0"), ("-1", "110", "0.5")], "1", "100", "100009.5"),
        ([("2", "100", "0"), ("-2", "90", "0")], "0", "0", "99980"),
        ([("2", "100", "0"), ("-5", "110", "0")], "-3", "110", "100020"),
        ([("-3", "100", "0"), ("1", "110", "0")], "-2", "100", "99990"),
        ([("-3", "100", "0"), ("4", "90", "-0.25")], "1", "90", "100030.25"),
    ],
)
def test_by_hand(fills, position, average, balance):
    ledger = after(*fills)
    assert (ledger.position, ledger.average_price, ledger.balance) == (D(position), D(average), D(balance))
    assert ledger.n_fills == len(fills)
    assert ledger.equity(D(120)) == D(balance) + D(position) * (120 - D(average))


QUANTITY = st.integers(-5000, 5000).filter(bool).map(lambda n: D(n) / 1000)
PRICE = st.integers(1, 10**7).map(lambda n: D(n) / 10)
FEE = st.integers(-(10**6), 10**9).map(lambda n: n * CENT)
FILLS = st.lists(st.tuples(QUANTITY, PRICE, FEE), max_size=30)


@settings(max_examples=200, deadline=None)
@given(FILLS, PRICE)
def test_equity_is_the_cash_flow(fills, price):
    """Whatever part of the gains is realized: what was paid and what is held is worth the same, to a cent a fill."""
    ledger = after(*fills)
    cash = Fraction(BALANCE) - sum(Fraction(q) * Fraction(p) + Fraction(fee) for q, p, fee in fills)
    held = sum(Fraction(q) for q, _, _ in fills)
    assert Fraction(ledger.position) == held
    assert abs(Fraction(ledger.equity(price)) - (cash + held * Fraction(price))) <= Fraction(CENT) * (1 + len(fills))
    assert ledger.balance % CENT == 0
    assert (ledger.position == 0) == (ledger.average_price == 0)


class Compared(PlannedStrategy):
    """Compares at each bar what a ledger makes of the fills with what the engine says."""

    def __init__(self, plan):
        super().__init__(plan)
        self.ledger, self.n_compared = Ledger(BALANCE), 0

    def on_order_filled(self, event: OrderFilled) -> None:
        self.ledger.on_fill(signed_quantity(event), event.last_px.as_decimal(), event.commission.as_decimal())

    def on_bar(self, bar) -> None:
        ledger, held = self.ledger, self.portfolio.net_position(INSTRUMENT.id)
        balance = self.portfolio.account(INSTRUMENT.id.venue).balance_total(USDT).as_decimal()
        assert held == ledger.position
        assert abs(balance - ledger.balance) <= CENT * (1 + ledger.n_fills)
        for position in self.cache.positions_open():
            assert float(ledger.average_price) == pytest.approx(position.avg_px_open, rel=1e-12)
            self.n_compared += 1
        super().on_bar(bar)


def order(quantity):
    side = BUY if quantity > 0 else SELL
    return lambda strategy: strategy.market(side, f"{abs(quantity):.3f}")


@settings(max_examples=15, deadline=None)
@given(st.lists(QUANTITY, min_size=8, max_size=8), st.integers(0, 1000))
def test_it_is_the_engines_account(quantities, seed):
    """Adds, partial closes, flips; orders beyond the book fill at two prices."""
    strategy = Compared({n: order(quantity) for n, quantity in enumerate(quantities, 1)})
    market = random_market(10, seed=seed, quotes_per_minute=4, size=2.0)
    with run_engine(strategy, market, balance=str(BALANCE)):
        assert strategy.ledger.n_fills >= len(quantities)
        assert strategy.n_compared


def write_fills(path, fills, ledger=None):
    ledger = ledger or Ledger(BALANCE)
    with AuditLog(path) as audit:
        audit.append("session", now_ns=0, format=1)
        for n, fill in enumerate(fills):
            ledger.on_fill(*fill)
            quantity, price, fee = map(str, fill)
            after = {"position": str(ledger.position), "balance": str(ledger.balance)}
            audit.append(
                "fill", now_ns=n, order_id="O", trade_id=str(n), quantity=quantity, price=price, fee=fee, **after
            )
    return ledger


@settings(max_examples=20, deadline=None)
@given(FILLS, FILLS)
def test_it_is_rebuilt_from_the_audit_of_many_sessions(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    ledger = write_fills(path, second, write_fills(path, first))
    assert vars(Ledger.from_audit(path, BALANCE)) == vars(ledger)


def test_a_log_of_another_balance_is_refused(tmp_path):
    path = tmp_path / "audit.jsonl"
    write_fills(path, [(D(1), D(100), D(0)), (D(1), D(100), D(0))])
    with pytest.raises(InputError, match=r"line 2 says position 1 and balance 100000[.]0*, but its fills add up"):
        Ledger.from_audit(path, D(90_000))


@pytest.mark.parametrize("fill", ["0 1 0", "1 0 0", "1 -1 0", "NaN 1 0", "1 1 Infinity"])
def test_what_is_no_fill_is_refused_and_changes_nothing(fill):
    ledger = after(("1", "100", "0"))
    before = dict(vars(ledger))
    with pytest.raises(ValueError, match="must be"):
        ledger.on_fill(*map(D, fill.split()))
    assert vars(ledger) == before


def test_a_balance_is_a_decimal():
    with pytest.raises(ValueError, match=r"starting_balance must be a finite Decimal, got 1\.0"):
        Ledger(1.0)
