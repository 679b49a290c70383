"""The twelve published sets, read from a folder of their files (third-party data, never part of this repository).

Each set becomes context / question / answer as the LAMOL release has it (Sun et al. 2020, after decaNLP, McCann et al. 2018).
Where only a part of a set can be had, the table below says which file serves as which split; the numbers then differ from
the published ones. Fixed draws (drafts.draw) make what the publishers do not provide:

* validation, where no file is named: a tenth of the training records, by whole contexts, removed from train;
* dbpedia and yahoo are pooled from small draws that overlap: a training row that recurs there or in the test file is dropped;
* qasrl: the release that LAMOL uses (QA-SRL 1.0: 6,414 / 2,183 / 2,201 questions) is not among the files. Whole sentences of
  QA-SRL Bank 2.1 are drawn to those numbers: train and validation from orig/dev, test from orig/test.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workbench.tasks.example import SPLITS, Metric, Task, TaskError
from workbench.tasks.published.classification import NEWS, ONTOLOGY, QUESTIONS, SENTIMENT, STARS, TOPICS, Choice, labelled, titled, trec
from workbench.tasks.published.drafts import Convert, Draft, draw, hold_out, numbered
from workbench.tasks.published.reading import qasrl, squad, tweetqa
from workbench.tasks.published.records import Reader, delimited, json_array, json_lines, squad_json
from workbench.tasks.published.structured import readable_wikisql, wikisql, woz

__all__ = ["NAMES", "available", "load"]

QASRL_SIZES = (6414, 2183, 2201)
"""Questions of the LAMOL release, train / validation / test: replay ratios and task sizes then stay comparable with it."""


class Layout(NamedTuple):
    """A reader for the format of a file, and what its records become."""

    read: Reader
    convert: Convert

    def drafts(self, data: Path, files: tuple[str, ...]) -> list[Draft]:
        return [draft for file in files for record in self.read(data, file) for draft in self.convert(record)]


class Source(NamedTuple):
    """Where a task comes from: the layout of its files (of the test file too, unless it has its own), and the files of each split.

    `sizes` are the numbers to draw for train, validation and test. `pooled`: the training files are draws that overlap.
    """

    metric: Metric
    labels: tuple[str, ...] | None
    layout: Layout
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    test_layout: Layout | None = None
    pooled: bool = False
    sizes: tuple[int, int, int] | None = None

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, *self.validation, *self.test)


def _pairs(choice: Choice) -> Layout:
    """Lines of text, tab, label."""
    return Layout(delimited(("text", "label")), labelled(choice, "label", "text"))


def _titles(choice: Choice) -> Layout:
    """A list of {label, sentence}."""
    return Layout(json_array, titled(choice))


_QASRL = "qasrl/qasrl-v2_1/orig"
_TREC = Layout(delimited(("label", "text"), " ", "iso-8859-1"), trec)
_DBPEDIA = tuple(f"dbpedia/dbpedia_csv/{seed}/{part}.txt" for seed in ("0_42", "1_142", "2_242") for part in ("train", "valid", "test"))
_YAHOO = tuple(f"yahoo/yahoo_answers_csv/{seed}/{part}.txt" for seed in ("0_42", "1_142", "2_242") for part in ("train", "valid"))

# fmt: off
_SOURCES: dict[str, Source] = {
    "sst": Source("em", SENTIMENT.labels, _pairs(SENTIMENT),
                  ("sst/SST2/train.tsv",), ("sst/SST2/dev.tsv",), ("sst/SST2/test.part80.tsv",)),
    "qasrl": Source("nf1", None, Layout(json_lines, qasrl),
                    (f"{_QASRL}/dev.jsonl.gz",), (), (f"{_QASRL}/test.part80.jsonl.gz",), sizes=QASRL_SIZES),
    "woz": Source("dsem", None, Layout(json_array, woz),
                  ("woz/woz_train_en.json.gz",), ("woz/woz_validate_en.json",), ("woz/woz_test_en.part80.json",)),
    "squad": Source("nf1", None, Layout(squad_json, squad),
                    ("squad2/dev-v2.0.cs224n.json.gz", "squad2/train-v2.0.subset-1.json"), (), ("squad2/dev-v2.0.explorer.part80.json",)),
    "wikisql": Source("lfem", None, Layout(readable_wikisql, wikisql),
                      ("wikisql/mlx/train.jsonl",), ("wikisql/mlx/valid.jsonl",), ("wikisql/mlx/test.jsonl",)),
    "agnews": Source("em", NEWS.labels, _titles(NEWS), ("agnews/train.json",), (), ("agnews/test.part80.json",)),
    "amazon": Source("em", STARS.labels, _titles(STARS), ("amazon/train.json.gz",), (), ("amazon/test.part80.json.gz",)),
    "yelp": Source("em", STARS.labels, _titles(STARS), ("yelp/train.head4000.json.gz",), (), ("yelp/test.from-train.part80.json",)),
    "dbpedia": Source("em", ONTOLOGY.labels, _pairs(ONTOLOGY), _DBPEDIA, (), ("dbpedia/test.part80.json.gz",),
                      test_layout=_titles(ONTOLOGY), pooled=True),
    "yahoo": Source("em", TOPICS.labels, _pairs(TOPICS),
                    (*_YAHOO, "yahoo/yahoo_answers_csv/1_142/test.txt"), (), ("yahoo/yahoo_answers_csv/0_42/test.txt",), pooled=True),
    "trec": Source("em", QUESTIONS.labels, _TREC, ("trec/TREC.train",), (), ("trec/TREC.test.part80",)),
    "tweetqa": Source("nf1", None, Layout(json_array, tweetqa), ("tweetqa/train.json.gz",), (), ("tweetqa/dev.part80.json",)),
}
# fmt: on

NAMES: tuple[str, ...] = tuple(_SOURCES)


def load(names: Sequence[str], data: Path) -> list[Task]:
    """The named sets in that order, from the folder `data`. Raises TaskError for a name, file or record that cannot be used."""
    unknown = [name for name in names if name not in _SOURCES]
    if unknown:
        raise TaskError(f"no published set named {unknown[0]!r}; accepted: {', '.join(NAMES)}")
    _existing(data)
    return [_task(name, _SOURCES[name], data) for name in names]


def available(data: Path) -> list[dict[str, Any]]:
    """A row for each set all of whose files are in `data`: task, records {split: count}, metric, files; or task and error."""
    _existing(data)
    return [_row(name, data) for name, source in _SOURCES.items() if all((data / file).is_file() for file in source.files)]


def _row(name: str, data: Path) -> dict[str, Any]:
    try:
        (task,) = load([name], data)
    except (TaskError, OSError) as error:
        return {"task": name, "error": str(error)}
    return {"task": task.name, "records": task.records, "metric": task.metric, "files": list(task.files)}


def _existing(data: Path) -> None:
    if not data.is_dir():
        raise TaskError(f"no data folder {data}; accepted: the folder that holds the published files (--data DIR or WORKBENCH_DATA)")


def _task(name: str, source: Source, data: Path) -> Task:
    splits = {split: source.layout.drafts(data, getattr(source, split)) for split in ("train", "validation")}
    splits["test"] = (source.test_layout or source.layout).drafts(data, source.test)
    if source.pooled:
        tested = {draft.context for draft in splits["test"]}
        once = {draft.context: draft for draft in splits["train"] if draft.context not in tested}
        splits["train"] = list(once.values())
    if source.sizes:
        splits["train"], rest = draw(splits["train"], source.sizes[0], f"{name}/train")
        splits["validation"], _ = draw(rest, source.sizes[1], f"{name}/validation")
        splits["test"], _ = draw(splits["test"], source.sizes[2], f"{name}/test")
    elif not source.validation:
        splits["validation"], splits["train"] = hold_out(splits["train"], name)
    train, validation, test = (numbered(name, split, splits[split]) for split in SPLITS)
    return Task(name, source.metric, train, validation, test, source.labels, source.files)
