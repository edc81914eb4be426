"""Every codec by its configuration: what recipes may ask for in ``model``, and what a checkpoint folder may hold."""

from __future__ import annotations

from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.codec import Codec
from zoo.tokenizers.image.vqvae.config import ImageVqvaeConfig
from zoo.tokenizers.image.vqvae.network import ImageVqvae

CodecConfig = VqvaeConfig | ImageVqvaeConfig
"""What ``build_codec`` builds; told apart by ``settings_name``."""


def build_codec(config: CodecConfig) -> Codec:
    """Return the codec of a configuration, its weights drawn from torch's global generator, its codebooks empty."""
    return Vqvae(config) if isinstance(config, VqvaeConfig) else ImageVqvae(config)
