"""A stack as a checkpoint and as a model: parts, plans, modes, refusals."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo
from tests.stack.parts import CHARACTERS, CODES, CONTEXT, HOPS, RATE, codec, save
from zoo.errors import ZooError
from zoo.loading import open_found
from zoo.music.prior import Prior
from zoo.music.stack import StackConfig
from zoo.music.telling import NOTHING, Piece, Telling
from zoo.stack.journal import Journal
from zoo.stack.memory import need_of
from zoo.stack.model import Stack
from zoo.stack.plan import Request, Tier, make_plan
from zoo.stack.run import Finished, carry_out
from zoo.weights import codecs
from zoo.weights import stack as stacks
from zoo.weights.files import files_below
from zoo.weights.hub import locate
from zoo.weights.stack import OpenedStack

SECONDS = 40 * 8 / RATE
"""Forty ids of the coarsest level."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="module")
def stack(folder: Path) -> Stack:
    loaded = zoo.load(folder, device="cpu")
    assert isinstance(loaded, Stack)
    return loaded


def codes_of(stack: Stack, request: Request, given: dict[int, torch.Tensor] | None = None) -> dict[int, torch.Tensor]:
    """Return what a request comes to, by level."""
    events = carry_out(stack.plan(request, given))
    return {event.level: event.codes for event in events if isinstance(event, Finished)}


WANTED = Request(artist="flute", genre="hymn", lyrics="do re mi fa so la ti do", seconds=SECONDS, seed=3)


def test_the_surface_of_a_model(stack: Stack) -> None:
    assert stack.levels == (2, 1, 0)
    assert stack.rate == RATE
    assert stack.parameters == sum(
        part.parameters for part in map(zoo.load, [stack_part(stack, n) for n in range(3)])
    ) + (sum(p.numel() for p in zoo.load_codec(Path(stack.opened.where).parent / "codec", device="cpu").parameters()))
    assert "windows of 0.08 s, told artist and genre, lyrics" in stack.summary()
    sound = stack.generate(conditions={"artist": "organ"}, seconds=0.1)
    assert sound.rate == RATE
    assert len(sound.samples) == 160
    two = stack.generate(conditions={"artist": "organ"}, seconds=0.1, count=2)
    assert np.array_equal(two[0].samples, sound.samples)
    assert not np.array_equal(two[1].samples, sound.samples)
    with pytest.raises(ZooError, match="load one of its priors"):
        stack.logits(torch.tensor([[1]]))
    with pytest.raises(ZooError, match="max_new_tokens: a stack does not take it"):
        stack.generate(max_new_tokens=3)
    with pytest.raises(ZooError, match="got 'artiste'; did you mean 'artist'"):
        stack.generate(conditions={"artiste": "organ"})


def stack_part(stack: Stack, number: int) -> Path:
    assert stack.opened is not None
    return Path(stack.opened.priors[number].where).parent


def test_saved_and_loaded_again(stack: Stack, tmp_path: Path) -> None:
    stack.save(tmp_path / "again")
    again = zoo.load(tmp_path / "again", device="cpu")
    assert isinstance(again, Stack)
    request = replace(WANTED, seconds=0.1)
    for level, codes in codes_of(stack, request).items():
        assert torch.equal(codes_of(again, request)[level], codes)
    with pytest.raises(ZooError, match="is not empty"):
        stack.save(tmp_path / "again")
    stack.save(tmp_path / "again", overwrite=True)
    assert codes_of(zoo.load(tmp_path / "again", device="cpu"), request).keys() == {2, 1, 0}
    assert [entry.name for entry in tmp_path.iterdir()] == ["again"]
    (tmp_path / "again" / "level_1" / "model.safetensors").write_bytes(b"none")
    with pytest.raises(ZooError, match="does not match its sha256"):
        zoo.load(tmp_path / "again", device="cpu")


