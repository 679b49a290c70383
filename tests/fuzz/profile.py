"""How much the fuzzing tries: a short part in `make test`, as long as FUZZ_MINUTES says in `make fuzz`.

`make fuzz` keeps inputs that fail, shrunk to their smallest form, in tests/fuzz/corpus and tries those first. Once mended, an input stands
beside its test as an @example, which the short part tries too; the short part draws the same inputs every time.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase

MINUTES = float(os.environ.get("FUZZ_MINUTES", "0"))
SHORT = 25
"""Inputs a test in the short part."""
SLOWEST = 10.0
"""Seconds after which an input counts as a hang."""

SHARES = {"test_damaged_run_folders": 10, "test_run_and_summary_files_of_any_content": 3, "test_data_sets_of_any_content": 3}
"""Of the time, of the tests whose inputs take long; 1 of every other."""

FUZZ = settings(
    max_examples=10_000_000 if MINUTES else SHORT,
    deadline=None,
    derandomize=not MINUTES,
    database=DirectoryBasedExampleDatabase(Path(__file__).parent / "corpus") if MINUTES else None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
        HealthCheck.filter_too_much,
    ],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
