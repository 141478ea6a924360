"""What needs a sandbox, on machines that have one."""

import pytest

from helpers.answers import sandbox


def works() -> bool:
    """Whether some kind of sandbox works here."""
    try:
        return bool(sandbox.how())
    except RuntimeError:
        return False


needs_sandbox = pytest.mark.skipif(not works(), reason="neither bubblewrap nor user namespaces work here")
