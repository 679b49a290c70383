"""Reviews and other short texts with a closed set of labels.

A review has one or two opinions. Polarity: that of its adjective or verb, turned by "not" or "never"; of two opinions
the one after "but" counts, and with "although" the one after the comma. Reviews without "but" or "although" agree with themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from workbench.tasks.grammar.draft import Draft, Recipe, either
from workbench.tasks.grammar.lexicon import CITIES, DAYS, JOBS, MONTHS, THINGS, Source, words

Polarity = Literal["negative", "positive"]
Retell = Callable[[Source], str]

GOOD = words(
    "good great lovely superb charming excellent wonderful perfect pleasant brilliant fresh delightful "
    "amazing splendid fine clever touching reliable generous elegant"
)
BAD = words(
    "bad awful terrible dreadful boring poor horrible dull nasty disappointing stale ugly "
    "annoying clumsy weak silly lifeless useless careless shabby"
)
LIKED = words("loved enjoyed liked admired praised")
DISLIKED = words("hated regretted disliked despised cursed")
DEGREES = ("really ", "very ", "quite ", "rather ", "", "", "")

ASPECTS: dict[str, list[str]] = {
    "film": words("film plot cast ending music script acting hero dialogue story scenery director"),
    "food": words("soup bread waiter menu fish service dessert table wine kitchen salad coffee"),
    "gadget": words("camera battery screen speaker keyboard charger printer phone cable software button sound"),
    "hotel": words("room bed shower lobby pool breakfast view staff carpet balcony pillow lift"),
}
THEMES: dict[str, list[str]] = {
    "food": words("soup bread fish dessert wine salad coffee breakfast"),
    "service": words("waiter staff clerk driver guide porter cook guard"),
    "place": words("room lobby pool garden balcony view street terrace"),
    "price": words("bill price fee deposit discount ticket tip fare"),
}


def opinion(source: Source, aspects: list[str], polarity: Polarity) -> str:
    """One clause of that polarity about an aspect."""
    turned = source.chance(0.2)
    good = (polarity == "positive") != turned
    form = source.choice(("was", "was", "found", "verb"))
    if form == "verb":
        aspect, verb = source.pair(aspects, LIKED if good else DISLIKED)
        return f"i never {verb} the {aspect}" if turned else f"i {verb} the {aspect}"
    aspect, adjective = source.pair(aspects, GOOD if good else BAD)
    degree = "not " if turned else source.choice(DEGREES)
    return f"the {aspect} was {degree}{adjective}" if form == "was" else f"we found the {aspect} {degree}{adjective}"


def agreeing(source: Source, clause: str, polarity: Polarity) -> str:
    """Another opinion of the same polarity about what a clause is about."""
    return opinion(source, [clause.split("the ")[1].split()[0]], polarity)


def frame(source: Source) -> str:
    """Words without an opinion that open a review."""
    return source.choice(
        (
            "",
            "",
            f"we came on a {source.choice(DAYS)} with {source.person()} . ",
            f"{source.person()} and i went there in {source.choice(MONTHS)} . ",
            f"this was our day in {source.word(CITIES)} . ",
        )
    )


def review(source: Source, aspects: list[str], polarity: Polarity) -> tuple[str, Retell]:
    """A review whose overall polarity is `polarity`, and what tells an opinion of it in other words."""
    other: Polarity = "negative" if polarity == "positive" else "positive"
    last = opinion(source, aspects, polarity)
    form = source.choice(("one", "and", "and", "but", "although"))
    if form == "one":
        return f"{frame(source)}{last} .", lambda teller: agreeing(teller, last, polarity)
    if form == "and":
        text = f"{frame(source)}{opinion(source, aspects, polarity)} and {last} ."
        return text, lambda teller: agreeing(teller, last, polarity)
    first = opinion(source, aspects, other)
    text = f"{frame(source)}{first} but {last} ." if form == "but" else f"{frame(source)}although {first} , {last} ."
    told: list[tuple[str, Polarity]] = [(first, other), (last, polarity)]
    return text, lambda teller: agreeing(teller, *teller.choice(told))


def sentiment(name: str, domains: tuple[str, ...], labels: tuple[str, str], question: str | None = None) -> Recipe:
    """Is a review negative or positive, under two label words (the negative one first)."""
    asked = question or f"Is this review {either(labels)}?"

    def draw(source: Source) -> list[Draft]:
        polarity: Polarity = source.choice(("negative", "positive"))
        text, again = review(source, ASPECTS[source.choice(domains)], polarity)
        return [Draft(text, asked, (labels[polarity == "positive"],), retell=again)]

    return Recipe(name, "em", draw, labels)


def mixed(name: str, domain: str) -> Recipe:
    """Two opinions that agree, or do not: negative, mixed, positive."""
    labels = ("negative", "mixed", "positive")

    def draw(source: Source) -> list[Draft]:
        label = source.choice(labels)
        pair: list[Polarity] = ["negative", "positive"] if label == "mixed" else ["positive" if label == "positive" else "negative"] * 2
        source.rng.shuffle(pair)
        first, second = (opinion(source, ASPECTS[domain], polarity) for polarity in pair)
        text = f"{frame(source)}{first} . {second} ."
        return [Draft(text, f"Is this review {either(labels)}?", (label,), retell=lambda teller: agreeing(teller, second, pair[1]))]

    return Recipe(name, "em", draw, labels)


def theme(name: str) -> Recipe:
    """What a review is about; its polarity does not matter."""
    labels = tuple(THEMES)

    def draw(source: Source) -> list[Draft]:
        label = source.choice(labels)
        polarity: Polarity = source.choice(("negative", "positive"))
        text = opinion(source, THEMES[label], polarity)
        asked = f"Is this review about {either(labels)}?"
        return [Draft(f"{frame(source)}{text} .", asked, (label,), retell=lambda teller: agreeing(teller, text, polarity))]

    return Recipe(name, "em", draw, labels)


NEWS: dict[str, tuple[str, ...]] = {
    "sports": (
        "the {0} team won the match",
        "{1} scored two goals",
        "the coach of {0} praised the players",
        "{1} won the race and a medal",
    ),
    "science": (
        "a study of cells began in {0}",
        "{1} measured the light of a star",
        "the laboratory in {0} tested a vaccine",
        "{1} found a new planet",
    ),
    "business": (
        "the bank in {0} raised its rates",
        "{1} sold shares of the company",
        "the market in {0} lost profit",
        "{1} signed a contract with investors",
    ),
    "weather": (
        "heavy rain fell in {0}",
        "{1} saw a storm over the coast",
        "the snow in {0} melted",
        "{1} waited for the wind and the fog",
    ),
}


def news(name: str) -> Recipe:
    """The topic of two news clauses."""
    labels = tuple(NEWS)

    def draw(source: Source) -> list[Draft]:
        label = source.choice(labels)
        first, second = source.rng.sample(NEWS[label], 2)
        text = " and ".join(clause.format(source.word(CITIES), source.full_name()) for clause in (first, second))
        opening = source.choice(("", f"on {source.choice(DAYS)} , ", f"in {source.choice(MONTHS)} , "))
        return [Draft(f"{opening}{text} .", f"Is this sentence {either(labels)}?", (label,))]

    return Recipe(name, "em", draw, labels)


WANTED: dict[str, tuple[str, ...]] = {
    "person": ("who {2} the {3} in {0}", "which {4} {2} the {3}", "who was with {1} in {0}"),
    "place": ("where did {1} see the {3}", "in which city was {1} on {5}", "where was the {3} of {1}"),
    "number": ("how many of the {4}s were in {0}", "how much did {1} pay for the {3}", "how often did {1} visit {0}"),
    "date": ("when did {1} visit {0}", "in which year was the {3} {2}", "on which day did {1} leave {0}"),
}


def wanted(name: str) -> Recipe:
    """What kind of answer a question wants."""
    labels = tuple(WANTED)

    def draw(source: Source) -> list[Draft]:
        label = source.choice(labels)
        deed = source.choice(("painted", "sold", "moved", "built", "cleaned"))
        parts = (source.word(CITIES), source.person(), deed, source.word(THINGS), source.choice(JOBS), source.choice(DAYS))
        text = source.choice(WANTED[label]).format(*parts)
        opening = source.choice(("", f"{source.person()} asked : ", f"the {source.choice(JOBS)} wants to know : "))
        return [Draft(f"{opening}{text} ?", f"Does this ask for a {either(labels)}?", (label,))]

    return Recipe(name, "em", draw, labels)


ACTS: dict[str, tuple[str, ...]] = {
    "order": ("please bring the {0} to {1}", "take the {0} to the {2}", "do not sell the {0} , {1}", "send {1} to {3} on {4}"),
    "offer": ("may i bring the {0} to {1}", "i can take the {0} to the {2}", "shall i sell the {0} , {1}", "let me go to {3} on {4}"),
    "report": ("{1} brought the {0} on {4}", "the {2} took the {0} to {3}", "nobody sold the {0} in {3}", "{1} went to {3} on {4}"),
}


def act(name: str) -> Recipe:
    """Whether somebody gives an order, makes an offer or reports."""
    labels = tuple(ACTS)

    def draw(source: Source) -> list[Draft]:
        label = source.choice(labels)
        parts = (source.word(THINGS), source.person(), source.choice(JOBS), source.word(CITIES), source.choice(DAYS))
        opening = source.choice(("", f"{source.person()} said : ", f"the {source.choice(JOBS)} said : "))
        return [Draft(f"{opening}{source.choice(ACTS[label]).format(*parts)} .", f"Is this an {either(labels)}?", (label,))]

    return Recipe(name, "em", draw, labels)
