"""Each input is timed, and each fuzz test says how many it tried."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.fuzz.profile import SLOWEST

TRIED: Counter[str] = Counter()


@pytest.fixture
def within(request: pytest.FixtureRequest) -> Callable[[Callable[[], object]], None]:
    """Run one input, which must end in SLOWEST seconds."""

    def run(action: Callable[[], object]) -> None:
        began = time.monotonic()
        action()
        TRIED[request.node.name] += 1
        assert time.monotonic() - began < SLOWEST

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TRIED:
        terminalreporter.write_line("inputs tried: " + ", ".join(f"{name} {count:,}" for name, count in sorted(TRIED.items())))
