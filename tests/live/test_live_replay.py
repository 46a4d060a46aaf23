"""Replay: what was decided comes out again to the last digit, and the smallest change shows at its line."""

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from companion.desk import Bar, Quote
from companion.errors import InputError
from companion.live import AuditLog, DeskRecipe, read_audit, replay_audit, verify_audit

RECIPE = DeskRecipe(size_precision=3, size_increment=Decimal("0.001"), min_notional=Decimal(10))
EQUITY, START, MINUTE = Decimal("100000.00"), datetime(2024, 1, 1, tzinfo=UTC), timedelta(minutes=1)
LENGTHS = (780, 60, 40)


def market(n, seed=3):
    closes = np.rint(500_000 * np.exp(0.0008 * np.random.default_rng(seed).standard_normal(n + 1).cumsum())) / 10
    for i, (a, b) in enumerate(pairwise(closes.tolist()), start=1):
        yield Bar(START + i * MINUTE, a, max(a, b), min(a, b), b)


def inputs():
    """Bars with quotes and equity; from the second session on, with all that a feed can do wrong."""
    for i, bar in enumerate(market(sum(LENGTHS))):
        mid = Decimal(str(bar.close))
        quote, equity = Quote(mid - Decimal("0.1"), mid + Decimal("0.1")), EQUITY + i
        if i < LENGTHS[0]:
            yield bar, quote, equity
            continue
        match i % 9:
            case 0:
                bar = bar._replace(close=math.nan)
            case 1:
                bar = bar._replace(high=math.inf)
            case 2:
                bar = bar._replace(time=START)  # a minute that has been
            case 3:
                bar = bar._replace(close=-bar.close)
            case 4:
                quote = None
            case 5:
                equity = equity * 96 / 100 if i < sum(LENGTHS[:2]) else None  # a loss of 4 %, or no equity
        yield bar, quote, equity


def write_session(log, desk, bars):
    log.append(
        "session",
        now_ns=1,
        format=1,
        versions={"companion": "0"},
        desk=RECIPE.to_json(),
        state=desk.state(),
        settings={},
    )
    log.append("warm_up", now_ns=1, ready=True)
    for bar, quote, equity in bars:
        decision = desk.on_bar(bar, quote=quote, equity=equity)
        log.append("decision", now_ns=int(bar.time.timestamp()) * 10**9, decision=json.loads(decision.to_json()))
        log.append("loop", now_ns=2, target=str(decision.quantity))


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    """Three sessions of one desk, restarted twice from its state."""
    path = tmp_path_factory.mktemp("replay") / "audit.jsonl"
    told, state = iter(list(inputs())), None
    for length in LENGTHS:
        desk = RECIPE.make()
        if state is not None:
            desk.restore(state)
        with AuditLog(path) as log:
            write_session(log, desk, [next(told) for _ in range(length)])
            log.append("stop", now_ns=3, reason="restart")
        state = json.loads(json.dumps(desk.state()))
    return path


@pytest.fixture(scope="module")
def lines(audit):
    return list(read_audit(audit))


def rewritten(lines, path, edit):
    """The log with a change, and a chain that hides it: `edit` is given each line's kind, number and content."""
    with AuditLog(path) as log:
        for line in lines:
            content = json.loads(json.dumps(line.content))
            edit(line, content)
            log.append(line.kind, now_ns=line.time_ns, **content)
    assert verify_audit(path)
    return path


def decisions(lines):
    return [line for line in lines if line.kind == "decision"]


def test_every_decision_comes_out_again(audit, lines):
    report = replay_audit(audit)
    assert report
    assert (report.n_sessions, report.n_decisions, report.n_differing) == (3, sum(LENGTHS), 0)
    assert report.differences == ()
    assert str(report) == f"{sum(LENGTHS)} decisions of 3 sessions made again: all as logged"
    logged = [line.content["decision"] for line in decisions(lines)]
    assert sum(decision["quantity"] != "0" for decision in logged) > 20  # it has been more than flat
    assert sum("bar refused" in " ".join(decision["reasons"]) for decision in logged) > 20
    assert sum(decision["p_stable"] == "nan" for decision in logged) > 20
    assert sum("daily loss" in " ".join(decision["reasons"]) for decision in logged) > 3


def test_one_digit_of_one_probability_is_found_though_the_chain_is_whole(lines, tmp_path):
    read = [line for line in decisions(lines) if line.content["decision"]["p_stable"] != "nan"]
    targets = {line.n: line for line in (read[0], read[750], read[785], read[-1])}  # of each session
    was = {n: line.content["decision"]["p_stable"] for n, line in targets.items()}
    planted = {n: math.nextafter(p_stable, 0.0) for n, p_stable in was.items()}

    def edit(line, content):
        if line.n in planted:
            content["decision"]["p_stable"] = planted[line.n]

    report = replay_audit(rewritten(lines, tmp_path / "planted.jsonl", edit))
    assert not report
    assert report.n_differing == 4
    assert report.differences == tuple(
        (n, line.time_ns, "p_stable", planted[n], was[n]) for n, line in sorted(targets.items())
    )
    assert str(report.differences[0]).startswith(f"line {read[0].n}, 2024-01-01T")
    assert "4 differ from the log" in str(report)


PLANTED = {
    "quantity": "0.123",
    "reasons": ["because"],
    "posture": "freeze",
    "regime": 7,
    "n_bars": 1000,
    "leverage": 0.123,
    "sigma_bar": 1e-9,
    "signal": -3.0,
    "fraction": 0.001,
    "price": "1",
    "safety": [],
    "another": "field",
}


