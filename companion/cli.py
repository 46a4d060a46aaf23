"""The `companion` command. A subcommand's room is opened only when it is asked for, so that `--help` is quick."""

import difflib
import sys
from collections.abc import Sequence

from cyclopts import App

import companion
from companion.pipeline._step import call, refuse

STEPS = {
    "generate-heston": "simulate a regime-switching Heston market",
    "train-mamba": "train Mamba on the simulated market",
    "train-filter": "train the amortized Bayes filter on simulated markets",
    "fit-detector": "fit the detector that ships with the package to its model",
    "extract-regimes": "read the regimes of a price series, day by day",
    "backtest-walkforward": "backtest detectors on prices, beside what needs none",
    "sweep-strategies": "try many strategies on prices, and say what luck the best one had",
    "backtest-execution": "trade minute bars and quotes in NautilusTrader, with limits, and account for every cost",
}
COMMANDS = {name: (f"companion.pipeline.{name.replace('-', '_')}:APP", summary) for name, summary in STEPS.items()}
COMMANDS["live"] = ("companion.pipeline.live:APP", "run the desk live on paper, on a simulated exchange or real data")
COMMANDS["breaker"] = ("companion.pipeline.breaker:APP", "stop live trading by hand, see why it stopped, let it go on")
COMMANDS["live-replay"] = ("companion.pipeline.live_replay:APP", "make every decision of an audit log again")
COMMANDS["doctor"] = ("companion.doctor:main", "say what is installed, what is missing and how to get it")
FLAGS = ("--help", "-h", "--version")


def app() -> App:
    """Return the command with its subcommands, none of which is imported yet."""
    whole = App(
        name="companion", help=companion.__doc__, version=f"companion {companion.__version__}", help_format="plaintext"
    )
    for place, (name, (where, summary)) in enumerate(COMMANDS.items()):
        whole.command(where, name=name, help=summary, sort_key=place)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 something required is missing, 2 bad input."""
    argv = sys.argv[1:] if argv is None else argv
    first = next(iter(argv), "")
    if first not in (*COMMANDS, *FLAGS):  # the library would import every command to name those there are
        near = difflib.get_close_matches(first, COMMANDS, n=1)
        what = f"did you mean {near[0]!r}?" if near else f"the first word must be one of {', '.join(COMMANDS)}"
        return refuse("companion", f"no command {first!r}; {what}; see companion --help")
    if first in FLAGS:  # help, of a command if one follows, whatever else there is
        argv = [first, *(word for word in argv[1:2] if word in COMMANDS)]
    return call(app(), argv)
