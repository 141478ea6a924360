"""What needs a sandbox, on machines that have one, and what needs reasoning-gym."""

from importlib.util import find_spec

import pytest

from helpers.answers import sandbox


def works() -> bool:
    """Whether some kind of sandbox works here."""
    try:
        return bool(sandbox.how())
    except RuntimeError:
        return False


needs_sandbox = pytest.mark.skipif(not works(), reason="neither bubblewrap nor user namespaces work here")
needs_gym = pytest.mark.skipif(
    not works() or find_spec("reasoning_gym") is None, reason="reasoning-gym, or a sandbox for it, is missing"
)
