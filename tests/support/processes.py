"""Which processes are left, for tests of what ends cleanly."""

import os
from contextlib import suppress
from pathlib import Path


def processes_in(folder: Path) -> list[str]:
    """The processes whose working directory lies in a folder (Linux; elsewhere none is seen)."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            found += [str(link)] * Path(os.readlink(link)).is_relative_to(folder)
    return found
