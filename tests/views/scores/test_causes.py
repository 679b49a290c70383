"""Runs made to have one cause of a dip each: the reason given is the right one, and for noise it says noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.runs.reader import Run
from workbench.runs.writer import RunWriter
from workbench.tasks import load_stream
from workbench.views.scores import causes

DIM, TEXTS, SWITCH, AT = 8, 60, 100, 120
OLD, NEW = "sentiment", "srl"
EXAMPLES = {task.name: task.train for task in load_stream("bundled").tasks}


class Planted:
    """What a run records, healthy until a cause is planted: sentiment learnt until iteration 100, srl after it, a dip at 120."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.texts = [
            {"context": one.context, "question": one.question, "answer": one.answers[0], "recognised": OLD, "kept": True}
            for one in EXAMPLES[OLD][:TEXTS]
        ]
        self.gamma: float = TEXTS / 1000
        self.rate = np.full(200, 1e-3)
        self.cosine = 0.1
        self.stuck, self.moved = 0.0, 2.6
        self.active, self.delta_nll = 1.0, 0.4
        self.codes = rng.standard_normal((40, DIM))
        self.right = np.array([True] * 60 + [False] * 4)
        self.dip = np.array([True] * 20 + [False] * 44)


def drop_texts(run: Planted) -> None:
    run.texts = []


def wrong_answers(run: Planted) -> None:
    for text in run.texts[:40]:
        text["answer"] = "negative" if text["answer"] == "positive" else "positive"


def one_answer(run: Planted) -> None:
    run.texts = [text for text in run.texts if text["answer"] == "positive"]
    others = [one for one in EXAMPLES[OLD] if one.answers[0] == "positive"][TEXTS:]
    run.texts += [
        {"context": one.context, "question": one.question, "answer": "positive", "recognised": OLD, "kept": True} for one in others
    ]
    run.texts = run.texts[:TEXTS]


def rate_spike(run: Planted) -> None:
    run.rate[105:115] = 2e-2


def chains_stand(run: Planted) -> None:
    run.stuck, run.moved = 0.9, 0.1


def codes_drift(run: Planted) -> None:
    run.codes = run.codes + 3.0


def collapsed(run: Planted) -> None:
    run.active, run.delta_nll = 0.03, 0.004


def too_few(run: Planted) -> None:
    for text in run.texts[6:]:
        text["kept"] = False


def garbled(run: Planted) -> None:
    for place, text in enumerate(run.texts):
        text["context"] = " ".join(word[::-1] + str(place) for word in text["context"].split())


def noise(run: Planted) -> None:
    run.dip = run.right.copy()
    run.dip[:5] = False


def another_task(run: Planted) -> None:
    for text in run.texts[:40]:
        text["recognised"] = NEW


def pulled_apart(run: Planted) -> None:
    run.cosine = -0.6


CAUSES: dict[str, Callable[[Planted], None]] = {
    "no replay": drop_texts,
    "wrong answers": wrong_answers,
    "one answer": one_answer,
    "learning rate": rate_spike,
    "chains that stand": chains_stand,
    "codes drifted": codes_drift,
    "collapsed latent": collapsed,
    "too few texts": too_few,
    "garbled texts": garbled,
    "noise": noise,
    "texts of another task": another_task,
    "gradients against each other": pulled_apart,
}


