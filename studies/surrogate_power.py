"""Size and power of the tests of `companion.chaos`: how often each says no where it must not, and where it should."""

import json
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from companion.chaos import (
    bds_test,
    correlation_sum_at,
    fit_garch,
    leverage,
    permutation_entropy,
    prediction_error,
    surrogate_test,
    time_reversal_asymmetry,
    zero_one_test,
)
from companion.chaos._surrogates import Null
from studies._chaos_processes import PROCESSES, Floats
from studies._study import Report, Row, Study
from studies._study import main as run_as_program

STATISTICS: dict[str, Callable[[Floats], float]] = {
    "time reversal": time_reversal_asymmetry,
    "prediction error": prediction_error,
    "permutation entropy": permutation_entropy,
    "leverage": leverage,
    "correlation sum": correlation_sum_at,
}
"""All with their defaults, in one draw of surrogates."""
BDS_DIMENSIONS = (2, 3, 5)


def _residual_bds(dimension: int, series: Floats) -> float:
    """The BDS statistic of what a GARCH fitted to the series leaves of it."""
    table = _bds_of_residuals(series.tobytes())
    return float(table.loc[table["dimension"] == dimension, "z"].iloc[0])


@lru_cache(maxsize=1)
def _bds_of_residuals(series: bytes) -> pd.DataFrame:
    return bds_test(fit_garch(np.frombuffer(series)).residuals, max_dimension=max(BDS_DIMENSIONS))


RESIDUAL_STATISTICS: dict[str, Callable[[Floats], float]] = {
    f"BDS of residuals, dimension {m}": partial(_residual_bds, m) for m in BDS_DIMENSIONS
}
PIVOTED = ", pivoted"
"""Ends the name of a null whose surrogates have surrogates of their own."""
BDS_OF_GARCH = "bds, garch"
"""BDS of the residuals of a fitted GARCH, by its law over GARCH surrogates that are fitted in their turn."""
LARGE_K = 0.9
"""From which K on the 0-1 test is taken to say chaos."""

