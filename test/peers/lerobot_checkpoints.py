# SPDX-License-Identifier: Apache-2.0
"""Small checkpoints of LeRobot with random weights, made on the spot. Needs lerobot and torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
from lerobot.policies.vqbet.configuration_vqbet import VQBeTConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

from test.support.lerobot_arm import CAMERAS, HORIZON, IMAGE, LOOKS_BACK, VALUES


def _statistics() -> dict[str, dict[str, torch.Tensor]]:
    size = len(VALUES)
    vector = {
        "mean": torch.linspace(-20.0, 30.0, size), "std": torch.linspace(5.0, 25.0, size),
        "min": torch.linspace(-90.0, -40.0, size), "max": torch.linspace(50.0, 95.0, size),
    }  # fmt: skip
    image = {
        name: torch.full((3, 1, 1), value)
        for name, value in (("mean", 0.45), ("std", 0.25), ("min", 0.0), ("max", 1.0))
    }
    images = {f"observation.images.{camera}": image for camera in CAMERAS}
    return {"observation.state": vector, "action": vector, **images}


# Of a made-up set of demonstrations.
STATISTICS = _statistics()
_RESNET = {"vision_backbone": "resnet18", "pretrained_backbone_weights": None}
_LANGUAGE_MODEL = "language_model"


def make_checkpoint(kind: str, folder: Path, *, seed: int = 0) -> None:
    """Makes one of act, diffusion, vqbet and smolvla."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    config = _CONFIGS[kind](folder)
    policy = get_policy_class(kind)(config)
    if kind == "vqbet":
        policy.vqbet.action_head.vqvae_model.discretized.fill_(True)
    before, after = make_pre_post_processors(config, dataset_stats=STATISTICS)
    for part in (policy, before, after):
        part.save_pretrained(folder)


def _act(folder: Path) -> Any:
    del folder
    return ACTConfig(
        **_features(), **_RESNET, chunk_size=HORIZON, n_action_steps=HORIZON, dim_model=32,
        n_heads=2, dim_feedforward=32, n_encoder_layers=1, use_vae=False,
    )  # fmt: skip


def _diffusion(folder: Path) -> Any:
    del folder
    return DiffusionConfig(
        **_features(), **_RESNET, n_obs_steps=LOOKS_BACK["diffusion"], horizon=HORIZON,
        n_action_steps=8, down_dims=(16, 32), n_groups=4, diffusion_step_embed_dim=16,
        spatial_softmax_num_keypoints=4, num_train_timesteps=4,
    )  # fmt: skip


def _vqbet(folder: Path) -> Any:
    del folder
    return VQBeTConfig(
        **_features(cameras=CAMERAS[:1]), **_RESNET, n_obs_steps=LOOKS_BACK["vqbet"],
        crop_shape=None,
        spatial_softmax_num_keypoints=4, vqvae_embedding_dim=16, vqvae_enc_hidden_dim=16,
        gpt_block_size=64, gpt_input_dim=16, gpt_output_dim=16, gpt_hidden_dim=16, gpt_n_layer=1,
        gpt_n_head=2,
    )  # fmt: skip


def _smolvla(folder: Path) -> Any:
    return SmolVLAConfig(
        **_features(), chunk_size=HORIZON, n_action_steps=HORIZON,
        resize_imgs_with_padding=(32, 32),
        vlm_model_name=str(_language_model(folder / _LANGUAGE_MODEL)), num_vlm_layers=2,
        num_steps=4,
    )  # fmt: skip


_CONFIGS: dict[str, Callable[[Path], Any]] = {
    "act": _act, "diffusion": _diffusion, "vqbet": _vqbet, "smolvla": _smolvla,
}  # fmt: skip


def _features(cameras: tuple[str, ...] = CAMERAS) -> dict[str, Any]:
    seen = {"observation.state": PolicyFeature(FeatureType.STATE, (len(VALUES),))}
    for camera in cameras:
        seen[f"observation.images.{camera}"] = PolicyFeature(FeatureType.VISUAL, (3, *IMAGE))
    acted = {"action": PolicyFeature(FeatureType.ACTION, (len(VALUES),))}
    return {"input_features": seen, "output_features": acted, "device": "cpu"}


def _language_model(folder: Path) -> Path:
    """The configuration, tokenizer and image processor of a very small SmolVLM."""
    special = ["<pad>", "<unk>", "<bos>", "<eos>", "<image>", "<fake_token_around_image>",
               "<global-img>", "<end_of_utterance>"]  # fmt: skip
    words = {word: index for index, word in enumerate([*special, "put", "the", "cube"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<bos>",
        eos_token="<eos>",
        extra_special_tokens={
            "image_token": "<image>", "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>", "end_of_utterance_token": "<end_of_utterance>",
        },
    )  # fmt: skip
    SmolVLMProcessor(
        SmolVLMImageProcessor(), fast, SmolVLMVideoProcessor(), image_seq_len=4
    ).save_pretrained(folder)
    SmolVLMConfig(
        text_config={
            "model_type": "llama", "vocab_size": len(words), "hidden_size": 32, "head_dim": 8,
            "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
        },
        image_token_id=words["<image>"], scale_factor=2, pad_token_id=0,
    ).save_pretrained(folder)  # fmt: skip
    return folder
