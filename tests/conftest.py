"""No test of hypothesis has a deadline, as a machine may be busy; the slowest files run first."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_collection_modifyitems(items):
    """Start the files of many seconds first, so that no process is left alone with them at the end."""
    slow = ["test_chain", "test_recipes_chain", "test_links", "test_browser", "test_plans", "test_finetune"]
    items.sort(key=lambda item: slow.index(item.path.stem) if item.path.stem in slow else len(slow))
