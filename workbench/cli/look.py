"""Commands that look at runs and data: list, show, check, fit, tasks, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.options import (
    RUN,
    RUNS,
    AsJson,
    DataFolder,
    RunName,
    RunsFolder,
    existing_data,
    existing_runs,
    find,
    print_json,
    print_rows,
    warn_of_damage,
    warn_of_unlisted,
)


def register(app: typer.Typer) -> None:
    app.command("list")(list_runs)
    app.command()(show)
    app.command()(check)
    app.command()(fit)
    app.command()(tasks)
    app.command()(report)


def list_runs(runs: RunsFolder = RUNS, as_json: AsJson = False) -> None:
    """The runs of a folder, newest first, with their state and score."""
    from workbench.runs import reader

    rows = []
    for found in reader.list_runs(existing_runs(runs)):
        run, summary = found.info, found.summary
        row = {"run": found.name, "status": f"{found.status}, incomplete" if run is not None and run.incomplete else found.status}
        if run is not None:
            warn_of_damage(found.path, recount=False)
            row |= {
                "stream": run.stream,
                "method": run.label,
                "seed": run.seed,
                "gamma": run.replay_ratio,
                "tasks": f"{summary.tasks_done or 0} of {len(run.tasks)}",
            }
            row |= {"average_score": summary.average_score, "forgetting": summary.forgetting, "seconds": summary.seconds}
        if found.error:
            row["error"] = found.error
        rows.append(row)
    warn_of_unlisted(runs)
    if as_json:
        print_json(rows)
    elif rows:
        print_rows(rows)
    else:
        print(f"no runs in {runs}; make one with: workbench train --out {runs} (runs that come with the project: --runs data/runs)")


def show(
    run: Annotated[str | None, RUN] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="Print every setting with its default and what it does, as YAML.")] = False,
    runs: RunsFolder = RUNS,
    as_json: AsJson = False,
) -> None:
    """What a run was, how it scored and what happened in it; or every setting with its default."""
    if defaults:
        from workbench.config import build, to_yaml

        print(to_yaml(build({})), end="")
        return
    if run is None:
        raise typer.BadParameter("no run given; accepted: a run's folder or name, or --defaults")
    from workbench.runs.reader import Run

    found = Run(find(run, runs))
    warn_of_damage(found.path)
    status = found.status
    whole = {
        "info": found.info.model_dump(by_alias=True) | {"status": status},
        "status": status,
        "summary": found.summary.model_dump(),
        "config": found.config,
        "events": found.events(),
    }
    if as_json:
        print_json(whole)
        return
    for part in ("info", "summary"):
        print_rows([{"": key, part: value} for key, value in whole[part].items() if value not in (None, [], {}, "") and key != "curve"])
        print()
    print_rows([{"time": event.get("time"), "event": event.get("kind"), "": _rest(event)} for event in whole["events"]])


def _rest(event: dict[str, object]) -> str:
    return "  ".join(f"{key}={value}" for key, value in event.items() if key not in ("time", "kind"))[:300]


def check(run: RunName, runs: RunsFolder = RUNS, as_json: AsJson = False) -> None:
    """Whether every file of a run is whole: tables, weights, configuration. A line a file; exit code 1 where one is not."""
    from workbench.runs.check import check_run

    verdicts = check_run(find(run, runs))
    rows = [
        {"file": verdict.file, "rows": verdict.rows, "schema": verdict.schema, "ok": verdict.ok, "verdict": verdict.verdict}
        for verdict in verdicts
    ]
    if as_json:
        print_json(rows)
    else:
        print_rows([row for row in rows if not row["ok"]] or rows)
    if not all(verdict.ok for verdict in verdicts):
        raise typer.Exit(1)


def fit(run: RunName, runs: RunsFolder = RUNS, as_json: AsJson = False) -> None:
    """What does the energy know more than a Gaussian? Gains on held-out codes at every fit with a verdict, then held-out texts against chain ends."""
    from workbench.runs.reader import Run
    from workbench.views.energy.fit import COLUMNS, GAINS, gains, measures, verdict

    opened = Run(find(run, runs))
    measured, found = gains(opened), measures(opened)
    gained, rows = (
        [{name: None if value != value else value for name, value in row.items()} for row in frame.to_dict("records")]
        for frame in (measured, found)
    )
    if as_json:
        by_place = {(row["iteration"], row["task"]): row | {"verdict": verdict(row)} for row in gained}
        print_json([row | by_place.pop((row["iteration"], row["task"]), {}) for row in rows] + list(by_place.values()))
        return
    if not rows and not gained:
        print("this run saved no latent energy; lsebmcl does (--method lsebmcl)")
        return
    if gained:
        print_rows([{GAINS.get(str(name), str(name)): value for name, value in row.items()} for row in gained])
        last = measured[measured["iteration"] == measured["iteration"].max()]
        print("\n" + "\n".join(verdict(row) for row in last.to_dict("records")) + "\n")
    else:
        print("this run did not measure its fits: it was made before they were; only held-out texts against chain ends can be shown\n")
    if rows:
        print_rows(rows)
        print("\n" + "\n".join(f"{name}: {words}" for name, words in COLUMNS.items()))


def tasks(data: DataFolder = None, as_json: AsJson = False) -> None:
    """The tasks that can be learnt here: the bundled streams, and the published files and your own found under --data. Exit code 1 where one cannot be used."""
    from workbench.tasks import available_tasks

    rows = available_tasks(existing_data(data))
    print_json(rows) if as_json else print_rows(rows)
    if any("error" in row for row in rows):
        raise typer.Exit(1)


def report(
    names: Annotated[list[str], typer.Argument(metavar="RUNS...", help="Runs to report on.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file to write.")] = Path("report.html"),
    runs: RunsFolder = RUNS,
) -> None:
    """One self-contained HTML file with the figures and tables of some runs; it opens without this program and without a network."""
    from workbench.cli.report import write_report

    paths = [find(name, runs) for name in names]
    for path in paths:
        warn_of_damage(path)
    write_report(paths, out)
    print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
