"""Which texts are rated in which order: drawn by a stored seed from what a link says, so that a colleague gets the same deck.

The plan's id is a hash of its setup. An item is known by its number in the plan; the browser is told neither run, task,
iteration nor origin while the plan is blind.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from workbench.views.replay.samples import Reference
from workbench.views.text import LONGEST, cut
from workbench.views.timeline import Frame

SCALES: dict[str, tuple[str, tuple[str, ...]]] = {
    "fluency": ("How fluent is this text?", ("broken", "hard to read", "readable", "good", "as a person writes")),
    "fits": ("Does this text fit the task named above it?", ("not at all", "hardly", "partly", "mostly", "fully")),
    "better": ("Which text is better?", ("left, clearly", "left, a little", "alike", "right, a little", "right, clearly")),
}
"""Questions: (wording, the five answers in words). 'better' shows two texts."""

REPEATS = CONTROLS = 0.10
GAP = 10
"""Items between a text and its repeat, where the deck is long enough."""

MOST = 2000


class PlanError(ValueError):
    """A link whose setup cannot be used: one sentence."""


@dataclass(frozen=True)
class Setup:
    """What is rated. `rows` are the numbers of sample rows that existed per run when the deck was made: a growing run changes nothing.

    `versus` is a run whose text of the same task, iteration and place is shown beside (scale 'better').
    """

    runs: tuple[str, ...]
    rows: tuple[int, ...]
    scale: str = "fluency"
    tasks: tuple[str, ...] = ()
    first: int = 0
    last: int = 0
    refused: bool = False
    count: int = 100
    seed: int = 0
    blind: bool = True
    repeats: bool = True
    controls: bool = True
    versus: str = ""

    @property
    def plan(self) -> str:
        """The id that every rating of this deck carries; it begins with the question and the seed."""
        content = json.dumps(asdict(self), sort_keys=True)
        return f"{self.scale}-s{self.seed}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"

    def link(self) -> str:
        """The setup as one value of the address."""
        named = {key: value for key, value in asdict(self).items() if value != getattr(_DEFAULT, key)}
        return json.dumps(named, separators=(",", ":"), ensure_ascii=False)


_DEFAULT = Setup((), ())


def from_link(text: str, known: Sequence[str]) -> Setup:
    """The setup of an address. Raises PlanError: not a setup, a value that is not accepted, a run that is not here."""
    try:
        values = json.loads(text[:20_000])
    except (ValueError, RecursionError):
        raise PlanError("The link's setup is cut short or changed: it is not JSON.") from None
    if not isinstance(values, dict):
        raise PlanError("The link's setup is not a mapping.")
    unknown = sorted(set(values) - set(asdict(_DEFAULT)))
    if unknown:
        raise PlanError(f"The link's setup has {unknown[0][:40]!r}, which is not known.")
    for key, value in list(values.items()):
        default = getattr(_DEFAULT, key)
        if isinstance(default, tuple):
            kind = int if key == "rows" else str
            if not isinstance(value, list) or len(value) > 100 or not all(isinstance(part, kind) for part in value):
                raise PlanError(f"{key}: found {str(value)[:40]!r}; accepted: a list.")
            values[key] = tuple(value)
        elif type(value) is not type(default):
            raise PlanError(f"{key}: found {str(value)[:40]!r}; accepted: a value like {default!r}.")
    setup = replace(_DEFAULT, **values)
    missing = [name for name in (*setup.runs, *([setup.versus] if setup.versus else [])) if name not in known]
    if missing:
        raise PlanError(f"The link's deck draws from a run that is not here: {missing[0][:120]!r}.")
    if setup.scale not in SCALES:
        raise PlanError(f"scale: found {setup.scale[:40]!r}; accepted: {', '.join(SCALES)}.")
    if not setup.runs or len(setup.rows) != len(setup.runs):
        raise PlanError("The link's setup names no run.")
    if not 1 <= setup.count <= MOST:
        raise PlanError(f"count: found {setup.count}; accepted: 1 to {MOST}.")
    return setup


@dataclass(frozen=True)
class Item:
    """One place of the deck. `run` is where its ratings are stored; `other`: the sample beside it, for the scale 'better'."""

    number: int
    run: str
    sample_id: str
    row: Mapping[str, Any]
    repeat: bool = False
    control: bool = False
    other: Mapping[str, Any] | None = None
    flipped: bool = False


def pool(setup: Setup, samples: Mapping[str, Frame]) -> Frame:
    """The samples a deck may draw from, with a column `run`. samples: the samples table of each run."""
    frames = []
    for run, known in zip(setup.runs, setup.rows, strict=True):
        rows = samples[run]
        rows = rows[rows["row"] < known]
        if not setup.refused:
            rows = rows[rows["kept"].fillna(False).astype(bool)]
        if setup.tasks:
            rows = rows[rows["task"].isin(setup.tasks)]
        if setup.last:
            rows = rows[rows["iteration"].between(setup.first, setup.last)]
        frames.append(rows.assign(run=run))
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return rows.drop_duplicates(["run", "sample_id"]) if len(rows) else rows


def draw(setup: Setup, samples: Mapping[str, Frame], real: Reference) -> list[Item]:
    """The deck: `count` items at most, shuffled by the seed; a tenth repeats of others, a tenth real texts (where they are at hand)."""
    generator = random.Random(setup.plan)
    rows = pool(setup, samples)
    if setup.scale == "better":
        rows = rows[rows["run"] != setup.versus] if len(rows) else rows
        twins = _twins(rows, samples.get(setup.versus, pd.DataFrame()))
        rows = rows[[key in twins for key in _places(rows)]] if len(rows) else rows
    repeats = round(setup.count * REPEATS) if setup.repeats else 0
    controls = round(setup.count * CONTROLS) if setup.controls and setup.scale != "better" and real.examples else 0
    chosen = rows.sort_values(["run", "sample_id"]).to_dict("records") if len(rows) else []
    generator.shuffle(chosen)
    chosen = chosen[: setup.count - repeats - controls]
    if len(chosen) < setup.count - repeats - controls:
        repeats, controls = (round(len(chosen) / 8) if number else 0 for number in (repeats, controls))
    items = [Item(0, row["run"], row["sample_id"], row) for row in chosen]
    if setup.scale == "better":
        items = [
            replace(item, other=twins[place], flipped=generator.random() < 0.5)
            for item, place in zip(items, _places(pd.DataFrame(chosen)), strict=True)
        ]
    items += _real_items(setup, chosen, real, controls, generator)
    generator.shuffle(items)
    items = _with_repeats(items, repeats, generator)
    return [replace(item, number=number) for number, item in enumerate(items)]


def _places(rows: Frame) -> list[tuple[Any, ...]]:
    return list(rows[["iteration", "task", "chain"]].itertuples(index=False, name=None)) if len(rows) else []


def _twins(rows: Frame, others: Frame) -> dict[tuple[Any, ...], dict[str, Any]]:
    """For each place (iteration, task, chain) a kept sample of the other run from the same draw, in turn."""
    if rows.empty or others.empty:
        return {}
    by_draw = {
        key: own.sort_values("sample_id").to_dict("records")
        for key, own in others[others["kept"].fillna(False).astype(bool)].groupby(["iteration", "task"])
    }
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for at, (iteration, task, chain) in enumerate(_places(rows)):
        if draws := by_draw.get((iteration, task)):
            found[iteration, task, chain] = draws[at % len(draws)]
    return found


def _real_items(setup: Setup, chosen: Sequence[Mapping[str, Any]], real: Reference, n: int, generator: random.Random) -> list[Item]:
    """Real examples of the tasks that are rated, as controls; each is stored with one of the plan's runs."""
    tasks = sorted({row["task"] for row in chosen} & set(real.examples)) or sorted(real.examples)
    if not tasks or not chosen:
        return []
    by_task = {task: generator.sample(real.examples[task], len(real.examples[task])) for task in tasks}
    items = []
    for at in range(min(n, sum(len(examples) for examples in by_task.values()))):
        left = [task for task in tasks if by_task[task]]
        example = by_task[left[at % len(left)]].pop()
        parts = {"context": example.context, "question": example.question, "answer": example.answers[0], "text": ""}
        row = {"task": example.task, **parts, "origin": "real", "verdict": "kept"}
        items.append(Item(0, setup.runs[0], f"real:{example.task}:{example.uid}", row, control=True))
    return items


