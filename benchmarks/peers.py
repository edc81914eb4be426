"""The same network as peers have it: Hugging Face's GPT-2, and PyTorch's own encoder layers with a causal mask."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmarks.measure import peer
from zoo.tokenizers.base import Modality
from zoo.tokenizers.none import NoTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.weights import huggingface


def transformers_model(kind: str, ours: Transformer, modality: Modality) -> Any:
    """Return the model of transformers called ``kind`` with our weights, as it reads them from files that we write.

    Raises:
        ZooError: transformers is not installed.
    """
    transformers = peer("transformers")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        huggingface.write(Path(folder), ours, NoTokenizer(ours.config.vocabulary, modality=modality))
        return getattr(transformers, kind).from_pretrained(folder).eval()


def transformers_gpt2(config: TransformerConfig) -> Any:
    """Return a GPT2LMHeadModel of the same shape (it has biases everywhere), with weights of its own.

    Raises:
        ZooError: transformers is not installed.
    """
    transformers = peer("transformers")
    transformers.logging.set_verbosity_error()
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=config.vocabulary,
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.depth,
            n_head=config.heads,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.dropout,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


class TorchGpt(nn.Module):
    """nn.TransformerEncoder with a causal mask, learned positions and a tied output: the shortest GPT in PyTorch."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.tokens, self.positions = nn.Embedding(config.vocabulary, width), nn.Embedding(config.context, width)
        layer = nn.TransformerEncoderLayer(
            width, config.heads, 4 * width, config.dropout, nn.GELU("tanh"), batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, config.depth, nn.LayerNorm(width), enable_nested_tensor=False)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits (batch, time, vocabulary) of ids (batch, time)."""
        time = ids.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(time, device=ids.device)
        embedded = self.tokens(ids) + self.positions.weight[:time]
        hidden: Tensor = self.layers(embedded, mask=mask, is_causal=True)
        return hidden @ self.tokens.weight.T
