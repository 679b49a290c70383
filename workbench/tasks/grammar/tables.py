"""Table questions and the SQL that answers them, over small schemas; the SQL is written as WikiSQL writes it."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.tasks.grammar.draft import Draft, Recipe
from workbench.tasks.grammar.lexicon import CITIES, COLOURS, JOBS, NAMES, THINGS, Source

QUESTION = "What is the translation from English to SQL?"
AGGREGATES = {"MAX": "highest", "MIN": "lowest", "SUM": "total", "AVG": "average"}


@dataclass(frozen=True)
class Schema:
    """Columns of text with their values, columns of numbers with their range."""

    texts: dict[str, list[str]]
    numbers: dict[str, tuple[int, int]]


SCHEMAS = {
    "sport": Schema(
        {"player": NAMES, "home city": CITIES, "coach": NAMES},
        {"points": (1, 99), "year": (1950, 2020), "games": (1, 60)},
    ),
    "shop": Schema({"item": THINGS, "seller": NAMES, "colour": COLOURS}, {"price": (1, 300), "stock": (1, 90), "weight": (1, 50)}),
    "school": Schema({"pupil": NAMES, "town": CITIES, "parent job": JOBS}, {"age": (6, 19), "score": (1, 99), "class size": (8, 35)}),
    "travel": Schema(
        {"guest": NAMES, "hotel city": CITIES, "trade": JOBS},
        {"nights": (1, 30), "room": (100, 999), "total bill": (50, 900)},
    ),
}


def table(name: str, schemas: tuple[str, ...]) -> Recipe:
    """Queries with one selected column, perhaps an aggregate, and one or two conditions."""

    def draw(source: Source) -> list[Draft]:
        schema = SCHEMAS[source.choice(schemas)]
        texts = source.rng.sample(list(schema.texts), 2)
        numbers = source.rng.sample(list(schema.numbers), 2)
        header = [*texts, *numbers]
        source.rng.shuffle(header)
        aggregate = source.choice(("", "", "", "COUNT", *AGGREGATES))
        target = source.choice(numbers) if aggregate in AGGREGATES else source.choice(header)
        others = [column for column in header if column != target]
        columns = source.rng.sample(others, source.choice((1, 1, 2)))
        said, written = zip(*(_condition(source, schema, column) for column in columns), strict=True)
        if aggregate == "COUNT":
            opening = f"how many {target} entries are there"
        elif aggregate:
            opening = f"what is the {AGGREGATES[aggregate]} {target}"
        else:
            opening = source.choice((f"what is the {target}", f"show the {target}"))
        query = f"{opening} with {' and '.join(said)}"
        sql = f"SELECT {f'{aggregate} {target}' if aggregate else target} FROM table WHERE {' AND '.join(written)}"

        def again(teller: Source) -> str:
            return f"with {' and '.join(teller.rng.sample(said, len(said)))} , {opening}"

        return [Draft(f"The table has columns {', '.join(header)} -- {query} ?", QUESTION, (sql,), {"header": header}, again)]

    return Recipe(name, "lfem", draw)


def _condition(source: Source, schema: Schema, column: str) -> tuple[str, str]:
    """A condition in words and in SQL."""
    if column in schema.texts:
        value = source.word(schema.texts[column])
        return f"{column} {value}", f"{column} = {value}"
    value = source.number(*schema.numbers[column])
    words, operator = source.choice((("", "="), ("above ", ">"), ("below ", "<")))
    return f"{column} {words}{value}", f"{column} {operator} {value}"