SIZE, POWER, TRAP = "size", "power", "trap"
CASES: tuple[tuple[str, str, str, int], ...] = (
    (SIZE, "shuffle", "normal noise", 500),
    (SIZE, "shuffle", "Student noise, 3 degrees", 500),
    (SIZE, "phase", "AR(1), .6", 500),
    (SIZE, "phase", "AR(1), .95", 500),
    (SIZE, "phase", "AR(1), .95, ends matched", 500),
    (SIZE, "aaft", "exp of AR(1), .6", 500),
    (SIZE, "aaft", "exp of AR(1), .95", 500),
    (SIZE, "aaft", "scores of exp of AR(1), .6", 500),
    (SIZE, "aaft", "scores of exp of AR(1), .95, ends matched", 500),
    (SIZE, "aaft, pivoted", "scores of exp of AR(1), .6", 500),
    (SIZE, "aaft, pivoted", "scores of exp of AR(1), .95, ends matched", 500),
    (SIZE, "iaaft", "exp of AR(1), .6", 500),
    (SIZE, "iaaft", "exp of AR(1), .95", 500),
    (SIZE, "iaaft", "exp of AR(1), .95, ends matched", 500),
    (SIZE, "iaaft", "scores of exp of AR(1), .6", 500),
    (SIZE, "iaaft", "scores of exp of AR(1), .95, ends matched", 500),
    (SIZE, "garch", "GARCH", 1000),
    (SIZE, "garch", "GARCH, Student 6", 1000),
    (SIZE, "gjr_garch", "GJR-GARCH", 1000),
    (SIZE, "garch, pivoted", "GARCH", 1000),
    (SIZE, "garch, pivoted", "GARCH, Student 6", 1000),
    (SIZE, "gjr_garch, pivoted", "GJR-GARCH", 1000),
    (SIZE, "bds", "normal noise", 1000),
    (SIZE, "bds", "Student noise, 3 degrees", 1000),
    (SIZE, "bds", "residuals of AR(1)", 1000),
    (SIZE, "bds", "residuals of GARCH", 1000),
    (SIZE, "bds", "log squares of residuals of GARCH", 1000),
    (SIZE, BDS_OF_GARCH, "GARCH", 1000),
    (SIZE, BDS_OF_GARCH, "GARCH, Student 6", 1000),
    (SIZE, "zero_one", "two tones", 1000),
    (POWER, "shuffle", "AR(1), .6", 500),
    (POWER, "shuffle", "GARCH", 500),
    (POWER, "shuffle", "Hénon", 500),
    (POWER, "phase", "GARCH", 500),
    (POWER, "phase", "exp of AR(1), .6", 500),
    (POWER, "iaaft", "Hénon", 500),
    (POWER, "iaaft", "Hénon, noise 10 dB below", 500),
    (POWER, "iaaft", "Hénon, noise 7 dB below", 500),
    (POWER, "iaaft", "Hénon, noise as large", 500),
    (POWER, "iaaft", "scores of Hénon, noise as large", 500),
    (POWER, "iaaft", "logistic map", 500),
    (POWER, "iaaft", "Lorenz x, every 0.1", 500),
    (POWER, "iaaft", "threshold AR", 500),
    (POWER, "iaaft", "shot noise", 500),
    (POWER, "iaaft", "GARCH", 500),
    (POWER, "iaaft", "GJR-GARCH", 500),
    (POWER, "iaaft", "Heston market", 500),
    (POWER, "iaaft", "scores of Heston market", 500),
    (POWER, "garch", "GJR-GARCH", 1000),
    (POWER, "garch", "Heston market", 1000),
    (POWER, "gjr_garch", "Heston market", 1000),
    (POWER, "garch", "logistic map", 1000),
    (POWER, "garch, pivoted", "GJR-GARCH", 1000),
    (POWER, "garch, pivoted", "Heston market", 1000),
    (POWER, "bds", "AR(1), .6", 1000),
    (POWER, "bds", "GARCH", 1000),
    (POWER, "bds", "Heston market", 1000),
    (POWER, "bds", "threshold AR", 1000),
    (POWER, "bds", "logistic map", 1000),
    (POWER, "bds", "Hénon, noise as large", 1000),
    (POWER, BDS_OF_GARCH, "Heston market", 1000),
    (POWER, "zero_one", "logistic map", 1000),
    (POWER, "zero_one", "Hénon", 1000),
    (POWER, "zero_one", "Hénon, noise as large", 1000),
    (TRAP, "zero_one", "normal noise", 1000),
    (TRAP, "zero_one", "AR(1), .95", 1000),
    (TRAP, "zero_one", "GARCH", 1000),
    (TRAP, "zero_one", "1/f noise", 1000),
    (TRAP, "zero_one", "1/f^2 noise", 1000),
)
"""What is asked, the null of the test, the process, and the points of a series."""


@dataclass(frozen=True)
class PowerConfig:
    """How many series for a size and for a power, of how many points at most, how many surrogates, and the seed.

    A two-sided test with 19 surrogates rejects at 5 % if of the 20 series the observed one is farthest from the middle:
    the level is met exactly, not from below.
    """

    n_series: int = 500
    n_series_power: int = 100
    most_points: int = 1000
    n_surrogates: int = 19
    n_pivot: int = 9
    level: float = 0.05
    seed: int = 18

    def record(self) -> dict[str, Any]:
        """Everything the result depends on but the code, as JSON types."""
        tests = {"statistics": list(STATISTICS), "bds_dimensions": BDS_DIMENSIONS, "large_k": LARGE_K, "cases": CASES}
        return json.loads(json.dumps(asdict(self) | tests))


TINY = PowerConfig(n_series=3, n_series_power=2, most_points=300, seed=1)
"""Sizes that only show that it runs."""


