"""The bundled series are the ones their cards describe."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from companion.datasets import CARDS, load_sp500, load_sp500_close
from companion.datasets._cards import values_sha256
from companion.errors import InputError

LOADERS = {"sp500": load_sp500, "sp500_close": lambda: load_sp500_close().to_frame()}


@pytest.mark.parametrize("name", LOADERS)
def test_series_has_the_coverage_its_card_states(name):
    frame, card = LOADERS[name](), CARDS[name]
    assert tuple(frame.columns) == card.columns
    assert (str(frame.index[0].date()), str(frame.index[-1].date()), len(frame)) == (card.start, card.end, card.n_bars)
    assert frame.index.name == "date"
    assert (frame.dtypes == "float64").all()
    assert card.coverage.startswith(f"{card.start} to {card.end}")


def test_every_card_has_a_loader_and_says_where_its_values_come_from():
    assert set(CARDS) == set(LOADERS)
    for name, card in CARDS.items():
        assert card.name == name
        assert all((card.source, card.license, card.title, card.notes))


@pytest.mark.parametrize("name", LOADERS)
def test_one_changed_digit_is_noticed(name):
    frame = LOADERS[name]().copy()
    frame.iloc[1234, 0] = np.nextafter(frame.iloc[1234, 0], np.inf)
    with pytest.raises(InputError, match=f"{name}: sha256 of the values"):
        CARDS[name].verify(frame)


def test_missing_rows_and_renamed_columns_are_noticed():
    frame = load_sp500()
    with pytest.raises(InputError, match="5030 rows, not 5031"):
        CARDS["sp500"].verify(frame.iloc[1:])
    with pytest.raises(InputError, match=r"sp500: columns are \['Open'"):
        CARDS["sp500"].verify(frame.rename(columns=str.title))


def test_fingerprint_sees_values_dates_and_names_but_not_storage():
    frame = pd.DataFrame({"close": [1.0, 2.0]}, index=pd.to_datetime(["2020-01-01", "2020-01-02"]))
    same = frame.astype("int64").set_axis(frame.index.astype("datetime64[s]"))
    assert values_sha256(same) == values_sha256(frame)
    others = [frame * 2, frame.shift(freq="D"), frame.rename(columns={"close": "open"}), frame.iloc[::-1]]
    assert len({values_sha256(other) for other in [frame, *others]}) == 5


def test_notes_of_the_cards_are_true():
    bars, close = load_sp500(), load_sp500_close()
    copied = bars["open"] == bars["close"].shift()
    assert copied[copied.index.year == 1999].mean() == pytest.approx(0.97, abs=0.01)
    assert copied.mean() == pytest.approx(0.40, abs=0.01)
    assert (bars["close"] - close.reindex(bars.index)).abs().max() < 2e-4
    gaps = close.index.to_series().diff()
    assert str(gaps.idxmax().date()) == "2001-09-17"
    np.testing.assert_allclose(close, close.round(2), rtol=0, atol=1e-9)


def test_card_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CARDS["sp500"].n_bars = 1
    with pytest.raises(TypeError):
        CARDS["mine"] = CARDS["sp500"]
