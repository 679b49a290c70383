"""Synthetic runs: plausible curves, energies, chains and texts from a formula, for tests and for timing the app.

Nothing here was trained; the summary says `synthetic`. Scores rise while a task is learnt, dip after each switch and partly
recover (the stability gap of De Lange et al., 2023), and fade with the tasks that follow. The chains are real Langevin chains
on the energy whose weights are saved beside them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.config import build, to_yaml
from workbench.runs.schema import sample_id
from workbench.runs.synthetic_texts import HOSTILE, NAMES, sentence
from workbench.runs.writer import RunWriter

State = Literal["finished", "running", "crashed", "broken"]
VERDICTS = ("kept", "kept", "kept", "kept", "duplicate", "empty question", "answers disagree")


class _Energy:
    """A small random latent energy with analytic gradient, in numpy: f(w) = W4 gelu(W2 gelu(W0 w)), U = |w|^2 / 2 - f."""

    def __init__(self, dim: int, symbols: list[str], hidden: int, rng: np.random.Generator) -> None:
        def normal(scale: float, *shape: int) -> np.ndarray:
            return (scale * rng.standard_normal(shape)).astype(np.float32)

        self.symbols = symbols
        self.arrays = {
            "trunk.0.weight": normal(dim**-0.5, hidden, dim),
            "trunk.0.bias": normal(0.1, hidden),
            "trunk.2.weight": normal(1.5 * hidden**-0.5, hidden, hidden),
            "trunk.2.bias": normal(0.1, hidden),
            "trunk.4.weight": normal(4 * hidden**-0.5, len(symbols), hidden),
            "trunk.4.bias": np.zeros(len(symbols), np.float32),
            "reference.mean": normal(2 * dim**-0.25, len(symbols), dim),
            "reference.chol": np.stack([0.6 * np.eye(dim, dtype=np.float32) + np.tril(normal(0.05, dim, dim), -1) for _ in symbols]),
        }

    def to_z(self, w: np.ndarray, symbol: int) -> np.ndarray:
        return self.arrays["reference.mean"][symbol] + w @ self.arrays["reference.chol"][symbol].T

    def value_and_grad(self, w: np.ndarray, symbol: int) -> tuple[np.ndarray, np.ndarray]:
        """U [n] and its gradient [n, d] in w coordinates."""
        a = self.arrays
        first = w @ a["trunk.0.weight"].T + a["trunk.0.bias"]
        hidden, slope = _gelu(first)
        second = hidden @ a["trunk.2.weight"].T + a["trunk.2.bias"]
        top, top_slope = _gelu(second)
        row = a["trunk.4.weight"][symbol]
        f = top @ row + a["trunk.4.bias"][symbol]
        back = ((row * top_slope) @ a["trunk.2.weight"] * slope) @ a["trunk.0.weight"]
        return 0.5 * (w**2).sum(1) - f, w - back


def _gelu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import erf

    cumulative = 0.5 * (1 + erf(x / np.float32(2**0.5)))
    return x * cumulative, cumulative + x * np.exp(-0.5 * x**2) / np.float32((2 * np.pi) ** 0.5)


class _Run:
    """Everything one synthetic run is drawn from."""

    def __init__(self, writer: RunWriter, names: list[str], iterations: int, last: int, rng: np.random.Generator) -> None:
        self.writer, self.names, self.rng = writer, names, rng
        self.iterations, self.last = iterations, last
        self.ends = [round(iterations * (k + 1) / len(names)) for k in range(len(names))]
        self.keeps = rng.uniform(0.55, 0.95, len(names))

    def task_at(self, iteration: int) -> int:
        return min(int(np.searchsorted(self.ends, iteration)), len(self.names) - 1)

    def score(self, task: int, at: np.ndarray) -> np.ndarray:
        """Noiseless score (0..100) of a task at iterations `at`."""
        length = self.ends[0]
        start, end = self.ends[task] - length, self.ends[task]
        learnt = 90 * (1 - np.exp(-5 * np.clip(at - start, 0, length) / length))
        after = np.clip(at - end, 0, None)
        kept = self.keeps[task] + (1 - self.keeps[task]) * np.exp(-after / length)
        phase = np.where(after > 0, (after - 1) % length, 0.0)
        dip = 1 - 0.35 * np.exp(-phase / (0.05 * length + 1)) * (after > 0)
        return np.clip(4 + learnt * kept * dip, 0, 100)


def write_run(
    root: Path,
    *,
    tasks: int = 5,
    iterations: int = 400,
    every: int = 10,
    chains: int = 10,
    chain_count: int = 32,
    steps: int = 20,
    dim: int = 32,
    texts: int = 16,
    latents: int = 50,
    hidden: int = 32,
    seed: int = 0,
    method: str = "lsebmcl",
    name: str = "synthetic",
    status: State = "finished",
    hostile: bool = False,
    when: datetime | None = None,
) -> Path:
    """Write one synthetic run under `root` and return its folder.

    iterations: over all tasks; every: iterations between evaluations; chains: snapshots over the run, each of `chain_count`
    chains; texts: replay texts a snapshot; latents: codes a task.
    status: 'running' leaves a fresh heartbeat but no lock, 'crashed' an old one and a torn last write (both stop after 60 % of the
    run), 'broken' a finished run with a truncated eval.parquet and a flipped byte in its last energy.
    hostile: texts with HTML, scripts, Markdown, LaTeX, control and bidirectional characters, and 100 KB on one line.
    """
    rng = np.random.default_rng(seed)
    names = [NAMES[k] if k < len(NAMES) else f"{NAMES[k % len(NAMES)]}-{k // len(NAMES) + 1}" for k in range(tasks)]
    config = build({"method": method, "seed": seed, "name": name, "energy": {"dim": dim, "steps": steps, "hidden": hidden}})
    about = {"label": config.label, "name": name, "stream": "synthetic", "stream_hash": "0" * 16, "tasks": names, "seed": seed}
    about |= {"gamma": config.replay.gamma, "group_hash": config.group_hash, "device": "cpu", "demo": True}
    writer = RunWriter.create(root, to_yaml(config), about, when=when)
    last = iterations if status in ("finished", "broken") else round(0.6 * iterations)
    run = _Run(writer, names, iterations, last, rng)
    _metrics(run)
    final = _evaluation(run, every)
    energies = {end: _task_end(run, k, end, dim, hidden, latents) for k, end in enumerate(run.ends) if end <= last}
    if energies:
        for iteration in sorted({round(at) for at in np.linspace(min(energies), last, chains)} if chains else set()):
            energy = energies[max(end for end in energies if end <= iteration)]
            _snapshot(run, energy, iteration, chain_count, steps, texts, hostile)
    _summary(run, final)
    if status in ("finished", "broken"):
        writer.finish()
    else:
        writer.close()
    if status == "running":
        (writer.path / "run.lock").unlink(missing_ok=True)
    elif status == "crashed":
        _tear(writer.path)
    elif status == "broken":
        _break(writer.path)
    return writer.path


def _metrics(run: _Run) -> None:
    iterations = np.arange(1, run.last + 1)
    owners = np.minimum(np.searchsorted(run.ends, iterations), len(run.names) - 1)
    length = run.ends[0]
    steps = iterations - np.concatenate([[0], run.ends])[owners]
    noise = run.rng.standard_normal((len(iterations), 4))
    qa = 0.3 + 2.5 * np.exp(-4 * steps / length) + 0.1 * noise[:, 0]
    generation = 2.0 + 2.0 * np.exp(-3 * steps / length) + 0.1 * noise[:, 1]
    columns = {
        "epoch": 3 * steps / length,
        "loss": qa + 0.25 * generation,
        "loss_qa": qa,
        "loss_gen": generation,
        "loss_kl": 3 + 0.2 * noise[:, 2],
        "lr": 1e-3 * (1 - steps / (length + 1)),
        "grad_norm": np.exp(0.3 * noise[:, 3]),
        "replay_share": np.where(owners > 0, 0.17, 0.0),
        "kl_weight": 0.015 * np.clip(4 * steps / length - 1, 0, 1),
        "grad_norm_new": np.exp(0.3 * noise[:, 0]),
        "grad_norm_replay": np.where(owners > 0, np.exp(0.3 * noise[:, 1]), np.nan),
        "seconds": 0.05 * iterations,
    }
    columns["grad_cosine"] = np.where((owners > 0) & (iterations % 25 == 0), np.clip(0.2 + 0.3 * noise[:, 2], -1, 1), np.nan)
    lists = {key: [None if value != value else value for value in values.tolist()] for key, values in columns.items()}
    for k, row in enumerate(zip(*lists.values(), strict=True)):
        values = dict(zip(lists, row, strict=True))
        run.writer.append("metrics", {"iteration": k + 1, "task": run.names[owners[k]], "step": int(steps[k]), **values})
        if k % (run.last // 8 + 1) == 0:
            run.writer.flush()


def _evaluation(run: _Run, every: int) -> dict[str, float]:
    """Rows of eval and predictions; returns the last generated score of each task learnt."""
    dense = {end + k for end in (0, *run.ends[:-1]) for k in range(20)}
    at = np.array(sorted({i for i in (*range(0, run.last + 1, every), *dense, *run.ends) if i <= run.last}))
    scores = np.stack([run.score(k, at) for k in range(len(run.names))])
    scores = np.clip(scores + 1.5 * run.rng.standard_normal(scores.shape), 0, 100)
    for column, iteration in enumerate(at.tolist()):
        trained = run.names[run.task_at(iteration)]
        for task, score in zip(run.names, scores[:, column].tolist(), strict=True):
            row = {"iteration": iteration, "trained_task": trained if iteration else "", "eval_task": task}
            row |= {"kind": "teacher_forced", "metric": "exact", "score": score, "loss": 3.2 - 0.03 * score, "n": 64}
            run.writer.append("eval", row)
    last: dict[str, float] = {}
    for end in [0, *(end for end in run.ends if end <= run.last)]:
        for k, task in enumerate(run.names):
            score = float(run.score(k, np.array([end]))[0])
            row = {"iteration": end, "trained_task": run.names[run.task_at(end)] if end else "", "eval_task": task, "kind": "generated"}
            run.writer.append("eval", {**row, "metric": "em", "score": score, "n": 4})
            if end >= run.ends[k]:
                last[task] = score
            for item in range(4 if end else 0):
                right = float(run.rng.random() < score / 100)
                answer = sentence(task, run.rng)[2] if right else "unknown"
                run.writer.append("predictions", {**row, "uid": f"{task}-{item}", "prediction": answer, "score": right})
    return last


def _task_end(run: _Run, task: int, end: int, dim: int, hidden: int, latents: int) -> _Energy:
    writer, rng, learnt = run.writer, run.rng, run.names[: task + 1]
    energy = _Energy(dim, learnt, hidden, rng)
    writer.event("task_finished", task=run.names[task], iteration=end)
    for step in range(0, 400, 10):
        gap = 2 * float(np.exp(-step / 80))
        row = {"iteration": end, "task": run.names[task], "step": step, "loss": gap + 0.05 * float(rng.standard_normal()), "gap": gap}
        row |= {"f_pos": 1.0, "f_neg": 1 - gap, "grad_norm": 1 + gap, "displacement": 2.5, "outside_4sigma": 0.0}
        writer.append("energy_fit", {**row, "pos_norm": dim**0.5, "neg_norm": dim**0.5 + gap})
    for subject in learnt:
        exact = {"active_units": float(dim // 2), "acceptance": 1.0}
        about = {"delta_nll": 0.5, "kl": 4.0, "energy_gap": 0.1, "task_share": 0.96, "displacement": 2.5}
        noisy = {name: value * (1 + 0.02 * float(rng.standard_normal())) for name, value in about.items()}
        for name, value in {**exact, **noisy}.items():
            row = {"iteration": end, "task": run.names[task], "name": name, "subject": subject, "value": value}
            writer.append("diagnostics", row)
    for phase, seconds in {"train": 20.0, "fit": 1.0, "sample": 0.5, "decode": 2.0, "evaluate": 4.0, "other": 0.5}.items():
        writer.append("timings", {"iteration": end, "task": run.names[task], "phase": phase, "seconds": seconds * (task + 1)})
    writer.weights(f"energy_{end:09d}", energy.arrays, {"symbols": learnt, "sigma": "1.0", "reference": "per_task", "activation": "gelu"})
    if latents:
        codes = [energy.to_z(rng.standard_normal((latents, dim)).astype(np.float32), k).astype(np.float32) for k in range(len(learnt))]
        index = np.repeat(np.arange(len(learnt), dtype=np.int64), latents)
        uids = [f"{name}-{item}" for name in learnt for item in range(latents)]
        writer.arrays("latents", f"{end:09d}", {"z": np.concatenate(codes), "task_index": index}, {"tasks": learnt, "uids": uids})
    return energy


def _snapshot(run: _Run, energy: _Energy, iteration: int, count: int, steps: int, texts: int, hostile: bool) -> None:
    rng, dim, delta = run.rng, energy.arrays["trunk.0.weight"].shape[1], 0.4
    symbol = int(rng.integers(len(energy.symbols)))
    task = energy.symbols[symbol]
    w = rng.standard_normal((count, dim)).astype(np.float32)
    path, levels, slopes = [], [], []
    for _ in range(steps + 1):
        level, slope = energy.value_and_grad(w, symbol)
        path.append(w)
        levels.append(level)
        slopes.append(np.linalg.norm(slope, axis=1))
        w = (w - delta**2 / 2 * slope + delta * rng.standard_normal(w.shape)).astype(np.float32)
    z = np.stack([energy.to_z(w, symbol) for w in path])
    u, norms = np.stack(levels).astype(np.float32), np.stack(slopes).astype(np.float32)
    arrays = {"z": z.astype(np.float16), "energy": u, "grad_norm": norms, "accept": np.ones((steps, count), np.float32)}
    about = {"iteration": str(iteration), "task": task, "kernel": "ula", "delta": str(delta), "steps": str(steps)}
    run.writer.arrays("chains", f"{iteration:09d}_{task}", arrays, about)
    moved = np.linalg.norm(np.stack(path) - path[0], axis=2).mean(1)
    quantiles = np.quantile(u, (0.05, 0.25, 0.5, 0.75, 0.95), axis=1)
    for step in range(steps + 1):
        row = dict(zip(("energy_q05", "energy_q25", "energy_q50", "energy_q75", "energy_q95"), quantiles[:, step].tolist(), strict=True))
        row |= {"grad_norm_mean": float(norms[step].mean()), "moved_mean": float(moved[step]), "stuck": 0.0}
        row |= {"rhat_nested": 1 + 0.5 / (step + 1), "ess": float(count * (0.3 + 0.02 * step))}
        run.writer.append("chain_stats", {"iteration": iteration, "task": task, "step": step, **row})
    for k, (context, question, answer) in enumerate(_texts(task, texts, hostile, rng)):
        verdict = VERDICTS[int(rng.integers(len(VERDICTS)))]
        recognised = task if rng.random() < 0.95 else run.names[0]
        row = {"sample_id": sample_id(run.writer.path.name, iteration, k, k), "iteration": iteration, "origin": "energy", "task": task}
        row |= {"trained_task": run.names[run.task_at(min(iteration + 1, run.iterations))], "context": context, "question": question}
        row |= {"answer": answer, "answer_generated": answer, "answer_relabelled": answer}
        row["text"] = f"{context} __sep__ {question} __ans__ {answer}"
        row |= {"chain": k % count, "energy": float(u[-1, k % count]), "seed": 7, "verdict": verdict, "kept": verdict == "kept"}
        run.writer.append("samples", {**row, "generation": 1, "recognised": recognised, "seconds": 0.05 * iteration})


def _texts(task: str, count: int, hostile: bool, rng: np.random.Generator) -> Iterator[tuple[str, str, str]]:
    for k in range(count):
        context, question, answer = sentence(task, rng)
        yield (HOSTILE[k % len(HOSTILE)], HOSTILE[(k + 1) % len(HOSTILE)][:300], answer) if hostile else (context, question, answer)


def _summary(run: _Run, final: dict[str, float]) -> None:
    at = np.linspace(0, run.last, 60)
    values = {"iterations": run.last, "seconds": 0.05 * run.last, "tasks_done": len(final), "synthetic": True, "warnings": []}
    values["curve"] = [round(float(value), 2) for value in np.stack([run.score(k, at) for k in range(len(run.names))]).mean(0)]
    if final:
        best = {name: float(run.score(k, np.array([run.ends[k]]))[0]) for k, name in enumerate(run.names)}
        earlier = [name for name in final if name != list(final)[-1]]
        loss = [best[name] - final[name] for name in earlier]
        values |= {"scores": final, "average_score": sum(final.values()) / len(final)}
        values["phases"] = {"train": 20.0, "fit": 1.0, "sample": 0.5, "decode": 2.0, "evaluate": 4.0, "other": 0.5}
        if loss:
            values |= {"forgetting": sum(loss) / len(loss), "backward_transfer": -sum(loss) / len(loss)}
            values["min_acc"] = min(final[name] for name in earlier)
    run.writer.summary(values)


def _tear(path: Path) -> None:
    """As a kill in the middle of a write leaves it: half a batch, an unfinished event, a heartbeat of an hour ago."""
    for segment in sorted((path / "metrics").glob("*.arrows"))[-1:]:
        os.truncate(segment, segment.stat().st_size - 200)
    with (path / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"time": "20')
    hour_ago = time.time() - 3600
    os.utime(path / "run.json", (hour_ago, hour_ago))


def _break(path: Path) -> None:
    os.truncate(path / "eval.parquet", (path / "eval.parquet").stat().st_size // 2)
    weights = sorted((path / "weights").glob("*.safetensors"))[-1]
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(data)
