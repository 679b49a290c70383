"""Reading: a passage of four short facts about two subjects, and a question that about a third of the time it does not answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.tasks.grammar.draft import Draft, Recipe
from workbench.tasks.grammar.lexicon import CITIES, COLOURS, FOODS, JOBS, NAMES, SPOTS, THINGS, Source, words


@dataclass(frozen=True)
class Fact:
    """One relation: how it is said of a subject {s} with value {v} (each form the same fact), how it is asked, and its values."""

    said: tuple[str, ...]
    asked: str
    value: Callable[[Source], str]


def _number(low: int, high: int) -> Callable[[Source], str]:
    return lambda source: source.number(low, high)


def _word(known: list[str]) -> Callable[[Source], str]:
    return lambda source: source.word(known)


def _full_name(source: Source) -> str:
    return source.full_name()


ANIMALS = words("lion horse parrot monkey tiger camel rabbit donkey zebra goat")
MATERIALS = words("stone brick glass wood steel marble clay copper")
MEALS = words("apples carrots bread cheese honey nuts rice fish beans eggs grapes corn")
INSTRUMENTS = words("piano guitar violin flute drum trumpet harp cello")

WORLDS: dict[str, tuple[list[str], dict[str, Fact]]] = {
    "places": (
        [f"the {spot}" for spot in SPOTS],
        {
            "place": Fact(("{s} stands in {v}", "{s} can be seen in {v}"), "Where does {s} stand?", _word(CITIES)),
            "maker": Fact(("{s} was designed by {v}", "{v} designed {s}"), "Who designed {s}?", _full_name),
            "year": Fact(("{s} was opened in {v}", "{s} has been open since {v}"), "When was {s} opened?", _number(1700, 1999)),
            "stuff": Fact(("{s} is made of {v}", "{s} was built with {v}"), "What is {s} made of?", _word(MATERIALS)),
        },
    ),
    "animals": (
        [f"the {animal}" for animal in ANIMALS],
        {
            "food": Fact(("{s} eats {v}", "{s} is fed with {v}"), "What does {s} eat?", _word(MEALS)),
            "keeper": Fact(("{s} belongs to {v}", "{v} owns {s}"), "Who owns {s}?", _word(NAMES)),
            "weight": Fact(("{s} weighs {v} kilos", "{s} has a weight of {v} kilos"), "How many kilos does {s} weigh?", _number(20, 400)),
            "home": Fact(("{s} lives in {v}", "{s} has a home in {v}"), "Where does {s} live?", _word(CITIES)),
        },
    ),
    "people": (
        [f"the {job}" for job in JOBS],
        {
            "home": Fact(("{s} comes from {v}", "{s} was born in {v}"), "Where does {s} come from?", _word(CITIES)),
            "music": Fact(("{s} plays the {v}", "{s} studies the {v}"), "Which instrument does {s} play?", _word(INSTRUMENTS)),
            "friend": Fact(("{s} is married to {v}", "{v} married {s}"), "Who is married to {s}?", _full_name),
            "age": Fact(("{s} is {v} years old", "{s} was {v} this year"), "How old is {s}?", _number(18, 90)),
        },
    ),
    "trade": (
        [f"the {thing}" for thing in THINGS],
        {
            "price": Fact(("{s} costs {v} dollars", "{s} is sold for {v} dollars"), "How many dollars does {s} cost?", _number(10, 900)),
            "colour": Fact(("{s} is painted {v}", "{s} has a {v} coat"), "What colour is {s}?", _word(COLOURS[:8])),
            "origin": Fact(("{s} was shipped from {v}", "{s} arrived from {v}"), "Where was {s} shipped from?", _word(CITIES)),
            "style": Fact(("{s} is in the {v} style", "{s} looks {v}"), "In which style is {s}?", _word(FOODS)),
        },
    ),
}


def reading(name: str, worlds: tuple[str, ...]) -> Recipe:
    """Questions about one fact of a passage; a third ask what it does not say (half of those: only of the other subject)."""

    def draw(source: Source) -> list[Draft]:
        subjects, facts = WORLDS[source.choice(worlds)]
        pair = source.rng.sample(subjects, 2)
        told = {(subject, key): facts[key].value(source) for subject in pair for key in source.rng.sample(list(facts), 2)}
        if source.chance(1 / 3):
            unsaid = [(subject, key) for subject in pair for key in facts if (subject, key) not in told]
            elsewhere = {key for _, key in told}
            lure = source.chance(0.5)
            subject, key = source.choice([item for item in unsaid if (item[1] in elsewhere) == lure] or unsaid)
            answers = ("",)
        else:
            subject, key = source.choice(list(told))
            answers = (told[subject, key],)
        order = list(told)
        source.rng.shuffle(order)
        text = " . ".join(source.choice(facts[item].said).format(s=who, v=told[who, item]) for who, item in order)

        def again(teller: Source) -> str:
            chosen = teller.rng.sample(order, teller.choice((1, 2, 4)))
            return " . ".join(teller.choice(facts[item].said).format(s=who, v=told[who, item]) for who, item in chosen)

        return [Draft(f"{text} .", facts[key].asked.format(s=subject), answers, retell=again)]

    return Recipe(name, "nf1", draw)
