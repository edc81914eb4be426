"""Every head on a small checkpoint of our own: what is read, what is learnt, and what becomes of it elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import zoo
from zoo.architecture import build_network
from zoo.classify.kinds import Choices, OneLabel, SeveralLabels
from zoo.classify.reading import Reader, collate, shortened, spread
from zoo.data.records import TextRow
from zoo.errors import ZooError
from zoo.finetune import low_rank
from zoo.finetune.course import Course
from zoo.finetune.growing import with_head
from zoo.finetune.heads import (
    Classification,
    Head,
    Labelled,
    MultiLabel,
    MultipleChoice,
    Pair,
    Span,
)
from zoo.finetune.method import Full, Last, Lora, Method
from zoo.finetune.method import Head as HeadOnly
from zoo.finetune.run import FineTuning
from zoo.model import Model
from zoo.tokenizers.audio.settings import MuLaw
from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.tokenizers.text.wordpiece import WordpieceTokenizer
from zoo.transformer import heads as networks
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Dense
from zoo.weights import huggingface

WORDS = ["the", "a", "old", "new", "film", "book", "song", "was", "is", "good", "bad", "great", "poor", "who", "what"]
WORDS += ["where", "when", "man", "king", "ship", "sea"]
FAST = Course(steps=60, learning_rate=3e-3, evaluate_every=20)


def gpt(*, context: int = 48) -> Model:
    """Return a small causal model of bytes in GPT-2's shape."""
    torch.manual_seed(0)
    tokenizer = ByteTokenizer()
    size = tokenizer.spec.vocabulary_size
    config = TransformerConfig(vocabulary=size, context=context, width=32, depth=2, heads=2)
    return Model(build_network(config), tokenizer, card={"name": "small"})


def bert() -> Model:
    """Return a small model that reads both ways, with a pooler."""
    torch.manual_seed(0)
    tokenizer = WordpieceTokenizer.fit([" ".join(WORDS)] * 3, vocabulary=120)
    config = TransformerConfig(
        vocabulary=tokenizer.spec.vocabulary_size,
        context=48,
        width=32,
        depth=2,
        heads=2,
        patterns=(Dense(causal=False),),
        block=PostNorm(),
        final_norm=False,
        embedding_norm=True,
        segments=2,
        pooler=True,
    )
    return Model(build_network(config), tokenizer, card={"name": "small"})


def tune(
    model: Model, path: Path, head: Head, out: Path, *, method: Method | None = None, train: Course = FAST
) -> dict[str, float]:
    """Fine-tune a saved model; return the figures of the held-out part."""
    model.save(out.with_name(f"{out.name}-base"))
    run = FineTuning(
        checkpoint=str(out.with_name(f"{out.name}-base")),
        data=Labelled(path=str(path)),
        out=out,
        head=head,
        method=method or Full(),
        train=train,
        device="cpu",
    )
    prepared = run.prepare()
    return prepared.report(prepared.train()).metrics


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def topics(tmp_path: Path) -> Path:
    rows = [f"{WORDS[n % 7]} {('ship', 'king')[n % 2]},{('sea', 'land')[n % 2]}" for n in range(110)]
    return write(tmp_path / "topics.csv", ["text,label", *rows])


# What is read


def test_gpt1s_ids_stand_around_texts_and_between_two() -> None:
    model = gpt()
    network = model.network
    assert isinstance(network, Transformer)
    grown = with_head(network, networks.Classification(labels=("a", "b")), more=3)
    reader = Reader(grown, model.tokenizer)
    size = model.tokenizer.spec.vocabulary_size
    assert reader.rows("hi")[0].ids.tolist() == [size, *b"hi", size + 2]
    (row,) = reader.rows(("hi", "yo"))
    assert row.ids.tolist() == [size, *b"hi", size + 1, *b"yo", size + 2]
    assert row.second == 4
    assert row.targets is not None
    assert row.targets.tolist() == [*row.ids.tolist()[1:], -100]


