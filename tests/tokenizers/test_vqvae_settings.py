"""``tokenizer=vqvae``: one level of a codec, from whatever file or folder the codec is in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.weights.test_jukebox_codec import HPS, SMALL, codec_of, state
from zoo import ZooError
from zoo.settings import build
from zoo.tokenizers.audio.settings import Vqvae
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.network import Vqvae as VqvaeCodec
from zoo.tokenizers.audio.vqvae.tokenizer import VqvaeTokenizer
from zoo.tokenizers.codecs import build_codec
from zoo.tokenizers.image.vqvae.config import ImageVqvaeConfig
from zoo.tokenizers.registry import TokenizerSettings, load
from zoo.weights import codecs


@pytest.fixture
def codec(tmp_path: Path) -> str:
    """Return the folder of a codec of two levels."""
    codecs.write(tmp_path / "codec", codec_of(SMALL))
    return str(tmp_path / "codec")


@pytest.mark.parametrize("level", [0, 1])
def test_a_level_of_a_checkpoint(codec: str, level: int, tmp_path: Path) -> None:
    settings = build(TokenizerSettings, {"type": "vqvae", "path": codec, "level": level}, "tokenizer")
    tokenizer = settings.fit([])
    assert isinstance(tokenizer, VqvaeTokenizer)
    assert tokenizer.spec.vocabulary_size == 12
    assert tokenizer.spec.tokens_per_second == 8000 / (4, 16)[level]
    samples = torch.randn(160, generator=torch.Generator().manual_seed(3)) * 0.3
    ids = tokenizer.encode_samples(samples)
    assert torch.equal(ids, codec_of(SMALL).encode(samples[None, :, None])[level][0])
    tokenizer.save(tmp_path / "saved")
    assert torch.equal(load(tmp_path / "saved").encode_samples(samples), ids)
    assert load(tmp_path / "saved").spec == tokenizer.spec


def test_jukebox_s_own_file(codec: str, tmp_path: Path) -> None:
    torch.save({"model": state(codec_of(SMALL)), "hps": HPS}, tmp_path / "vqvae.pth.tar")
    ours, theirs = (Vqvae(path=path, level=1).fit([]) for path in (codec, str(tmp_path / "vqvae.pth.tar")))
    assert ours.spec == theirs.spec


def test_what_is_refused(codec: str, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="level must be 0"):
        Vqvae(level=-1)
    with pytest.raises(ZooError, match=r"tokenizer\.path is missing: name a codec"):
        Vqvae().fit([])
    with pytest.raises(ZooError, match="no level 2: this codec has levels 0 to 1"):
        Vqvae(path=codec, level=2).fit([])
    with pytest.raises(ZooError, match="no checkpoint 'nothing'"):
        Vqvae(path="nothing").fit([])
    pictures = build_codec(ImageVqvaeConfig(size=8, hop=2, codes=6, code_width=3, width=8, depth=1))
    codecs.write(tmp_path / "pictures", pictures)
    with pytest.raises(ZooError, match=r"pictures is a codec of image; zoo train music/vqvae makes one"):
        Vqvae(path=str(tmp_path / "pictures")).fit([])


def test_levels_may_restart_codes_at_thresholds_of_their_own(tmp_path: Path) -> None:
    config = VqvaeConfig(rate=8000, codes=8, code_width=4, width=8, depth=1, threshold=(2.0, 0.5, 0.1))
    codec = build_codec(config)
    assert isinstance(codec, VqvaeCodec)
    assert [codec.codebook(level).threshold for level in range(3)] == [2.0, 0.5, 0.1]
    codec.level(1).save(tmp_path)
    assert load(tmp_path).spec == codec.level(1).spec
    with pytest.raises(ZooError, match="threshold must be one number, or one for each of the 3 levels"):
        VqvaeConfig(threshold=(1.0, 1.0))
    with pytest.raises(ZooError, match="threshold must be above 0"):
        VqvaeConfig(threshold=(1.0, 0.0, 1.0))
