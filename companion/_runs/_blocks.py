"""A folder of files that belong together: block 0, block 1, …, each of which says in itself what it is part of.

There is no other book-keeping that could disagree with the files.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from companion._files import followed
from companion._tables import DamagedFileError
from companion.errors import InputError

Identity = Mapping[str, Any]
"""Where a block came from, as `companion._files.provenance` has it: equal for all the blocks of a folder."""

Content = TypeVar("Content")


class Blocks(ABC, Generic[Content]):
    """How the folders of one kind are read, and what a message calls them.

    Attributes
    ----------
    noun : str
        What the blocks are together: "ensemble".
    suffix : str
        Of a block's file.
    maker : str
        The command, without its arguments, that makes such a folder.
    """

    noun: ClassVar[str]
    suffix: ClassVar[str]
    maker: str

    @abstractmethod
    def identify(self, file: Path, command: str) -> Identity:
        """Read where a block came from. An error ends in `command`, as its remedy.

        Raises
        ------
        DamagedFileError
            The file is missing or not whole, so that it is nobody's.
        InputError
            It holds something else.
        """

    @abstractmethod
    def read(self, file: Path, number: int, identity: Identity) -> Content:
        """Read a block of `identity`, and check that it is block `number`.

        Raises
        ------
        InputError
            The file is damaged, or the content is not that of this block.
        """

    @abstractmethod
    def count(self, identity: Identity) -> int:
        """Return how many blocks there are in all."""

    @abstractmethod
    def command(self, identity: Identity, folder: Path) -> str:
        """Return the command that makes the folder of this identity, finishes it, and mends it."""

    def start(self, folder: Path) -> str:
        """Return the command that makes such a folder, whatever its identity."""
        return f"{self.maker} --out {folder}"

    def file(self, folder: Path, number: int) -> Path:
        """Return the place of block `number`."""
        return folder / f"part-{number:05d}{self.suffix}"

    def find(self, folder: Path) -> Identity | None:
        """Return the identity of the first whole block in `folder`, or None; what is not ours is refused."""
        if folder.is_file():
            raise InputError(f"{folder}: a file, not a folder of blocks; delete it and run `{self.maker}`")
        files = sorted(file for file in folder.glob("*") if not file.name.startswith("."))
        for file in files:
            if not file.match(f"part-[0-9][0-9][0-9][0-9][0-9]{self.suffix}"):
                raise InputError(f"{folder}: holds '{file.name}', which no {self.noun} has; name another folder")
        for file in files:
            with suppress(DamagedFileError):
                return self.identify(file, self.maker)
        return None

    def known(self, identity: Identity, folder: Path) -> int:
        """Return `count`, or refuse an identity that another version gave to `folder`."""
        try:
            return self.count(identity)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder}: was not written by this version; run `{self.maker}` anew") from error

    def open(self, folder: Path) -> Identity:
        """Return the identity of a finished folder.

        Raises
        ------
        InputError
            It is no such folder, or an unfinished one: the message names the missing blocks and the command that
            finishes it.
        """
        folder = followed(folder)
        place = folder if self.find(folder) else beside(folder, "partial")
        identity = self.find(place)
        if identity is None:
            what = "holds no whole block" if folder.is_dir() else f"no such {self.noun}"
            raise InputError(f"{folder}: {what}; make it with `{self.start(folder)}`")
        total, there = self.known(identity, place), {file.name for file in place.glob("part-*")}
        missing = [str(number) for number in range(total) if self.file(place, number).name not in there]
        if missing or place != folder:
            names = ", ".join([*missing[:5], "…"][: len(missing)])
            raise InputError(
                f"{folder}: not finished, lacks {len(missing)} of {total} blocks ({names}); "
                f"finish it with `{self.command(identity, folder)}`"
            )
        if len(there) > total:
            raise InputError(f"{folder / max(there)}: beyond the {total} blocks of this {self.noun}; delete it")
        return identity

    def block(self, folder: Path, number: int, identity: Identity) -> Content:
        """Read block `number` of a folder of this identity.

        Raises
        ------
        InputError
            It is missing, damaged, or of another folder; the message ends in the command that mends it.
        """
        file, command = self.file(folder, number), self.command(identity, folder)
        there = self.identify(file, command)
        if there != identity:
            what = f"of another {self.noun} ({difference(there, identity)})"
            raise InputError(f"{file}: {what}; make it with `{command}`")
        return self.read(file, number, identity)

    def is_whole(self, folder: Path, number: int, identity: Identity) -> bool:
        """Whether block `number` is there, and is the one that this identity has."""
        with suppress(InputError):
            self.block(folder, number, identity)
            return True
        return False


def difference(there: Identity, here: Identity, prefix: str = "") -> str:
    """Name the first setting in which two identities differ."""
    for name in here if isinstance(there, Mapping) else ():
        one, other = there.get(name), here[name]
        if isinstance(one, Mapping) and isinstance(other, Mapping) and one != other:
            return difference(one, other, f"{name} " if name == "packages" else "")
        if one != other:
            return f"{prefix}{name} {one}, not {other}"
    return "other fields"


def beside(folder: Path, what: str) -> Path:
    """Return the place of the unfinished, or of the replaced, beside `folder`."""
    return folder.with_name(f"{folder.name}.{what}")
