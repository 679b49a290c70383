"""What the bundled model is pretrained on: public-domain prose read in place, generated narration, and documents made from both.

Documents besides plain text: recitation (a passage, its words now and then shuffled, then stretches of it again) and records (`context __sep__ cue __ans__ rest`, where
the rest is how the context goes on after the cue, and empty where the cue is not in it). They teach copying and the shape of a
sample; no answer of any task is in them.
"""

from __future__ import annotations

import gzip
import random
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from workbench.lm.tokens import SPECIAL, BackboneError, Tokens

EOS = "<eos>"
SHARES = {"narration": 0.36, "prose": 0.32, "recitation": 0.2, "records": 0.12}
HELD_OUT = 50  # every 50th paragraph of a text is kept for the perplexity
PIECES = r"'(?:s|t|re|ve|m|ll|d)(?!\p{L})| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"


@dataclass
class Prose:
    """Paragraphs of the public-domain texts: `train` and `held_out`, and the title of every text with its paragraph count."""

    train: list[str]
    held_out: list[str]
    titles: dict[str, int]


def read_prose(data: Path) -> Prose:
    """Novels (`lm/novels/*.txt.gz`) and speeches (`lm/speeches/*.zip`) of a data folder. Raises BackboneError where there are none."""
    prose = Prose([], [], {})
    for title, text in _texts(data):
        paragraphs = [clean(each) for each in re.split(r"\n\s*\n|\n(?=.{400})", text)]
        paragraphs = [each for each in paragraphs if len(each.split()) > 3]
        prose.titles[title] = len(paragraphs)
        for place, paragraph in enumerate(paragraphs):
            (prose.held_out if place % HELD_OUT == HELD_OUT - 1 else prose.train).append(paragraph)
    if not prose.train:
        raise BackboneError(f"--data {data}: no lm/novels/*.txt.gz and no lm/speeches/*.zip; accepted: a folder that holds them")
    return prose


def _texts(data: Path) -> Iterator[tuple[str, str]]:
    for path in sorted((data / "lm" / "novels").glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
            yield "novel: " + " ".join(path.name.removesuffix(".txt.gz").split("_")), file.read()
    for path in sorted((data / "lm" / "speeches").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(name for name in archive.namelist() if name.endswith(".txt")):
                yield f"speech: {Path(name).parent.name} {Path(name).stem}", archive.read(name).decode("utf-8", errors="replace")


def clean(text: str) -> str:
    """One line, plain quotes and dashes."""
    for odd, plain in (("\ufeff", ""), ("\ufffd", ""), ("’", "'"), ("‘", "'"), ("“", '"'), ("”", '"'), ("—", " -- "), ("_", "")):
        text = text.replace(odd, plain)
    return " ".join(text.split())


def lowered(text: str) -> str:
    """Lower case with the punctuation apart, as several published task files write their sentences."""
    return " ".join(re.findall(r"\w+(?:'\w+)?|--|[^\w\s]", text.lower()))


def sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph, cut after . ! ? before a capital or a quote."""
    return [each for each in re.split(r"(?<=[.!?])[\"']?\s+(?=[\"'A-Z])", paragraph) if each]


def train_tokenizer(prose: Prose, narration: list[str], vocabulary: int) -> Tokens:
    """A byte-level BPE tokenizer of `vocabulary` tokens in all; every second paragraph is lowered.

    A space is put before every text, so that a word is the same token at the start of an answer and inside a context; digits stand alone.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Strip(), normalizers.Prepend(" ")])  # pyright: ignore[reportAttributeAccessIssue]
    split = pre_tokenizers.Split(Regex(PIECES), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL),
        special_tokens=[EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )

    def texts() -> Iterator[str]:
        for place, paragraph in enumerate(prose.train):
            yield lowered(paragraph) if place % 2 else paragraph
        yield from narration

    tokenizer.train_from_iterator(texts(), trainer)
    return Tokens(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, clean_up_tokenization_spaces=False))


