"""What a run writes while it trains: scores, replay, diagnostics, timings, summary. Everything goes through the run's writer."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from workbench.config import RunConfig
from workbench.learning.learner import Learner
from workbench.methods.base import Base
from workbench.replay.sample import ANY_TASK, ReplaySample
from workbench.runs import metrics
from workbench.runs.reader import Run
from workbench.runs.schema import sample_id
from workbench.runs.writer import RunWriter
from workbench.tasks.example import Stream
from workbench.tasks.scoring import snapped
from workbench.training.evaluate import ContinualEvaluation
from workbench.training.recognise import Recogniser

AFTER_LAST = ""
"""trained_task of samples drawn after the last task, for inspection."""


class Recorder:
    """Rows and files of one run. `eval` rows are also kept in memory, for the summary."""

    def __init__(
        self, config: RunConfig, stream: Stream, writer: RunWriter, learner: Learner, evaluation: ContinualEvaluation, recognise: Recogniser
    ) -> None:
        self.config, self.stream, self.writer, self.learner = config, stream, writer, learner
        self.evaluation, self.recognise = evaluation, recognise
        self.scores: list[dict[str, Any]] = []

    def subsets(self) -> None:
        """The items of the per-iteration score and those that are learnt, by uid: drawn once."""
        uids = {name: [example.uid for example in subset] for name, subset in self.evaluation.subsets.items()}
        self.writer.save("subsets.json", lambda path: path.write_text(json.dumps(uids), encoding="utf-8"))
        learnt = {task.name: [example.uid for example in task.train] for task in self.stream.tasks}
        self.writer.save("training_uids.json", lambda path: path.write_text(json.dumps(learnt), encoding="utf-8"))

    # -- scores ------------------------------------------------------------------------------------------------------

    def forced(self, names: Sequence[str], trained: str) -> None:
        """Teacher-forced scores of the named tasks at this iteration."""
        with self.learner.clock("evaluate"):
            for name, result in self.evaluation.forced(names).items():
                row = {"metric": "exact", "score": result.score, "loss": result.loss, "n": result.n, "items": result.items}
                self._score(trained, name, "teacher_forced", row)

    def zero_shot(self) -> None:
        """Every task before the first update."""
        self.generated("")

    def generated(self, trained: str) -> None:
        """Full generation and the task's own metric on every task's test set, with each prediction."""
        with self.learner.clock("evaluate"):
            for task in self.stream.tasks:
                rows, score = self.evaluation.generated(task.name)
                self._score(trained, task.name, "generated", {"metric": task.metric, "score": score, "n": len(rows)})
                for example, prediction, right in rows:
                    about = {"iteration": self.learner.iteration, "trained_task": trained, "eval_task": task.name, "kind": "generated"}
                    self.writer.append("predictions", about | {"uid": example.uid, "prediction": prediction, "score": right})
                if task.metric == "lfem":
                    self._diagnostic("snapped", task.name, sum(snapped([row[1] for row in rows], [row[0] for row in rows])))

    def _score(self, trained: str, name: str, kind: str, row: dict[str, Any]) -> None:
        row = {"iteration": self.learner.iteration, "trained_task": trained, "eval_task": name, "kind": kind, **row}
        self.writer.append("eval", row)
        self.scores.append(row)

    # -- replay ------------------------------------------------------------------------------------------------------

    def samples(self, trained: str, drawn: Sequence[ReplaySample]) -> None:
        """Every sample drawn, kept or refused, and per task the share that looks like the task asked for."""
        if not drawn:
            return
        with self.learner.clock("record"):
            looks = self.recognise(drawn)
            right, asked = Counter(), Counter()
            for index, (sample, recognised) in enumerate(zip(drawn, looks, strict=True)):
                asked[sample.task] += 1
                right[sample.task] += recognised == sample.task
                chain = -1 if sample.chain is None else sample.chain
                self.writer.append(
                    "samples",
                    {
                        "sample_id": sample_id(self.writer.path.name, self.learner.iteration, chain, index),
                        "iteration": self.learner.iteration,
                        "trained_task": trained,
                        "task": sample.task,
                        "origin": sample.origin,
                        "context": sample.context,
                        "question": sample.question,
                        "answer": sample.answer,
                        "answer_generated": sample.answer_generated,
                        "answer_relabelled": sample.answer_relabelled,
                        "text": sample.text,
                        "chain": sample.chain,
                        "energy": sample.energy,
                        "seed": sample.seed,
                        "verdict": sample.verdict,
                        "kept": sample.kept,
                        "generation": sample.generation,
                        "recognised": recognised,
                        "seconds": sample.seconds,
                    },
                )
            for name in asked:
                if name != ANY_TASK:
                    self._diagnostic("task_share", name, right[name] / asked[name])
                kept = sum(sample.kept for sample in drawn if sample.task == name)
                self._diagnostic("kept", name, kept)
                self._diagnostic("decoded", name, asked[name])

    def inspection(self, method: Base) -> None:
        """Samples of every task drawn once more at the end, for reading: never trained on."""
        if self.config.recording.samples:
            self.samples(AFTER_LAST, method.inspect(self.config.recording.samples))

    def _diagnostic(self, name: str, subject: str, value: float) -> None:
        task = self.learner.tasks[-1].name if self.learner.tasks else ""
        self.writer.append(
            "diagnostics", {"iteration": self.learner.iteration, "task": task, "name": name, "subject": subject, "value": value}
        )

    # -- the rest ----------------------------------------------------------------------------------------------------

    def timings(self, trained: str) -> None:
        """Seconds of each phase since the run began."""
        self.learner.clock.charge()
        for phase, seconds in self.learner.clock.seconds.items():
            self.writer.append("timings", {"iteration": self.learner.iteration, "task": trained, "phase": phase, "seconds": seconds})

    def weights(self, name: str, state: dict[str, Tensor]) -> None:
        tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
        self.writer.weights(name, lambda path: save_file(tensors, path))

    def summary(self) -> None:
        """What the list of runs and a table show, recomputed from the eval rows."""
        generated = [row for row in self.scores if row["kind"] == "generated" and row["trained_task"]]
        if not generated:
            return
        learnt = [task.name for task in self.learner.tasks]
        last = {row["eval_task"]: row["score"] for row in generated if row["trained_task"] == generated[-1]["trained_task"]}
        values: dict[str, Any] = {
            "scores": {name: last[name] for name in learnt},
            "average_score": sum(last[name] for name in learnt) / len(learnt),
            "iterations": self.learner.iteration,
            "tasks_done": len(learnt),
            "seconds": self.learner.clock.total,
            "phases": dict(self.learner.clock.seconds),
            "curve": self._curve(),
            "warnings": list(self.learner.warnings),
        }
        if generated[-1]["trained_task"] in learnt:
            values |= self._forgetting(generated)
        self.writer.summary(values)

    def _forgetting(self, generated: list[dict[str, Any]]) -> dict[str, float | None]:
        tasks, matrix = metrics.score_matrix(generated)
        forced = [row for row in self.scores if row["kind"] == "teacher_forced"]
        curves = {
            name: tuple(np.array([row[key] for row in forced if row["eval_task"] == name]) for key in ("iteration", "score"))
            for name in dict.fromkeys(row["eval_task"] for row in forced)
        }
        ends = {row["trained_task"]: row["iteration"] for row in generated}
        first = [row for row in self.scores if row["kind"] == "generated"]
        return {
            "backward_transfer": metrics.backward_transfer(matrix),
            "forgetting": metrics.forgetting(matrix),
            "forward_transfer": metrics.forward_transfer(matrix, metrics.zero_shot(first, tasks)),
            "min_acc": metrics.min_acc(curves, ends),  # pyright: ignore[reportArgumentType]
            "wc_acc": metrics.wc_acc(curves, ends),  # pyright: ignore[reportArgumentType]
        }

    def _curve(self, points: int = 60) -> list[float | None]:
        """The one mean curve of teacher-forced scores, thinned for a sparkline."""
        means: list[float | None] = metrics.mean_curve(self.scores)["score"].tolist()
        return means[:: math.ceil(len(means) / points)] if means else []

    def finish(self) -> None:
        """The end of a run: its summary; then the tables are compacted."""
        self.timings(self.stream.tasks[-1].name)
        self.summary()
        self.writer.finish()

    def take_up(self) -> None:
        """Take up the eval rows that the checkpoint knows of."""
        rows = self.writer.row_counts()["eval"]
        frame = Run(self.writer.path).table("eval")
        frame = frame[frame["row"] < rows].drop(columns="row")
        self.scores = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]  # pyright: ignore[reportCallIssue]