def test_bert_reads_pairs_with_segments() -> None:
    model = bert()
    network, tokenizer = model.network, model.tokenizer
    assert isinstance(network, Transformer)
    assert isinstance(tokenizer, WordpieceTokenizer)
    reader = Reader(with_head(network, networks.Classification(labels=("a", "b"))), tokenizer)
    (row,) = reader.rows(("good film", "bad"))
    first, second = tokenizer.encode("good film").tolist(), tokenizer.encode("bad").tolist()
    separator = tokenizer.separator_id
    assert row.ids.tolist() == [tokenizer.class_id, *first, separator, *second, separator]
    assert row.segments is not None
    assert row.segments.tolist() == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert row.targets is None


def test_both_orders_and_choices_are_rows_of_one_sample() -> None:
    model = gpt()
    network = model.network
    assert isinstance(network, Transformer)
    grown = with_head(network, networks.Classification(labels=("a", "b")), more=3)
    rows = Reader(grown, model.tokenizer, both_orders=True).rows(("ab", "cd"))
    assert [bytes(row.ids[1:3].tolist()) for row in rows] == [b"ab", b"cd"]
    chooser = with_head(grown, networks.MultipleChoice())
    rows = Reader(chooser, model.tokenizer).rows(TextRow(text="q", choices=("x", "yy", "z")))
    assert [len(row.ids) for row in rows] == [5, 6, 5]
    batch = collate([rows, rows[:2]])
    assert batch.groups is not None
    assert batch.groups.tolist() == [0, 0, 0, 1, 1]


def test_the_longest_part_is_cut_first() -> None:
    parts, cut = shortened([torch.arange(10), torch.arange(4)], 9)
    assert ([len(part) for part in parts], cut) == ([5, 4], 5)
    parts, cut = shortened([torch.arange(3), torch.arange(9)], 4)
    assert ([len(part) for part in parts], cut) == ([2, 2], 8)
    with pytest.raises(ZooError, match="no room"):
        shortened([torch.arange(3), torch.arange(9)], 1)


def test_pictures_behind_a_start_id_predict_their_last_pixel() -> None:
    tokenizer = GrayLevelsTokenizer(levels=4, rows=3, columns=3)
    spec = tokenizer.spec
    config = TransformerConfig(
        vocabulary=spec.vocabulary_size, output_vocabulary=4, context=9, width=8, depth=1, heads=1, tied=False,
        head=networks.Classification(labels=("a", "b")),
    )  # fmt: skip
    network = Transformer(config)
    picture = np.arange(9, dtype=np.uint8).reshape(3, 3) * 28
    ids = tokenizer.encode(picture)
    (row,) = Reader(network, tokenizer).rows(picture)
    assert row.ids.tolist() == [spec.start_id, *ids[:-1].tolist()]
    assert row.targets is not None
    assert torch.equal(row.targets, ids)
    (theirs,) = Reader(network, tokenizer, start=False).rows(picture)
    assert torch.equal(theirs.ids, ids)  # transformers shows its classifiers the pixels alone


# What logits mean


def test_sounds_are_read_in_windows() -> None:
    """As many as hold the sound, at most eight, on whole frames."""
    tokenizer = MuLaw(rate=8000).fit([])
    config = TransformerConfig(vocabulary=tokenizer.spec.vocabulary_size, context=10, width=8, depth=1, heads=1)
    reader = Reader(build_network(config), tokenizer)
    assert reader.together == "mean"
    samples = np.linspace(-1, 1, 25, dtype=np.float32)
    ids = tokenizer.encode(zoo.Audio(samples, 8000)).tolist()
    rows = reader.rows(zoo.Audio(samples, 8000))
    assert [row.ids.tolist() for row in rows] == [ids[first : first + 10] for first in (0, 8, 15)]
    assert [row.cut for row in rows] == [0, 0, 0]
    assert [row.cut for row in reader.rows(zoo.Audio(np.zeros(100, np.float32), 8000))] == [20] * 8
    with pytest.raises(ZooError, match="is empty"):
        reader.rows(zoo.Audio(np.zeros(0, np.float32), 8000))
    assert spread(25, 10, 4) == [0, 8, 12]
    assert spread(10, 10) == spread(1, 10) == [0]


