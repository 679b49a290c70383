"""Commands that draw tables from runs and from kept rows: table and ladder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.options import RUNS, AsJson, RunsFolder, existing_runs, find, print_json, print_rows, warn_of_damage, warn_of_unlisted

Names = Annotated[
    list[str] | None, typer.Argument(metavar="RUNS...", help="Runs, or files of kept rows (data/results/*.json).", show_default="all")
]
StudyName = Annotated[
    str | None, typer.Option("--study", help="Only rows of this study: its name, or its YAML file.", metavar="NAME", show_default="all")
]
MeasureName = Annotated[str, typer.Option(help="What is compared: average_score, min_acc, wc_acc, ..., or a task.")]
NOTE = (
    "n: runs. sd seeds: over seeds of one order, pooled. sd orders: over orders of one seed, pooled (holds the noise between runs too).\n"
    "of multitask: of the bound of the same stream, settings and code."
)
PAIRED_NOTE = (
    "minus {baseline}: paired by seed and order, with the 95 % t interval; p: of the t test, held against the number of comparisons (Holm)."
)


def register(app: typer.Typer) -> None:
    app.command()(table)
    app.command()(ladder)


def table(
    names: Names = None,
    runs: RunsFolder = RUNS,
    study: StudyName = None,
    baseline: Annotated[
        str | None, typer.Option(help="Paired differences of every method from this one.", metavar="METHOD", show_default="none")
    ] = None,
    measure: MeasureName = "average_score",
    by_group: Annotated[bool, typer.Option("--group", help="One row a method: means, spread over seeds and over orders.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The grouped table as Markdown, for a README.")] = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="The grouped table as LaTeX (booktabs), for a paper.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The grouped table as CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """One row a run, or one a group of runs that differ by seed and order alone: scores, transfer, forgetting, cost.

    Examples:

      workbench table --study gamma --baseline er

      workbench table --study gamma --markdown

      workbench table --study gamma --json > data/results/gamma.json      keeps the rows

      workbench table data/results/gamma.json --latex
    """
    from workbench.runs import results, tables

    rows = _rows(names, runs, study)
    forms: list[tuple[bool, Callable[[tables.Table], str]]] = [
        (as_markdown, tables.as_markdown),
        (as_latex, tables.as_latex),
        (as_csv, tables.as_csv),
    ]
    form = next((form for wanted, form in forms if wanted), None)
    grouped = form is not None or by_group or baseline is not None
    if grouped:
        _tell_left_out(rows)
        _known_measure(measure, rows)
    if form is not None:
        print(form(tables.table_of(rows, baseline, measure)))
    elif as_json and grouped:
        print_json(_with_differences(rows, baseline, measure))
    elif as_json:
        print_json(rows)
    elif not rows and study is not None:
        print(f"no runs of study {study} in {runs}; make them with: workbench sweep STUDY.yaml")
    elif not rows:
        print(f"no runs in {runs}; make one with: workbench train --out {runs} (runs that come with the project: --runs data/runs)")
    elif grouped:
        made = tables.table_of(rows, baseline, measure)
        print_rows([dict(zip(made.head, line, strict=True)) for line in made.lines])
        print("\n" + "\n".join([NOTE, *([PAIRED_NOTE.format(baseline=baseline)] if baseline else [])]))
    else:
        print_rows([_short(row) | {"gamma": results.replay_ratio(row)} for row in rows])


def ladder(
    names: Names = None, runs: RunsFolder = RUNS, study: StudyName = None, measure: MeasureName = "average_score", as_json: AsJson = False
) -> None:
    """Where replay loses, rung by rung: the paired difference of each rung from the one above it, at equal gamma, with its interval."""
    from workbench.runs.ladder import ladders

    rows = _rows(names, runs, study)
    _tell_left_out(rows)
    _known_measure(measure, rows)
    found = ladders(rows, measure)
    if as_json:
        print_json([{**vars(one), "steps": [step.as_row() for step in one.steps]} for one in found])
        return
    if not found:
        print("no two rungs of one stream, gamma, settings and code have finished rows; a study that makes them: data/studies/ladder.yaml")
    for one in found:
        print_rows(
            [
                {
                    "from": step.upper,
                    "to": step.lower,
                    "price of": step.price,
                    "above": step.above,
                    "below": step.below,
                    "difference": step.difference.estimate.mean,
                    "95 %": _interval(step.difference.estimate.low, step.difference.estimate.high),
                    "pairs": step.difference.estimate.n,
                    "p (Holm)": step.difference.p_held,
                }
                for step in one.steps
            ],
            title=f"{one.stream}, gamma {one.gamma}, {measure}, code {str(one.code)[:8]}",
        )
        if one.without_rows:
            print(f"rungs without rows: {', '.join(one.without_rows)}\n")


def _rows(names: Sequence[str] | None, runs: Path, study: str | None) -> list[dict[str, Any]]:
    """The rows asked for; of runs that are no longer as they were written it is said."""
    from workbench.runs import reader, results

    wanted = _wanted(study, runs)
    rows, paths = [], []
    if not names:
        for found in reader.list_runs(existing_runs(runs)):
            about = (found.info.model_extra or {}) if found.info is not None else {}
            if found.info is not None and (wanted is None or wanted(about)):
                paths.append(found.path)
    for name in names or []:
        if name.endswith(".json"):
            rows += [row for row in results.read_results(Path(name)) if wanted is None or wanted(row)]
        else:
            paths.append(find(name, runs))
    if not names:
        warn_of_unlisted(runs)
    for path in paths:
        warn_of_damage(path)
        try:
            rows.append(results.run_row(path))
        except ValueError as error:
            if names:
                raise
            print(f"left out: {path.name}: {error}", file=sys.stderr)  # the others are shown all the same
    return rows


def _wanted(study: str | None, runs: Path) -> Callable[[dict[str, Any]], bool] | None:
    """Whether a run or a kept row is of a study: made for it, or of a cell that it has in common with another."""
    if study is None:
        return None
    from workbench.studies import book
    from workbench.studies.study import read_study

    if study.endswith((".yaml", ".yml")):
        planned = read_study(Path(study))
        name, hashes = planned.study, {cell.hash for cell in planned.cells}
    else:
        plan = book.read(runs, study)
        name, hashes = study, set(plan["cells"]) if plan else set()
    return lambda about: about.get("study") == name or about.get("cell_hash") in hashes


def _tell_left_out(rows: Sequence[dict[str, Any]]) -> None:
    from workbench.runs import results

    if left_out := [row["run"] for row in rows if not results.whole(row)]:
        print(f"left out of the means, not finished: {', '.join(left_out)}", file=sys.stderr)
    codes = {results.code_of(row) for row in rows if results.whole(row)}
    if len(codes) > 1:
        told = ", ".join(sorted((code or "unknown")[:8] for code in codes))
        print(f"rows of {len(codes)} codes ({told}): each stands in a group of its own, none is held against another", file=sys.stderr)


def _known_measure(measure: str, rows: Sequence[dict[str, Any]]) -> None:
    from workbench.runs.results import MEASURES, tasks_of
    from workbench.runs.schema import RunError

    accepted = [*MEASURES, *tasks_of(rows)]
    if measure not in accepted:
        raise RunError(f"--measure: no measure named {measure!r}; accepted: {', '.join(accepted)}")


def _with_differences(rows: Sequence[dict[str, Any]], baseline: str | None, measure: str) -> list[dict[str, Any]]:
    from workbench.runs import paired, results

    groups = results.grouped(rows)
    if baseline is None:
        return groups
    gaps = paired.against(results.group_rows(rows), baseline, measure)
    for group, gap in zip(groups, gaps, strict=True):
        group["difference"] = gap and {"from": baseline, "measure": measure, **vars(gap.estimate), "p_holm": gap.p_held, "pairs": gap.pairs}
    return groups


def _short(row: dict[str, Any]) -> dict[str, Any]:
    shown = ("run", "stream", "method", "seed", "order", "gamma", "average_score", "scores", "backward_transfer", "forgetting")
    more = ("min_acc", "wc_acc", "seconds", "study", "threads")
    code = str(row.get("code") or row.get("commit") or "")[:8]
    return {key: row.get(key) for key in shown} | {key: row[key] for key in more if row.get(key) is not None} | {"code": code}


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.2f} to {high:.2f}"
