"""Groups of runs as a table of text: Markdown for a README, LaTeX for a paper, CSV for anything else. Cells are made once, dressed thrice."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.runs import paired
from workbench.runs.results import Row, group_rows, grouped, tasks_of

RUNS = "runs"
NAMED_RUNS = 5
"""Runs up to which a group names each of its runs."""


@dataclass(frozen=True)
class Table:
    """Head and lines of plain text. `numbers` are the columns that are set to the right."""

    head: list[str]
    lines: list[list[str]]
    numbers: frozenset[str] = frozenset()


def table_of(rows: Sequence[Row], baseline: str | None = None, measure: str = "average_score") -> Table:
    """One line a group, best first. With a baseline: the paired difference of each group from it in `measure`, its 95 % t interval and
    the p of the t test held against the number of comparisons. Columns of which no group knows anything are left out.
    """
    groups = grouped(rows)
    gaps = paired.against(group_rows(rows), baseline, measure) if baseline else [None] * len(groups)
    tasks = tasks_of(rows)
    several = len({group["stream"] for group in groups}) > 1
    codes = len({group["code"] for group in groups}) > 1
    columns: list[tuple[str, bool, list[str]]] = []

    def column(name: str, cells: list[str], number: bool = True, always: bool = False) -> None:
        if always or any(cells):
            columns.append((name, number, cells))

    def numbers(name: str, key: str, form: str = ".1f") -> None:
        column(name, [_number(group[key], form) for group in groups])

    if several:
        column("stream", [str(group["stream"]) for group in groups], number=False)
    column("method", [group["method"] for group in groups], number=False, always=True)
    column("gamma", [_number(group["gamma"], "g") for group in groups], always=True)
    column("settings", [_settings(group["settings"]) for group in groups], number=False)
    column("seeds", [_few(group["seeds"]) for group in groups], number=False)
    column("orders", [str(len(group["orders"])) if len(group["orders"]) > 1 else "" for group in groups])
    numbers("n", "n", "d")
    column("average score", [_number(group["average_score"]) for group in groups], always=True)
    numbers("sd seeds", "seed_deviation")
    numbers("sd orders", "order_deviation")
    column("of multitask", [_percent(group["of_upper_bound"]) for group in groups])
    if baseline:
        unit = "" if measure == "average_score" else f" in {measure}"
        column(f"minus {baseline}{unit}", [_gap(gap) for gap in gaps], always=True)
        column("pairs", ["" if gap is None else str(gap.estimate.n) for gap in gaps])
        column("p (Holm)", ["" if gap is None else _p(gap.p_held) for gap in gaps])
    for task in tasks:
        column(task, [_number(group["scores"].get(task)) for group in groups])
    for name, key in (("min-ACC", "min_acc"), ("WC-ACC", "wc_acc"), ("backward transfer", "backward_transfer")):
        numbers(name, key)
    numbers("FWT", "forward_transfer")
    numbers("forgetting", "forgetting")
    numbers("seconds", "seconds", ".0f")
    numbers("texts decoded", "decoded", ".0f")
    numbers("bytes stored", "stored_bytes", ".0f")
    if codes:
        column("code", [(group["code"] or "unknown")[:8] for group in groups], number=False)
    column(RUNS, [_runs(group["runs"]) for group in groups], number=False)
    best = sorted(range(len(groups)), key=lambda at: -(groups[at]["average_score"] or 0))
    return Table(
        [name for name, _, _ in columns],
        [[cells[at] for _, _, cells in columns] for at in best],
        frozenset(name for name, number, _ in columns if number),
    )


def as_markdown(table: Table) -> str:
    body = [[_as_code(cell) if name == RUNS else cell for name, cell in zip(table.head, line, strict=True)] for line in table.lines]
    lines = [table.head, ["---:" if name in table.numbers else "---" for name in table.head], *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def _as_code(names: str) -> str:
    return names if names.endswith(" of them") else " ".join(f"`{name}`" for name in names.split())


def as_latex(table: Table) -> str:
    """A tabular with the rules of booktabs, without the names of runs."""
    shown = [at for at, name in enumerate(table.head) if name != RUNS]
    columns = "".join("r" if table.head[at] in table.numbers else "l" for at in shown)
    head, *lines = ([_latex(line[at]) for at in shown] for line in [table.head, *table.lines])
    body = [" & ".join(line) + r" \\" for line in lines]
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(head) + r" \\", r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    )


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "-"}
_LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def as_csv(table: Table) -> str:
    """Commas, a head line. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.head)
    for line in table.lines:
        writer.writerow([_harmless(cell) for cell in line])
    return out.getvalue().rstrip("\n")


def _harmless(cell: str) -> str:
    if cell[:1] not in "=+-@\t\r" or not cell:
        return cell
    try:
        float(cell)
    except ValueError:
        return cell if cell[:1] in "+-" and cell[1:2].isdecimal() else f"'{cell}"
    return cell


def _number(value: float | None, form: str = ".1f") -> str:
    return "" if value is None else format(value, form)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _gap(gap: paired.Difference | None) -> str:
    if gap is None or gap.estimate.mean is None:
        return ""
    found = gap.estimate
    return f"{found.mean:+.1f}" if found.low is None else f"{found.mean:+.1f} [{found.low:.1f}, {found.high:.1f}]"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.rpartition('.')[2]}={found}" for key, found in settings.items())


def _few(values: Sequence[int]) -> str:
    """0, 1, 2; or 0-9 where they follow each other."""
    if len(values) > 3 and list(values) == list(range(values[0], values[-1] + 1)):
        return f"{values[0]}-{values[-1]}"
    return ", ".join(map(str, values))


def _runs(names: Sequence[str]) -> str:
    return " ".join(names) if len(names) <= NAMED_RUNS else f"{len(names)} of them"
