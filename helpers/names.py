"""Names that someone typed: the end of an error line, which says what is valid.

    nearest("shufle", ["shuffle", "delete"])     # ": did you mean 'shuffle'?"

Arms have a line of their own, in `perturbations.parse_arm`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of an error line: the nearest valid name, or all of them where none is near."""
    valid = list(valid)
    near = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else f": choose from {', '.join(valid) or 'nothing'}"
