"""Each fuzz test has its share of the time, and says how many inputs it tried."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.fuzz.profile import MINUTES, SLOWEST

TRIED: Counter[str] = Counter()


@pytest.fixture
def within(request: pytest.FixtureRequest) -> Callable[[Callable[[], object]], None]:
    """Run one input, which must end in SLOWEST seconds; in `make fuzz` each test has its share of the time, then tries nothing more."""
    tests = sum(item.path.parent == request.node.path.parent for item in request.session.items)
    until = time.monotonic() + 60 * MINUTES / max(tests, 1)

    def run(action: Callable[[], object]) -> None:
        if MINUTES and time.monotonic() > until:
            pytest.skip(f"{TRIED[request.node.name]:,} inputs tried, none failed")
        began = time.monotonic()
        action()
        TRIED[request.node.name] += 1
        assert time.monotonic() - began < SLOWEST

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TRIED:
        terminalreporter.write_line("inputs tried: " + ", ".join(f"{name} {count:,}" for name, count in sorted(TRIED.items())))
