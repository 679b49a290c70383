"""How much of a fault the fast tests would notice: mutmut changes one thing at a time, and the tests of that file must fail.

    python -m tests.mutants [FILE ...]     files of TABLE, or parts of their names; default all

Each file runs alone, in `build/mutants`, with the tests beside it in TABLE, of which mutmut takes those that reach the changed function.
A mutant that no test can tell from the original stands in `tests/mutants_equal.toml` with the reason, and is not counted. Exit code 1
where less than FLOOR of the others are killed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "mutants"
EQUAL = Path(__file__).with_name("mutants_equal.toml")
FLOOR = 0.9

TABLE = {
    "workbench/runs/metrics.py": ["tests/runs/test_metrics.py"],
    "workbench/tasks/scoring.py": ["tests/tasks/test_scoring.py"],
    "workbench/learning/known_task.py": ["tests/learning/test_known_task.py"],
    "workbench/replay/coverage.py": ["tests/replay/test_coverage.py"],
    "workbench/latent/energy.py": ["tests/latent/test_energy.py"],
}
SLOW = {
    "tests/latent/test_energy.py": [
        "test_the_fit_corrects_a_bimodal_task_and_leaves_a_gaussian_one",
        "test_draws_of_few_samples_keep_the_fit_from_learning_them_by_heart",
        "test_a_large_learning_rate_explodes_and_the_penalty_repairs_it",
    ]
}
"""Tests left out here: whole fits would notice much, but late, and every survivor would pay for them."""

KILLED, TIMED_OUT, NOT_RUN = (1, 3), (36, 24, 152, 255), (None, 2, 34)
"""Exit codes of mutmut's children: tests failed; time ran out, which counts as killed; nothing was found out."""

SETTINGS = """
[tool.mutmut]
source_paths = ["workbench"]
only_mutate = ["{file}"]
also_copy = ["data/backbone", "data/streams"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = {left_out}
timeout_multiplier = 10
timeout_constant = 10

[tool.pytest.ini_options]
addopts = "-q --import-mode=importlib -p no:cacheprovider -p no:xdist"
pythonpath = ["."]
filterwarnings = ["ignore"]
"""


@dataclass(frozen=True)
class Mutant:
    """One change: where, the lines it takes away and puts in, and how the tests took it."""

    name: str
    file: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    killed: bool

    def __str__(self) -> str:
        return "\n".join([f"  {self.name}", *(f"    - {line}" for line in self.old), *(f"    + {line}" for line in self.new)])


def run(file: str, children: int = 2) -> list[Mutant]:
    """Every mutant of a file. Raises RuntimeError where the tests fail without one, with the end of what mutmut said."""
    folder = WORK / file.replace("/", "_")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("workbench", "tests", "data"):
        (folder / name).symlink_to(ROOT / name)
    left_out = [f"--deselect={path}::{name}" for path, names in SLOW.items() if path in TABLE[file] for name in names]
    settings = SETTINGS.format(file=file, tests=json.dumps(TABLE[file]), left_out=json.dumps(left_out))
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    program = Path(sys.executable).with_name("mutmut")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "h"),
    }
    environment.pop("PYTHONPATH", None)
    said = subprocess.run(
        [program, "run", "--max-children", str(children)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    found = folder / "mutants" / f"{file}.meta"
    codes = json.loads(found.read_text(encoding="utf-8"))["exit_code_by_key"] if found.is_file() else {}
    if said.returncode or not codes or any(code in NOT_RUN for code in codes.values()):
        raise RuntimeError(f"{file}: mutmut did not get through\n{(said.stdout + said.stderr)[-3000:]}")
    return [_mutant(folder, file, name, code) for name, code in codes.items()]


def _mutant(folder: Path, file: str, name: str, code: int) -> Mutant:
    killed = code in KILLED + TIMED_OUT or code < 0
    if killed:
        return Mutant(name, file, (), (), True)
    from mutmut.configuration import reset_config
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    before = Path.cwd()
    os.chdir(folder)
    try:
        reset_config()
        lines = get_diff_for_mutant(name, path=Path(file)).splitlines()[3:]
    finally:
        os.chdir(before)
    return Mutant(name, file, *(tuple(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"), killed=False)


def equal() -> set[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(file, old lines, new lines) of the mutants that are the original in other words."""
    listed = tomllib.loads(EQUAL.read_text(encoding="utf-8")).get("equal", []) if EQUAL.is_file() else []
    return {(each["file"], tuple(each["old"].splitlines()), tuple(each["new"].splitlines())) for each in listed}


def main(asked: list[str]) -> int:
    files = [file for file in TABLE if (ROOT / file).is_file() and (not asked or any(part in file for part in asked))]
    if not files:
        print(f"no file of the table is called {' or '.join(asked)}; accepted: {', '.join(TABLE)}")
        return 2
    known, rows = equal(), []
    for file in files:
        mutants = run(file)
        same = [each for each in mutants if not each.killed and (file, each.old, each.new) in known]
        left = [each for each in mutants if not each.killed and each not in same]
        rows.append((file, len(mutants) - len(same) - len(left), len(mutants) - len(same), len(same)))
        for each in left:
            print(each, flush=True)
        print("{}: {} of {} killed, {} equal".format(*rows[-1]), flush=True)
    killed, counted = sum(row[1] for row in rows), sum(row[2] for row in rows)
    print(f"in all: {killed} of {counted} killed ({100 * killed / max(counted, 1):.1f} %), {sum(row[3] for row in rows)} equal")
    return int(killed < FLOOR * counted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
