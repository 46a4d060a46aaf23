"""An audit log once more through the desk: is every decision the one that was logged, and if not, where."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from companion.pipeline._step import call, guarded

_LISTED = 20

APP = App(name="live-replay", help_format="plaintext", version_flags=())


@APP.default
def live_replay(audit: Annotated[Path, Parameter(help="The audit log.")], /) -> int:
    """Make every decision of an audit log again, and say where it comes out differently.

    Exit status: 0 all as logged, 1 some differ, 2 the log can not be read, is not whole, or is of another version.
    """
    differs: list[bool] = []

    def work() -> None:
        from companion.live import replay_audit

        report = replay_audit(audit)
        differs.append(not report)
        for difference in report.differences[:_LISTED]:
            print(difference)
        if len(report.differences) > _LISTED:
            print("…")
        print(f"{audit}: {report}")

    return guarded("live-replay", work) or int(differs[0])


if __name__ == "__main__":
    sys.exit(call(APP, sys.argv[1:]))
