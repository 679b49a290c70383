"""Whether a language model can learn a task at all: examples whose question and answer alone are too long are never trained on."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable

from workbench.tasks.example import Example, Task


def unusable(tasks: Iterable[Task], needs: Callable[[Example], int], max_length: int) -> list[str]:
    """One sentence for each task none of whose training examples fits; nothing where every task has one that does.

    needs: the places of max_length that an example takes at least, its context left out: question, answer, and the tokens between.
    """
    sentences = []
    for task in tasks:
        lengths = []
        for example in task.train:
            lengths.append(needs(example))
            if lengths[-1] <= max_length:
                break
        else:
            found = (
                f"the shortest takes {min(lengths):,} tokens, half of them {statistics.median(lengths):,.0f} or more"
                if lengths
                else "it has none"
            )
            sentences.append(
                f"{task.name}: none of its {len(task.train):,} training examples fits into backbone.max_length {max_length} without its context, {found}"
                + (f"; accepted: backbone.max_length of {min(lengths)} or more" if lengths else "")
            )
    return sentences
