"""A head on a prior of music: what it reads, what is told, what is learnt, and what becomes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import nn

import zoo
from tests.stack.parts import CONTEXT, HOPS, RATE, codec, loaded, prior, save
from zoo.classify.kinds import OneLabel, SeveralLabels
from zoo.classify.reading import Row, collate
from zoo.classify.songs import SongReader
from zoo.cli.main import main
from zoo.data.base import IGNORED
from zoo.errors import ZooError
from zoo.finetune import low_rank
from zoo.finetune.course import Course
from zoo.finetune.examples import OneWindow
from zoo.finetune.growing import with_head
from zoo.finetune.heads import Classification, Head, Labelled, MultiLabel, Pair, Span
from zoo.finetune.method import Full, Last, Lora, Method
from zoo.finetune.method import Head as HeadOnly
from zoo.finetune.run import FineTuning
from zoo.loading import load
from zoo.model import Model
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.stack.model import Stack
from zoo.tokenizers.none import NoTokenizer
from zoo.train.monitor import Quiet
from zoo.train.optimizer import AdamW
from zoo.transformer import heads as networks

HOP, ROOM = HOPS[2], CONTEXT - 1
LABELS = networks.Classification(labels=("high", "low"), pool=networks.Mean(), bias=False)
FAST = Course(steps=60, learning_rate=1e-2, evaluate_every=20)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("parts")).parent


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return loaded(tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two classes: tones of 20 to 60 and soft ones of 300 to 500 Hz, a window long or longer."""
    folder = tmp_path_factory.mktemp("tones")
    random = np.random.default_rng(0)
    for number in range(66):
        high = number % 2 == 1
        pitch = random.uniform(300, 500) if high else random.uniform(20, 60)
        time = np.arange((ROOM + number) * HOP) / RATE
        place = folder / ("high" if high else "low") / f"{number:02}.wav"
        place.parent.mkdir(exist_ok=True)
        soundfile.write(
            place, ((0.1 if high else 0.5) * np.sin(2 * np.pi * pitch * time)).astype(np.float32), RATE, "FLOAT"
        )
    return folder


def sound(codes: float) -> Any:
    """Return a sound of so many ids of the coarsest level."""
    time = np.arange(round(codes * HOP)) / RATE
    return zoo.Audio((0.4 * np.sin(2 * np.pi * 60 * time * (1 + time))).astype(np.float32), RATE)


def tuning(checkpoint: Path, data: Path, out: Path, *, head: Head | None = None, method: Method | None = None) -> Any:
    return FineTuning(
        checkpoint=str(checkpoint),
        data=Labelled(path=str(data)),
        out=out,
        head=head or Classification(),
        method=method or Full(),
        train=FAST,
        device="cpu",
    )


@pytest.mark.parametrize(
    ("count", "firsts", "cut"),
    [
        (3, [0], 0),
        (15, [0], 0),
        (16, [0, 1], 0),
        (40.5, [0, 13, 26], 0),
        (201, [0, 27, 53, 80, 106, 133, 159, 186], 81),
    ],
)
def test_windows_of_a_sound(stack: Stack, count: float, firsts: list[int], cut: int) -> None:
    """As many as hold it, at most eight, all full, each behind the id that begins one and told where it stands."""
    network, heard = stack.reader.network, sound(count)
    assert isinstance(network, Prior)
    rows = SongReader(network, stack.tokenizers[2]).rows(heard)
    codes = stack.tokenizers[2].encode(heard)
    for row, first in zip(rows, firsts, strict=True):
        kept = codes[first : first + ROOM] + network.config.shift
        assert row.ids.tolist() == [network.start_id, *kept.tolist()]
        assert row.targets is not None
        assert row.targets.tolist() == [*kept.tolist(), IGNORED]
        assert row.cut == cut
        assert row.told is not None
        assert row.told.labels is not None
        assert row.told.labels.tolist() == [[round(count * HOP), first * HOP, CONTEXT * HOP, 0, -1]]
        assert row.told.source is not None
        assert row.told.source.tolist() == [[0] * 8]


def test_contexts_and_sounds_too_small(stack: Stack) -> None:
    network, tokenizer = stack.reader.network, stack.tokenizers[2]
    assert isinstance(network, Prior)
    assert [len(row.ids) for row in SongReader(network, tokenizer, context=5).rows(sound(8))] == [5, 5]
    with pytest.raises(ZooError, match="is empty"):
        SongReader(network, tokenizer).rows(sound(0))
    with pytest.raises(ZooError, match="context: a window of music"):
        SongReader(network, tokenizer, context=1)


def test_windows_are_averaged_and_learned_from_one_by_one() -> None:
    logits, groups = torch.tensor([[1.0, 0.0], [3.0, -2.0], [4.0, 4.0]]), torch.tensor([0, 0, 1])
    for kind in (OneLabel(together="mean"), SeveralLabels(together="mean")):
        assert kind.gathered(logits, groups).tolist() == [[2, -1], [4, 4]]
    rows = [Row(ids=torch.tensor([number])) for number in range(3)]
    part = OneWindow(rows=[rows], labels=torch.tensor([0]), numbers=[0])
    seen = [part.batch([0], np.random.default_rng(seed)).ids.tolist() for seed in range(20)]
    assert {ids[0][0] for ids in seen} == {0, 1, 2}
    assert all(len(ids) == 1 for ids in seen)
    assert part.batch([0]).ids.flatten().tolist() == [0, 1, 2]


