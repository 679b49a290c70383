"""Sequential fine-tuning without replay: the lower bound."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.methods.base import Base


@dataclass(frozen=True)
class Knobs:
    """None."""


class Method(Base):
    """Nothing but the answer loss on the task in progress."""
