"""The twelve published sets through the `datasets` library: ids, splits and columns in one table, converted as `published` does.

`datasets` 4 and later run no loading scripts. Where a repository holds only a script, the hub's own Parquet conversion is
read instead (refs/convert/parquet). The sizes are those of the hub, so not those of `published`; the five large
classification sets are cut to the 115,000 / 7,600 records of the LAMOL release by a fixed draw.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from workbench.tasks.example import SPLITS, Metric, Task, TaskError
from workbench.tasks.published.classification import NEWS, ONTOLOGY, QUESTIONS, SENTIMENT, STARS, TOPICS, Choice, labelled
from workbench.tasks.published.drafts import SEED, Convert, Draft, hold_out, numbered
from workbench.tasks.published.reading import qasrl_row, squad_row, tweetqa
from workbench.tasks.published.records import Record
from workbench.tasks.published.structured import wikisql_row, woz

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

LARGE = (115_000, 7_600)
"""Train and test records kept of a large classification set (d'Autume et al. 2019, taken over by LAMOL)."""


class HubSource(NamedTuple):
    """One row of the table. A split that the hub does not have, or has without answers, is ""; so is the config of a repository
    with only one.

    `parquet`: read the hub's conversion of a repository that holds only a loading script. `confirmed`: the repository has been
    seen to hold these files; elsewhere id or columns are the documented ones, unseen.
    """

    id: str
    config: str
    parquet: bool
    train: str
    validation: str
    test: str
    columns: tuple[str, ...]
    metric: Metric
    labels: tuple[str, ...] | None
    convert: Convert
    large: bool
    confirmed: bool

    @property
    def splits(self) -> dict[str, str]:
        """{our split: the hub's}, without those that it does not have."""
        return {split: getattr(self, split) for split in SPLITS if getattr(self, split)}


def _text(
    id: str, split: str, columns: str, choice: Choice, *, parquet: bool = False, large: bool = True, confirmed: bool = True
) -> HubSource:
    """A classification set: the name of its validation split, its text columns and, last, its label column."""
    names = tuple(columns.split())
    convert = labelled(choice, names[-1], *names[:-1])
    config = "default" if parquet else ""
    return HubSource(id, config, parquet, "train", split, "test", names, "em", choice.labels, convert, large, confirmed)


# fmt: off
SOURCES: dict[str, HubSource] = {
    "sst": _text("SetFit/sst2", "validation", "text label", SENTIMENT, large=False),
    "qasrl": HubSource("biu-nlp/qa_srl2018", "v2_1", True, "train", "validation", "test",
                       ("sentence", "question", "answers"), "nf1", None, qasrl_row, False, True),
    "woz": HubSource("PolyAI/woz_dialogue", "en", True, "train", "validation", "test",
                     ("dialogue_idx", "dialogue"), "dsem", None, woz, False, True),
    "squad": HubSource("rajpurkar/squad_v2", "", False, "train", "", "validation",
                       ("context", "question", "answers"), "nf1", None, squad_row, False, True),
    "wikisql": HubSource("Salesforce/wikisql", "default", True, "train", "validation", "test",
                         ("question", "table", "sql"), "lfem", None, wikisql_row, False, False),
    "agnews": _text("fancyzhx/ag_news", "", "text label", NEWS),
    "amazon": _text("DDDDZQ/amazon_review_NIPS2015", "", "text label", STARS, confirmed=False),
    "yelp": _text("Yelp/yelp_review_full", "", "text label", STARS, confirmed=False),
    "dbpedia": _text("fancyzhx/dbpedia_14", "", "title content label", ONTOLOGY),
    "yahoo": _text("community-datasets/yahoo_answers_topics", "", "question_title question_content best_answer topic", TOPICS),
    "trec": _text("CogComp/trec", "", "text coarse_label", QUESTIONS, parquet=True, large=False, confirmed=False),
    "tweetqa": HubSource("ucsbnlp/tweet_qa", "", False, "train", "", "validation",
                         ("Tweet", "Question", "Answer"), "nf1", None, tweetqa, False, True),
}
# fmt: on

NAMES: tuple[str, ...] = tuple(SOURCES)


def load(names: Sequence[str], source: Mapping[str, Mapping[str, str | Path]] | None = None) -> list[Task]:
    """The named sets in that order. Raises TaskError for a name, id, split, column or record that cannot be used.

    `source` names local Parquet files to read instead of the hub: {task: {the hub's split: file}}.
    """
    unknown = [name for name in names if name not in SOURCES]
    if unknown:
        raise TaskError(f"hub: no set named {unknown[0]!r}; accepted: {', '.join(NAMES)}")
    return [_task(name, SOURCES[name], (source or {}).get(name)) for name in names]


def _task(name: str, row: HubSource, files: Mapping[str, str | Path] | None) -> Task:
    found = _fetched(row, files)
    splits: dict[str, list[Draft]] = {}
    for split, theirs in row.splits.items():
        if theirs not in found:
            there, expected = ", ".join(map(str, found)), ", ".join(row.splits.values())
            raise TaskError(f"{row.id}: no split {theirs!r}; found: {there}; expected: {expected}")
        splits[split] = [draft for record in _records(name, row, theirs, split, found[theirs]) for draft in row.convert(record)]
    if "validation" not in splits:
        splits["validation"], splits["train"] = hold_out(splits["train"], name)
    train, validation, test = (numbered(name, split, splits[split]) for split in SPLITS)
    return Task(name, row.metric, train, validation, test, row.labels, (f"hub:{row.id}",))


def _fetched(row: HubSource, files: Mapping[str, str | Path] | None) -> DatasetDict:
    # Imported here: the library takes seconds to load, and everything but this needs none of it.
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        if files is not None:
            return datasets.load_dataset("parquet", data_files={split: str(file) for split, file in files.items()})
        if row.parquet:
            folder = f"hf://datasets/{row.id}@refs/convert/parquet/{row.config}"
            return datasets.load_dataset("parquet", data_files={split: f"{folder}/{split}/*.parquet" for split in row.splits.values()})
        return datasets.load_dataset(row.id, row.config or None)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TaskError(f"{row.id}: cannot be loaded from {'local files' if files is not None else 'the hub'} ({reason})") from error


def _records(name: str, row: HubSource, theirs: str, split: str, table: Dataset) -> Iterator[Record]:
    """The rows as records, numbered from 1 as they stand on the hub; a large set in part, in the same order."""
    missing = [column for column in row.columns if column not in table.column_names]
    if missing:
        found, expected = ", ".join(table.column_names), ", ".join(row.columns)
        raise TaskError(f"{row.id} ({theirs}): no column {missing[0]!r}; found: {found}; expected: {expected}")
    table = table.select_columns(list(row.columns))
    limit = LARGE[split == "test"] if row.large else len(table)
    if limit >= len(table):
        kept: Sequence[int] = range(len(table))
    else:
        kept = sorted(random.Random(f"{SEED}/hub/{name}/{split}").sample(range(len(table)), limit))
        table = table.select(kept)
    for position, values in zip(kept, table, strict=True):
        yield Record(f"{row.id} ({theirs})", position + 1, cast(dict[str, Any], values))
