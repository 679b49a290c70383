"""Words of the generated world, and how they are kept apart between training and test.

Every fourth word of a list that answers copy from (`HELD_OUT`) never occurs in a training record: a test item that needs it
can be answered by reading its context only.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
HELD_OUT = 4


def words(text: str) -> list[str]:
    """The words of a list written as text."""
    return text.split()


NAMES = words(
    "anna tom mia omar lena hugo sara ivan nora paul zoe karl emma luis ada finn ruth milo vera otto "
    "iris leo maya nils rosa amir greta jon clara david elsa marco tina boris alma peter judy ravi olga sam"
)
SURNAMES = words("berg silva novak khan meyer rossi chen costa weber lopez marsh olsen duran patel stone wolf hart frost lane reed")
CITIES = words(
    "oslo rome cairo lima delhi paris tokyo berlin madrid dublin boston prague vienna lisbon athens kyoto "
    "havana geneva milan quito perth turin nairobi seoul bergen naples zurich porto leeds malta"
)
DAYS = words("monday tuesday wednesday thursday friday saturday sunday")
MONTHS = words("january march april may june july august october")
JOBS = words("baker teacher farmer doctor painter driver nurse sailor tailor singer writer guard pilot cook miner clerk")
THINGS = words(
    "lamp clock desk chair bicycle guitar mirror carpet basket ladder radio camera blanket kettle helmet candle "
    "suitcase piano wagon statue vase drum boat tent saddle bottle"
)
COLOURS = words("red blue green black white yellow silver brown old new small heavy broken wooden")
TOOLS = words("hammer brush rope knife torch needle spoon shovel saw glove cloth bucket")
SPOTS = words("market station harbour school garden factory bridge hotel theatre library kitchen museum")
FOODS = words("chinese italian indian thai french korean spanish turkish greek mexican polish persian german vietnamese russian cuban")


@dataclass(frozen=True)
class Source:
    """A seeded source of words for one split. `fresh`: may draw held-out words."""

    rng: random.Random
    fresh: bool

    def word(self, known: Sequence[str]) -> str:
        """A word of a list that answers copy from: in training a known one, elsewhere a held-out one half of the time."""
        if self.fresh and self.rng.random() < 0.5:
            return self.rng.choice(known[HELD_OUT - 1 :: HELD_OUT])
        return self.rng.choice([word for position, word in enumerate(known) if position % HELD_OUT != HELD_OUT - 1])

    def number(self, low: int, high: int) -> str:
        """A number; in training never one that HELD_OUT divides, elsewhere such a one half of the time."""
        held_out = self.fresh and self.rng.random() < 0.5
        return str(self.rng.choice([value for value in range(low, high + 1) if (value % HELD_OUT == 0) == held_out]))

    def pair(self, first: Sequence[str], second: Sequence[str]) -> tuple[str, str]:
        """A word of each list; of every four pairs one is held out, and elsewhere drawn half of the time."""
        held_out = self.fresh and self.rng.random() < 0.5
        here = self.rng.randrange(len(first))
        allowed = [word for there, word in enumerate(second) if ((here + there) % HELD_OUT == 0) == held_out]
        return first[here], self.rng.choice(allowed)

    def choice(self, options: Sequence[T]) -> T:
        """Any element: for words that are not copied."""
        return self.rng.choice(options)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def person(self) -> str:
        return self.word(NAMES)

    def full_name(self) -> str:
        return f"{self.word(NAMES)} {self.word(SURNAMES)}"