def surrogate_power(tiny: bool = False) -> Study:
    """Return the study: a run for each null and process."""
    config = TINY if tiny else PowerConfig()
    return Study(
        name="surrogate_power",
        title="Size and power of the tests for nonlinearity, dependence and chaos",
        question="How often does each test reject at 5 % where its null is true, and where something else is?",
        how="Fresh series of known origin, 500 to 1,000 points. Surrogate tests are two-sided with 19 surrogates, one "
        "draw of them for all statistics at their defaults; `pivoted`: each statistic in standard deviations of 9 "
        "surrogates of the series it is computed on; BDS at one standard deviation by its normal law; the 0-1 "
        "test, which is no test of a null, says chaos from a K of .9 on. Each share has its exact 95 % interval; of so "
        "many intervals one in twenty misses though nothing is wrong. No setting was chosen by this table.",
        cost="about an hour on one core",
        columns={
            "kind": "`size` where the null is true, `power` where it is not, `trap` where it is not either, but for "
            "another reason than the one the test is used for: noise is no more regular than chaos is",
            "null": "of the test: a kind of surrogate; `bds`: independent and alike; `bds, garch`: the same of what a "
            "fitted GARCH leaves, by its law over GARCH surrogates; `zero_one`: regular",
            "process": "what the series are",
            "statistic": "of the test",
            "n_points": "of a series; where ends are matched, before up to a tenth of them are left out",
            "n_series": "series for which the null could be fitted",
            "refused": "series for which it could not: they count neither way",
            "rejected": "share of the series that the test rejects at 5 %",
            "lower": "end of its 95 % interval (Clopper & Pearson)",
            "upper": "other end",
            "verdict": "of the size of a test that has a level, as the 0-1 test has not: whether 5 % is `inside` the "
            "interval, or the test rejects `too often` or `too seldom`; else `-`",
        },
        config=config.record(),
        runs={
            f"{kind} of {null} on {process}": partial(_run, kind, null, process, n_points, config)
            for kind, null, process, n_points in CASES
        },
    )


def _run(
    kind: str, null: str, process: str, n_points: int, config: PowerConfig, work: Path, report: Report
) -> list[Row]:
    n_points = min(n_points, config.most_points)
    n_series = config.n_series if kind == SIZE else config.n_series_power
    rejections: dict[str, int] = {}
    refused = 0
    for number in range(n_series):
        report(f"{null} on {process}", number, n_series)
        generator = np.random.default_rng([config.seed, zlib.crc32(f"{kind} {null} {process}".encode()), number])
        try:
            found = _reject(null, PROCESSES[process](n_points, generator), config, generator)
        except ValueError as error:
            if "GARCH" not in str(error):
                raise
            refused += 1
            continue
        for statistic, rejected in found.items():
            rejections[statistic] = rejections.get(statistic, 0) + rejected
    return [
        {
            "kind": kind,
            "null": null,
            "process": process,
            "statistic": statistic,
            "n_points": n_points,
            "n_series": n_series - refused,
            "refused": refused,
            **_share(count, n_series - refused, config.level, judged=kind == SIZE and null != "zero_one"),
        }
        for statistic, count in rejections.items()
    ]


def _reject(null: str, series: Floats, config: PowerConfig, generator: np.random.Generator) -> Mapping[str, bool]:
    """Which statistics of a test reject its null on one series."""
    if null == "bds":
        table = bds_test(series, max_dimension=max(BDS_DIMENSIONS))
        p_values = dict(zip(table["dimension"].tolist(), table["p"].tolist(), strict=True))
        return {f"BDS, dimension {m}": p_values[m] <= config.level for m in BDS_DIMENSIONS}
    if null == "zero_one":
        return {"K of the 0-1 test": bool(zero_one_test(series, seed=generator).k >= LARGE_K)}
    test = surrogate_test(
        series,
        RESIDUAL_STATISTICS if null == BDS_OF_GARCH else STATISTICS,
        null=_surrogate("garch" if null == BDS_OF_GARCH else null.removesuffix(PIVOTED)),
        n_surrogates=config.n_surrogates,
        n_pivot=config.n_pivot if null.endswith(PIVOTED) else 0,
        seed=generator,
    )
    # p is a multiple of one over the number of series, the observed one counted in
    return dict(zip(test.table["statistic"], (test.table["p"] <= config.level + 1e-9).tolist(), strict=True))


def _surrogate(null: str) -> Null:
    return next(kind for kind in get_args(Null) if kind == null)


def _share(count: int, n_series: int, level: float, *, judged: bool) -> dict[str, Any]:
    interval = binomtest(count, n_series).proportion_ci(0.95, method="exact")
    verdict = "too often" if interval.low > level else "too seldom" if interval.high < level else "inside"
    return {
        "rejected": count / n_series,
        "lower": float(interval.low),
        "upper": float(interval.high),
        "verdict": verdict if judged else "-",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study as a program."""
    return run_as_program(surrogate_power, argv)


if __name__ == "__main__":
    sys.exit(main())
