"""Dialogue state: what a user's turn changes, given what the system said before.

The context is `acts -- utterance`: an act is a slot the system asked for (`area`), a value it wants confirmed (`food: thai`), or a
place it offers (`offer: red lamp`), which is no slot.
The answer lists new informs, then `;`, then requests; `None` where nothing changes. A value that was informed before is never said again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.tasks.grammar.draft import Draft, Recipe
from workbench.tasks.grammar.lexicon import CITIES, COLOURS, DAYS, FOODS, NAMES, THINGS, Source, words

QUESTION = "What is the change in state?"


@dataclass(frozen=True)
class Domain:
    """Slots in the order in which answers list them: (values, held-out values exist, phrase with {}), and what can be requested."""

    slots: dict[str, tuple[list[str], bool, str]]
    requests: tuple[str, ...]
    thing: str


AREAS = words("north south east west centre")
DOMAINS = {
    "restaurant": Domain(
        {
            "food": (FOODS, True, "serving {} food"),
            "price range": (words("cheap moderate expensive"), False, "in the {} price range"),
            "area": (AREAS, False, "in the {}"),
        },
        ("phone", "address", "postcode"),
        "a restaurant",
    ),
    "taxi": Domain(
        {
            "from": (CITIES, True, "from {}"),
            "to": (CITIES, True, "to {}"),
            "day": (DAYS, True, "on {}"),
        },
        ("phone", "price", "driver"),
        "a taxi",
    ),
    "hotel": Domain(
        {
            "stars": (words("two three four five"), False, "with {} stars"),
            "city": (CITIES, True, "in {}"),
            "host": (NAMES, True, "run by {}"),
        },
        ("phone", "address", "breakfast"),
        "a hotel",
    ),
}
OPENINGS = ("i want", "i am looking for", "please find me", "i need", "can you find")
YES = ("yes please", "yes that is right", "right , that is fine", "yes , i like that")
NO = ("no , not that", "no , something else", "no , that is wrong")
CLOSINGS = ("thank you , good bye", "that is all , thanks", "thanks , bye", "great , thank you")
GREETINGS = ("", "", "hello , ", "well , ", "ok , ")
INDIFFERENT = ("i do not care", "any is fine", "it does not matter")


def _for(source: Source) -> str:
    """Words without a slot that end a turn."""
    return source.choice((f" , it is for {source.person()}", f" , {source.person()} comes too", f" , we meet {source.person()}"))


def answer(informs: dict[str, str], requests: tuple[str, ...]) -> str:
    """`food: thai, area: east; phone`, `; phone`, or `None`."""
    text = ", ".join(f"{slot}: {value}" for slot, value in informs.items())
    text += f"; {', '.join(requests)}" if requests else ""
    return text or "None"


def dialogue(name: str, domain: Domain) -> Recipe:
    """Whole dialogues of three to five turns; the joint goal grows over them."""

    def draw(source: Source) -> list[Draft]:
        state: dict[str, str] = {}
        turns = [_opening(source, domain, state)]
        for _ in range(source.choice((1, 2, 3))):
            turns.append(_middle(source, domain, state))
        turns.append(_ending(source, domain))
        return [
            Draft(_context(acts, said), QUESTION, (text,), {"turn": turn}, _retelling(domain, said))
            for turn, (acts, said, text) in enumerate(turns)
        ]

    return Recipe(name, "dsem", draw)


def _retelling(domain: Domain, said: str) -> Callable[[Source], str] | None:
    phrases = [phrase.format(value) for known, _, phrase in domain.slots.values() for value in known]
    found = [phrase for phrase in phrases if f" {phrase} " in f" {said} "]
    if not found:
        return None
    return lambda teller: f"they want {domain.thing} {' '.join(teller.rng.sample(found, len(found)))}"


Turn = tuple[tuple[str, ...], str, str]  # system acts, utterance, answer


def _context(acts: tuple[str, ...], said: str) -> str:
    return f"{', '.join(acts)} -- {said}" if acts else said


def _value(source: Source, domain: Domain, slot: str, state: dict[str, str]) -> str:
    values, copied, _ = domain.slots[slot]
    while True:
        value = source.word(values) if copied else source.choice(values)
        if value not in state.values():
            return value


def _inform(source: Source, domain: Domain, state: dict[str, str], count: int) -> dict[str, str]:
    open_slots = [slot for slot in domain.slots if slot not in state]
    chosen = source.rng.sample(open_slots, min(count, len(open_slots)))
    informs = {}
    for slot in domain.slots:
        if slot in chosen:
            informs[slot] = state[slot] = _value(source, domain, slot, state)
    return informs


def _phrases(source: Source, domain: Domain, informs: dict[str, str]) -> str:
    phrases = [domain.slots[slot][2].format(value) for slot, value in informs.items()]
    source.rng.shuffle(phrases)
    return " ".join(phrases)


def _opening(source: Source, domain: Domain, state: dict[str, str]) -> Turn:
    informs = _inform(source, domain, state, source.choice((1, 2)))
    said = f"{source.choice(GREETINGS)}{source.choice(OPENINGS)} {domain.thing} {_phrases(source, domain, informs)}"
    return (), f"{said}{_for(source)}", answer(informs, ())


def _middle(source: Source, domain: Domain, state: dict[str, str]) -> Turn:
    open_slots = [slot for slot in domain.slots if slot not in state]
    kind = source.choice(("told", "told", "any", "confirm", "deny", "change")) if open_slots else source.choice(("change", "asked"))
    if kind == "change":
        slot = source.choice(list(state))
        informs = {slot: _value(source, domain, slot, state)}
        state |= informs
        said = f"i changed my mind , find {domain.thing} {_phrases(source, domain, informs)}"
        return (), f"{said}{_for(source)}", answer(informs, ())
    if kind == "asked":
        return _asked(source, domain)
    slot = source.choice(open_slots)
    if kind == "told":
        informs = {slot: _value(source, domain, slot, state)}
        state |= informs
        return (slot,), f"{_phrases(source, domain, informs)}{source.choice(('', ' please'))}{_for(source)}", answer(informs, ())
    if kind == "any":
        state[slot] = "dontcare"
        return (slot,), f"{source.choice(INDIFFERENT)}{_for(source)}", answer({slot: "dontcare"}, ())
    value = _value(source, domain, slot, state)
    if kind == "deny":
        return (f"{slot}: {value}",), f"{source.choice(NO)}{_for(source)}", "None"
    state[slot] = value
    return (f"{slot}: {value}",), f"{source.choice(YES)}{_for(source)}", answer({slot: value}, ())


def _asked(source: Source, domain: Domain) -> Turn:
    count = source.choice((1, 2))
    requests = tuple(source.rng.sample(domain.requests, count))
    return (_offer(source),), f"what is the {' and the '.join(requests)} ?", answer({}, requests)


def _ending(source: Source, domain: Domain) -> Turn:
    return _asked(source, domain) if source.chance(0.6) else ((_offer(source),), source.choice(CLOSINGS), "None")


def _offer(source: Source) -> str:
    return f"offer: {source.word(COLOURS)} {source.word(THINGS)}"
