"""Semantic role questions: who did what to whom, where, when and how, over one or two clauses.

The answers are spans of the sentence: the whole phrase first, then the shorter ones that a reader would accept too.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.tasks.grammar.draft import Draft, Recipe
from workbench.tasks.grammar.lexicon import CITIES, COLOURS, DAYS, JOBS, MONTHS, SPOTS, THINGS, TOOLS, Source, words

VERBS = words(
    "painted repaired cleaned moved opened sold bought found packed lost carried washed covered borrowed returned locked"
)  # past and participle are one word, so that a question names the event as its sentence does
KINDS = ("who", "what", "where", "when", "how", "whom")


@dataclass(frozen=True)
class Clause:
    """One event; each role is a tuple of accepted spans, the longest first, or empty where it is not said."""

    verb: str
    roles: dict[str, tuple[str, ...]]
    text: str


def clause(source: Source, verb: str, adjuncts: tuple[str, ...], passive: bool = False) -> Clause:
    """One clause that says its agent, its object and the named adjuncts (of: where, when, how, whom)."""
    agent = (source.person(),) if source.chance(0.6) else (f"the {source.word(JOBS)}",)
    thing = f"the {source.word(COLOURS)} {source.word(THINGS)}" if source.chance(0.5) else f"the {source.word(THINGS)}"
    said: dict[str, tuple[str, ...]] = {"who": agent, "what": (thing,)}
    if source.chance(0.2):
        said["what"] = (f"{thing} from {source.word(CITIES)}", thing)
    for kind in adjuncts:
        said[kind] = _adjunct(source, kind)
    core = f"{said['what'][0]} was {verb} by {agent[0]}" if passive else f"{agent[0]} {verb} {said['what'][0]}"
    return Clause(verb, said, " ".join([core, *(said[kind][0] for kind in adjuncts)]))


def _adjunct(source: Source, kind: str) -> tuple[str, ...]:
    if kind == "where":
        city, spot = source.word(CITIES), f"the {source.word(SPOTS)}"
        return (f"in {city}", city) if source.chance(0.5) else (f"at {spot}", spot)
    if kind == "when":
        day, month = source.word(DAYS), source.word(MONTHS)
        return (f"on {day}", day) if source.chance(0.5) else (f"in {month}", month)
    if kind == "how":
        tool = source.word(TOOLS)
        return f"with a {tool}", f"a {tool}", tool
    person = source.person()
    return f"for {person}", person


def asked(event: Clause, kind: str, passive: bool = False) -> str:
    """The role question, as QA-SRL writes them."""
    if kind == "who":
        return f"Who was something {event.verb} by?" if passive else f"Who {event.verb} something?"
    if kind == "what":
        return f"What was {event.verb}?"
    return f"Who was something {event.verb} for?" if kind == "whom" else f"{kind.capitalize()} was something {event.verb}?"


def retold(source: Source, event: Clause) -> str:
    """The event again, active or passive, its adjuncts in another order or left out, a part of it perhaps left indefinite."""
    agent = "someone" if source.chance(0.25) else event.roles["who"][0]
    thing = "something" if source.chance(0.25) else event.roles["what"][0]
    core = f"{thing} was {event.verb} by {agent}" if source.chance(0.5) else f"{agent} {event.verb} {thing}"
    adjuncts = [spans[0] for kind, spans in event.roles.items() if kind not in ("who", "what") and source.chance(0.8)]
    source.rng.shuffle(adjuncts)
    if adjuncts and source.chance(0.3):
        return " ".join([f"{adjuncts[0]} ,", core, *adjuncts[1:]])
    return " ".join([core, *adjuncts])


def roles(name: str, kinds: tuple[str, ...], passive: bool = False) -> Recipe:
    """Role questions of the given kinds; half of the sentences have a second clause with another verb."""
    adjuncts = tuple(kind for kind in KINDS if kind not in ("who", "what"))
    spoken = tuple(kind for kind in adjuncts if kind in kinds) or ("where", "when")

    def draw(source: Source) -> list[Draft]:
        kind = source.choice(kinds)
        verbs = source.rng.sample(VERBS, 2)
        chosen = set(source.rng.sample(spoken, min(2, len(spoken)))[: source.choice((1, 2))])
        chosen |= {kind} & set(adjuncts)
        events = [clause(source, verbs[0], tuple(item for item in adjuncts if item in chosen)[-3:], passive)]
        if source.chance(0.5):
            extra = (source.choice(spoken),) if source.chance(0.5) else ()
            events.append(clause(source, verbs[1], extra, passive))
        event = events[0]
        source.rng.shuffle(events)
        text = source.choice((" and ", " while ", " before ")).join(item.text for item in events)

        def again(teller: Source) -> str:
            return " and ".join(retold(teller, item) for item in teller.rng.sample(events, teller.choice((1, len(events)))))

        return [Draft(f"{text} .", asked(event, kind, passive), event.roles[kind], retell=again)]

    return Recipe(name, "nf1", draw)
