"""A step's configuration comes from flags and a TOML file, and is refused before anything runs."""

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.errors import InputError
from companion.pipeline._settings import help_texts, make_config, read_flags
from companion.pipeline._step import Step, check_output, guarded, main


@dataclass(frozen=True)
class Toy:
    """A toy.

    Attributes
    ----------
    n_paths : int
        Paths, at least 1.
    rate, name : str
        A share, or
        a word.
    horizons : tuple of int
        Horizons, in bars.
    """

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


def test_the_settings_of_a_report_are_those_of_its_run(tmp_path):
    file = tmp_path / "report.json"
    file.write_text('{"provenance": {"config": {"n_paths": 7, "rate": 0.25}}}')
    assert make_config(Toy, file=file, flags={"n_paths": 9}) == Toy(9, 0.25)
    for text in ('{"provenance": {}}', "[]", '{"provenance": {"config": 3}}'):
        file.write_text(text)
        with pytest.raises(InputError, match=r"report.json: lacks provenance.config; give --config a TOML file"):
            make_config(Toy, file=file)


def test_a_bad_flag_is_named():
    with pytest.raises(InputError, match="--n-paths: n_paths must be at least 1, got -4"):
        make_config(Toy, flags={"n_paths": -4})


@dataclass(frozen=True)
class Together:
    """Settings that are wrong only together, in words that name another one.

    Attributes
    ----------
    first, second, rate : int
        Numbers.
    """

    first: int = 1
    second: int = 1
    rate: int = 1

    def __post_init__(self):
        if self.first * self.second > 10:
            raise ValueError("the product must be at most ten, a rate of no use")
        if self.rate < 0:
            raise ValueError("negative")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"first": 20, "rate": 2}, "--first"),
        ({"rate": 2, "first": 5, "second": 5}, "--first, --second"),
        ({"rate": -1, "first": 5}, "--rate"),
        ({"rate": -1, "first": 20}, "--first"),  # the first complaint; the other comes when this one is mended
    ],
)
def test_the_guilty_flag_is_the_one_without_which_the_complaint_is_another(flags, named):
    with pytest.raises(InputError) as caught:
        make_config(Together, flags=flags)
    assert str(caught.value).partition(": ")[0] == named


def test_a_flag_and_a_key_that_are_wrong_together_are_both_named(tmp_path):
    file = write(tmp_path, "second = 5")
    with pytest.raises(InputError, match=r"toy.toml, --first: the product"):
        make_config(Together, file=file, flags={"first": 5})


def test_the_help_of_a_setting_is_its_docstring():
    assert help_texts(Toy)["rate"] == help_texts(Toy)["name"] == "A share, or a word."

    @dataclass(frozen=True)
    class Silent(Toy):
        """Says nothing."""

        volume: int = 3

    with pytest.raises(TypeError, match="Silent must say in its docstring what volume is"):
        help_texts(Silent)


@pytest.mark.parametrize("word", ["1.5", "many", "", "0x10", "1e3", "true"])
def test_a_whole_number_is_never_rounded(word):
    with pytest.raises(InputError, match=r"--n-paths must be a whole number, got .*; see --help"):
        read_flags(Toy, {"n_paths": [word]})
    assert read_flags(Toy, {"n_paths": ["12"], "horizons": ["1", "2"], "rate": ["1e-3"], "name": ["1"]}) == {
        "n_paths": 12,
        "horizons": (1, 2),
        "rate": 0.001,
        "name": "1",
    }


def test_a_file_of_a_windows_program_is_read(tmp_path):
    file = tmp_path / "toy.toml"
    file.write_bytes("n_paths = 7\r\n".encode("utf-8-sig"))
    assert make_config(Toy, file=file).n_paths == 7


@dataclass(frozen=True)
class Asked(Toy):
    """What a file does not say.

    Attributes
    ----------
    adjusted : bool or None
        Yes or no.
    order : str
        Up or down.
    """

    adjusted: bool | None = None
    order: Literal["up", "down"] = "up"


def test_a_class_that_extends_another_has_its_settings_and_their_help():
    assert help_texts(Asked)["rate"] == help_texts(Toy)["rate"]
    read = read_flags(Asked, {"adjusted": ["no"], "order": ["down"], "n_paths": ["4"]})
    assert make_config(Asked, flags=read) == Asked(4, adjusted=False, order="down")
    assert read_flags(Asked, {"adjusted": ["yes"]}) == {"adjusted": True}
    with pytest.raises(InputError, match="--adjusted must be yes or no, got 'true'; see --help"):
        read_flags(Asked, {"adjusted": ["true"]})


def test_a_setting_may_take_the_place_of_an_input(tmp_path, capsys):
    seen = []

    def run(config, inputs, output, report):
        """Look."""
        seen.append(sorted(inputs))
        return "seen"

    toy = Step(
        "toy", Asked, inputs={"data": "in.parquet"}, output=f"{tmp_path}/o.json", run=run, instead={"adjusted": "data"}
    )
    assert (main(toy, []), main(toy, ["--adjusted", "yes"]), main(toy, ["--data", "x"])) == (0, 0, 0)
    assert seen == [["data"], [], ["data"]]
    assert main(toy, ["--adjusted", "no", "--data", "x"]) == 2
    assert "--adjusted and --data: one takes the place of the other; give one of them" in capsys.readouterr().err


words = st.sampled_from(
    ["--n-paths", "--n-path", "--rate=2", "--horizons", "1", "-4", "x", "--out", "[red]", "--", "-h"]
)


@given(st.lists(words | st.text(max_size=6), max_size=5))
@settings(derandomize=True, deadline=None, max_examples=100)
def test_any_words_are_a_command_or_one_line_of_complaint(tmp_path_factory, argv):
    out = tmp_path_factory.mktemp("toy") / "out.json"
    toy = Step("make-toy", Toy, inputs={}, output=str(out), run=lambda *_: "one")
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as error:
        status = main(toy, argv)
    assert status in (0, 2)
    assert error.getvalue().count("\n") == (status == 2)


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


def test_an_output_that_is_a_link_is_judged_by_what_it_leads_to(tmp_path):
    (tmp_path / "folder").mkdir()
    for name, target in (("a.parquet", "folder"), ("b.parquet", "not yet there"), ("c.parquet", "c.parquet")):
        (tmp_path / name).symlink_to(tmp_path / target)
    check_output(tmp_path / "a.parquet", suffix=".parquet", inputs=[], folder=True)
    check_output(tmp_path / "b.parquet", suffix=".parquet", inputs=[])
    for name, inputs, says in (
        ("a.parquet", [], "is a folder; name a file"),
        ("b.parquet", [tmp_path / "not yet there"], "is an input of this step"),
        ("c.parquet", [], "leads to itself"),
    ):
        with pytest.raises(InputError, match=says):
            check_output(tmp_path / name, suffix=".parquet", inputs=inputs)


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
