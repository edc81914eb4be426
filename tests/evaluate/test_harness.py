"""Our models behind lm-evaluation-harness's interface: the same figures as ours; a task of local files, offline."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.evaluate.models import knowing, random_model
from tests.evaluate.test_questions import answer
from zoo.evaluate.harness import Requests, harness_model
from zoo.evaluate.scoring import score


def asked(*args: object) -> SimpleNamespace:
    return SimpleNamespace(args=args)


def test_likelihoods_are_ours() -> None:
    model = random_model()
    (found,) = Requests(model).loglikelihood([asked("the lion", " roars")])
    ours = score(model, ["the lion"], [" roars"])[0]
    assert found == (pytest.approx(ours.log_likelihood), ours.greedy)
    long = "x" * 500 + "the lion"
    (cut,) = Requests(model).loglikelihood([asked(long, " roars")])
    assert cut[0] == pytest.approx(score(model, [long[-123:]], [" roars"])[0].log_likelihood, rel=1e-5)


def test_a_whole_text_is_predicted_from_its_beginning() -> None:
    model = random_model()
    (found,) = Requests(model).loglikelihood_rolling([asked("roar")])
    ids = torch.tensor([ord("\n"), *b"roar"]) if model.tokenizer.spec.end_id is None else None
    if ids is None:
        ids = torch.tensor([model.tokenizer.spec.end_id, *b"roar"])
    logs = model.logits(ids[None, :-1])[0].log_softmax(-1)
    assert found == pytest.approx(float(logs.gather(1, ids[1:, None]).sum()), rel=1e-5)


def test_writing_ends_where_it_is_told() -> None:
    (found,) = Requests(knowing(answer)).generate_until(
        [asked("France\nAnswer:", {"until": ["\n"], "max_gen_toks": 9})]
    )
    assert found == " Paris"


def test_a_task_of_the_harness_runs_on_a_local_file(tmp_path: Path) -> None:
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.tasks import TaskManager

    rows = [{"q": land, "a": city} for land, city in (("France", "Paris"), ("Japan", "Tokyo"))]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "quiz.yaml").write_text(
        f"task: quiz\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {tmp_path}/quiz.jsonl}}}}\n"
        'test_split: test\noutput_type: multiple_choice\ndoc_to_text: "{{q}}\\nAnswer:"\n'
        "doc_to_choice: [Paris, Rome, Tokyo]\ndoc_to_target: \"{{['Paris','Rome','Tokyo'].index(a)}}\"\n"
        "metric_list: [{metric: acc}]\n"
    )
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    found = lm_eval.simple_evaluate(model=harness_model(knowing(answer)), tasks=["quiz"], task_manager=manager)
    assert found["results"]["quiz"]["acc,none"] == 1.0