def test_what_a_stack_is_not_written_over(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path(stack.opened.where).parent
    with pytest.raises(ZooError, match="holds weights that this stack reads while it plays; choose another folder"):
        stack.save(own, overwrite=True)
    stack.save(tmp_path / "again")
    before = {name: (tmp_path / "again" / name).read_bytes() for name in files_below(tmp_path / "again")}

    def fail(*arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("zoo.weights.stack.write_manifest", fail)
        with pytest.raises(ZooError, match="again: No space left on device"):
            stack.save(tmp_path / "again", overwrite=True)
    assert {name: (tmp_path / "again" / name).read_bytes() for name in files_below(tmp_path / "again")} == before
    (tmp_path / "again" / "notes.txt").write_text("mine")
    with pytest.raises(ZooError, match=r"again holds 'notes\.txt', which is no part of a checkpoint"):
        stack.save(tmp_path / "again", overwrite=True)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"codec": "/etc"}, "names no part of a stack"),
        ({"priors": ["../top"]}, "names no part of a stack"),
        ({"priors": ["stack-itself"]}, "no checkpoint 'stack-itself'"),
        ({"codec": "top"}, "'top' is no codec"),
        ({"priors": ["codec"]}, "'codec' is no prior of music"),
        ({"priors": ["top", "fine", "middle", "top"]}, "4 priors do not fit a codec of 3 levels"),
        ({"priors": ["top", "top"]}, "must be told one code of the level above for 2 of its own, and has none"),
        ({"priors": ["middle", "fine"]}, "the first prior, of level 2, makes codes of a coarser level finer"),
        ({"coarsest": 7}, "3 priors do not fit a codec of 3 levels"),
    ],
)
def test_parts_that_do_not_fit(folder: Path, tmp_path: Path, network: dict[str, object], message: str) -> None:
    import shutil

    from zoo.weights.files import write_manifest

    shutil.copytree(folder, tmp_path / "other")
    path = tmp_path / "other" / "config.json"
    config = json.loads(path.read_text())
    config["network"] |= network
    path.write_text(json.dumps(config))
    write_manifest(tmp_path / "other", {})
    with pytest.raises(ZooError, match=message):
        zoo.load(tmp_path / "other", device="cpu")


