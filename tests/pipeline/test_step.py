"""A step's configuration comes from flags and a TOML file, and is refused before anything runs."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.errors import InputError
from companion.pipeline._step import Step, check_output, guarded, main, make_config


@dataclass(frozen=True)
class Toy:
    n_paths: int = 3
    rate: float = 0.5
    name: str = "toy"
    horizons: tuple[int, ...] = (5, 20)

    def __post_init__(self):
        if self.n_paths < 1:
            raise ValueError(f"n_paths must be at least 1, got {self.n_paths}")


def write(tmp_path, text):
    file = tmp_path / "toy.toml"
    file.write_text(text)
    return file


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    file = write(tmp_path, "n_paths = 7\nrate = 1\nhorizons = [1, 2, 3]\n")
    assert make_config(Toy, file=file, flags={"n_paths": 9}) == Toy(9, 1.0, "toy", (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n_path = 7", "unknown key 'n_path'; did you mean 'n_paths'?"),
        ("zebra = 7", "unknown key 'zebra'; known keys: n_paths, rate, name, horizons"),
        ("n_paths = 0", "n_paths must be at least 1, got 0"),
        ("n_paths = 1.5", "n_paths must be int, got 1.5"),
        ("n_paths = true", "n_paths must be int, got True"),
        ("rate = 'high'", "rate must be float, got 'high'"),
        ("horizons = 5", "horizons must be a list, got 5"),
        ("horizons = ['a']", "horizons must be int, got 'a'"),
        ("n_paths = ", "not TOML"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_field(tmp_path, text, says):
    file = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        make_config(Toy, file=file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        make_config(Toy, file=tmp_path / "absent.toml")


def test_a_bad_flag_is_named():
    with pytest.raises(InputError, match="--n-paths: n_paths must be at least 1, got -4"):
        make_config(Toy, flags={"n_paths": -4})


@given(st.binary(max_size=60))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_any_bytes_as_a_config_are_read_or_refused(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("toml") / "any.toml"
    file.write_bytes(data)
    try:
        read = make_config(Toy, file=file)
    except InputError as error:
        read = error
    assert isinstance(read, Toy) or "any.toml" in str(read)


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path):
    check_output(tmp_path / "new.parquet", suffix=".parquet", inputs=[])
    folder, file = tmp_path / "a.parquet", tmp_path / "b.parquet"
    folder.mkdir()
    file.touch()
    for out, wants_folder, says in ((folder, False, "is a folder; name a file"), (file, True, "is a file; name a fol")):
        check_output(out, suffix=".parquet", inputs=[], folder=not wants_folder)
        with pytest.raises(InputError, match=says):
            check_output(out, suffix=".parquet", inputs=[], folder=wants_folder)


def test_exit_status(capsys):
    def bad_input():
        raise InputError("prices.csv: close is -1 on 2020-01-02; remove the row")

    def interrupt():
        raise KeyboardInterrupt

    assert guarded("x", lambda: None) == 0
    assert guarded("x", bad_input) == 2
    assert capsys.readouterr().err == "companion x: prices.csv: close is -1 on 2020-01-02; remove the row\n"
    assert guarded("x", interrupt) == 130
    assert "as it was" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        guarded("x", lambda: 1 // 0)


def test_a_step_runs_with_its_files_and_says_what_came_out(tmp_path, capsys):
    seen = []

    def run(config, inputs, output, report):
        """Make a toy."""
        report(1, 2)
        seen.append((config, inputs, output))
        return "one toy"

    toy = Step("make-toy", Toy, inputs={"data": "in.parquet"}, output="out.json", run=run)
    out = tmp_path / "out.json"
    assert main(toy, ["--out", str(out), "--data", "d", "--horizons", "1", "2", "--rate", "2"]) == 0
    [(config, inputs, output)] = seen
    assert (config.horizons, config.rate, str(inputs["data"]), output) == ((1, 2), 2.0, "d", out)
    assert capsys.readouterr().out.startswith(f"make-toy: one toy -> {out}")