def test_rows_are_added_up_or_laid_side_by_side() -> None:
    groups = torch.tensor([0, 0, 1, 1, 1])
    logits = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    assert OneLabel().gathered(logits, groups).tolist() == [[3.0], [12.0]]
    assert Choices().gathered(logits, groups).tolist() == [[1.0, 2.0, -torch.inf], [3.0, 4.0, 5.0]]


def test_losses_are_those_of_torch() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    mean = torch.nn.functional.cross_entropy(logits, labels)
    assert float(OneLabel().loss(logits, labels)) == pytest.approx(5 * float(mean))
    several = (torch.rand(5, 3) > 0.5).float()
    binary = torch.nn.functional.binary_cross_entropy_with_logits(logits, several)
    assert float(SeveralLabels().loss(logits, several)) == pytest.approx(5 * float(binary))


# What is learnt


def test_a_network_keeps_its_weights_under_a_new_head() -> None:
    network = gpt().network
    assert isinstance(network, Transformer)
    ids = torch.tensor([[1, 2, 3]])
    before = network(ids)
    grown = with_head(network, networks.Classification(labels=("a", "b")), more=3, seed=1)
    assert grown.vocabulary == network.vocabulary + 3
    assert torch.equal(grown(ids)[..., : network.vocabulary], before)
    rows = grown.embedding.tokens.weight[-3:]
    assert 0.005 < float(rows.detach().std()) < 0.05
    again = with_head(grown, networks.Classification(labels=("a", "b")), seed=2)
    assert again.classifier is not None
    assert grown.classifier is not None
    assert torch.equal(again.classifier.output.weight, grown.classifier.output.weight)  # the same labels go on
    other = with_head(grown, networks.Classification(labels=("a", "c")), seed=2)
    assert other.classifier is not None
    assert not torch.equal(other.classifier.output.weight, grown.classifier.output.weight)


def test_a_head_reads_any_layer() -> None:
    network = gpt().network
    assert isinstance(network, Transformer)
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    for layer in (0, 1, 2):
        head = networks.Classification(labels=("a", "b"), pool=networks.Mean(), layer=layer)
        grown = with_head(network, head).eval()
        assert grown.classifier is not None
        seen = list(grown.features(ids))[layer].mean(dim=1)
        wanted = grown.classifier.output(seen)
        logits, hidden = grown.judge(ids)
        assert hidden is None
        assert torch.allclose(logits, wanted, atol=1e-6)
        assert torch.allclose(grown.judge(ids, whole=True)[0], wanted, atol=1e-6)
    with pytest.raises(ZooError, match="layer must lie in 0 to 2"):
        with_head(network, networks.Classification(labels=("a", "b"), layer=3))


@pytest.mark.parametrize(
    ("method", "learns"),
    [(HeadOnly(), "classifier"), (Last(blocks=1), "blocks.1"), (Lora(rank=2), "parametrizations")],
)
def test_ways_to_learn(tmp_path: Path, topics: Path, method: Method, learns: str) -> None:
    out = tmp_path / "out"
    metrics = tune(gpt(), topics, Classification(pool="mean"), out, method=method)
    assert metrics["accuracy"] >= 0.9
    base, tuned = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out-base", out))
    same = {name for name in base if torch.equal(base[name], tuned[name])}
    assert "embedding.tokens.weight" in same
    if isinstance(method, Lora):
        assert not any(name.startswith("blocks") and name.endswith("input.weight") for name in same)
        assert "blocks.0.attention_norm.weight" in same
    else:
        assert all(name.startswith((learns, "final")) or name in same for name in base)
    assert zoo.load(out).classify(["old ship", "new king"])[0].label == "sea"