@pytest.mark.parametrize("layer", [None, 0, 1, 2])
def test_the_head_looks_at_music_alone(layer: int | None) -> None:
    """Not at the lyrics in front of it, and not at what rows of other lengths are filled up with."""
    network = prior(top=True)
    grown = with_head(network, replace(LABELS, layer=layer), seed=1).eval()
    assert isinstance(grown, Prior)
    assert grown.labels == ("high", "low")
    reader = SongReader(grown, codec().level(2))
    rows = collate([reader.rows(sound(count)) for count in (15, 6)])  # one window each
    logits, hidden = grown.judge(rows.ids, lengths=rows.lengths, conditioning=rows.conditioning, whole=True)
    assert hidden is not None
    assert torch.equal(logits, grown.judge(rows.ids, lengths=rows.lengths, conditioning=rows.conditioning)[0])
    assert grown.transformer.classifier is not None
    for number, length in enumerate((16, 7)):
        told = Conditioning(
            labels=torch.tensor([[(length - 1) * HOP, 0, CONTEXT * HOP, 0, -1]]), source=torch.zeros(1, 8).long()
        )
        ids = rows.ids[number : number + 1, :length]
        *_, last = states = list(grown.features(ids, conditioning=told))
        seen = states[2 if layer is None else layer]
        assert seen.shape[1] == length
        wanted = grown.transformer.classifier.output(seen.mean(dim=1))
        assert torch.allclose(logits[number], wanted[0], atol=1e-5)
        assert torch.allclose(hidden[number, :length], last[0], atol=1e-5)
        assert torch.allclose(grown.head(last), prior(top=True)(ids, conditioning=told), atol=1e-5)  # as without a head


@pytest.mark.parametrize(
    ("method", "learns"),
    [
        (Full(), "transformer.blocks.0"),
        (HeadOnly(), "transformer.classifier"),
        (Last(blocks=1), "transformer.blocks.1"),
        (Lora(rank=2), "transformer.blocks.0.attention.input"),
    ],
)
def test_ways_to_learn(parts: Path, tones: Path, tmp_path: Path, method: Method, learns: str) -> None:
    out = tmp_path / "out"
    prepared = tuning(parts / "top", tones, out, method=method).prepare()
    assert not prepared.material.notes
    assert prepared.report(prepared.train()).metrics["accuracy"] >= 0.8
    base, tuned = (load_file(folder / "model.safetensors") for folder in (parts / "top", out))
    assert tuned.keys() - base.keys() == {"transformer.classifier.output.weight"}
    changed = {name for name in base if not torch.equal(base[name], tuned[name])}
    assert isinstance(method, HeadOnly) or any(name.startswith(learns) for name in changed)
    if isinstance(method, Full):
        assert any(name.startswith("label_embedding") for name in changed)
    elif not isinstance(method, Lora):
        assert all(name.startswith((learns, "transformer.final", "transformer.output")) for name in changed)
    again = zoo.load(out, device="cpu")
    found = again.classify([sound(40)])[0]
    assert again.class_logits(torch.tensor([[again.network.start_id, 30, 31], [40, 30, 31]])).shape == (2, 2)
    if isinstance(method, Lora):
        merged = zoo.load(parts / "top", device="cpu")
        low_rank.apply(merged, out / "adapter")
        assert merged.head == "classification"
        assert merged.classify([sound(40)])[0].probability == pytest.approx(found.probability, abs=1e-5)


def test_from_scratch_nothing_is_kept(parts: Path, tones: Path, tmp_path: Path) -> None:
    known = zoo.load(parts / "top", device="cpu").network.state_dict()
    drawn = [
        replace(tuning(parts / "top", tones, tmp_path / "out"), fresh=True, seed=seed).prepare() for seed in (0, 0, 1)
    ]
    one, same, other = (prepared.model.network.state_dict() for prepared in drawn)
    for name in known:
        assert torch.equal(one[name], same[name])
    matrices = [name for name in known if known[name].ndim > 1]
    assert not any(torch.equal(one[name], known[name]) for name in matrices)
    assert not torch.equal(one[matrices[0]], other[matrices[0]])


