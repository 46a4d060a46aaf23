"""The candle store: the same on SQLite and on a real PostgreSQL, whatever comes twice, late, at once or damaged."""

import itertools
import json
import sqlite3
import subprocess
import sys
import threading
import traceback
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import postgres
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.datasets import read_klines
from companion.errors import InputError
from companion.live import Candle, CandleStore, StoreGap, interval_ns
from companion.live._store_open import _write_ahead
from companion.live._store_schema import _OPENING, METADATA, MIGRATIONS, VERSION_TABLE, migrate

MINUTE = interval_ns("1m")
START = 1_700_000_000_000_000_000 // MINUTE * MINUTE
NAMES = itertools.count()


def candle(place: int, close: float = 100.5, *, step_ns: int = MINUTE) -> Candle:
    return Candle(START + place * step_ns, 100.1, max(101.3, close), min(99.7, close), close, 0.1 + place)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/candles.db"
    else:
        with postgres.database(request.getfixturevalue("server"), f"test {next(NAMES)}") as made:
            yield made


@pytest.fixture
def store(url: str) -> Iterator[CandleStore]:
    with CandleStore(url, timeout_s=20) as opened:
        yield opened


@pytest.fixture
def other(url: str) -> Iterator[sa.Connection]:
    """Another program at work on the same database."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def one_line(problem: pytest.ExceptionInfo[InputError]) -> str:
    text = str(problem.value)
    assert "\n" not in text
    return text


prices = st.floats(min_value=5e-324, max_value=9e14)


@st.composite
def candles(draw: st.DrawFn) -> Candle:
    low, first, second, high = sorted(draw(st.tuples(prices, prices, prices, prices)))
    ends = draw(st.permutations([first, second]))
    volume = draw(st.floats(min_value=0.0, max_value=9e14))
    return Candle(START + draw(st.integers(0, 12)) * MINUTE, ends[0], high, low, ends[1], volume)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def check_any_order_any_repetition(store: CandleStore, data: st.DataObject) -> None:
    whole = data.draw(st.lists(candles(), min_size=1, unique_by=lambda one: one.open_time_ns))
    batches = data.draw(st.lists(st.lists(st.sampled_from(whole))))
    symbol = f"S{next(NAMES)}"
    n_new = sum(store.upsert(symbol, "1m", batch) for batch in [*batches, whole])
    assert n_new == len(whole)  # each is new once, however often it came
    stored = store.last(symbol, "1m", 100)
    assert list(map(repr, stored)) == list(map(repr, sorted(whole)))  # to the bit
    assert store.upsert(symbol, "1m", whole) == 0


def test_any_order_and_any_repetition_give_the_same_content_to_the_bit(store: CandleStore) -> None:
    check_any_order_any_repetition(store)


def test_minus_zero_comes_back_as_zero_from_both(store: CandleStore) -> None:
    store.upsert("BTCUSDT", "1m", [candle(0)._replace(volume=-0.0)])
    assert repr(store.last("BTCUSDT", "1m", 1)[0].volume) == "0.0"


def test_a_candle_that_is_corrected_is_replaced_and_counted(store: CandleStore) -> None:
    assert store.upsert("BTCUSDT", "1m", [candle(0), candle(1)]) == 2
    assert store.upsert("BTCUSDT", "1m", [candle(1, 101.0), candle(0), candle(2, 7.0), candle(2, 8.0)]) == 2
    assert [one.close for one in store.last("BTCUSDT", "1m", 9)] == [100.5, 101.0, 8.0]
    assert store.upsert("BTCUSDT", "1m", []) == 0


def test_last_and_between_are_ascending_and_of_their_key_alone(store: CandleStore) -> None:
    wanted = [candle(place) for place in range(6)]
    store.upsert("BTCUSDT", "1m", reversed(wanted))
    store.upsert("ETHUSDT", "1m", [candle(9)])
    store.upsert(
        "BTCUSDT", "3m", [candle(3, step_ns=3 * MINUTE)._replace(open_time_ns=START // MINUTE // 3 * 3 * MINUTE)]
    )
    assert store.last("BTCUSDT", "1m", 2) == wanted[-2:]
    assert store.last("BTCUSDT", "1m", 100) == wanted
    assert store.between("BTCUSDT", "1m", wanted[1].open_time_ns, wanted[4].open_time_ns) == wanted[1:4]
    assert store.between("BTCUSDT", "1m", wanted[1].open_time_ns + 1, 2**70) == wanted[2:]
    assert store.between("BTCUSDT", "1m", wanted[1].open_time_ns, wanted[1].open_time_ns) == []
    assert (store.count("BTCUSDT", "1m"), store.count("SOLUSDT", "1m"), store.last("SOLUSDT", "1m", 1)) == (6, 0, [])


@given(places=st.sets(st.integers(0, 30)))
@settings(max_examples=20, deadline=None)
def check_gaps(store: CandleStore, places: set[int]) -> None:
    symbol = f"S{next(NAMES)}"
    store.upsert(symbol, "1m", map(candle, places))
    gaps = store.gaps(symbol, "1m")
    inside = set(range(min(places), max(places))) if places else set()
    missing = {START + place * MINUTE for place in inside - places}
    assert missing == {time_ns for gap in gaps for time_ns in range(gap.after_ns + MINUTE, gap.before_ns, MINUTE)}
    assert sum(gap.n_missing for gap in gaps) == len(missing)
    assert list(gaps) == sorted(gaps)


def test_gaps_are_what_is_missing_between_first_and_last(store: CandleStore) -> None:
    check_gaps(store)


def test_a_candle_of_another_program_between_the_beats_is_an_overlap_and_no_gap(
    store: CandleStore, other: sa.Connection
) -> None:
    store.upsert("BTCUSDT", "1m", [candle(0), candle(2)])
    wrong = START + MINUTE // 2
    other.exec_driver_sql(f"INSERT INTO candles VALUES ('BTCUSDT', '1m', {wrong}, 1, 1, 1, 1, 1)")
    other.commit()
    assert store.overlaps("BTCUSDT", "1m") == (wrong,)
    assert store.gaps("BTCUSDT", "1m") == (StoreGap(START, START + 2 * MINUTE, 1),)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (candle(1)._replace(open_time_ns=START + 1), "open_time_ns must be a multiple of the interval"),
        (candle(1)._replace(open_time_ns=-MINUTE), "open_time_ns must be a multiple of the interval"),
        (candle(1)._replace(close=float("nan")), "close must be a positive number, got nan"),
        (candle(1)._replace(high=float("inf")), "high must be a positive number"),
        (candle(1)._replace(low=0.0), "low must be a positive number"),
        (candle(1)._replace(low=100.2), "low must be at most open and close"),
        (candle(1)._replace(high=100.2), "high must be at least open and close"),
        (candle(1)._replace(volume=-1.0), "volume must be a number from 0 on"),
    ],
)
def test_what_is_no_candle_is_refused_and_nothing_of_the_call_is_stored(
    tmp_path: Path, wrong: Candle, complaint: str
) -> None:
    with CandleStore(f"sqlite:///{tmp_path}/candles.db") as store:
        with pytest.raises(ValueError, match=rf"^candles\[1\]\.{complaint}"):
            store.upsert("BTCUSDT", "1m", [candle(0), wrong])
        with pytest.raises(ValueError, match="interval must be"):
            store.upsert("BTCUSDT", "1 minute", [candle(0)])
        with pytest.raises(ValueError, match="symbol must be"):
            store.upsert("", "1m", [candle(0)])
        assert store.count("BTCUSDT", "1m") == 0


def test_threads_share_a_store(store: CandleStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        counts = pool.map(lambda place: store.upsert("BTCUSDT", "1m", [candle(place), candle(place + 1)]), range(40))
        assert sum(counts) == 41
    assert store.gaps("BTCUSDT", "1m") == ()


WRITER = """
import sys
from companion.live import Candle, CandleStore
url, own, start, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
print("ready", flush=True)
sys.stdin.readline()
shared = [Candle(start + i * step, 1.0 + own, 1.0 + own, 1.0 + own, 1.0 + own, own) for i in range(100)][:: 1 - 2 * own]
with CandleStore(url, timeout_s=60) as store:
    for turn in range(40):
        assert store.upsert("OWN%d" % own, "1m", [shared[turn]]) == 1
        store.upsert("SHARED", "1m", shared)
