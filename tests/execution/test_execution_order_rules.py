"""The rules on one order, by plain numbers: each limit at its edge, and what no sequence of fills may lead to."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.execution import (
    Exposure,
    MarketFacts,
    OrderFacts,
    RiskLimits,
    TradingMode,
    judge_order,
)
from companion.execution._order_memory import SECOND_NS, MarketMemory, SlidingCount
from companion.risk import InstrumentRules

D = Decimal
GIVEN = {
    "max_order_quantity": D("1"),
    "max_order_notional": D("60000"),
    "max_position": D("2"),
    "max_open_orders": 3,
    "price_collar": D("0.02"),
    "period_collar": D("0.05"),
    "period_s": 300.0,
    "max_messages": 10,
    "message_window_s": 60.0,
    "max_repeats": 5,
    "repeat_window_s": 3600.0,
    "max_daily_loss": D("0.03"),
    "max_quote_age_s": 5.0,
}
LIMITS = RiskLimits(**GIVEN)
RULES = InstrumentRules(3, D("0.001"), min_quantity=D("0.001"), max_quantity=D("1000"), min_notional=D("10"))
FLAT = Exposure(held=D(0), buying=D(0), selling=D(0), n_open=0, equity=D("100000"), margin_rate=D("0.005"))
MARKET = MarketFacts(D("49999.9"), D("50000.1"), age_s=1.0, mid_before=D("50000"), usual_size=D("5"))
ACTIVE, REDUCING, HALTED = TradingMode


def judge(quantity="0.5", *prices, filled="0", flatten=False, mode=ACTIVE, limits=LIMITS, rules=RULES, **facts):
    """The rule that is broken, None where none is; `facts` change the exposure and the market."""
    exposure = FLAT._replace(**{k: v for k, v in facts.items() if k in Exposure._fields})
    market = MARKET._replace(**{k: v for k, v in facts.items() if k in MarketFacts._fields})
    breach = judge_order(
        OrderFacts(D(quantity), tuple(D(price) for price in prices), D(filled), flatten),
        instrument=rules,
        price_increment=D("0.1"),
        exposure=exposure,
        market=market,
        limits=limits,
        mode=mode,
    )
    return breach and breach.rule


@pytest.mark.parametrize("name", [*GIVEN, "max_liquidity_share"])
@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "1", None, True])
def test_every_limit_is_given_and_makes_sense(name, wrong):
    if (name, wrong) == ("max_liquidity_share", None):
        return
    with pytest.raises(ValueError, match=f"^{name} must .*, got "):
        RiskLimits(**GIVEN | {name: wrong})


@pytest.mark.parametrize("name", ["price_collar", "period_collar", "max_daily_loss", "max_liquidity_share"])
def test_a_share_in_percent_is_refused(name):
    with pytest.raises(ValueError, match=name):
        RiskLimits(**GIVEN | {name: D("2")})


@pytest.mark.parametrize("name", GIVEN)
def test_no_limit_has_a_default(name):
    with pytest.raises(TypeError, match=name):
        RiskLimits(**{other: value for other, value in GIVEN.items() if other != name})


@pytest.mark.parametrize("quantity", ["0.001", "1", "-0.001", "-1"])
@pytest.mark.parametrize("prices", [(), ("50000",), ("49500.1", "50500.1")])
def test_an_order_within_the_limits_passes(quantity, prices):
    assert judge(quantity, *prices) is None


@pytest.mark.parametrize(
    ("rule", "within", "beyond"),
    [
        ("precision", {"quantity": "0.123"}, {"quantity": "0.1234"}),
        ("precision", {"prices": ("50000.1",)}, {"prices": ("50000.15",)}),
        ("precision", {"prices": ("49000.0",)}, {"prices": ("0",)}),
        ("instrument_size", {"filled": "0.499"}, {"filled": "0.5"}),
        ("instrument_size", {"rules": InstrumentRules(3, D("0.001"))}, {"rules": InstrumentRules(3, D("0.001"), D(1))}),
        (
            "instrument_size",
            {"rules": InstrumentRules(3, D("0.001"), max_notional=D("25000.05"))},
            {"rules": InstrumentRules(3, D("0.001"), max_notional=D("25000.04"))},
        ),
        ("instrument_size", {"quantity": "0.001"}, {"rules": InstrumentRules(3, D("0.001"), min_notional=D(30000))}),
        ("quote", {"bid": D("49999.9")}, {"bid": None}),
        ("quote", {"ask": D("49999.9")}, {"ask": D("49999.8")}),
        ("quote", {"age_s": 5.0}, {"age_s": 5.001}),
        ("quote", {"age_s": 0.0}, {"age_s": float("nan")}),
        ("price_collar", {"prices": ("51000",)}, {"prices": ("51000.1",)}),
        ("price_collar", {"prices": ("49000",)}, {"prices": ("48999.9",)}),
        ("price_collar", {"prices": ("50000", "51000")}, {"prices": ("50000", "51000.1")}),
        # A market order pays the touch: half a spread of 2 % of the mid.
        ("price_collar", {"bid": D("49000"), "ask": D("51000")}, {"bid": D("48999.9"), "ask": D("51000.1")}),
        ("period_collar", {"mid_before": D("47620")}, {"mid_before": D("47619")}),
        ("period_collar", {"mid_before": D("52631")}, {"mid_before": D("52632")}),
        ("period_collar", {"mid_before": None}, {"mid_before": D("40000")}),
        ("order_quantity", {"quantity": "1"}, {"quantity": "1.001"}),
        (
            "order_notional",
            {"quantity": "1", "limits": {"max_order_notional": D("50000.1")}},
            {"quantity": "1", "limits": {"max_order_notional": D("50000")}},
        ),
        # A buyer below the market may still pay the touch, and a seller earn it.
        (
            "order_notional",
            {"prices": ("49500",)},
            {"prices": ("49500",), "limits": {"max_order_notional": D("25000")}},
        ),
        (
            "order_liquidity",
            {"limits": {"max_liquidity_share": D("0.1")}},
            {"limits": {"max_liquidity_share": D("0.09")}},
        ),
        ("order_liquidity", {"usual_size": None}, {"usual_size": None, "limits": {"max_liquidity_share": D("0.1")}}),
        ("position", {"held": D("1.5")}, {"held": D("1.501")}),
        ("position", {"held": D("1"), "buying": D("0.5")}, {"held": D("1"), "buying": D("0.501")}),
        (
            "position",
            {"quantity": "-0.5", "held": D("-1"), "selling": D("0.5"), "buying": D(9)},
            {"quantity": "-0.5", "held": D("-1"), "selling": D("0.6"), "buying": D(9)},
        ),
        # Somebody else took more than the limit: it may shrink.
        ("position", {"quantity": "-0.5", "held": D("5")}, {"quantity": "0.5", "held": D("5")}),
        ("open_orders", {"n_open": 2}, {"n_open": 3}),
        ("open_orders", {"quantity": "-0.5", "held": D(1)}, {"quantity": "-0.5", "held": D(1), "n_open": 3}),
        ("equity", {"equity": D("126")}, {"equity": None}),
        ("margin", {"equity": D("125.00025")}, {"equity": D("125")}),
        ("margin", {"equity": D("0"), "held": D(1), "quantity": "-0.5"}, {"equity": D("-1")}),
        ("reducing", {"mode": REDUCING, "held": D("0.5"), "quantity": "-0.5"}, {"mode": REDUCING}),
        ("reducing", {"mode": REDUCING, "held": D("-0.5")}, {"mode": REDUCING, "held": D("-0.499")}),
        (
            "reducing",
            {"mode": REDUCING, "held": D("-0.7"), "buying": D("0.2")},
            {"mode": REDUCING, "held": D("-0.7"), "buying": D("0.201")},
        ),
        ("halted", {"mode": HALTED, "held": D("-0.5"), "flatten": True}, {"mode": HALTED, "held": D("-0.5")}),
        ("flatten", {"flatten": True, "held": D("-0.5")}, {"flatten": True, "held": D("0.5")}),
    ],
)
def test_each_rule_at_its_edge(rule, within, beyond):
    for facts, expected in ((within, None), (beyond, rule)):
        facts = {"quantity": "0.5"} | facts
        limits = RiskLimits(**GIVEN | facts.pop("limits", {}))
        assert judge(facts.pop("quantity"), *facts.pop("prices", ()), limits=limits, **facts) == expected


def test_the_reason_holds_the_figures():
    breach = judge_order(
        OrderFacts(D("0.1"), (D("52000"),)),
        instrument=RULES,
        price_increment=D("0.1"),
        exposure=FLAT,
        market=MARKET,
        limits=LIMITS,
        mode=ACTIVE,
    )
    assert breach == ("price_collar", "52000 is 4.00% from the mid 50000.0, beyond 2.00%")


@pytest.mark.parametrize(
    "facts",
    [
        {"bid": None, "ask": None},
        {"age_s": 1e6},
        {"mid_before": D(1)},
        {"n_open": 99},
        {"equity": None},
        {"mode": HALTED},
        {"limits": RiskLimits(**GIVEN | {"max_order_quantity": D("0.001"), "max_order_notional": D(1)})},
    ],
)
def test_a_flatten_by_name_passes_every_limit_and_nothing_but_a_flatten(facts):
    assert judge("-1.5", held=D("1.5"), flatten=True, **facts) is None
    assert judge("-1.5", held=D("1.499"), flatten=True, **facts) == "flatten"
    assert judge("-1.5", held=D("1.5"), selling=D("0.001"), flatten=True, **facts) == "flatten"
    assert judge("-1.0005", held=D("1.5"), flatten=True, **facts) == "precision"


orders = st.tuples(st.integers(-1100, 1100).filter(bool), st.sampled_from(TradingMode), st.booleans())
fills = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 1000)), max_size=4)


@given(steps=st.lists(st.tuples(orders, fills), max_size=25))
@settings(max_examples=80, deadline=None)
def test_no_sequence_of_orders_and_fills_exceeds_a_limit(steps):
    """Fills come in any order, to any part: the position stays within the limit, and in REDUCING only shrinks.

    When the mode tightens, orders at work that the new mode would refuse are cancelled, as the gate does.
    """
    held, working, mode_before = 0, [], ACTIVE
    for (quantity, mode, flatten), partial_fills in steps:
        if mode is not mode_before:
            working = []
        mode_before = mode
        buying, selling = sum(w for w in working if w > 0), -sum(w for w in working if w < 0)
        facts = {"held": D(held) / 1000, "buying": D(buying) / 1000, "selling": D(selling) / 1000}
        broken = judge(str(D(quantity) / 1000), mode=mode, flatten=flatten, n_open=len(working), **facts)
        if broken is None:
            working.append(quantity)
        for which, size in partial_fills:
            if which < len(working):
                left, before = working[which], held
                filled = max(-size, left) if left < 0 else min(size, left)
                working[which] -= filled
                held += filled
                assert abs(held) <= 2000
                if mode is not ACTIVE:
                    assert abs(held) <= abs(before)
                    assert held * before >= 0
        working = [left for left in working if left]
        assert len(working) <= LIMITS.max_open_orders or flatten or mode is HALTED


times = st.lists(st.integers(0, 5 * SECOND_NS), min_size=1, max_size=60).map(
    lambda gaps: [sum(gaps[: i + 1]) for i in range(len(gaps))]
)


@settings(max_examples=40, deadline=None)
@given(stamps=times, window_s=st.floats(0.5, 20.0))
def test_events_in_a_window_by_brute_force(stamps, window_s):
    count = SlidingCount(window_s)
    for i, now in enumerate(stamps):
        count.add(now)
        assert count.count(now) == sum(now - then < round(window_s * SECOND_NS) for then in stamps[: i + 1])
    count.clear()
    assert count.count(stamps[-1]) == 0


@settings(max_examples=30, deadline=None)
@given(stamps=times, data=st.data())
def test_the_market_of_a_period_ago_by_brute_force(stamps, data):
    memory, taken = MarketMemory(10.0), []
    assert memory.mid_before is memory.usual_size is None
    for now in stamps:
        if now < memory.due_ns:
            continue
        mid, size = D(data.draw(st.integers(1, 1000))), D(data.draw(st.integers(0, 50)))
        memory.sample(now, mid=mid, size=size)
        taken.append((now, mid, size))
        old = [sample for sample in taken if sample[0] <= now - 10 * SECOND_NS]
        kept = old[-1:] + [sample for sample in taken if sample[0] > now - 10 * SECOND_NS]
        assert memory.mid_before == kept[0][1]
        assert memory.usual_size == sum(size for *_, size in kept) / len(kept)
        assert memory.due_ns == now + SECOND_NS // 2
        assert len(kept) <= 22


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), "60"])
def test_a_window_that_is_none(wrong):
    with pytest.raises(ValueError, match=r"^window_s must be a positive"):
        SlidingCount(wrong)
    with pytest.raises(ValueError, match=r"^period_s must be a positive"):
        MarketMemory(wrong)
