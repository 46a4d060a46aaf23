"""A folder that is written block by block, by a run that may be stopped at any moment and goes on where it was.

The blocks are collected in ``<folder>.partial``, which takes the place of ``<folder>`` in the end. A block is a
function of the identity and of its number, so it does not matter who makes it, in which order, or how often.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Generic, Self

from companion._files import atomic_path, followed
from companion._runs._blocks import Blocks, Content, Identity, beside, difference
from companion._runs._lock import locked
from companion._runs._workers import results
from companion.errors import InputError

Report = Callable[[int, int], None]
"""Called as ``report(done, total)``, in blocks."""


class ResumableFolder(Generic[Content]):
    """The folder `path` while one run, and no other, writes it: ``with ResumableFolder(…) as folder: …``.

    What `path` held before stays until `finish`. On a folder that is finished already, and of the same identity, a run
    mends the blocks that are damaged.

    Parameters
    ----------
    path : path
        Its parent is made if there is none. A symbolic link is followed: the folder it leads to is replaced.
    blocks : Blocks
        How such a folder is read.
    identity : mapping
        What makes the blocks what they are, JSON types; see `companion._files.provenance`.

    Raises
    ------
    InputError
        On entering: `path` holds something else, or an unfinished folder of another identity; another run is writing
        it; it can not be written.
    """

    def __init__(self, path: str | Path, blocks: Blocks[Content], identity: Identity) -> None:
        named = Path(path).name not in ("", "..")  # "." has no name that the partial folder could have, too
        self.path, self.blocks = followed(Path(path) if named else Path(path).resolve()), blocks
        self.identity: Identity = json.loads(json.dumps(identity))  # as it is read back: a tuple becomes a list
        self.total = blocks.count(self.identity)

    def __enter__(self) -> Self:
        with _can_be_written(self.path), ExitStack() as stack:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not stack.enter_context(locked(self.path.with_name(f".{self.path.name}.lock"))):
                raise InputError(f"{self.path}: another run is writing it; wait until it ends, or name another folder")
            self._finish_replacing()
            self._place = self._where_to_go_on()
            for leftover in self._place.glob(".*.part"):  # of a run that was killed while it wrote
                leftover.unlink()
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _where_to_go_on(self) -> Path:
        if self.blocks.find(self.path) == self.identity:
            return self.path
        partial = beside(self.path, "partial")
        there = self.blocks.find(partial)
        if there in (None, self.identity):
            return partial
        self.blocks.known(there, partial)
        ours, theirs = (self.blocks.command(identity, self.path) for identity in (self.identity, there))
        remedy = "delete it to start anew" if ours == theirs else f"delete it, or finish it with `{theirs}`"
        what = f"an unfinished {self.blocks.noun} with other settings ({difference(there, self.identity)})"
        raise InputError(f"{partial}: {what}; {remedy}")

    def missing(self) -> list[int]:
        """Return the numbers of the blocks that are not there, or not whole, in ascending order."""
        return [n for n in range(self.total) if not self.blocks.is_whole(self._place, n, self.identity)]

    def put(self, number: int, content: bytes) -> None:
        """Write the file of block `number` in one step."""
        with atomic_path(self.blocks.file(self._place, number)) as part:
            part.write_bytes(content)

    def fill(
        self,
        make: Callable[[Any, int], tuple[bytes, Identity]],
        job: Any,
        *,
        scheduler: str | None = None,
        threads: int = 2,
        report: Report = lambda done, total: None,
    ) -> None:
        """Make the blocks that are missing, several at a time, and write each as soon as it is there.

        Parameters
        ----------
        make : callable
            ``make(job, number)``: the bytes of a file, and the identity that is in them. On a cluster both are sent to
            the workers.
        job : object
        scheduler : str, optional
            Address of a Dask scheduler whose workers make the blocks, or "local" for a process on each core of this
            machine; by default this process does. Only this process writes files. A worker may be lost on the way.
        threads : int
            Blocks at a time where this process makes them.
        report : callable

        Raises
        ------
        InputError
            The cluster can not be reached, is lost, or runs other versions. Finished blocks are kept.
        """
        missing = self.missing()
        n_before = self.total - len(missing)
        report(n_before, self.total)
        with closing(results(make, job, missing, scheduler=scheduler, threads=threads)) as made:
            for done, (number, (content, there)) in enumerate(made, start=n_before + 1):
                if there != self.identity:
                    what = difference(there, self.identity)
                    raise InputError(f"--scheduler {scheduler}: a worker has {what}; install the same everywhere")
                self.put(number, content)
                report(done, self.total)

    def finish(self) -> None:
        """Put the finished folder in its place. A kill in between leaves the old and the new, and the next run goes on.

        Raises
        ------
        RuntimeError
            A block was never put.
        """
        absent = [n for n in range(self.total) if not self.blocks.file(self._place, n).is_file()]
        if absent:
            raise RuntimeError(f"{self._place}: finished without the blocks {absent}")
        if self._place == self.path:
            return
        with _can_be_written(self.path):
            if self.path.exists():
                self.path.rename(beside(self.path, "replaced"))
            self._place.rename(self.path)
            self._place = self.path
            self._finish_replacing()

    def read(self, number: int) -> Content:
        """Read block `number` back; raises as `Blocks.block` does."""
        return self.blocks.block(self._place, number, self.identity)

    def _finish_replacing(self) -> None:
        """Delete what was replaced; put it back if nothing has come into its place. What is not ours is refused."""
        replaced = beside(self.path, "replaced")
        if not replaced.exists():
            return
        self.blocks.find(replaced)
        if self.path.exists():
            replaced.unlink() if replaced.is_symlink() else shutil.rmtree(replaced)
        else:
            replaced.rename(self.path)


@contextmanager
def _can_be_written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: can not be written ({reason}); make room or choose another place") from error
