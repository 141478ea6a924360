"""Real benchmarks and published generations: not in the repository, but next to it on some machines."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REAL = next(
    (p for p in (ROOT.parent / "shared" / "real", ROOT.parent.parent / "shared" / "real") if p.is_dir()), None
)
needs_real = pytest.mark.skipif(REAL is None, reason="the real data are not beside the checkout")