class Rows:
    """Endless training rows of `length` ids, drawn by `rng` with the shares of SHARES; `counts` holds the tokens drawn of each kind."""

    def __init__(self, tokens: Tokens, prose: list[str], narration: list[str], length: int, rng: random.Random) -> None:
        self.length, self.rng, self.tokens = length, rng, tokens
        self.prose, self.narration = prose, narration
        self.pieces = [
            (" ".join(words[first : first + 60]), first + 60 >= len(words))
            for words in map(str.split, prose)
            for first in range(0, len(words), 60)
        ]
        self.counts = dict.fromkeys(SHARES, 0)

    def row(self) -> list[int]:
        kind = self.rng.choices(list(SHARES), list(SHARES.values()))[0]
        self.counts[kind] += self.length
        if kind == "records":
            return self._filled(self._record)
        if kind == "prose" or (kind == "recitation" and self.rng.random() < 0.5):
            row = self._filled(self._reader())
        else:
            row = self._filled(lambda: [*self.tokens.encode(self.rng.choice(self.narration)), self.tokens.eos_id])
        if kind == "recitation":
            told = row[: self.rng.randint(min(8, self.length // 2), self.length // 2)]
            if self.rng.random() < 0.5:  # without the order of language, only copying tells what comes next
                self.rng.shuffle(told)
            row = told
            while len(row) < self.length:
                row = row + told[self.rng.randrange(len(told) // 2) :]
            row = row[: self.length]
        return row

    def _reader(self) -> Callable[[], list[int]]:
        """Pieces of prose from a random place on, all of them lowered or none."""
        place, low = self.rng.randrange(len(self.pieces)), self.rng.random() < 0.5

        def read() -> list[int]:
            nonlocal place
            text, last = self.pieces[place % len(self.pieces)]
            place += 1
            return self.tokens.encode(lowered(text) if low else text) + ([self.tokens.eos_id] if last else [])

        return read

    def _record(self) -> list[int]:
        drafts = records(short_texts(self.prose, self.narration, 0.5, self.rng, 8), self.rng)
        return [token for ids in encode_records(self.tokens, drafts) for token in ids]

    def _filled(self, draw: Callable[[], list[int]]) -> list[int]:
        row: list[int] = []
        while len(row) < self.length:
            row += draw()
        return row[: self.length]


def short_texts(prose: list[str], narration: list[str], share: float, rng: random.Random, count: int) -> list[str]:
    """`count` short texts, one or two sentences each, `share` of them narration; half of the prose lowered."""
    texts: list[str] = []
    while len(texts) < count:
        if rng.random() < share:
            texts.append(rng.choice(narration))
            continue
        found = sentences(rng.choice(prose))
        first = rng.randrange(len(found))
        text = " ".join(found[first : first + rng.randint(1, 2)])
        if 5 <= len(text.split()) <= 36:
            texts.append(lowered(text) if rng.random() < 0.5 else text)
    return texts


def records(texts: list[str], rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """(context, cue, rest) of every text of six words or more; one cue in ten is of another text and has an empty rest."""
    for text in texts:
        source = text if rng.random() >= 0.1 else rng.choice(texts)
        words = source.split()
        if len(words) < 6:
            continue
        start, cue, rest = rng.randrange(len(words) - 3), rng.randint(2, 5), rng.randint(1, 6)
        question = " ".join(words[start : start + cue])
        if source is text:
            yield text, question, " ".join(words[start + cue : start + cue + rest])
        elif question not in text:
            yield text, question, ""


def encode_records(tokens: Tokens, drafts: Iterable[tuple[str, str, str]]) -> list[list[int]]:
    """Records as `context __sep__ cue __ans__ rest <eos>`."""
    return [
        [*tokens.encode(context), tokens.sep_id, *tokens.encode(cue), tokens.ans_id, *tokens.encode(rest), tokens.eos_id]
        for context, cue, rest in drafts
    ]
