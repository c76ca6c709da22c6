"""The tests that begin first are there, and begin first."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from longest import LONG, begin_with_longest, is_long, list_rows

TESTS = Path(__file__).parent


def test_each_of_the_longest_tests_is_there():
    texts = [path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")]
    assert [name for name in LONG if not any(f"def {name}(" in text for text in texts)] == []


def test_the_longest_begin(request):
    """Of those that this run has collected, in each worker."""
    items = request.session.items
    workers = getattr(request.config, "workerinput", {}).get("workercount", 1)
    for row in list_rows(len(items), workers):
        long = [is_long(item) for item in items[row]]
        assert long == sorted(long, reverse=True)


@pytest.mark.parametrize("n_workers", [1, 2, 5, 7])
@pytest.mark.parametrize("n_short", [0, 3, 1000])
def test_workers_share_the_longest_and_none_is_lost(n_workers, n_short):
    names = [f"test_{n}" for n in range(n_short)]
    names[n_short // 2 : n_short // 2] = LONG
    items = [SimpleNamespace(name=name) for name in names]
    ordered = begin_with_longest(items, n_workers)
    assert sorted(map(id, ordered)) == sorted(map(id, items))
    shares = [sum(map(is_long, ordered[row])) for row in list_rows(len(items), n_workers)]
    assert max(shares) - min(shares) <= 1
    short = [item for item in ordered if not is_long(item)]
    assert short == [item for item in items if not is_long(item)]
