"""A table artifact is read back as it was written, or refused in one line that says what to do."""

from contextlib import suppress

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from companion._tables import read_table, table_bytes, write_table
from companion.errors import InputError

COLUMNS = {"bar": "int32", "price": "float64"}
TABLE = pd.DataFrame({"bar": np.arange(50, dtype=np.int32), "price": np.linspace(90, 110, 50)})


def write(path, table=TABLE, kind="prices", columns=COLUMNS):
    write_table(path, table, kind=kind, columns=columns, provenance={"seed": 1})
    return path


def read(path):
    return read_table(path, kind="prices", columns=COLUMNS, made_by="companion make-prices")


def test_round_trip_and_same_bytes(tmp_path):
    first, second = write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet")
    table, provenance = read(first)
    pd.testing.assert_frame_equal(table, TABLE)
    assert provenance == {"seed": 1}
    assert first.read_bytes() == second.read_bytes()


def spoil_missing(path):
    path.unlink()


def spoil_truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def spoil_head(path):
    path.write_bytes(path.read_bytes()[:200])


def spoil_empty(path):
    path.write_bytes(b"")


def flip(path, byte, bit=0):
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


def spoil_bit(path):
    column = pq.read_metadata(path).row_group(0).column(1)
    flip(path, column.data_page_offset + column.total_compressed_size - 1)


def spoil_name(path):
    flip(path, path.read_bytes().index(b"price"), bit=7)


def spoil_text(path):
    path.write_text("bar,price\n0,1.0\n")


def spoil_foreign(path):
    pq.write_table(pa.table({"bar": [1]}), path)


def spoil_header(path):
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"companion": b"{}"}), path)


def spoil_header_text(path):
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"companion": b"hello"}), path)


def spoil_folder(path):
    path.unlink()
    path.mkdir()


def spoil_kind(path):
    write(path, kind="weather")


def spoil_no_rows(path):
    write(path, TABLE.iloc[:0])


def spoil_column(path):
    write(path, TABLE[["bar"]], columns={"bar": "int32"})


def spoil_type(path):
    write(path, columns={"bar": "int32", "price": "float32"})


def spoil_nan(path):
    write(path, TABLE.assign(price=TABLE["price"].where(TABLE["bar"] != 7)))


def spoil_infinity(path):
    write(path, TABLE.assign(price=TABLE["price"].where(TABLE["bar"] != 7, np.inf)))


def spoil_format(path):
    table = pq.read_table(path)
    header = table.schema.metadata[b"companion"].replace(b'"format": 1', b'"format": 99')
    pq.write_table(table.replace_schema_metadata({b"companion": header}), path)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_missing, "no such file"),
        (spoil_truncated, "not a whole Parquet file"),
        (spoil_head, "not a whole Parquet file"),
        (spoil_empty, "not a whole Parquet file"),
        (spoil_text, "not a whole Parquet file"),
        (spoil_bit, "damaged"),
        (spoil_name, "not a whole Parquet file"),
        (spoil_foreign, "not an artifact"),
        (spoil_header, "not an artifact"),
        (spoil_header_text, "not an artifact"),
        (spoil_folder, "no such file"),
        (spoil_kind, "'weather'"),
        (spoil_format, "format 99"),
        (spoil_no_rows, "no rows"),
        (spoil_column, "lacks the column 'price'"),
        (spoil_type, "column 'price' is float, not double"),
        (spoil_nan, "column 'price' holds a missing or non-finite"),
        (spoil_infinity, "column 'price' holds a missing or non-finite"),
    ],
)
def test_a_bad_artifact_is_refused_with_file_field_and_remedy(tmp_path, spoil, says):
    path = write(tmp_path / "prices.parquet")
    spoil(path)
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert says in message
    assert str(path) in message
    assert "companion make-prices" in message
    assert "\n" not in message


def test_no_flipped_bit_changes_a_value(tmp_path):
    path = write(tmp_path / "prices.parquet")
    whole = path.read_bytes()
    for byte in range(len(whole)):
        flip(path, byte, bit=byte % 8)
        with suppress(InputError):
            pd.testing.assert_frame_equal(read(path)[0], TABLE)
        path.write_bytes(whole)


@pytest.mark.parametrize("by_significance", [True, False])
def test_floats_are_kept_to_the_bit_however_they_are_stored(tmp_path, by_significance):
    path = tmp_path / "prices.parquet"
    content = table_bytes(TABLE, kind="prices", columns=COLUMNS, provenance={}, by_significance=by_significance)
    path.write_bytes(content)
    pd.testing.assert_frame_equal(read(path)[0], TABLE, check_exact=True)


def test_a_column_may_be_undefined_where_that_is_said(tmp_path):
    path = tmp_path / "prices.parquet"
    values = {"bar": np.arange(3, dtype=np.int32), "price": np.array([1.0, np.nan, 2.0])}
    path.write_bytes(table_bytes(values, kind="prices", columns=COLUMNS, provenance={}))
    with pytest.raises(InputError, match="column 'price' holds a missing or non-finite"):
        read(path)
    table, _ = read_table(path, kind="prices", columns=COLUMNS, made_by="make", may_be_nan=["price"])
    np.testing.assert_array_equal(table["price"], values["price"])


def test_a_table_that_does_not_fit_its_schema_is_not_written(tmp_path):
    path = write(tmp_path / "prices.parquet")
    before = path.read_bytes()
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        write(path, TABLE.assign(price="high"))
    assert path.read_bytes() == before