def write(root: Path, planted: Planted) -> Run:
    config = f"stream: bundled\nreplay: {{gamma: {planted.gamma}}}\nenergy: {{dim: {DIM}, delta: 0.4, steps: 20}}\n"
    writer = RunWriter.create(
        root, config, {"label": "lsebmcl", "tasks": [OLD, NEW], "seed": 0, "gamma": planted.gamma, "stream": "bundled"}
    )
    for at in (0, 50, 100, 120, 160, 200):
        right = planted.dip if at == AT else planted.right if at else ~np.ones(64, bool)
        for task in (OLD, NEW):
            score = 100 * right.mean() if task == OLD else float(at > SWITCH) * 50
            row = {
                "iteration": at,
                "trained_task": (OLD if at <= SWITCH else NEW) if at else "",
                "eval_task": task,
                "kind": "teacher_forced",
            }
            items = "".join("01"[int(bit)] for bit in right) if task == OLD else "1" * 64
            writer.append("eval", {**row, "metric": "exact", "score": score, "loss": 1.0, "n": 64, "items": items})
    for at in range(1, 201):
        cosine = planted.cosine if at > SWITCH and at % 5 == 0 else None
        row = {"iteration": at, "task": OLD if at <= SWITCH else NEW, "loss": 1.0, "lr": float(planted.rate[at - 1]), "grad_cosine": cosine}
        writer.append("metrics", row)
    for place, text in enumerate(planted.texts):
        about = {
            "sample_id": f"s{place}",
            "iteration": SWITCH,
            "trained_task": NEW,
            "task": OLD,
            "chain": place,
            "seconds": 0.1,
            "text": "x",
        }
        writer.append("samples", {**about, **text, "verdict": "kept" if text["kept"] else "answers disagree"})
    for name, value in (("active_units", planted.active), ("delta_nll", planted.delta_nll)):
        writer.append("diagnostics", {"iteration": SWITCH, "task": OLD, "name": name, "subject": OLD, "value": value})
    for step in (0, 20):
        moved = planted.moved * step / 20
        writer.append("chain_stats", {"iteration": SWITCH, "task": OLD, "step": step, "stuck": planted.stuck, "moved_mean": moved})
    rng = np.random.default_rng(1)
    arrays = {
        "trunk.0.weight": rng.standard_normal((4, DIM)),
        "trunk.0.bias": np.zeros(4),
        "trunk.2.weight": np.eye(4),
        "trunk.2.bias": np.zeros(4),
    }
    arrays |= {"trunk.4.weight": np.zeros((1, 4)), "trunk.4.bias": np.zeros(1), "reference.mean": np.zeros((1, DIM))}
    arrays |= {"reference.chol": np.eye(DIM)[None]}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    about: dict[str, Any] = {"symbols": json.dumps([OLD]), "sigma": "1.0", "reference": "per_task", "activation": "gelu"}
    writer.arrays("weights", f"energy_{SWITCH:09d}", arrays, about)
    latents = {"z": planted.codes.astype(np.float32), "task_index": np.zeros(40, np.int64)}
    writer.arrays("latents", f"{SWITCH:09d}", latents, {"tasks": json.dumps([OLD]), "uids": json.dumps([f"p{n}" for n in range(40)])})
    writer.finish()
    return Run(writer.path)


@pytest.mark.parametrize("name", CAUSES)
def test_the_reason_of_a_planted_cause_is_the_right_one(tmp_path: Path, name: str):
    planted = Planted()
    CAUSES[name](planted)
    run = write(tmp_path, planted)
    found = causes.causes(run, OLD, AT)
    assert found and found[0].name == name, [cause.name for cause in found]
    said = causes.sentence(run, OLD, AT)
    assert ("no more than the noise" in said) == (name == "noise") and found[0].sentence in said


def test_without_a_planted_cause_none_is_made_up_and_the_gap_is_told(tmp_path: Path):
    run = write(tmp_path, Planted())
    assert causes.causes(run, OLD, AT) == []
    said = causes.sentence(run, OLD, AT)
    assert "62.5 points below its best so far" in said and "No rule finds a cause" in said
    assert "20 iterations after the switch; by iteration 160 it is back at 93.8: a stability gap" in said
    assert causes.sentence(run, OLD, 200) == f"{OLD} is at its best so far."
    assert "has not been learnt yet" in causes.sentence(run, NEW, 50) and causes.dip(run, "nobody", 50) is None


def test_two_causes_are_both_named_the_heavier_first(tmp_path: Path):
    planted = Planted()
    garbled(planted)
    rate_spike(planted)
    found = causes.causes(write(tmp_path, planted), OLD, AT)
    assert {cause.name for cause in found[:2]} == {"garbled texts", "learning rate"} and found[0].weight >= found[1].weight


def test_noise_is_called_noise_as_often_as_it_should_be():
    """Of evaluations of a model that never changes, at most one in twenty is given a cause."""
    rng, called = np.random.default_rng(0), 0
    for _ in range(200):
        bits = rng.random((20, 64)) < 0.7
        scores = bits.mean(axis=1)
        best = int(scores[:-1].argmax())
        lost, won = int((bits[best] & ~bits[-1]).sum()), int((~bits[best] & bits[-1]).sum())
        error = np.sqrt((lost + won + 2) / 64 - ((lost - won) / 64) ** 2) / 8
        called += bool(scores[best] - scores[-1] > causes.ndtri(1 - 0.05 / 20) * error)
    assert called / 200 <= 0.05
