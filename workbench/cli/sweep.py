"""The command that runs a study: its plan, its live table, its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import RUNS, AsJson, print_json, print_rows

if TYPE_CHECKING:
    from workbench.studies.book import Standing
    from workbench.studies.jobs import News
    from workbench.studies.study import Cell

SHOWN_FAULTS = 20


def register(app: typer.Typer) -> None:
    app.command()(sweep)


def sweep(
    study: Annotated[Path, typer.Argument(help="YAML file of a study (docs/sweeps.md; data/studies has some).")],
    engine: Annotated[str, typer.Option(help="local: processes on this machine; ray: a Ray cluster, or Ray on this machine.")] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time.", show_default="as many as there are cores, or as Ray has room for")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells, updates and hours, and run nothing.")] = False,
    part: Annotated[str | None, typer.Option(help="Only part I of N, as 3/20: for a SLURM array, one part a task.", metavar="I/N")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Take up failed runs again too.")] = False,
    runs: Annotated[Path, typer.Option("--runs", "--out", envvar="WORKBENCH_RUNS", help="Folder the runs' folders are made in.")] = RUNS,
    as_json: AsJson = False,
) -> None:
    """Run every cell of a study that is not done. Stopped with Ctrl-C or killed, it goes on when it is started again.

    Exit code 0: every cell is finished; 1: one failed, or the pilot did not pass; 130: stopped by hand.
    """
    from workbench.studies import book
    from workbench.studies.study import read_study

    planned = read_study(study)
    cells = book.only_part(planned.cells, part)
    if dry_run:
        _plan(cells, runs, workers, as_json, [cell for cell in cells if planned.is_pilot(cell)])
        return
    from workbench.studies.engines import engine as engine_of
    from workbench.studies.sweep import sweep as run_study

    board = _Board(planned.study, {cell.hash: cell.name for cell in cells})
    try:
        with _shown(board) as tell:
            outcome = run_study(planned, cells, runs, engine_of(engine), workers, tell, board.begin, retry_failed)
    except KeyboardInterrupt:
        done = sum(one.status == "finished" for one in book.survey(cells, runs))
        print(f"stopped: {done} of {len(cells)} cells are finished; go on with the same command", file=sys.stderr)
        raise typer.Exit(130) from None
    _report(outcome.standings, outcome.refused, planned.study, runs, as_json)
    if not outcome.all_finished:
        raise typer.Exit(1)


# -- before --------------------------------------------------------------------------------------------------------------


def _plan(cells: Sequence[Cell], runs: Path, workers: int | None, as_json: bool, pilot: Sequence[Cell]) -> None:
    from workbench.studies import book, plan
    from workbench.studies.engines.local import workers_here

    standings = book.survey(cells, runs)
    known = plan.paces([runs])
    rows = []
    for one in standings:
        guess = plan.estimate(one.cell, known)
        rows.append(
            {
                "cell": one.cell.name,
                "state": one.status + (", by other code" if one.other_code else ""),
                "updates": guess.updates,
                "hours": None if guess.seconds is None else guess.seconds / 3600,
                "from": guess.source,
                "hash": one.cell.hash,
            }
        )
    todo = [row for row, one in zip(rows, standings, strict=True) if one.status != "finished"]
    count = workers or (workers_here(cells[0].resources.threads) if cells else 1)
    hours = [row["hours"] for row in todo]
    known_hours = None if None in hours else sum(hours)
    whole = {
        "cells": len(rows),
        "finished": len(rows) - len(todo),
        "to_run": len(todo),
        "pilot": len(pilot),
        "updates": sum(row["updates"] for row in todo),
        "hours_of_one_worker": known_hours,
        "workers": count,
        "hours": None if known_hours is None else known_hours / min(count, max(len(todo), 1)),
    }
    if as_json:
        print_json({"plan": rows, **whole})
        return
    print_rows([{key: value for key, value in row.items() if key != "hash"} for row in rows])
    gated = f", {len(pilot)} of them the pilot" if pilot else ""
    print(f"\n{len(rows)} cells{gated}; {whole['finished']} finished, {len(todo)} to run, {whole['updates']:,} updates")
    if known_hours is None:
        lacking = sum(hour is None for hour in hours)
        print(f"hours: not known for {lacking} cells, for {runs} holds no finished run to tell them by")
    else:
        print(
            f"hours: {known_hours:.1f} of one worker, {whole['hours']:.1f} with {count} (runs of this folder, on whichever machine they were made)"
        )


# -- while it runs ---------------------------------------------------------------------------------------------------------


@dataclass
class _Live:
    """A cell in work. The rate is of the updates since the first that was heard of: a resumed run has older ones."""

    begun: float
    what: str = ""
    done: int = 0
    total: int = 0
    first: tuple[float, int] | None = None

    def heard(self, done: int, total: int, what: str) -> None:
        self.done, self.total, self.what = done, total, what
        if self.first is None:
            self.first = (time.monotonic(), done)

    @property
    def rate(self) -> float | None:
        """Updates a second."""
        if self.first is None or self.done <= self.first[1]:
            return None
        return (self.done - self.first[1]) / (time.monotonic() - self.first[0])

    @property
    def left(self) -> float | None:
        return (self.total - self.done) / rate if (rate := self.rate) else None


@dataclass
class _Board:
    """What a person sees of a study that runs."""

    study: str
    names: dict[str, str]
    started: float = field(default_factory=time.monotonic)
    skipped: int = 0
    finished: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    live: dict[str, _Live] = field(default_factory=dict)
    spent: list[float] = field(default_factory=list)

    def begin(self, standings: Sequence[Standing]) -> None:
        self.skipped = sum(one.status == "finished" for one in standings)
        self.failed = {one.cell.hash: one.sentence for one in standings if one.status == "failed"}
        if old := sum(one.other_code for one in standings if one.status == "finished"):
            words = "cell was" if old == 1 else "cells were"
            print(
                f"warning: {old} finished {words} trained by other code than today's; their rows will stand in a group of their own "
                "(to train all anew, give another --runs)",
                file=sys.stderr,
            )

    def heard(self, news: News) -> str | None:
        """Take the news in; the line to print where there is no live table."""
        name = self.names.get(news.cell_hash, news.cell_hash)
        if news.kind == "begun":
            self.live[news.cell_hash] = _Live(time.monotonic())
            self.failed.pop(news.cell_hash, None)
            return f"{'goes on' if news.resumed else 'begun'}: {name} ({news.run})"
        if news.kind == "progress":
            self.live.setdefault(news.cell_hash, _Live(time.monotonic())).heard(news.done, news.total, news.sentence)
            return None
        lived = self.live.pop(news.cell_hash, None)
        if news.kind == "finished":
            self.finished += 1
            if lived is not None:
                self.spent.append(time.monotonic() - lived.begun)
        elif news.kind in ("failed", "elsewhere"):
            self.failed[news.cell_hash] = news.sentence
        return f"{self.count}  {news.kind}: {name}{f' ({news.sentence})' if news.sentence else ''}"

    @property
    def count(self) -> str:
        return f"{self.skipped + self.finished} of {len(self.names)}"

    @property
    def left(self) -> float | None:
        """Seconds until the last cell ends: what those in work still need, and the mean of those that ended for those that wait."""
        lefts = [one.left for one in self.live.values()]
        if not self.live or None in lefts:
            return None
        waiting = len(self.names) - self.skipped - self.finished - len(self.failed) - len(self.live)
        if waiting > 0 and not self.spent:
            return None
        each = sum(self.spent) / len(self.spent) if self.spent else 0.0
        return (sum(left for left in lefts if left is not None) + max(waiting, 0) * each) / len(self.live)

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name, justify in (
            ("cell", "left"),
            ("", "left"),
            ("updates", "right"),
            ("a second", "right"),
            ("left", "right"),
            ("now", "left"),
        ):
            table.add_column(name, justify=justify, no_wrap=True)  # pyright: ignore[reportArgumentType]
        for cell_hash, one in self.live.items():
            rate = one.rate
            table.add_row(
                Text(self.names.get(cell_hash, cell_hash)), ProgressBar(total=max(one.total, 1), completed=one.done, width=20),
                f"{one.done} of {one.total}" if one.total else "", "" if rate is None else f"{rate:.1f}", _clock(one.left), Text(one.what[:40]),
            )  # fmt: skip
        failed = f", {len(self.failed)} failed" if self.failed else ""
        head = f"{self.study}: {self.count} finished{failed}, {_clock(time.monotonic() - self.started)} so far, left {_clock(self.left) or '?'}"
        return Group(Text(head, style="bold"), table)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _shown(board: _Board) -> Iterator[Any]:
    """A live table on a terminal, else a line for whatever begins and ends, on standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:

        def line(news: News) -> None:
            if said := board.heard(news):
                print(said, file=sys.stderr, flush=True)

        yield line
        return
    from rich.live import Live

    with Live(board, console=console, refresh_per_second=4, redirect_stdout=False):

        def heard(news: News) -> None:
            board.heard(news)

        yield heard


# -- after -----------------------------------------------------------------------------------------------------------------


def _report(standings: Sequence[Standing], refused: Sequence[str], study: str, runs: Path, as_json: bool) -> None:
    if as_json:
        cells = [
            {"cell": one.cell.name, "hash": one.cell.hash, "status": one.status, "run": one.run, "sentence": one.sentence}
            for one in standings
        ]
        print_json({"study": study, "cells": cells, "refused": list(refused)})
        return
    counts = {status: sum(one.status == status for one in standings) for status in dict.fromkeys(one.status for one in standings)}
    print(f"{study}: {', '.join(f'{count} {status}' for status, count in counts.items())}")
    faults = [one for one in standings if one.status == "failed"]
    if faults:
        print_rows([{"failed": one.cell.name, "run": one.run or "", "": one.sentence} for one in faults[:SHOWN_FAULTS]])
        if len(faults) > SHOWN_FAULTS:
            print(f"and {len(faults) - SHOWN_FAULTS} more")
    for sentence in refused:
        print(f"later rows refused: {sentence}")
    if counts.get("finished"):
        print(f"look at it with: workbench table --study {study}{'' if runs == RUNS else f' --runs {runs}'}")