def test_each_field_of_an_answer_is_compared(lines, tmp_path):
    targets = dict(zip((line.n for line in decisions(lines)[70:]), PLANTED, strict=False))

    def edit(line, content):
        if line.n in targets:
            content["decision"][targets[line.n]] = PLANTED[targets[line.n]]

    report = replay_audit(rewritten(lines[:200], tmp_path / "planted.jsonl", edit))
    assert [(each.line, each.field) for each in report.differences] == list(targets.items())
    for each in report.differences:
        assert each.logged == PLANTED[each.field]
        assert each.replayed == lines[each.line - 1].content["decision"].get(each.field)


@pytest.mark.parametrize("field", ["bar", "quote", "equity"])
def test_a_changed_input_is_found_at_its_line(lines, tmp_path, field):
    target = decisions(lines)[70]
    bar = target.content["decision"]["bar"]
    planted = {"bar": [*bar[:-1], bar[-1] * 1.0001], "quote": ["1", "2"], "equity": "1"}[field]

    def edit(line, content):
        if line.n == target.n:
            content["decision"][field] = planted

    report = replay_audit(rewritten(lines[: target.n + 10], tmp_path / "planted.jsonl", edit))
    assert not report
    assert report.differences[0].line == target.n


def test_a_removed_decision_is_found_in_those_after_it(lines, tmp_path):
    gone = decisions(lines)[40]
    path = rewritten(
        [line for line in lines[:200] if line.n != gone.n], tmp_path / "planted.jsonl", lambda line, content: None
    )
    report = replay_audit(path)
    assert not report
    assert report.differences[0].line >= gone.n


def test_the_first_thousand_differences_are_kept_and_all_are_counted(lines, tmp_path):
    def edit(line, content):
        if line.kind == "decision":
            content["decision"] |= {"p_stable": -1.0, "regime": 7}

    report = replay_audit(rewritten(lines, tmp_path / "planted.jsonl", edit))
    assert report.n_differing == sum(LENGTHS)
    assert len(report.differences) == 1000
    assert report.differences[-1].line < lines[-1].n


def test_a_broken_chain_is_refused(audit, tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_bytes(audit.read_bytes().replace(b'"p_stable":0.7', b'"p_stable":0.8', 1))
    with pytest.raises(InputError, match="does not follow from the line before it"):
        replay_audit(path)


def test_a_torn_end_is_left_out(lines, audit, tmp_path):
    path = tmp_path / "torn.jsonl"
    whole = audit.read_bytes().splitlines(keepends=True)
    n = decisions(lines)[-1].n
    path.write_bytes(b"".join(whole[: n - 1]) + whole[n - 1][:100])
    report = replay_audit(path)
    assert report
    assert report.n_decisions == sum(LENGTHS) - 1


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("session", {"desk": RECIPE.to_json() | {"max_daily_loss": "0.04"}}, "state must be that of a desk"),
        ("session", {"desk": {"of": "another version"}}, "stored must be a recipe"),
        ("session", {"desk": None}, "stored must be a recipe"),
        ("session", {"state": {}}, "state must be that of a desk"),
        ("session", {"state": None}, "state must be that of a desk"),
        ("decision", {"decision": {"p_stable": 1}}, "is no decision"),
        ("decision", {"decision": None}, "is no decision"),
        ("decision", {"decision": "text"}, "is no decision"),
    ],
)
def test_what_can_not_be_replayed_is_refused_at_its_line(lines, tmp_path, kind, changes, says):
    first = next(line for line in lines if line.kind == kind)
    path = rewritten(
        lines[: first.n],
        tmp_path / "x.jsonl",
        lambda line, content: content.update(changes if line.n == first.n else {}),
    )
    with pytest.raises(InputError, match=rf"x.jsonl: line {first.n}: .*{says}"):
        replay_audit(path)


def test_a_session_or_decision_that_lacks_its_content_is_refused(tmp_path, lines):
    for name, kinds, says in (("a", ["session"], "line 1: the desk of this session"), ("b", ["decision"], "line 1: ")):
        with AuditLog(tmp_path / name) as log:
            for kind in kinds:
                log.append(kind, now_ns=1, format=1)
        with pytest.raises(InputError, match=says):
            replay_audit(tmp_path / name)
    only = rewritten(decisions(lines)[:1], tmp_path / "c", lambda line, content: None)
    with pytest.raises(InputError, match="line 1: a decision before any session"):
        replay_audit(only)


def test_another_way_to_make_the_desk_and_a_desk_that_refuses(audit):
    made = []

    class Refusing:
        def restore(self, state):
            made.append(state["desk"])

        def replay(self, decision):
            raise ValueError("no time of day")

    def make(stored):
        assert DeskRecipe.from_json(stored) == RECIPE
        return Refusing()

    report = replay_audit(audit, make=make)
    assert len(made) == 3
    assert report.n_differing == report.n_decisions
    assert report.differences[0][2:] == ("decision", "made", "refused: no time of day")


def test_an_empty_log_has_nothing_to_differ(tmp_path):
    with AuditLog(tmp_path / "empty"):
        pass
    assert replay_audit(tmp_path / "empty")
    with pytest.raises(InputError, match="can not be read"):
        replay_audit(tmp_path / "none")
