"""The `companion` command. A subcommand's room is opened only when it is asked for, so that `--help` is quick."""

import importlib
import sys
from collections.abc import Sequence

import companion
from companion.pipeline._step import OneLineParser
from companion.pipeline._step import main as run_step

STEPS = {
    "generate-heston": "simulate a regime-switching Heston market",
    "train-mamba": "train Mamba on the simulated market",
    "train-filter": "train the amortized Bayes filter on simulated markets",
    "extract-regimes": "read the regimes of a price series, day by day",
    "backtest-walkforward": "backtest the regimes beside their baselines",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 something required is missing, 2 bad input."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = OneLineParser(prog="companion", description=companion.__doc__)
    parser.add_argument("--version", action="version", version=f"companion {companion.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in STEPS.items():
        commands.add_parser(name, help=summary, add_help=False)
    commands.add_parser("doctor", help="say what is installed, what is missing and how to get it")
    command = parser.parse_known_args(argv[:1])[0].command
    if command == "doctor":
        parser.parse_args(argv)
        from companion.doctor import main as doctor

        return doctor()
    module = importlib.import_module(f"companion.pipeline.{command.replace('-', '_')}")
    return run_step(module.STEP, argv[1:])