def test_any_number_of_labels(parts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    rows = ["file,label"]
    for number in range(66):
        time = np.arange(30 * HOP) / RATE
        samples = (0.5, 0.1)[number % 2] * np.sin(2 * np.pi * (40, 400)[number % 2] * time)
        soundfile.write(folder / f"{number}.wav", samples, RATE, "FLOAT")
        rows.append(f"{number}.wav,{('low|warm', 'high')[number % 2]}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    prepared = tuning(parts / "top", folder, tmp_path / "out", head=MultiLabel()).prepare()
    assert prepared.report(prepared.train()).metrics["exact_match"] == 1.0
    assert set(zoo.load(tmp_path / "out", device="cpu").network.labels) == {"high", "low", "warm"}


def test_what_has_no_head(parts: Path, tones: Path, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="name the stack"):
        tuning(parts / "middle", tones, tmp_path / "out").prepare()
    (tmp_path / "long").mkdir()
    for number in range(12):
        samples = sound(300).samples * number
        soundfile.write(tmp_path / "long" / f"{number}.wav", samples / 12, RATE, "FLOAT")
    (tmp_path / "long" / "metadata.csv").write_text("file,label\n" + "\n".join(f"{n}.wav,{n % 2}" for n in range(12)))
    (note,) = tuning(parts / "top", tmp_path / "long", tmp_path / "out").prepare().material.notes
    assert note == "12 of 12 are longer than 8 windows of 16 tokens: as many, evenly spread, are read of each"
    lone = Model(prior(top=True), NoTokenizer(40, modality="music"))
    lone.save(tmp_path / "lone")
    with pytest.raises(ZooError, match="zoo stack codec=CODEC priors=PRIOR"):
        tuning(tmp_path / "lone", tones, tmp_path / "out").prepare()
    for head in (Pair(), Span()):
        with pytest.raises(ZooError, match="reads texts, and top makes music"):
            tuning(parts / "top", tones, tmp_path / "out", head=head).prepare()
    with pytest.raises(ZooError, match="the head of a prior says labels of a sound"):
        with_head(prior(top=True), networks.Span())
    with pytest.raises(ZooError, match="no head that classifies"):
        zoo.load(parts / "top", device="cpu").classify([sound(4)])
    assert not (tmp_path / "out").exists()


def scales_of(network: nn.Module) -> dict[str, float]:
    ((part, names),) = AdamW(layer_decay=0.5).build(network).parts
    scales = [group["scale"] for group in part.param_groups for _ in group["params"]]
    return dict(zip(names, scales, strict=True))


def test_a_run_that_was_cut_short_ends_with_the_same_bits(parts: Path, tones: Path, tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    class Cutting(Quiet):
        def on_save(self, step: int) -> None:
            if step == 21:
                raise CutError

    train = replace(FAST, save_every=7)
    once, twice = (replace(tuning(parts / "top", tones, tmp_path / name), train=train) for name in ("once", "twice"))
    once.prepare().train()
    with pytest.raises(CutError):
        twice.prepare().train(Cutting())
    assert replace(twice, resume=True).prepare().train().step == 60
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("once", "twice"))
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


def test_layers_learn_at_rates_of_their_own() -> None:
    scales = scales_of(with_head(prior(top=True), LABELS))
    assert scales["transformer.classifier.output.weight"] == 1
    assert scales["transformer.blocks.1.attention.input.weight"] == 0.5
    assert scales["transformer.blocks.0.attention.input.weight"] == 0.25
    assert scales["transformer.embedding.tokens.weight"] == 0.125
    assert {scale for name, scale in scales.items() if name.startswith("label_embedding")} == {0.125}
    above = [scale for name, scale in scales_of(prior(top=False)).items() if name.startswith("above")]
    assert len(above) > 2
    assert set(above) == {0.125}


def test_on_the_command_line(parts: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stack's coarsest prior learns, and is a checkpoint of its own that says, evaluates and plays."""
    out = tmp_path / "headed"
    words = [
        "train.steps=60",
        "train.learning_rate=1e-2",
        "train.evaluate_every=20",
        f"out={out}",
        "device=cpu",
        "--json",
    ]
    assert main(["finetune", str(parts / "stack"), f"data.path={tones}", "head=classification", *words]) == 0
    learned = json.loads(capsys.readouterr().out)
    assert learned["metrics"]["accuracy"] >= 0.8
    assert (out / "confusion.png").exists()
    files = [str(tones / "low" / "00.wav"), str(tones / "high" / "01.wav")]
    assert main(["classify", str(out), *files, "device=cpu", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["label"] for row in rows] == ["low", "high"]
    assert main(["evaluate", str(out), f"data.path={tones}", "device=cpu", f"out={tmp_path / 'seen'}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"] == learned["metrics"]["accuracy"]
    assert main(["generate", str(out), "seconds=0.2", f"out={tmp_path / 'played'}", "device=cpu", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["samples"]) == 1
    priors = ",".join([str(out), str(parts / "middle"), str(parts / "fine")])
    assert main(["stack", f"codec={parts / 'codec'}", f"priors={priors}", f"out={tmp_path / 'whole'}", "--json"]) == 0
    capsys.readouterr()
    assert main(["classify", str(tmp_path / "whole"), *files, "device=cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == rows
    seen = ["device=cpu", "task=classification", f"out={tmp_path / 'seen-whole'}", "--json"]
    assert main(["evaluate", str(tmp_path / "whole"), f"data.path={tones}", *seen]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"] == learned["metrics"]["accuracy"]
    whole = load(tmp_path / "whole", device="cpu")
    assert isinstance(whole, Stack)
    assert whole.classify([sound(4)])[0].label in {"high", "low"}
