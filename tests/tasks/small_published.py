"""A data folder with a few made-up records of each published set, in the published formats. No record comes from a real set."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

TOPICS = ["society and culture", "science", "health", "education and reference", "computers and internet", "sports", "business"]
KINDS = ["company", "educationalinstitution", "artist", "thlete", "officeholder", "meanoftransportation", "building"]

SENTENCE: dict[str, Any] = {
    "sentenceId": "MADE:1",
    "sentenceTokens": ["The", "``", "old", "''", "baker", "-LRB-", "Ann", "-RRB-", "did", "n't", "sell", "bread", ",", "she", "said", "."],
    "verbEntries": {
        "10": {
            "verbIndex": 10,
            "questionLabels": {
                "Who did not sell something?": {
                    "questionString": "Who did not sell something?",
                    "answerJudgments": [
                        {"sourceId": "a", "isValid": True, "spans": [[4, 5]]},
                        {"sourceId": "b", "isValid": True, "spans": [[0, 8]]},
                        {"sourceId": "c", "isValid": True, "spans": [[0, 8]]},
                    ],
                },
                "When did someone sell something?": {
                    "questionString": "When did someone sell something?",
                    "answerJudgments": [
                        {"sourceId": "a", "isValid": True, "spans": [[13, 15]]},
                        {"sourceId": "b", "isValid": False},
                        {"sourceId": "c", "isValid": False},
                    ],
                },
            },
        }
    },
}

DIALOGUE: dict[str, Any] = {
    "dialogue_idx": 7,
    "dialogue": [
        {
            "turn_idx": 0,
            "system_transcript": "",
            "transcript": "Somewhere cheap in the north please",
            "system_acts": [],
            "belief_state": [{"act": "inform", "slots": [["price range", "cheap"]]}, {"act": "inform", "slots": [["area", "north"]]}],
        },
        {
            "turn_idx": 1,
            "system_transcript": "What food?",
            "transcript": "Rather the south, and what is the phone number and address?",
            "system_acts": ["food", ["area", "north"]],
            "belief_state": [
                {"act": "inform", "slots": [["price range", "cheap"]]},
                {"act": "inform", "slots": [["area", "south"]]},
                {"act": "request", "slots": [["slot", "phone"]]},
                {"act": "request", "slots": [["slot", "address"]]},
            ],
        },
        {
            "turn_idx": 2,
            "system_transcript": "Here it is.",
            "transcript": "Thanks",
            "system_acts": [],
            "belief_state": [{"act": "inform", "slots": [["price range", "cheap"]]}, {"act": "inform", "slots": [["area", "south"]]}],
        },
    ],
}


def article(topic: str) -> dict[str, Any]:
    answers = [{"text": text, "answer_start": 0} for text in (topic, "a thing", topic)]
    answered = {"question": f"What is {topic}?", "id": "1", "is_impossible": False, "answers": answers}
    impossible = {"question": "Where is it not?", "id": "2", "is_impossible": True, "answers": [], "plausible_answers": []}
    paragraph = {"context": f"{topic} is a thing", "qas": [answered, impossible]}
    return {"title": topic, "paragraphs": [{**copy.deepcopy(paragraph), "context": f"{topic} is a thing, number {n}."} for n in range(4)]}


def query(question: str, answer: str, columns: str = "Name, Height (in m, rounded), Built, Floors") -> dict[str, str]:
    return {"text": f"table: 1-23-4\ncolumns: {columns}\nQ: {question}\nA: {answer}"}


def rated(label: str, n: int, title: bool = True) -> dict[str, str]:
    return {"label": label, "sentence": f"{f'Title: Thing {n}{chr(10)}' if title else ''}Text: A text about thing {n}\\nin two lines\n"}


def sentences(count: int) -> list[dict[str, Any]]:
    made = []
    for n in range(count):
        record = copy.deepcopy(SENTENCE)
        record["sentenceTokens"][6] = f"Ann{n}"
        made.append(record)
    return made


def records() -> dict[str, Any]:
    """{file: its records}, lines as text where the format is lines of text."""
    stars = ["very negative", "negative", "neutral", "positive", "very positive"]
    news = ["World", "Sports", "Business", "Science or Technology"]
    queries = [
        query("How tall is the mill?", "SELECT Height (in m, rounded) FROM 1-23-4 WHERE Name = 'The Mill'"),
        query("How many are old?", "SELECT COUNT Name FROM 1-23-4 WHERE Built < 1900 AND Name = 'Rock AND Sons'"),
        query("Highest?", "SELECT MAX Floors FROM 1-23-4"),
    ]
    seeds = ("0_42", "1_142", "2_242")
    pooled = {
        **{f"dbpedia/dbpedia_csv/{s}/{p}.txt": [f"Thing {s} {p} {n} is one\t{k}" for n, k in enumerate(KINDS)]
           for s in seeds for p in ("train", "valid", "test")},
        **{f"yahoo/yahoo_answers_csv/{s}/{p}.txt": [f"Why {s} {p} {n}?  Because.\\nReally\t{k}" for n, k in enumerate(TOPICS)]
           for s in seeds for p in ("train", "valid")},
        "yahoo/yahoo_answers_csv/1_142/test.txt": ["Why not?\thealth", "Why 0_42 train 0?  Because.\\nReally\tsports"],
        "yahoo/yahoo_answers_csv/0_42/test.txt": ["Who?  Me\tsports", "Why not?\thealth"],
    }  # fmt: skip
    return pooled | {
        "sst/SST2/train.tsv": ["a fine film\t1", "a dull film\t0"],
        "sst/SST2/dev.tsv": ["a good one\t1"],
        "sst/SST2/test.part80.tsv": ["a bad one\t0"],
        "qasrl/qasrl-v2_1/orig/dev.jsonl.gz": sentences(3),
        "qasrl/qasrl-v2_1/orig/test.part80.jsonl.gz": sentences(2),
        "woz/woz_train_en.json.gz": [DIALOGUE],
        "woz/woz_validate_en.json": [DIALOGUE | {"dialogue_idx": 8}],
        "woz/woz_test_en.part80.json": [DIALOGUE | {"dialogue_idx": 9}],
        "squad2/dev-v2.0.cs224n.json.gz": [article("Fog"), article("Rain")],
        "squad2/train-v2.0.subset-1.json": [article("Snow")],
        "squad2/dev-v2.0.explorer.part80.json": [article("Hail")],
        "wikisql/mlx/train.jsonl": queries,
        "wikisql/mlx/valid.jsonl": queries[:2],
        "wikisql/mlx/test.jsonl": queries[:1],
        "agnews/train.json": [rated(news[n % 4], n) for n in range(10)],
        "agnews/test.part80.json": [rated(news[n % 4], 50 + n) for n in range(3)],
        "amazon/train.json.gz": [rated(stars[n % 5], n) for n in range(10)],
        "amazon/test.part80.json.gz": [rated(stars[n % 5], 50 + n) for n in range(3)],
        "yelp/train.head4000.json.gz": [rated(stars[n % 5], n, title=False) for n in range(10)],
        "yelp/test.from-train.part80.json": [rated(stars[n % 5], 50 + n, title=False) for n in range(3)],
        "dbpedia/test.part80.json.gz": [rated("Mean of Transportation", 1), rated("Written Work", 2)],
        "trec/TREC.train": [
            f"{kind}:fine What is caf\xe9 {n} ?" for n, kind in enumerate(["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"] * 2)
        ],
        "trec/TREC.test.part80": ["NUM:count How many ?"],
        "tweetqa/train.json.gz": [{"Question": "who?", "Answer": ["me"], "Tweet": f"It was me {n}", "qid": str(n)} for n in range(10)],
        "tweetqa/dev.part80.json": [{"Question": "who?", "Answer": ["you", "you"], "Tweet": "It was you", "qid": "d"}],
    }


def encoded(name: str, made: list[Any]) -> bytes:
    if all(type(record) is str for record in made):
        return "".join(f"{line}\n" for line in made).encode("iso-8859-1" if name.startswith("trec/") else "utf-8")
    if ".jsonl" in name:
        return "".join(json.dumps(record) + "\n" for record in made).encode()
    return json.dumps({"version": "v2.0", "data": made} if name.startswith("squad2/") else made).encode()


def write(folder: Path, changed: dict[str, Any] | None = None) -> Path:
    """The whole folder; `changed` replaces the records of a file, or its bytes."""
    for name, made in (records() | (changed or {})).items():
        content = made if type(made) is bytes else encoded(name, made)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") and type(made) is not bytes else content)
    return folder
