"""Texts with one label of a closed set: SST, AG News, Amazon, Yelp, DBPedia, Yahoo Answers and TREC.

Questions and label words are those of the LAMOL release (Sun et al. 2020): the question spells out every label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from workbench.tasks.published.drafts import Convert, Draft
from workbench.tasks.published.records import Record


@dataclass(frozen=True)
class Choice:
    """A closed answer set. `labels` stand in the order of the published class numbers; `spellings` are other names in files.

    `line_end` is how the published CSV writes a line end inside a text: the two characters \\n, or a lone backslash.
    """

    labels: tuple[str, ...]
    kind: str = "sentence"
    spellings: dict[str, str] = field(default_factory=dict)
    line_end: str = "\\n"

    @property
    def question(self) -> str:
        *others, last = self.labels
        return f"Is this {self.kind} {', '.join(others)}{',' if len(others) > 1 else ''} or {last}?"

    def answer(self, record: Record, column: str) -> str:
        """The label word of a column that holds a word in any known spelling, or a class number from 0."""
        value = record.values.get(column)
        if type(value) is int:
            if 0 <= value < len(self.labels):
                return self.labels[value]
            raise record.error(column, f"is {value}; accepted: 0 to {len(self.labels) - 1}")
        word = record.text(column)
        label = self.spellings.get(word, word)
        if label not in self.labels:
            raise record.error(column, f"is {word!r}; accepted: {', '.join(self.spellings or self.labels)}")
        return label

    def draft(self, record: Record, column: str, context: str) -> Draft:
        return Draft(context, self.question, (self.answer(record, column),))

    def tidy(self, text: str) -> str:
        """The text without the escapes of the published CSV, single-spaced."""
        if "\\" in text:
            text = text.replace('\\""', '"').replace('\\"', '"').replace(self.line_end, " ")
        return " ".join(text.split())


def _spelt(labels: tuple[str, ...], words: str) -> dict[str, str]:
    return dict(zip(words.split(", "), labels, strict=True))


_STARS = ("very negative", "negative", "neutral", "positive", "very positive")
_ONTOLOGY = (
    *("Company", "EducationalInstitution", "Artist", "Athlete", "OfficeHolder", "MeanOfTransportation", "Building"),
    *("NaturalPlace", "Village", "Animal", "Plant", "Album", "Film", "WrittenWork"),
)
_TOPICS = (
    *("Society & Culture", "Science & Mathematics", "Health", "Education & Reference", "Computers & Internet"),
    *("Sports", "Business & Finance", "Entertainment & Music", "Family & Relationships", "Politics & Government"),
)
_NEWS = ("World", "Sports", "Business", "Sci/Tech")
_KINDS = ("abbreviation", "entity", "description", "human", "location", "number")

SENTIMENT = Choice(("negative", "positive"), "review", {"0": "negative", "1": "positive"})
STARS = Choice(_STARS)
NEWS = Choice(_NEWS, spellings=_spelt(_NEWS, "World, Sports, Business, Science or Technology"), line_end="\\")
ONTOLOGY = Choice(
    _ONTOLOGY,
    spellings=_spelt(
        _ONTOLOGY,
        "Company, Educational Institution, Artist, Athlete, Office Holder, Mean of Transportation, Building, "
        "Natural Place, Village, Animal, Plant, Album, Film, Written Work",
    )
    # "thlete" is the source's own spelling.
    | _spelt(
        _ONTOLOGY,
        "company, educationalinstitution, artist, thlete, officeholder, meanoftransportation, building, "
        "naturalplace, village, animal, plant, album, film, writtenwork",
    ),
)
TOPICS = Choice(
    _TOPICS,
    spellings=_spelt(
        _TOPICS,
        "society and culture, science, health, education and reference, computers and internet, "
        "sports, business, entertainment and Music, family and relationships, politics and government",
    ),
)
QUESTIONS = Choice(_KINDS, "question about", _spelt(_KINDS, "ABBR, ENTY, DESC, HUM, LOC, NUM"))


def labelled(choice: Choice, label: str, *columns: str) -> Convert:
    """Text columns joined by a space, and a label column."""

    def convert(record: Record) -> Iterator[Draft]:
        context = choice.tidy(" ".join(record.get(column, str) for column in columns))
        if not context:
            raise record.error(" + ".join(columns), "is empty; accepted: some text")
        yield choice.draft(record, label, context)

    return convert


def titled(choice: Choice) -> Convert:
    """The layout "Title: ...\\nText: ..." of `sentence` (the title may be absent), with the two names taken off."""
    layout = re.compile(r"(?:Title: ?(.*?)\n)?Text:(.*)", re.DOTALL)

    def convert(record: Record) -> Iterator[Draft]:
        found = layout.fullmatch(record.text("sentence"))
        context = choice.tidy(" ".join(part for part in found.groups() if part)) if found else ""
        if not context:
            raise record.error("sentence", "is not of the form 'Title: ...', 'Text: ...'; accepted: both lines, or the text alone")
        yield choice.draft(record, "label", context)

    return convert


def trec(record: Record) -> Iterator[Draft]:
    """`COARSE:fine`, and the question as context."""
    coarse, colon, _ = record.text("label").partition(":")
    if not colon:
        raise record.error("label", f"is {coarse!r}; accepted: COARSE:fine")
    coarsely = Record(record.source, record.number, {**record.values, "label": coarse})
    yield QUESTIONS.draft(coarsely, "label", record.text("text"))