"""


def test_two_writers_at_once_lose_nothing_and_mix_nothing(url: str) -> None:
    command = [sys.executable, "-c", WRITER, url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    writers = [
        subprocess.Popen([*command, str(own), str(START), str(MINUTE)], **pipes)  # type: ignore[call-overload]
        for own in (0, 1)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:  # both make the database, too
        writer.stdin.write("go\n")
        writer.stdin.flush()
    complaints = [writer.communicate(timeout=120)[1] for writer in writers]
    assert complaints == ["", ""]
    with CandleStore(url) as store:
        assert [store.count(f"OWN{own}", "1m") for own in (0, 1)] == [40, 40]
        assert len(store.between("SHARED", "1m", 0, 2**62)) == 100
        assert len({one.close for one in store.last("SHARED", "1m", 100)}) == 1  # each transaction whole


def test_the_migrations_make_the_table_that_the_code_uses(store: CandleStore, other: sa.Connection) -> None:
    context = MigrationContext.configure(other, opts={"version_table": VERSION_TABLE, "compare_type": True})
    assert compare_metadata(context, METADATA) == []


NEXT = '''
"""A later version."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade() -> None:
    op.add_column("candles", sa.Column("n_trades", sa.Integer))
'''


def test_an_older_version_is_migrated_with_its_content_and_a_newer_one_refused(
    store: CandleStore, other: sa.Connection, url: str, tmp_path: Path
) -> None:
    store.upsert("BTCUSDT", "1m", [candle(0)])
    later = tmp_path / "100% later"
    (later / "versions").mkdir(parents=True)
    for file in ("env.py", "versions/candles_0001.py"):
        (later / file).write_text((MIGRATIONS / file).read_text())
    (later / "versions" / "candles_0002.py").write_text(NEXT)
    migrate(other, "store", later)
    other.commit()
    row = other.exec_driver_sql("SELECT close, n_trades FROM candles").one()
    assert tuple(row) == (100.5, None)
    other.commit()
    with pytest.raises(InputError) as problem:
        CandleStore(url)
    assert "its schema version '0002' is unknown" in one_line(problem)
    assert other.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar_one() == "0002"


def test_another_application_s_database_is_refused_and_left_as_it_was(other: sa.Connection, url: str) -> None:
    other.exec_driver_sql("CREATE TABLE invoices (amount INTEGER)")
    other.commit()
    file = Path(sa.make_url(url).database)
    before = file.read_bytes() if file.exists() else b""
    with pytest.raises(InputError) as problem:
        CandleStore(url)
    assert "tables of another application (invoices)" in one_line(problem)
    assert sa.inspect(other).get_table_names() == ["invoices"]
    assert before == (file.read_bytes() if file.exists() else b"")


@pytest.mark.parametrize("damage", ["no database", "cut short", "a page overwritten"])
def test_a_damaged_file_is_refused_and_left_as_it_was(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "candles.db"
    with CandleStore(f"sqlite:///{file}") as store:
        store.upsert("BTCUSDT", "1m", map(candle, range(2000)))
    whole = file.read_bytes()
    half = len(whole) // 2 // 4096 * 4096
    damaged = {
        "no database": b"These are not the bytes you are looking for. " * 300,
        "cut short": whole[:half],
        "a page overwritten": whole[:half] + b"\xff" * 4096 + whole[half + 4096 :],
    }[damage]
    file.write_bytes(damaged)
    with pytest.raises(InputError) as problem:
        CandleStore(f"sqlite:///{file}")
    assert "damaged or no database; move it away" in one_line(problem)
    assert file.read_bytes() == damaged


@pytest.mark.parametrize("place", ["no such folder/candles.db", "."])
def test_a_place_without_a_file_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(InputError) as problem:
        CandleStore(f"sqlite:///{tmp_path}/{place}")
    assert "can not be opened for writing" in one_line(problem)


def test_a_locked_database_is_one_line_and_goes_on_when_it_is_free(other: sa.Connection, url: str) -> None:
    lite = url.startswith("sqlite")
    with CandleStore(url, timeout_s=0.05) as waiting:
        waiting.upsert("BTCUSDT", "1m", [candle(0)])
        other.exec_driver_sql("BEGIN IMMEDIATE" if lite else "LOCK TABLE candles IN EXCLUSIVE MODE")
        with pytest.raises(InputError) as problem:
            waiting.upsert("BTCUSDT", "1m", [candle(1)])
        assert "locked by another program" in one_line(problem)
        assert waiting.last("BTCUSDT", "1m", 9) == [candle(0)]  # who only reads does not wait
        if not lite:
            other.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_OPENING,))
        with pytest.raises(InputError) as problem:
            CandleStore(url, timeout_s=0.05)
        assert "locked by another program" in one_line(problem)
        other.rollback()
        assert waiting.upsert("BTCUSDT", "1m", [candle(1)]) == 1


def test_the_write_ahead_log_is_waited_for_where_sqlite_itself_does_not(tmp_path: Path) -> None:
    file = tmp_path / "candles.db"
    writer = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    writer.execute("CREATE TABLE candles (close REAL)")
    writer.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.2, writer.rollback)
    end.start()
    engine = sa.create_engine(f"sqlite:///{file}")
    _write_ahead(engine, 60.0)
    engine.dispose()
    end.join()
    writer.close()
    assert file.read_bytes()[18] == 2  # in the header of a file: it has such a log


FULL = """
import json, os, resource, sys
from companion.errors import InputError
from companion.live import Candle, CandleStore
file, start, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
candles = [Candle(start + i * step, 1.0, 1.0, 1.0, 1.0, 1.0) for i in range(20_000)]
told = {}
with CandleStore("sqlite:///" + file) as store:
    store.upsert("BTCUSDT", "1m", candles[:100])
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        store.upsert("BTCUSDT", "1m", candles)
    except InputError as error:
        told["complaint"] = str(error)
    told["last"] = store.last("BTCUSDT", "1m", 200) == candles[:100]
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told["new"] = store.upsert("BTCUSDT", "1m", candles)
print(json.dumps(told))
"""


def test_a_full_disk_is_one_line_loses_nothing_and_goes_on_with_room(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "candles.db"), str(START), str(MINUTE)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert "make room" in told["complaint"]
    assert "\n" not in told["complaint"]
    assert (told["last"], told["new"]) == (True, 19_900)


def test_a_server_s_full_disk_is_one_line_and_loses_nothing(server: str) -> None:
    """The server's own error, raised by a trigger: a small disk would take rights that tests do not have."""
    with postgres.database(server, "full") as url, CandleStore(url) as store:
        store.upsert("BTCUSDT", "1m", [candle(0)])
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.open_time_ns "
                f"> {START + MINUTE} THEN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END IF; RETURN NEW; END $$"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER full_disk BEFORE INSERT ON candles FOR EACH ROW EXECUTE FUNCTION full_disk()"
            )
        engine.dispose()
        with pytest.raises(InputError) as problem:
            store.upsert("BTCUSDT", "1m", [candle(1), candle(2)])
        assert "no room left" in one_line(problem)
        assert store.last("BTCUSDT", "1m", 9) == [candle(0)]


def test_a_connection_that_the_server_ended_is_made_anew(server: str) -> None:
    with postgres.database(server, "ended") as url, CandleStore(url) as store:
        store.upsert("BTCUSDT", "1m", [candle(0)])
        engine = sa.create_engine(server)
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'ended'"
            )
        engine.dispose()
        assert store.last("BTCUSDT", "1m", 9) == [candle(0)]


SECRET = "hunter2/#? !"


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        (f"postgresql://book:{SECRET}@127.0.0.1:9/candles", "no such server or database answers"),
        (f"postgresql://book:{SECRET}@127.0.0.1:port/candles", "can not be read"),
        (f"postgresql+asyncpg://book:{SECRET}@127.0.0.1:9", "no such server or database answers"),
        (f"mysql://book:{SECRET}@127.0.0.1:9/candles", "can not be read"),
        (f"postgresql://book:a@{SECRET}@127.0.0.1:9/candles", "an @ in its password, or a password in its query"),
        (
            f"postgresql://book@127.0.0.1:9/candles?password={SECRET}",
            "an @ in its password, or a password in its query",
        ),
        (SECRET, "can not be read"),
        ("sqlite://", "names no file"),
    ],
)
def test_a_bad_address_is_one_line_and_never_shows_its_password(address: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as problem:
        CandleStore(address, timeout_s=1)
    assert "\n" not in str(problem.value)
    whole = "".join(traceback.format_exception(problem.value))
    assert "hunter2" not in whole.replace("CandleStore(address", "")


def test_a_password_is_hidden_and_one_that_is_refused_not_shown(server: str) -> None:
    with (
        postgres.database(server, "open house") as url,
        CandleStore(url.replace("book@", "book:hunter2@")) as store,
    ):
        assert "***" in store.shown_url
        assert "hunter2" not in repr(store) + store.shown_url
    with postgres.database(server, postgres.GUARDED) as url:
        for guarded in (url, url.replace("book@", "book:hunter2@")):
            with pytest.raises(InputError, match=r"put the password into ~/\.pgpass") as problem:
                CandleStore(guarded)
            assert "hunter2" not in "".join(traceback.format_exception(problem.value))


@pytest.mark.parametrize("interval", ["100ms", "1m", "4h"])
def test_files_bring_back_the_same_candles_to_the_bit(tmp_path: Path, interval: str) -> None:
    step_ns = interval_ns(interval)
    first = candle(0)._replace(open_time_ns=START // step_ns * step_ns, close=100.1 + 1e-13, volume=5e-324)
    wanted = [first._replace(open_time_ns=first.open_time_ns + place * step_ns) for place in (0, 1, 5)]
    key = {"symbol": "BTCUSDT", "interval": interval}
    with CandleStore(f"sqlite:///{tmp_path}/from.db") as source:
        source.upsert("BTCUSDT", interval, wanted)
        assert source.export_csv(tmp_path / "candles.csv", **key) == 3
        assert source.export_parquet(tmp_path / "candles.parquet", **key) == 3
    with zipfile.ZipFile(tmp_path / "candles.zip", "w") as archive:
        archive.write(tmp_path / "candles.csv", "candles.csv")
    for file in ("candles.csv", "candles.zip", "candles.parquet"):
        with CandleStore(f"sqlite:///{tmp_path}/{file}.db") as store:
            read = store.import_parquet if file.endswith("parquet") else store.import_csv
            assert read(tmp_path / file, **key) == 3
            assert list(map(repr, store.last("BTCUSDT", interval, 9))) == list(map(repr, wanted))
            assert read(tmp_path / file, **key) == 0


SPOT = "{open_us},100.1,101.3,99.7,100.5,3.25,{close_us},1,2,3,4,0\n"


def test_a_binance_file_is_read_as_the_other_reader_of_minutes_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "BTCUSDT-1m.csv"
    times = [START // 1000 + place * 60_000_000 for place in (1, 0, 3, 1)]  # disordered, repeated, in µs, no header
    file.write_text("".join(SPOT.format(open_us=time_us, close_us=time_us + 59_999_999) for time_us in times))
    bars = read_klines(file).bars
    with CandleStore(f"sqlite:///{tmp_path}/candles.db") as store:
        assert store.import_csv(file, symbol="BTCUSDT", interval="1m") == 3
        stored = store.last("BTCUSDT", "1m", 9)
    assert [one.open_time_ns + MINUTE for one in stored] == bars.time_ns.tolist()
    assert [one.close for one in stored] == bars.close.tolist()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with CandleStore(f"sqlite:///{tmp_path}/candles.db") as store:
        store.upsert("BTCUSDT", "1m", map(candle, range(5)))
        store.export_csv(tmp_path / "candles.csv", symbol="BTCUSDT", interval="1m")
        store.export_parquet(tmp_path / "candles.parquet", symbol="BTCUSDT", interval="1m")
        with pytest.raises(InputError, match=r"candles.csv: line 2: 59\.999 s from open_time to close_time, not 5m"):
            store.import_csv(tmp_path / "candles.csv", symbol="BTCUSDT", interval="5m")
        with pytest.raises(InputError, match="holds candles of BTCUSDT 1m, not ETHUSDT 1m"):
            store.import_parquet(tmp_path / "candles.parquet", symbol="ETHUSDT", interval="1m")
        with pytest.raises(InputError, match="holds no candles of ETHUSDT 1m"):
            store.export_csv(tmp_path / "no.csv", symbol="ETHUSDT", interval="1m")
        assert store.count("ETHUSDT", "1m") + store.count("BTCUSDT", "5m") == 0
