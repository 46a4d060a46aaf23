"""Limits from liquidity and equity: a share, rounded down, and nothing where nothing is known."""

from decimal import ROUND_UP, Context, Decimal, localcontext

import pytest

from companion.risk import (
    max_daily_loss_from_starting_equity,
    max_notional_per_order_from_equity,
    max_order_qty_from_liquidity,
)

LIMITS = [max_order_qty_from_liquidity, max_notional_per_order_from_equity, max_daily_loss_from_starting_equity]
NAMED = list(zip(LIMITS, [("L_bar", "rho"), ("equity", "eta"), ("starting_equity", "delta")], strict=True))


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_is_its_share_as_printed(limit):
    assert limit(Decimal("5.0"), Decimal("0.02")) == limit(Decimal("5.0"), 0.02) == Decimal("0.1")


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "0", "-5", "1E+40"])
def test_what_is_no_amount_allows_nothing(limit, amount):
    assert limit(Decimal(amount), 0.02) == 0


@pytest.mark.parametrize(("limit", "names"), NAMED)
@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan"), float("inf"), Decimal("sNaN")])
def test_a_share_outside_zero_and_one_is_refused(limit, names, share):
    with pytest.raises(ValueError, match=f"{names[1]} must lie between 0 and 1"):
        limit(Decimal(5), share)


@pytest.mark.parametrize(("limit", "names"), NAMED)
def test_text_is_refused_by_name(limit, names):
    with pytest.raises(ValueError, match=f"{names[0]} must be a Decimal"):
        limit("100000 USDT", 0.02)


@pytest.mark.parametrize("limit", LIMITS)
def test_the_context_of_the_caller_does_not_matter(limit):
    with localcontext(Context(prec=1, rounding=ROUND_UP)):
        assert limit(Decimal("123.45"), Decimal("0.019")) == Decimal("2.34555")
