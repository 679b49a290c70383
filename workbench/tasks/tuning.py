"""The tasks that settings were tuned on where `bundled20` is too small to tell: `python -m workbench.tasks.tuning FOLDER` writes them.

As many examples a task as `bundled` has, of the same grammar, in part of other domains, with other label words and draws; read as tasks of one's own
(`--stream own:tri_review,who_what,taxi,places_reading --data FOLDER`), scored by exact match or nF1.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from workbench.tasks.bundled import COUNTS, drafts, recipes
from workbench.tasks.example import SPLITS, TaskError
from workbench.tasks.grammar.draft import Recipe
from workbench.tasks.grammar.lexicon import Source
from workbench.tasks.grammar.reviews import sentiment

SEED = 99


def tuning_recipes() -> list[Recipe]:
    """The four tasks, in their order."""
    others = {recipe.name: recipe for recipe in recipes("bundled20")}
    reviews = sentiment("tri_review", ("film", "food", "hotel"), ("bad", "good"))
    return [reviews, *(others[name] for name in ("who_what", "taxi", "places_reading"))]


def write(folder: Path, seed: int = SEED) -> None:
    """task.json, train.jsonl, validation.jsonl and test.jsonl of each task, in a folder of its name."""
    for recipe in tuning_recipes():
        target, seen = folder / recipe.name, set()
        target.mkdir(parents=True, exist_ok=True)
        about = {"metric": "nf1" if recipe.metric == "nf1" else "em"} | ({"labels": list(recipe.labels)} if recipe.labels else {})
        (target / "task.json").write_text(json.dumps(about), encoding="utf-8")
        for split in SPLITS:
            source = Source(random.Random(f"{seed}/tune/{recipe.name}/{split}"), fresh=split != "train")
            rows = [
                {"context": item.context, "question": item.question, "answer": list(item.answers)}
                for item in drafts(recipe, source, COUNTS["bundled"][split], seen)
            ]
            (target / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        raise SystemExit("python -m workbench.tasks.tuning FOLDER: one folder to write to")
    try:
        write(Path(sys.argv[1]))
    except (OSError, TaskError) as error:
        raise SystemExit(str(error)) from None