def test_priors_of_another_codec_are_no_parts(folder: Path, tmp_path: Path) -> None:
    other = codec()
    other.codebook(2).adopt(torch.randn(CODES, 4))
    codecs.write(tmp_path / "other-codec", other)
    parts = [open_found(locate(str(folder.parent / name))) for name in ("top", "middle", "fine")]
    config = StackConfig(codec="other-codec", priors=("top", "middle", "fine"))
    made = stacks.put_together("made", config, [open_found(locate(str(tmp_path / "other-codec"))), *parts], {})
    with pytest.raises(ZooError, match=r"top.config\.json was trained on other ids than level 2"):
        Stack.of(made, device=torch.device("cpu"), dtype=torch.float32)


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ("prior_level_2.pth.tar", ["prior_level_2.pth.tar", "v2_artist_ids.txt", "v3_genre_ids.txt"]),
        ("config.json", ["config.json", "model.safetensors", "pytorch_model-00001-of-00002.bin", "v2_artist_ids.txt"]),
    ],
)
def test_files_without_sums_are_known_by_size_and_time(
    folder: Path, tmp_path: Path, settings: str, files: list[str]
) -> None:
    opened = open_found(locate(str(folder)))
    assert isinstance(opened, OpenedStack)
    first = replace(opened.priors[0], where=str(tmp_path / settings))
    opened = replace(opened, priors=(first, *opened.priors[1:]))

    def fingerprint() -> str:
        return Stack.of(opened, device=torch.device("cpu"), dtype=torch.float32).fingerprint

    for name in files:
        (tmp_path / name).write_bytes(b"before")
    (tmp_path / "song.wav").write_bytes(b"no part of it")
    known = fingerprint()
    (tmp_path / "song.wav").unlink()
    assert fingerprint() == known
    for name in files:
        stat = (tmp_path / name).stat()
        os.utime(tmp_path / name, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        assert fingerprint() != known
        os.utime(tmp_path / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert fingerprint() == known
        (tmp_path / name).write_bytes(b"afterwards")
        os.utime(tmp_path / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert fingerprint() != known
        known = fingerprint()
    (tmp_path / "manifest.json").write_text("{}")
    known = fingerprint()
    (tmp_path / files[1]).touch()
    assert fingerprint() == known  # sums are all that counts where they are stated


def test_pieces_are_those_of_any_batch(stack: Stack) -> None:
    together = codes_of(stack, replace(WANTED, count=3))
    assert {level: tuple(codes.shape) for level, codes in together.items()} == {2: (3, 40), 1: (3, 80), 0: (3, 160)}
    alone = codes_of(stack, replace(WANTED, seed=4))
    split = codes_of(stack, replace(WANTED, count=3, at_once=2))
    for level, codes in together.items():
        assert torch.equal(alone[level][0], codes[1])
        assert torch.equal(split[level], codes)
        assert int(codes.max()) < CODES


def test_names_and_lyrics_matter(stack: Stack) -> None:
    told = codes_of(stack, WANTED)[2]
    for other in ({"artist": "organ"}, {"genre": "folk"}, {"lyrics": "la la la la la la la"}):
        assert not torch.equal(codes_of(stack, replace(WANTED, **other))[2], told)
    with pytest.raises(ZooError, match="unknown artist 'flut'; did you mean 'flute'"):
        stack.plan(replace(WANTED, artist="flut"))
    unknown = codes_of(stack, replace(WANTED, artist="flut", unknown=True))[2]
    assert torch.equal(unknown, codes_of(stack, replace(WANTED, artist=""))[2])


def test_going_on_keeps_what_is_given(stack: Stack) -> None:
    begun = codes_of(stack, WANTED)
    cut = {level: codes[:, : 40 * 8 // hop // 2] for (level, codes), hop in zip(begun.items(), HOPS[::-1], strict=True)}
    longer = codes_of(stack, replace(WANTED, seconds=SECONDS), cut)
    for level, codes in cut.items():
        assert torch.equal(longer[level][:, : codes.shape[1]], codes)
        assert longer[level].shape[1] == 3 * codes.shape[1]


def test_codes_made_finer(stack: Stack) -> None:
    whole = codes_of(stack, WANTED)
    top = {2: whole[2]}
    finer = codes_of(stack, replace(WANTED, seconds=None), top)
    assert set(finer) == {2, 1, 0}
    assert torch.equal(finer[2], whole[2])
    assert torch.equal(finer[1], whole[1])
    assert torch.equal(finer[0], whole[0])
    assert set(codes_of(stack, replace(WANTED, levels=(2,)))) == {2}
    with pytest.raises(ZooError, match="level 0 needs the codes of level 1"):
        stack.plan(replace(WANTED, levels=(0,)))
    with pytest.raises(ZooError, match="no prior of level 7"):
        stack.plan(replace(WANTED, levels=(7,)))
    with pytest.raises(ZooError, match="nothing is left to draw"):
        stack.plan(replace(WANTED, seconds=None), whole)


def test_codes_made_finer_are_aligned_with_their_lyrics(stack: Stack) -> None:
    drawn = next(event for event in carry_out(stack.plan(WANTED)) if isinstance(event, Finished))
    finer = replace(WANTED, seconds=None)
    plan = stack.plan(finer, {2: drawn.codes})
    assert [stage.new for stage in plan.stages] == [0, 80, 160]
    assert plan.remarks() == [
        "level 2: all ids are given, and are read to see when the lyrics are sung; levels=1,0 does without"
    ]
    first = next(carry_out(plan))
    assert isinstance(first, Finished)
    assert torch.equal(first.codes, drawn.codes)
    assert torch.equal(first.alignments[0], drawn.alignments[0])
    earlier = {"1": [1, None], "0": [1, None]}  # of a run that was begun before levels that are given were read
    assert [stage.fit.rows for stage in stack.plan(finer, {2: drawn.codes}, earlier).stages] == [1, 1, 1]
    for silent in (replace(finer, lyrics=""), replace(finer, levels=(1, 0))):
        assert [stage.tier.level for stage in stack.plan(silent, {2: drawn.codes}).stages] == [1, 0]


def test_primed_by_a_sound(stack: Stack) -> None:
    sound = stack.generate(conditions={"artist": "organ"}, seconds=0.2)
    given = stack.encode([sound])
    assert {level: codes.shape[1] for level, codes in given.items()} == {2: 40, 1: 80, 0: 160}
    assert stack.encode([sound], 0.1)[2].shape == (1, 20)
    longer = stack.generate(sound, seconds=0.1, conditions={"artist": "organ"})
    assert len(longer.samples) == 480


def test_segments_side_by_side(stack: Stack) -> None:
    plan = stack.plan(replace(WANTED, parallel_segments=3))
    assert [stage.begins for stage in plan.stages] == [(0,), (0, 28, 52), (0, 54, 106)]
    assert [stage.length for stage in plan.stages] == [40, 28, 54]
    assert "3 segments side by side; at 2 seams" in " ".join(plan.remarks())
    exact, parallel = codes_of(stack, WANTED), codes_of(stack, replace(WANTED, parallel_segments=3))
    assert torch.equal(parallel[2], exact[2])
    assert torch.equal(parallel[1][:, :24], exact[1][:, :24])  # up to the first segment's last window, moved back
    assert not torch.equal(parallel[1][:, 28:], exact[1][:, 28:])
    assert parallel[0].shape == exact[0].shape


def test_a_piece_shorter_than_a_window(stack: Stack) -> None:
    plan = stack.plan(replace(WANTED, seconds=8 * 8 / RATE))
    assert "8 ids are less than its window of 16 (0.08 s)" in plan.remarks()[0]
    assert codes_of(stack, replace(WANTED, seconds=2 * 8 / RATE))[0].shape == (1, 8)


def test_guidance(stack: Stack) -> None:
    plain = codes_of(stack, WANTED)
    strong = codes_of(stack, replace(WANTED, guidance=3.0))
    assert not torch.equal(strong[2], plain[2])
    forgotten = codes_of(stack, replace(WANTED, guidance=0.0, levels=(2,)))[2]
    untold = Request(seconds=SECONDS, seed=3, levels=(2,))
    assert torch.equal(forgotten, codes_of(stack, untold)[2])


def test_guidance_of_each_level(stack: Stack) -> None:
    """The finest level first, as temperatures: what is not guided is as if nothing was, and takes no second reading."""
    every = codes_of(stack, replace(WANTED, guidance=3.0))
    coarsest = codes_of(stack, replace(WANTED, guidance=(1.0, 1.0, 3.0)))
    assert torch.equal(coarsest[2], every[2])
    assert not torch.equal(coarsest[1], every[1])
    finer = codes_of(stack, replace(WANTED, levels=(1, 0), seconds=None), {2: every[2]})
    assert torch.equal(coarsest[1], finer[1])
    assert torch.equal(coarsest[0], finer[0])
    needs = [stage.fit.need.total(1, None) for stage in stack.plan(replace(WANTED, guidance=(1.0, 1.0, 3.0))).stages]
    plain = [stage.fit.need.total(1, None) for stage in stack.plan(WANTED).stages]
    assert needs[0] > plain[0]
    assert needs[1:] == plain[1:]
    with pytest.raises(
        ZooError, match="guidance: give one number, or one for each of 3 levels, the finest first; got 2"
    ):
        stack.plan(replace(WANTED, guidance=(1.0, 2.0)))


def test_a_plan_that_does_not_fit_names_one_that_does(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    need = stack.plan(WANTED).stages[0].fit.need
    free = [0]
    monkeypatch.setattr("zoo.stack.memory.available_bytes", lambda device: free[0])
    with pytest.raises(ZooError, match=r"level 2 takes .* GB .* this needs a larger machine"):
        stack.plan(WANTED)
    free[0] = int((need.total(1, None) - 1) / 0.9)
    with pytest.raises(ZooError, match=r"dtype=bfloat16 \(.* GB for one piece\)"):
        stack.plan(replace(WANTED, levels=(2,)))
    free[0] = int(need.total(3, None) / 0.9) + 10
    assert stack.plan(replace(WANTED, levels=(2,), count=9)).stages[0].fit.rows == 3
    with pytest.raises(ZooError, match="at_once=3"):
        stack.plan(replace(WANTED, levels=(2,), count=9, at_once=8))


@pytest.mark.parametrize("at", [0, 1, 15, 16, 39])
def test_stopped_and_gone_on_with(stack: Stack, tmp_path: Path, at: int) -> None:
    request = replace(WANTED, count=2)
    whole = codes_of(stack, request)
    for stop_level in (2, 0):
        folder = tmp_path / str(stop_level)
        plan = stack.plan(request)
        with Journal(folder) as journal:
            journal.begin({"fits": plan.fits()}, {})
            seen = 0
            for event in carry_out(plan, journal):
                seen += not isinstance(event, Finished) and event.level == stop_level
                if seen == at:
                    break
        with Journal(folder) as journal:
            events = list(carry_out(stack.plan(request, fits=plan.fits()), journal))
            found = {event.level: event for event in events if isinstance(event, Finished)}
        for level, codes in whole.items():
            assert torch.equal(found[level].codes, codes)
        assert len(found[2].alignments) == 2
        assert found[2].alignments[0].shape == (40, len(WANTED.lyrics))


def test_how_much_is_free_now_does_not_decide_how_numbers_are_rounded(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = replace(WANTED, count=3, levels=(2,))
    fits = stack.plan(request).fits()
    assert fits == {"2": [3, None, True]}
    copied: list[int] = []
    monkeypatch.setattr("zoo.stack.run.pack_all", lambda prior, rows: copied.append(rows))
    monkeypatch.setattr("zoo.generate.sampler.pack_for_drawing", lambda *some: pytest.fail("decided anew"))
    for packed, rows in ((True, [3]), (False, [])):
        copied.clear()
        list(carry_out(stack.plan(request, fits={"2": [3, None, packed]})))
        assert copied == rows
    assert stack.plan(request, fits={"2": [3, None]}).fits() == fits  # of an older run


def test_going_on_where_less_memory_is_free(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    request = replace(WANTED, count=8, levels=(2,))
    need, fits = stack.plan(request).stages[0].fit.need, {"2": [6, None, False]}
    half = need_of(stack.tiers[0].config, guided=False, device=torch.device("cpu"), dtype=torch.bfloat16)
    free = [0]
    monkeypatch.setattr("zoo.stack.memory.available_bytes", lambda device: free[0])

    def rows(of: Stack, **more: int) -> int:
        return of.plan(replace(request, **more), fits=fits).stages[0].fit.rows

    free[0] = need.total(6, None)
    assert rows(stack) == 6
    assert rows(stack, at_once=2) == 2
    free[0] = int(need.total(4, None) / 0.9) + 10
    assert rows(stack) == 4
    assert rows(stack, at_once=6) == 4
    monkeypatch.setattr(stack, "dtype", torch.bfloat16)
    free[0] = half.total(6, None)
    assert rows(stack) == 6
    free[0] = half.total(4, None)
    with pytest.raises(ZooError, match=r"level 2 was begun with 6 rows at once, which take .* or say at_once=4, which"):
        rows(stack)
    assert rows(stack, at_once=4) == 4
    free[0] = 0
    with pytest.raises(ZooError, match=r"0\.00 GB free; free as much as there was then$"):
        rows(stack)


@pytest.mark.parametrize("at", [1, 50, 130])
def test_segments_and_guidance_stopped_and_gone_on_with(stack: Stack, tmp_path: Path, at: int) -> None:
    request = replace(WANTED, count=2, parallel_segments=3, guidance=(1.0, 2.0, 3.0), at_once=4)
    whole, plan = codes_of(stack, request), stack.plan(request)
    with Journal(tmp_path) as journal:
        journal.begin({"fits": plan.fits()}, {})
        for steps, event in enumerate(carry_out(plan, journal)):
            if steps == at:
                assert not isinstance(event, Finished)
                break
    with Journal(tmp_path) as journal:
        again = stack.plan(request, journal.given(), journal.plan()["fits"])
        found = {event.level: event.codes for event in carry_out(again, journal) if isinstance(event, Finished)}
    assert set(found) == {2, 1, 0}
    for level, codes in whole.items():
        assert torch.equal(found[level], codes)


@pytest.mark.parametrize("silent", [0, 1])
def test_a_piece_without_words_beside_one_with_words(stack: Stack, silent: int) -> None:
    plan = stack.plan(replace(WANTED, count=2, levels=(2,)))
    told = [replace(one, lyrics=NOTHING) if row == silent else one for row, one in enumerate(plan.stages[0].told)]
    plan = replace(plan, stages=(replace(plan.stages[0], told=tuple(told)),))
    (finished,) = [event for event in carry_out(plan) if isinstance(event, Finished)]
    shapes = [tuple(one.shape) for one in finished.alignments]
    assert shapes[silent] == (40, 0)
    assert shapes[1 - silent] == (40, len(WANTED.lyrics))


def test_a_stack_s_codec_serves_wherever_a_codec_does(folder: Path, stack: Stack) -> None:
    codec = zoo.load_codec(folder, device="cpu")
    assert codec.hops == HOPS
    assert torch.equal(codec.codebook(1).vectors, stack.tokenizers[1].codebook.vectors)


def test_words_for_a_prior_alone_are_the_numbers_that_it_is_told(folder: Path) -> None:
    top = zoo.load(folder.parent / "top", device="cpu")
    prior, hop = top.network, HOPS[-1]
    telling = Telling(config=prior.config, hop=hop)
    told = telling.of(Piece(artist="organ", lyrics="do re mi", total=top.tokenizer.rate))
    assert prior.config.labels.timing is None
    row = telling.labels(told, 0)
    row[0] = CONTEXT * hop  # the shortest song is a window here
    numbers = {"labels": row[None], "lyrics": telling.lyrics(told, 0)[0][None]}
    said = top.draw(conditions={"artist": "organ", "lyrics": "do re mi"}, max_new_tokens=12, seed=1)[0]
    same = top.draw(conditions=numbers, max_new_tokens=12, seed=1)[0]
    assert torch.equal(said.ids, same.ids)
    ids = torch.tensor([[prior.start_id, 3, 4]])
    organ, flute = (top.logits(ids, conditions={"artist": name, "lyrics": "do re mi"}) for name in ("organ", "flute"))
    assert torch.equal(organ, top.logits(ids, conditions=numbers))
    assert not torch.allclose(organ, flute)
    with pytest.raises(ZooError, match="artist: give words or numbers, not both"):
        top.draw(conditions={**numbers, "artist": "organ"})
    with pytest.raises(ZooError, match="unknown artist 'orgam'; did you mean 'organ'"):
        top.draw(conditions={"artist": "orgam"})


def test_a_prior_alone_decodes_the_codes_behind_its_lyrics(folder: Path) -> None:
    top = zoo.load(folder.parent / "top", device="cpu")
    assert isinstance(top.network, Prior)
    shift = top.network.config.shift
    assert shift == len(CHARACTERS) + 1
    told = {"artist": "organ"}
    (drawn,) = top.draw(conditions=told, max_new_tokens=8, seed=4)
    codes = (drawn.ids - shift).clamp(min=0)  # a lyric in the place of music counts as code 0, as in the original
    assert int(codes.max()) > 0
    assert np.array_equal(drawn.sample.samples, top.tokenizer.decode(codes).samples)
    begun = top.tokenizer.decode(torch.full((4,), CODES - 1))
    (longer,) = top.draw(begun, conditions=told, max_new_tokens=2, seed=4)
    assert torch.equal(longer.ids[:4] - shift, top.tokenizer.encode(begun)[:4])


def test_refusals_say_what_can_be_done(stack: Stack) -> None:
    given = {2: torch.zeros(1, 40, dtype=torch.int64)}
    finer = replace(WANTED, levels=(1, 0))
    with pytest.raises(
        ZooError, match=r"level 1 needs 0\.40 s of level 2, and codes= has 0\.20: draw that too, or leave seconds= out$"
    ):
        stack.plan(finer, given)
    longer = {2: given[2], 1: torch.zeros(1, 120, dtype=torch.int64)}
    with pytest.raises(ZooError, match=r"level 0 needs the codes of level 1: draw that too, or give codes=$"):
        stack.plan(replace(finer, levels=(0,), seconds=None), given)
    with pytest.raises(ZooError, match=r"level 1 needs 0\.32 s of level 2, and codes= has 0\.20: draw that too$"):
        stack.plan(replace(finer, seconds=None), {**longer, 1: torch.zeros(1, 127, dtype=torch.int64)})
    with pytest.raises(ZooError, match=r"parallel_segments: .* from left to right; leave it out"):
        stack.plan(replace(WANTED, parallel_segments=2), longer)


def test_levels_that_are_told_no_labels_are_not_guided(stack: Stack) -> None:
    top, *others = stack.tiers
    inner = replace(others[0].config.transformer, vocabulary=CODES + 1, output_vocabulary=CODES)
    untold = replace(others[0].config, labels=None, transformer=inner)
    mixed = [top, *(replace(tier, config=untold) for tier in others)]

    def plan(tiers: list[Tier], guidance: float | tuple[float, ...]) -> None:
        device = torch.device("cpu")
        make_plan(replace(WANTED, guidance=guidance), tiers, rate=RATE, given={}, device=device, dtype=torch.float32)

    with pytest.raises(ZooError, match=r"level 1 is told no labels; say guidance=1,1,2\.5, the finest level first$"):
        plan(mixed, 2.5)
    plan(mixed, (1.0, 1.0, 2.5))
    with pytest.raises(ZooError, match=r"level 0 is told no labels; leave it out$"):
        plan(mixed, (3.0, 1.0, 1.0))