def test_an_adapter_gives_the_merged_weights_again(tmp_path: Path, topics: Path) -> None:
    out = tmp_path / "out"
    tune(gpt(), topics, Classification(), out, method=Lora(rank=2))
    base = zoo.load(tmp_path / "out-base")
    tuned = zoo.load(out)
    low_rank.apply(base, out / "adapter")
    assert base.head == tuned.head == "classification"
    ids = torch.tensor([[5, 6, 7]])
    assert torch.allclose(base.class_logits(ids), tuned.class_logits(ids), atol=1e-5)
    assert base.classify(["old ship"])[0].label == tuned.classify(["old ship"])[0].label == "sea"
    assert sum(weight.numel() for weight in load_file(out / "adapter" / low_rank.WEIGHTS).values()) < 10_000
    narrow = TransformerConfig(vocabulary=257, context=48, width=16, depth=2, heads=2)
    other = Model(build_network(narrow), ByteTokenizer())
    with pytest.raises(ZooError, match="does not fit this model"):
        low_rank.apply(other, out / "adapter")
    assert other.network.config == narrow


def test_an_adapter_says_how_samples_are_read(tmp_path: Path) -> None:
    pixels = np.zeros((66, 4, 4), np.uint8)
    pixels[1::2, :2] = 255
    np.savez(tmp_path / "halves.npz", x=pixels, y=np.arange(66) % 2)
    torch.manual_seed(0)
    tokenizer = GrayLevelsTokenizer(rows=4, columns=4, levels=4)
    config = TransformerConfig(vocabulary=5, output_vocabulary=4, context=16, width=16, depth=1, heads=2, tied=False)
    out = tmp_path / "out"
    tune(Model(build_network(config), tokenizer), tmp_path / "halves.npz", Classification(), out, method=Lora(rank=2))
    base, tuned = zoo.load(tmp_path / "out-base"), zoo.load(out)
    low_rank.apply(base, out / "adapter")
    pictures = [pixels[0], pixels[1]]
    for one, other in zip(base.classify(pictures), tuned.classify(pictures), strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-5)


def test_texts_of_one_token_predict_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["text,label", *(f"{'yn'[n % 2]},{('yes', 'no')[n % 2]}" for n in range(88))])
    metrics = tune(gpt(), path, Classification(ids="plain"), tmp_path / "out", train=FAST)
    assert metrics["accuracy"] == 1.0


def test_another_pool_than_the_first_leaves_the_pooler_out() -> None:
    network = with_head(bert().network, networks.Classification(labels=("a", "b"), pool=networks.Mean()))
    assert network.pooler is None
    assert with_head(bert().network, networks.Classification(labels=("a", "b"), pool=networks.First())).pooler


def test_several_labels(tmp_path: Path) -> None:
    cells = ("sea|land", "sea", "land", "")
    words = ("ship king", "ship ship", "king king", "none here")
    rows = [f"{WORDS[n % 7]} {words[n % 4]},{cells[n % 4]}" for n in range(176)]
    path = write(tmp_path / "rows.csv", ["text,label", *rows])
    out = tmp_path / "out"
    metrics = tune(gpt(), path, MultiLabel(pool="mean"), out, train=Course(steps=120, learning_rate=3e-3))
    assert metrics["exact_match"] >= 0.9
    assert {"micro_f1", "macro_f1", "accuracy"} <= set(metrics)
    said = zoo.load(out).classify(["old ship king", "a none here"])
    assert [one.label for one in said] == ["land|sea", ""]


