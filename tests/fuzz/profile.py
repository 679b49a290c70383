"""How much the fuzzing tries: a short part in `make test`, rounds as long as FUZZ_MINUTES says in `make fuzz`.

`make fuzz` keeps inputs that fail, shrunk to their smallest form, in tests/fuzz/corpus and tries those first. Once mended, an input stands
beside its test as an @example, which the short part tries too; the short part draws the same inputs every time.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase

SHORT = 25
"""Inputs a test in the short part."""
ROUND = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Inputs a test in a round of `make fuzz`, which goes on round by round until its time is over; 0: the short part."""
SLOWEST = 10.0
"""Seconds after which an input counts as a hang."""

FUZZ = settings(
    max_examples=ROUND or SHORT,
    deadline=None,
    derandomize=not ROUND,
    database=DirectoryBasedExampleDatabase(Path(__file__).parent / "corpus") if ROUND else None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
        HealthCheck.filter_too_much,
    ],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
