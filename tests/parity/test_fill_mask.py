"""``[MASK]`` filled as Hugging Face's pipeline fills it, and BERT's loss as their BertForPreTraining has it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import zoo
from tests.parity.cases import Find, case, close, stated
from zoo.data.base import Batch
from zoo.network import Conditioning
from zoo.tokenizers.text.wordpiece import SPECIALS
from zoo.train.objective import MaskedLanguageModel

TEXTS = ("a [MASK] b", "word7 of [MASK], word30 and [MASK] .", "[MASK] word99")


@pytest.fixture
def folder(fixture_case: Find, tmp_path: Path) -> Path:
    """Return the fixture's weights with a vocabulary as large as they are, as both programs read it."""
    source = fixture_case("text-image/bert")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [*SPECIALS, ",", ".", *letters, *(f"##{letter}" for letter in letters), *(str(n) for n in range(10))]
    pieces += [f"##{digit}" for digit in range(10)]
    pieces += [f"word{number}" for number in range(stated(fixture_case, "bert")["vocab_size"] - len(pieces))]
    for name in ("config.json", "model.safetensors"):
        shutil.copy(source / name, tmp_path / name)
    (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    return tmp_path


def test_candidates_and_probabilities_are_the_pipelines(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    words = transformers.BertTokenizer(str(folder / "vocab.txt"))
    pipeline = transformers.pipeline("fill-mask", model=theirs, tokenizer=words, top_k=10, device="cpu")
    ours = zoo.load(folder, device="cpu")
    for text in TEXTS:
        expected = pipeline(text)
        filled = ours.fill(text, count=10)
        rows = expected if isinstance(expected[0], list) else [expected]
        assert len(rows) == len(filled.masks)
        for row, mask in zip(rows, filled.masks, strict=True):
            assert [one.id for one in mask.candidates] == [entry["token"] for entry in row]
            scores = torch.tensor([entry["score"] for entry in row])
            close(torch.tensor([one.probability for one in mask.candidates]), scores)


def test_the_objective_is_the_sum_of_their_two_losses(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "bert")
    batch = Batch(
        ids=numbers["in/ids"],
        targets=numbers["in/mlm_labels"],
        indices=torch.arange(len(numbers["in/ids"])),
        lengths=numbers["in/attention_mask"].sum(dim=1),
        conditioning=Conditioning(segments=numbers["in/token_type_ids"]),
        labels=numbers["in/nsp_labels"],
    )
    objective = MaskedLanguageModel()
    with torch.no_grad():
        parts = [
            nats / count
            for nats, count in zip(objective.losses(model.network, batch), objective.counts(batch), strict=True)
        ]
    close(parts[0], numbers["out/mlm_loss"])
    close(parts[1], numbers["out/nsp_loss"])
    close(parts[0] + parts[1], numbers["out/loss"])
