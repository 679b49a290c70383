"""A study from its file to its last run: skip what is done, go on with what was begun, pilot first where there is a gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.studies import book, gate
from workbench.studies.book import Standing
from workbench.studies.engines import RETRIES, Engine
from workbench.studies.jobs import News, Tell, job_of
from workbench.studies.study import Cell, Study

TAKEN_UP = ("waiting", "interrupted", "crashed", "broken")


@dataclass(frozen=True)
class Outcome:
    """Where every cell stands in the end. `refused` says why later rows were not begun."""

    standings: list[Standing]
    refused: list[str]

    @property
    def all_finished(self) -> bool:
        return not self.refused and all(one.status == "finished" for one in self.standings)


def sweep(
    study: Study,
    cells: Sequence[Cell],
    runs: Path,
    engine: Engine,
    workers: int | None,
    tell: Tell,
    begin: Callable[[list[Standing]], None] = lambda standings: None,
    retry_failed: bool = False,
    retries: int = RETRIES,
) -> Outcome:
    """Train the cells that are not done. `begin` is called with where each stands before anything runs. Raises KeyboardInterrupt where it
    is stopped by hand: started again it goes on.
    """
    runs.mkdir(parents=True, exist_ok=True)
    book.write(study, runs)
    begin(book.survey(cells, runs))
    failed: dict[str, str] = {}

    def heard(news: News) -> None:
        if news.kind in ("failed", "elsewhere"):
            failed[news.cell_hash] = news.sentence
        tell(news)

    def train(chosen: Sequence[Cell]) -> None:
        again = (*TAKEN_UP, "failed") if retry_failed else TAKEN_UP
        todo = [one for one in book.survey(chosen, runs) if one.status in again]
        if todo:
            engine.run([job_of(one.cell, runs, one.run) for one in todo], heard, workers, retries)

    refused: list[str] = []
    if study.gate is not None:
        pilot = [cell for cell in study.cells if study.is_pilot(cell)]
        train([cell for cell in cells if study.is_pilot(cell)])
        standings = book.survey(pilot, runs)
        if any(one.status != "waiting" for one in standings):
            book.note_pilot(study, runs)
        refused = gate.verdicts(study, standings, runs)
    if not refused:
        train(cells)
    standings = book.survey(cells, runs)
    return Outcome([_with_sentence(one, failed.get(one.cell.hash)) for one in standings], refused)


def _with_sentence(one: Standing, sentence: str | None) -> Standing:
    """A cell that failed before it had a run folder has its sentence from the worker alone."""
    if one.status == "finished" or sentence is None:
        return one
    return Standing(one.cell, "failed" if one.status == "waiting" else one.status, one.run, one.sentence or sentence, one.other_code)
