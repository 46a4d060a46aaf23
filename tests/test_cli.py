"""The command line: light, one line of complaint, help that is true, and words that any terminal can take."""

import importlib
import io
import math
import os
import re
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.cli import COMMANDS, STEPS, main
from companion.errors import InputError
from companion.pipeline._settings import help_texts, make_config, read_flags, scalar

CONFIGS = {name: importlib.import_module(f"companion.pipeline.{name.replace('-', '_')}").STEP.config for name in STEPS}
SETTINGS = [(name, field.name) for name, config in CONFIGS.items() for field in fields(config)]


PROGRAM = """
import sys
from companion.cli import main
status = main(sys.argv[1:])
print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)
sys.exit(status)
"""


def run(*argv, encoding="utf-8"):
    """Run the command in a process of its own; the last line of its standard error is what it has imported."""
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    return subprocess.run([sys.executable, "-c", PROGRAM, *argv], capture_output=True, env=environment, timeout=1200)


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["nonsense"], [], ["--nonsense"]])
def test_no_room_is_opened_for_help_or_for_a_mistake(argv):
    done = run(*argv)
    loaded = set(done.stderr.decode().splitlines()[-1].split())
    assert "companion" in loaded
    assert not loaded & {"torch", "numba", "pandas", "numpy", "sklearn", "scipy", "pyarrow", "plotly"}
    assert done.returncode == (0 if argv and argv[0] in ("--help", "--version") else 2)


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
@pytest.mark.parametrize("argv", [["--help"], ["数据"], ["generate-heston", "--market", "数据"]])
def test_a_narrow_terminal_gets_every_word(argv, encoding):
    done = run(*argv, encoding=encoding)
    assert done.returncode == (0 if argv == ["--help"] else 2)
    assert b"Traceback" not in done.stderr
    if "数据" in argv:
        assert rb"\u6570\u636e" in done.stderr
        assert done.stderr.count(b"\n") == 2  # the complaint, and what was imported


def test_every_command_is_listed_in_the_order_of_the_work(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    places = [said.index(f" {name} ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize(("step", "name"), SETTINGS)
def test_every_setting_says_what_it_is(step, name):
    text = help_texts(CONFIGS[step])[name]
    assert text.endswith(".")
    if scalar(get_type_hints(CONFIGS[step])[name]) in (int, float):
        assert re.search(r"at least|above|below|\d to ", text), text  # every number has its range


NUMBER = r"-?\d+(?:\.\d+)?"
RANGE = re.compile(rf"at least ({NUMBER})|({NUMBER}) to ({NUMBER})")
CLOSED = [pair for pair in SETTINGS if RANGE.search(help_texts(CONFIGS[pair[0]])[pair[1]])]


@pytest.mark.parametrize(("step", "name"), CLOSED)
def test_the_range_that_help_states_is_the_one_that_is_kept(step, name):
    config, flag = CONFIGS[step], f"--{name.replace('_', '-')}"
    real, several = get_type_hints(config)[name] in (float, float | None), isinstance(getattr(config, name), tuple)
    ends = [float(end) for end in RANGE.search(help_texts(config)[name]).groups() if end is not None]
    for end, outward in zip(ends, (-1, 1), strict=False):
        beyond = math.nextafter(end, outward * math.inf) if real else end + outward
        for value in (end, beyond):
            flags = read_flags(config, {name: [repr(value if real else int(value))]})
            assert several == isinstance(flags[name], tuple)
            if value == end:
                make_config(config, flags=flags)
                continue
            with pytest.raises(InputError, match=f"^{flag}: "):
                make_config(config, flags=flags)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "the first word must be one of generate-heston, "),
        (["nonsense"], "no command 'nonsense'"),
        (["generat-heston"], "did you mean 'generate-heston'?"),
        (["doctor", "extra"], "extra"),
        (["generate-heston", "--paths", "many"], "--paths must be a whole number, got 'many'"),
        (["generate-heston", "--path", "4"], "Did you mean --paths?"),
        (["generate-heston", "--paths"], "--paths requires an argument"),
        (["generate-heston", "4"], "4"),
    ],
)
def test_a_wrong_command_is_one_line_that_ends_in_the_remedy(capsys, argv, says):
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert says in said.err
    assert "--help" in said.err
    assert said.err.startswith(f"companion {argv[0]}: " if argv and argv[0] in COMMANDS else "companion: ")


@given(st.lists(st.text(max_size=8), min_size=1, max_size=3).filter(lambda argv: argv[0] not in COMMANDS))
@settings(derandomize=True, deadline=None, max_examples=100)
def test_any_first_word_is_help_or_one_line(argv):
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as error:
        status = main(argv)
    assert status == (0 if argv[0] in ("--help", "-h", "--version") else 2)
    assert error.getvalue().count("\n") == (status == 2)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_runs_as_a_module_of_its_own(step, monkeypatch, capsys):
    module = f"companion.pipeline.{step.replace('-', '_')}"
    monkeypatch.setattr(sys, "argv", [module, "--seed", "-1"])
    monkeypatch.delitem(sys.modules, module)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module(module, run_name="__main__")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"companion {step}: --seed: seed must be")
