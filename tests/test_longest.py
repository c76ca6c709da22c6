"""The tests that begin first are there, and begin first."""

from pathlib import Path

from longest import LONG

TESTS = Path(__file__).parent


def test_each_of_the_longest_tests_is_there():
    texts = [path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")]
    assert [name for name in LONG if not any(f"def {name}(" in text for text in texts)] == []


def test_the_longest_begin(request):
    """Of those that this run has collected."""
    long = [getattr(item, "originalname", "") in LONG for item in request.session.items]
    assert long == sorted(long, reverse=True)
