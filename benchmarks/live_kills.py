"""`companion live` killed by SIGKILL at random moments, restarted each time, its folder verified after each kill.

`python benchmarks/live_kills.py --kills 100 --seed 0`. The service trades on bars of 100 ms with no dead band, at 200
quotes a second. A kill comes at any time from the start on; in a quarter of the lives just after another process has
tripped the breaker, in some after SIGTERM, or when the exchange is silent. The table says what was going on, and what
was verified; whatever is wrong ends it with an AssertionError.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _timing import Row, main

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "live"))
from killing_service import Drill


def drill(n_kills: int, seed: int) -> list[Row]:
    """Kill, restart and verify; the table."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        killed = Drill(Path(folder), n_kills=n_kills, seed=seed)
        lines = killed.run().lines
    wall_s = time.monotonic() - began
    cpu_s = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    stages, kinds = Counter(kill.stage for kill in killed.kills), Counter(line.kind for line in lines)
    counts = {f"killed: {stage}": (n, "kills") for stage, n in sorted(stages.items())}
    counts |= {
        "refused to start, tripped": (killed.n_refused, "starts"),
        "audit lines, none lost": (len(lines), "lines"),
        "torn lines recognized": (kinds["torn"], "lines"),
        "orders, none sent twice": (kinds["order"], "orders"),
        "fills, adding up to the position": (kinds["fill"], "fills"),
    }
    rows = [Row(case, "companion", n, unit) for case, (n, unit) in counts.items() if n]
    rows.append(Row("a kill, a restart and a look", "companion", wall_s / n_kills, "s"))
    rows.append(Row("a kill, a restart and a look", "CPU time", cpu_s / n_kills, "s", cpu_s / wall_s))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    question = f"{options.kills} times SIGKILL at a random moment under load, seed {options.seed}"
    main("live_kills", lambda tiny: drill(1 if tiny else options.kills, options.seed), question)
