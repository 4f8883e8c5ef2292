"""Aliases written in place of stages, where that keeps what the code means: as a diff, or into the files."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prodpointer.errors import ProdpointerError
from prodpointer.stage_finder.finder import Source, edited, parses_python, source_of


@dataclass(frozen=True)
class Rewrite:
    """One file before and after: ``after`` has the uses that are left, ``fixed`` is the number of the others."""

    before: Source
    after: Source
    fixed: int

    def diff(self) -> str:
        """Return a unified diff that ``patch -p1`` and ``git apply`` take."""
        name = self.before.path.as_posix().lstrip("/")
        before, after = (re.findall(r"[^\n]*\n|[^\n]+", each.text) for each in (self.before, self.after))
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
        )

    def write(self, root: Path) -> None:
        """Put the new text in the place of the old one, all at once; encoding, line ends and permissions stay.

        Raises
        ------
        ProdpointerError
            A link leads out of the tree, or the file was changed meanwhile, or cannot be written or keep its owner.
        """
        path = self.before.path.resolve()
        try:
            if not path.is_relative_to(root.resolve()):
                raise ProdpointerError("The file is outside of the source tree.", where=str(self.before.path))
            found = path.stat()
            if path.read_bytes() != _bytes(self.before.text):
                raise ProdpointerError("The file was changed meanwhile.", where=str(path), next_step="Run it again.")
            handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as new:
                    new.write(_bytes(self.after.text))
                with suppress(PermissionError, AttributeError):  # another user; a system without owners
                    os.chown(name, found.st_uid, found.st_gid)
                owner, kept = (found.st_uid, found.st_gid), Path(name).stat()
                if (kept.st_uid, kept.st_gid) != owner:
                    raise ProdpointerError(
                        f"The file belongs to user {owner[0]} and group {owner[1]}, which a new file cannot be given.",
                        where=str(path),
                        next_step="Run it as that user.",
                    )
                Path(name).chmod(found.st_mode)
                Path(name).replace(path)
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise ProdpointerError(f"The file cannot be written: {error.strerror}.", where=str(path)) from error


def rewrites(sources: Sequence[Source]) -> list[Rewrite]:
    """Return a rewrite for each file in which an alias can be written in place of a stage.

    Raises
    ------
    ProdpointerError
        There is Python among the files, and libcst is not installed.
    """
    if not all(source.parsed for source in sources) and not parses_python():
        raise ProdpointerError(
            "Rewriting Python needs libcst, which is not installed.",
            next_step="Run: pip install 'prodpointer[find]'.",
        )
    found = []
    for source in sources:
        text, fixed = edited(source.text, source.uses)
        after = source_of(source.path, text)
        if fixed and after.parsed >= source.parsed:
            found.append(Rewrite(source, after, fixed))
    return found


def _bytes(text: str) -> bytes:
    """Return a file's text as its bytes."""
    return text.encode("utf-8", errors="surrogateescape")
