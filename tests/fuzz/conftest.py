"""Each fuzz test has its share of the time, and says how many inputs it tried."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.fuzz.profile import MINUTES, SHARES, SLOWEST

TRIED: Counter[str] = Counter()


@pytest.fixture
def within(request: pytest.FixtureRequest) -> Callable[[Callable[[], object]], None]:
    """Run one input, which must end in SLOWEST seconds; in `make fuzz` each test has its share of the time, then tries nothing more."""
    names = [item.name for item in request.session.items if item.path.parent == request.node.path.parent]
    share = SHARES.get(request.node.name, 1) / sum(SHARES.get(name, 1) for name in names)
    until = time.monotonic() + 60 * MINUTES * share

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