@pytest.mark.parametrize("symmetric", [False, True])
def test_pairs(tmp_path: Path, symmetric: bool) -> None:
    rows = []
    for n in range(132):
        first, second = WORDS[n % 3 + 17], WORDS[(n * 5 + n // 3) % 3 + 17]
        rows.append(f"{first},{second},{'wet' if 'ship' in (first, second) else 'dry'}")
    path = write(tmp_path / "pairs.csv", ["text,text_b,label", *rows])
    out = tmp_path / "out"
    head = Pair(symmetric=symmetric, balance=True)
    metrics = tune(gpt(), path, head, out, train=Course(steps=60, learning_rate=3e-3, patience=0))
    assert metrics["accuracy"] >= 0.9
    model = zoo.load(out)
    one, other = model.classify([("king", "ship"), ("ship", "king")])
    assert one.label == other.label == "wet"
    close = one.probability == pytest.approx(other.probability, abs=1e-6)
    assert close is symmetric


def test_multiple_choice(tmp_path: Path) -> None:
    rows = []
    for n in range(110):
        right, wrong = f"{WORDS[n % 7]} good", f"{WORDS[n % 5]} bad"
        choices = [right, wrong] if n % 2 else [wrong, right]
        row = {"text": "which?", "choices": [*choices, "poor"] if n % 3 else choices, "label": n % 2 ^ 1}
        rows.append(json.dumps(row if n % 5 else row | {"label": right}))
    path = write(tmp_path / "choices.jsonl", rows)
    out = tmp_path / "out"
    assert tune(gpt(), path, MultipleChoice(), out)["accuracy"] >= 0.9
    (said,) = zoo.load(out).classify([TextRow(text="which?", choices=("new bad", "new good"))])
    assert said.label == "new good"
    assert set(said.probabilities) == {"new bad", "new good"}


def test_answers_in_passages(tmp_path: Path) -> None:
    """The answer is the word after ``king``; passages are longer than a window."""
    paragraphs = []
    for n in range(66):
        words = [WORDS[(n * 3 + place) % 7] for place in range(60)]
        place = 7 * n % 55
        words[place : place + 2] = ["king", "ship" if n % 2 else "sea"]
        context = " ".join(words)
        answer = words[place + 1]
        start = context.index("king ") + 5
        question = {"id": str(n), "question": "who?", "answers": [{"text": answer, "answer_start": start}]}
        paragraphs.append({"context": context, "qas": [question]})
    path = tmp_path / "questions.json"
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}))
    out = tmp_path / "out"
    metrics = tune(bert(), path, Span(), out, train=Course(steps=200, learning_rate=3e-3, patience=0))
    assert set(metrics) == {"loss", "exact_match", "f1"}
    assert metrics["exact_match"] >= 0.8
    (said,) = zoo.load(out).classify([("who?", "a man was good " * 12 + "king ship was bad")])
    assert said.label == "ship"
    assert len(said.probabilities) > 1


# What others can read


@pytest.mark.parametrize("head", [Classification(), MultiLabel(), MultipleChoice(), Span()])
@pytest.mark.parametrize("make", [gpt, bert])
def test_what_is_written_goes_to_hugging_face_and_back(tmp_path: Path, head: Head, make: object) -> None:
    model = gpt() if make is gpt else bert()
    network = model.network
    assert isinstance(network, Transformer)
    kinds: dict[type, networks.Head] = {
        Classification: networks.Classification(labels=("a", "b"), pool=pool_of(model), bias=not network.causal),
        MultiLabel: networks.MultiLabel(labels=("a", "b"), pool=pool_of(model), bias=not network.causal),
        MultipleChoice: networks.MultipleChoice(pool=pool_of(model)),
        Span: networks.Span(),
    }
    grown = Model(with_head(network, kinds[type(head)], more=3 if network.causal else 0), model.tokenizer)
    huggingface.write(tmp_path / "theirs", grown.network, grown.tokenizer, card=grown.card)
    again = zoo.load(tmp_path / "theirs")
    ids = torch.tensor([[7, 8, 9, 10]])
    assert torch.allclose(again.class_logits(ids), grown.class_logits(ids), atol=1e-6)
    assert isinstance(again.network, Transformer)
    assert type(again.network.config.head) is type(kinds[type(head)])
    assert again.head == grown.head


def pool_of(model: Model) -> networks.AnyPool:
    return networks.Last() if model.network.causal else networks.First()