def _with_repeats(items: list[Item], n: int, generator: random.Random) -> list[Item]:
    """n generated items shown once more, at least GAP items later where the deck is long enough."""
    result = list(items)
    candidates = [item for item in items[: max(len(items) - GAP, len(items) // 2)] if not item.control]
    for item in generator.sample(candidates, min(n, len(candidates))):
        earliest = min(result.index(item) + GAP + 1, len(result))
        result.insert(generator.randint(earliest, len(result)), replace(item, repeat=True))
    return result


def shown(item: Item, setup: Setup) -> dict[str, Any]:
    """What the browser is given of an item: texts alone while blind; the task only where the question needs it."""
    sides = [item.row] if item.other is None else ([item.other, item.row] if item.flipped else [item.row, item.other])
    card: dict[str, Any] = {"i": item.number, "sides": [_parts(side) for side in sides]}
    if setup.scale == "fits" or not setup.blind:
        card["task"] = str(item.row["task"])
    if not setup.blind and not item.control:
        card["about"] = f"{item.run} · iteration {item.row['iteration']} · {item.row['origin']}"
    return card


def _parts(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Context, question and answer of a text that has them, else the text as decoded; hidden characters made visible, long ones cut."""
    named = [(name, str(row.get(name) or "")) for name in ("context", "question", "answer")]
    if not any(text for _, text in named[:2]):
        named = [("text", str(row.get("text") or ""))]
    found = [(name, cut(text, LONGEST)) for name, text in named if text or name == "answer"]
    return [{"name": name, "text": part.text, "total": part.total, "complete": part.complete} for name, part in found]


def event_of(item: Item, setup: Setup, event: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the ratings file from what the browser sent. Answers to 'better' are stored so that 5 means: the named sample is better."""
    value = event.get("value")
    if setup.scale == "better" and event.get("kind") == "rate" and isinstance(value, int) and not item.flipped:
        value = 6 - value
    line = {
        "v": 1,
        "uid": str(event.get("uid", ""))[:64],
        "sample_id": item.sample_id,
        "scale": setup.scale,
        "kind": event.get("kind"),
        "value": value,
        "t": event.get("t"),
        "ms": event.get("ms"),
        "blind": setup.blind,
        "plan": setup.plan,
        "item": item.number,
        "repeat": item.repeat,
        "control": item.control,
        "versus": item.other["sample_id"] if item.other is not None else None,
        "undoes": event.get("undoes"),
        "on": event.get("on"),
        "tab": str(event.get("tab", ""))[:64],
    }
    return {key: value for key, value in line.items() if value is not None or key == "value"}


def answer_shown(item: Item, setup: Setup, value: float) -> int:
    """The key that gave a stored answer: the reverse of `event_of`."""
    return int(6 - value) if setup.scale == "better" and not item.flipped else int(value)
