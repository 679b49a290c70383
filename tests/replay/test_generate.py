"""The filter: what is refused and why, and that refilling stays within its budget."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import mini
from workbench.learning.known_task import KnownTask
from workbench.learning.learner import Learner
from workbench.methods.base import learn
from workbench.replay import generate as generation
from workbench.replay.generate import Asked, Proposal, generate, refusals
from workbench.tasks import load_stream


@pytest.fixture()
def learner(mini_backbone: Path) -> Learner:
    from workbench.lm.load import load_backbone

    config = mini.config(mini_backbone, "lamol", replay={"answers": "agreed", "budget": 3.0, "balanced": False, "choice": "first"})
    return Learner(config, load_backbone(config.backbone, 4, "cpu", torch.Generator().manual_seed(0)), {})


def script(learner: Learner, texts: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch, answers: list[str] | None = None) -> None:
    """Let decoding say these (context, question, answer), over and over, and the answering pass those answers."""
    tokens, said = learner.backbone.tokens, iter(texts * 100)

    def decode(learner, task, z, n, generator):
        rows = []
        for _ in range(n):
            context, question, answer = next(said)
            rows.append([*tokens.encode(context), tokens.sep_id, *tokens.encode(question), tokens.ans_id, *tokens.encode(answer)])
        return rows

    monkeypatch.setattr(generation, "decode", decode)
    given = iter((answers or []) * 100)
    monkeypatch.setattr(generation, "answer", lambda learner, samples: [next(given) if answers else sample.answer for sample in samples])


TASK = KnownTask("sentiment", ("positive", "negative"), 0)


def draw(learner: Learner, n: int = 4, task: KnownTask | None = TASK, spare: int = 0):
    return generate(learner, Asked(task, n, "energy", 2, 7, spare), lambda count: Proposal(), torch.Generator().manual_seed(0))


def test_enough_good_ones_stop_at_n(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    script(learner, [(f"text {number}", "good?", "positive") for number in range(10)], monkeypatch)
    samples = draw(learner)
    assert refusals(samples) == {"kept": 4}
    assert {(sample.generation, sample.seed, sample.origin) for sample in samples} == {(2, 7, "energy")}
    assert [sample.chain for sample in samples] == [0, 1, 2, 3]


def test_what_is_refused_says_why_and_the_budget_holds(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    script(learner, [("same", "good?", "positive")], monkeypatch)
    samples = draw(learner)
    assert refusals(samples) == {"kept": 1, "duplicate": 11}
    script(learner, [("text", "good?", "perhaps")], monkeypatch)
    assert refusals(draw(learner)) == {"answer not in the label set": 12}
    assert refusals(draw(learner, task=None))["kept"] == 1  # nothing is known of the labels of any task


def test_disagreement_refuses_under_agreed_and_relabels_under_relabelled(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [(f"text {number}", "good?", "positive") for number in range(40)]
    script(learner, texts, monkeypatch, answers=["negative", "positive"])
    samples = draw(learner)
    assert refusals(samples)["kept"] == 4
    assert all(sample.answer == "positive" for sample in samples if sample.kept)
    assert all(sample.answer_relabelled == "negative" for sample in samples if sample.verdict == "disagreed")
    learner.config = learner.config.model_copy(update={"replay": learner.config.replay.model_copy(update={"answers": "relabelled"})})
    script(learner, texts, monkeypatch, answers=["negative", "positive"])
    assert [sample.answer for sample in draw(learner)] == ["negative", "positive", "negative", "positive"]


def test_malformed_text_is_refused_with_its_text_kept(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = learner.backbone.tokens
    monkeypatch.setattr(generation, "decode", lambda learner, task, z, n, generator: [tokens.encode("no separators here")] * n)
    samples = draw(learner)
    assert all(not sample.kept and "__ans__" in sample.verdict for sample in samples)
    assert samples[0].text == "no separators here"


def test_the_choice_by_coverage_keeps_as_many_of_each_label_and_more_words(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    replay = learner.config.replay.model_copy(update={"balanced": True, "choice": "coverage"})
    learner.config = learner.config.model_copy(update={"replay": replay})
    texts = [("the plot " * 3, "good?", "positive"), ("the plot " * 4, "good?", "positive"), ("a rare old ship", "good?", "positive")]
    script(learner, [*texts, ("the plot " * 2, "good?", "negative"), ("quiet songs", "good?", "negative")], monkeypatch)
    samples = draw(learner, n=2, spare=5)
    assert refusals(samples) == {"kept": 2, "spare": 3}
    assert {(sample.context, sample.answer) for sample in samples if sample.kept} == {
        ("a rare old ship", "positive"),
        ("quiet songs", "negative"),
    }


def test_a_relaxed_answer_is_the_answering_pass_itself(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    learner.config = learner.config.model_copy(update={"replay": learner.config.replay.model_copy(update={"answers": "relaxed"})})
    script(learner, [("text one", "good?", "positive")], monkeypatch, answers=["negative"])
    (sample, *others) = draw(learner, n=1)
    assert sample.answer == "negative" and sample.answer_generated == "positive" and not others
    assert sample.relaxed is not None
    ids, probabilities = sample.relaxed
    tokens, backbone = learner.backbone.tokens, learner.backbone
    row = [*tokens.encode("text one"), tokens.sep_id, *tokens.encode("good?"), tokens.ans_id, *tokens.encode("negative"), tokens.eos_id]
    answer = len(tokens.encode("negative")) + 1
    with torch.no_grad():
        logits = backbone.logits(backbone.hidden(torch.tensor([row]), torch.tensor([len(row)])))[0, -answer - 1 : -1]
    assert len(ids) == answer and torch.equal(ids, logits.topk(ids.shape[1]).indices)
    torch.testing.assert_close(probabilities, logits.topk(ids.shape[1]).values.softmax(1))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(answer))


def test_what_is_not_kept_has_no_distributions(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    learner.config = learner.config.model_copy(update={"replay": learner.config.replay.model_copy(update={"answers": "relaxed"})})
    script(learner, [(f"text {number}", "good?", "positive") for number in range(30)], monkeypatch)
    assert [sample.relaxed is not None for sample in draw(learner, n=2, spare=4)] == [True, True, False, False]


def test_spares_are_decoded_for_the_codes_but_not_kept(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    script(learner, [(f"text {number}", "good?", "positive") for number in range(30)], monkeypatch)
    counts = refusals(draw(learner, n=3, spare=10))
    assert counts == {"kept": 3, "spare": 7}


def test_labels_are_balanced_as_far_as_the_budget_goes(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    learner.config = learner.config.model_copy(update={"replay": learner.config.replay.model_copy(update={"balanced": True})})
    answers = ["positive"] * 4 + ["negative"]
    script(learner, [(f"text {number}", "good?", answers[number % 5]) for number in range(60)], monkeypatch)
    kept = [sample.answer for sample in draw(learner, n=4) if sample.kept]
    assert sorted(kept) == ["negative", "negative", "positive", "positive"]
    script(learner, [(f"text {number}", "good?", "positive") for number in range(60)], monkeypatch)
    samples = draw(learner, n=4)
    assert refusals(samples) == {"kept": 4, "spare": 8} and [sample.chain for sample in samples if sample.kept] == [0, 1, 2, 3]


@pytest.mark.parametrize("choice", ["first", "coverage"])
def test_no_answer_is_kept_oftener_than_training_had_it(choice: str, learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    replay = learner.config.replay.model_copy(update={"balanced": True, "choice": choice})
    learner.config = learner.config.model_copy(update={"replay": replay})
    slots = KnownTask("dialogue", None, 0, common={"None": 0.3})
    answers = ["None", "None", "area: north", "None", "area: south", "area: west", "food: thai", "area: east"]
    texts = [(f"text {number}", "change?", answers[number % 8] + (f" {number}" if number % 8 > 2 else "")) for number in range(80)]
    script(learner, texts, monkeypatch)
    kept = [sample.answer for sample in draw(learner, n=10, task=slots, spare=30) if sample.kept]
    assert len(kept) == 10 and kept.count("None") <= 3 and kept.count("area: north") <= 1
    script(learner, [(f"text {number}", "change?", "None") for number in range(80)], monkeypatch)
    assert len([sample for sample in draw(learner, n=10, task=slots) if sample.kept]) == 10  # the budget is spent: what there is


def test_energies_stay_with_their_chain(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    script(learner, [(f"text {number}", "good?", "positive") for number in range(30)], monkeypatch)
    asked = Asked(TASK, 5, "energy", 1, 0)
    samples = generate(learner, asked, lambda count: Proposal(torch.zeros(count, 4), torch.arange(count).float()), torch.Generator())
    assert [sample.energy for sample in samples] == [0.0, 1.0, 2.0, 3.0, 4.0]


ROLES = KnownTask("srl", None, 0, unanswerable=False, extractive=True)
READING = KnownTask("reading", None, 0, unanswerable=True, extractive=True)
SQL = KnownTask("sql", None, 0, unanswerable=False, extractive=False)


@pytest.mark.parametrize(
    ("task", "answer", "fault"),
    [
        (ROLES, "in May", ""),
        (ROLES, "in  june", "answer not in the context"),
        (ROLES, " ", "empty answer"),
        (READING, "", ""),
        (READING, "in june", "answer not in the context"),
        (SQL, "select colour", ""),
        (SQL, "", "empty answer"),
        (TASK, "", "answer not in the label set"),
        (TASK, "positive", ""),
    ],
)
def test_an_answer_of_a_form_that_the_task_never_had_is_refused(
    task: KnownTask, answer: str, fault: str, learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "answer", lambda learner, samples: [answer for _ in samples])
    relabelled = learner.config.replay.model_copy(update={"answers": "relabelled"})
    learner.config = learner.config.model_copy(update={"replay": relabelled})
    monkeypatch.setattr(generation, "decode", decoding(learner, "ada sold it in may", "When was it sold?", "in may"))
    samples = draw(learner, n=1, task=task)
    assert samples[0].verdict == (fault or "kept")
    assert samples[0].well_formed is not bool(fault)


@pytest.mark.parametrize(("question", "verdict"), [("good?", "kept"), ("goodverar", "question not of the task")])
def test_a_question_that_a_task_of_one_question_never_asked_is_refused(
    question: str, verdict: str, learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(learner, [("some text", question, "positive")], monkeypatch)
    assert draw(learner, n=1, task=KnownTask("sentiment", ("positive", "negative"), 0, questions=("good?",)))[0].verdict == verdict
    script(learner, [("some text", question, "positive")], monkeypatch)
    assert draw(learner, n=1)[0].verdict == "kept"


def decoding(learner: Learner, context: str, question: str, answer: str):
    tokens = learner.backbone.tokens
    row = [*tokens.encode(context), tokens.sep_id, *tokens.encode(question), tokens.ans_id, *tokens.encode(answer)]
    return lambda learner, task, z, n, generator: [row] * n


def test_the_question_of_a_task_is_learnt_where_it_is_always_the_same(learner: Learner) -> None:
    few = {task.name: learn(learner, task).questions for task in load_stream("bundled", None).tasks}
    assert few["sentiment"] == ("Is this review negative or positive?",) and few["sql"] is not None and few["srl"] is None


def test_the_form_of_answers_is_learnt_with_the_task(learner: Learner) -> None:
    tasks = {task.name: learn(learner, task) for task in load_stream("bundled", None).tasks}
    assert {name: (task.unanswerable, task.extractive) for name, task in tasks.items()} == {
        "sentiment": (False, False),
        "srl": (False, True),
        "dialogue": (False, False),
        "sql": (False, False),
        "reading": (True, True),
    }


def test_the_answers_a_task_gives_often_are_learnt_with_their_shares(learner: Learner) -> None:
    tasks = {task.name: learn(learner, task) for task in load_stream("bundled", None).tasks}
    assert tasks["dialogue"].common == {"None": 0.17, "price range: moderate": 0.062}
    assert tasks["srl"].common == {} and tasks["reading"].common == {"": 0.334}
    assert tasks["dialogue"].room("None", 50) == 9 and tasks["dialogue"].room("; postcode", 50) == 3
    assert tasks["sentiment"].room("positive", 50) == 25


def test_a_run_opened_again_knows_the_form_of_its_tasks_answers(mini_backbone: Path, tmp_path: Path) -> None:
    from workbench.training.run import reopen, start

    run = start(mini.config(mini_backbone, "lsebmcl", stream="bundled:srl,reading", recording={"weights": "last"}), tmp_path)
    known = reopen(run).learner.tasks
    assert [(task.name, task.unanswerable, task.extractive) for task in known] == [("srl", False, True), ("reading", True, True)]
