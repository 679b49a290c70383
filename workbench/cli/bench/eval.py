"""Continual evaluation of five tasks, against a bare loop that scores the same rows in the same batches."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from workbench.cli.timing import compared
from workbench.config import build
from workbench.lm.load import load_backbone
from workbench.lm.sequences import pad_ids, qa_ids
from workbench.tasks import load_stream
from workbench.training.evaluate import FORCED_BATCH, ContinualEvaluation


def rows() -> list[dict[str, Any]]:
    stream, settings = load_stream("bundled", None), build({})
    config = settings.backbone
    backbone = load_backbone(config, 32, "cpu", torch.Generator().manual_seed(0)).eval()
    evaluation = ContinualEvaluation(stream, backbone, settings.evaluation, config.max_length)
    tokens = backbone.tokens
    sequences = [row for subset in evaluation.subsets.values() for example in subset if (row := qa_ids(tokens, example, config.max_length))]
    sequences.sort(key=lambda row: len(row[0]))

    @torch.no_grad()
    def bare() -> float:
        right = 0
        for start in range(0, len(sequences), FORCED_BATCH):
            part = sequences[start : start + FORCED_BATCH]
            ids, lengths = pad_ids([row for row, _ in part], tokens.pad_id)
            prompts = torch.tensor([prompt for _, prompt in part])
            place = torch.arange(ids.shape[1])
            mask = (place >= prompts[:, None] - 1) & (place < lengths[:, None] - 1)
            logits = backbone.lm.get_output_embeddings()(backbone.lm.base_model(input_ids=ids, use_cache=False).last_hidden_state[mask])
            targets = ids.roll(-1, 1)[mask]
            functional.cross_entropy(logits, targets)
            wrong = torch.zeros(len(part)).index_add(0, mask.nonzero()[:, 0], (logits.argmax(1) != targets).float())
            right += int((wrong == 0).sum())
        return right / len(sequences)

    return [compared("eval: five tasks teacher-forced", lambda: evaluation.forced(list(stream.names)), bare, rounds=7)]
