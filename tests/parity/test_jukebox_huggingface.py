"""Priors under Hugging Face's old names: the numbers of the original stay what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.parity.cases import Find
from tests.parity.test_jukebox_priors import Case, near, opened
from zoo.music.prior import Prior
from zoo.weights import jukebox_huggingface
from zoo.weights.jukebox_prior_names import hugging_face

ORDERS = {order: name for name, order in jukebox_huggingface.ORDERS.items()}
CASES = ["prior_1b_lyrics_style_order12", "prior_5b_lyrics_style_order10", "upsampler_level1_xcond"]


def settings(hps: dict[str, Any], align: list[int] | None) -> dict[str, Any]:
    """Return the original's settings under Hugging Face's names."""
    downs, strides = hps["downs_t"], hps["strides_t"]
    stated = {
        "level": hps["levels"] - 1 - hps["level"],
        "attention_multiplier": hps["m_attn"],
        "attention_pattern": ORDERS[hps["attn_order"]],
        "blocks": hps["blocks"],
        "conv_res_scale": hps["cond_res_scale"],
        "num_layers": hps["prior_depth"],
        "hidden_size": hps["prior_width"],
        "init_scale": hps["init_scale"],
        "is_encoder_decoder": hps["single_enc_dec"],
        "lyric_vocab_size": hps["n_vocab"],
        "encoder_loss_fraction": hps["prime_loss_fraction"],
        "max_duration": hps["max_duration"],
        "min_duration": hps["min_duration"],
        "max_nb_genres": hps["max_bow_genre_size"],
        "merged_decoder": hps["merged_decoder"],
        "metadata_dims": hps["y_bins"],
        "mlp_multiplier": hps["m_mlp"],
        "music_vocab_size": hps["l_bins"],
        "n_ctx": hps["n_ctx"],
        "n_heads": hps["heads"],
        "nb_relevant_lyric_tokens": hps["n_tokens"] if hps["use_tokens"] else 0,
        "res_conv_depth": hps["cond_depth"],
        "res_conv_width": hps["cond_width"],
        "res_dilation_cycle": hps["cond_dilation_cycle"],
        "res_dilation_growth_rate": hps["cond_dilation_growth_rate"],
        "res_downs_t": [downs[0], *reversed(downs[1:])],
        "res_strides_t": [strides[0], *reversed(strides[1:])],
        "sampling_rate": hps["sr"],
        "timing_dims": hps["t_bins"],
    }
    if align is not None:
        stated |= {"alignment_layer": align[0], "alignment_head": align[1]}
    if hps["use_tokens"] and not hps["single_enc_dec"]:
        stated["encoder_config"] = {
            "attention_pattern": ORDERS[hps["prime_attn_order"]],
            "blocks": hps["prime_blocks"],
            "num_layers": hps["prime_depth"],
            "hidden_size": hps["prime_width"],
            "n_heads": hps["prime_heads"],
            "init_scale": hps["prime_init_scale"],
        }
    return stated


def renamed(numbers: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return a fixture's weights under Hugging Face's names."""
    weights = {key[2:]: tensor for key, tensor in numbers.items() if key.startswith("w/")}
    return {prefix + hugging_face(key): tensor.clone() for key, tensor in weights.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_prior_alone(fixture_case: Find, tmp_path: Path, name: str) -> None:
    case = opened(fixture_case, tmp_path, name)
    folder = tmp_path / "huggingface"
    folder.mkdir()
    stated = settings(case.facts["hps"], case.facts["align"])
    (folder / "config.json").write_text(json.dumps({"model_type": "jukebox_prior", **stated}))
    save_file(renamed(load_file(fixture_case(f"jukebox/{name}.safetensors")), ""), folder / "model.safetensors")
    (found,) = jukebox_huggingface.read(folder)
    assert found.config == case.prior.config
    network = found.network(torch.device("cpu"), torch.float32)
    assert isinstance(network, Prior)
    compare(Case(network.eval(), case.numbers, case.facts))


def compare(case: Case) -> None:
    with torch.no_grad():
        logits = case.prior(case.ids, conditioning=case.told)
    near(logits, case.numbers["out/logits"][:, case.prior.config.prefix :])


def test_names_of_the_original_become_theirs() -> None:
    names = {
        "prior.x_emb.weight": "prior.embed_tokens.weight",
        "prior.x_out.weight": "prior.fc_proj_out.weight",
        "prior.pos_emb.pos_emb": "prior.pos_emb.pos_emb",
        "prior.transformer._attn_mods.3.attn.c_attn.w": "prior.transformer._attn_mods.3.attn.c_attn.weight",
        "prior.transformer._attn_mods.3.ln_0.bias": "prior.transformer._attn_mods.3.layer_norm_0.bias",
        "y_emb.artist_emb.emb.weight": "metadata_embedding.artist_emb.weight",
        "y_emb.bow_genre_emb.emb.weight": "metadata_embedding.bow_genre_emb.weight",
        "y_emb.total_length_emb.emb.weight": "metadata_embedding.total_length_emb.emb.weight",
        "conditioner_blocks.0.x_emb.weight": "conditioner_blocks.embed_tokens.weight",
        "conditioner_blocks.0.ln.weight": "conditioner_blocks.layer_norm.weight",
        "conditioner_blocks.0.cond.model.0.weight": "conditioner_blocks.upsampler.proj_in.weight",
        "conditioner_blocks.0.cond.model.2.0.blocks.7.model.3.bias": (
            "conditioner_blocks.upsampler.upsample_block.2.resnet_block.7.conv1d_2.bias"
        ),
        "conditioner_blocks.0.cond.model.2.1.weight": "conditioner_blocks.upsampler.upsample_block.3.weight",
        "prime_prior.x_emb.weight": "encoder.embed_tokens.weight",
        "prime_prior.start_token": "encoder.start_token",
        "prime_state_proj.w": "encoder.proj_in.weight",
        "prime_state_ln.bias": "encoder.final_layer_norm.bias",
        "prime_x_out.weight": "encoder.lm_head.weight",
    }
    assert {name: hugging_face(name) for name in names} == names


def test_an_unknown_pattern_is_refused_by_name(fixture_case: Find, tmp_path: Path) -> None:
    facts = json.loads(fixture_case("jukebox/upsampler_level1_xcond.json").read_text())
    stated = {"model_type": "jukebox_prior", **settings(facts["hps"], None), "attention_pattern": "sparse"}
    (tmp_path / "config.json").write_text(json.dumps(stated))
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="attention_pattern 'sparse' is not one of full_dense_attention"):
        jukebox_huggingface.read(tmp_path)
