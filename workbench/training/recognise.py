"""Which task a replayed text looks like: an independent classifier, for measurement only. No method sees what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.tasks.example import Stream

TEXTS_A_TASK = 500
UNKNOWN = "none"


class Recogniser:
    """Multinomial naive Bayes over words and word pairs of context, question and answer, fitted on real training texts of the stream."""

    def __init__(self, stream: Stream) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.naive_bayes import MultinomialNB
        from sklearn.pipeline import make_pipeline

        texts, names = [], []
        for task in stream.tasks:
            for example in task.train[:TEXTS_A_TASK]:
                texts.append(_text(example))
                names.append(task.name)
        features = HashingVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", n_features=2**16, alternate_sign=False, norm=None)  # pyright: ignore[reportArgumentType]
        self._model = make_pipeline(features, MultinomialNB(alpha=0.01)).fit(texts, names)

    def __call__(self, samples: Sequence[Any]) -> list[str]:
        """The task each sample (context, question, answer, text) looks like; `none` for one that did not parse."""
        if not samples:
            return []
        named = self._model.predict([_text(sample) for sample in samples]).tolist()
        return [name if sample.question else UNKNOWN for name, sample in zip(named, samples, strict=True)]


def _text(sample: Any) -> str:
    return f"{sample.context} {sample.question} {sample.answers[0]}"
