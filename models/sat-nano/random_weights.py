"""Checkpoints as they are published, of random numbers, and a stand-in for BioLORD's tokeniser."""

from __future__ import annotations

import json
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Any, Dict

import torch
from network import STATE, build, build_text_encoder

from zoo_sdk.random_weights import SEED

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", "[CLS]", "[SEP]", "[UNK]")
#: BioLORD is an MPNet of 12 layers over 30,527 words
CONFIG = {
    "model_type": "mpnet",
    "architectures": ["MPNetModel"],
    "hidden_size": 768,
    "num_attention_heads": 12,
}
LAYERS = {"small": (1, 64), "full": (12, 3072)}
VOCABULARY = {"small": 0, "full": 30527}


def write(size: str, folder: Path) -> None:
    """Write the pair of checkpoints of networks of this size, and the tokeniser."""
    torch.manual_seed(SEED)
    write_tokeniser(size, folder / "text" / "biolord")
    # training has deep supervision's heads, which inference leaves out
    torch.save(_published(build(size, deep_supervision=True).state_dict()), folder / "random.pth")
    encoder = build_text_encoder(folder / "text" / "biolord").state_dict()
    # written by transformers of the time
    encoder["text_tower.biolord.embeddings.position_ids"] = torch.arange(514)[None]
    torch.save(_published(encoder), folder / "text" / "random_text_encoder.pth")


def _published(state: Dict[str, Any]) -> Dict[str, Any]:
    return {"step": 0, STATE: {"module." + key: value for key, value in state.items()}}


def write_tokeniser(size: str, folder: Path) -> None:
    """The files of a tokeniser and an architecture for transformers; words are single letters."""
    folder.mkdir(parents=True)
    letters = [*ascii_lowercase, *digits]
    words = [*SPECIAL, *letters, *("##" + letter for letter in letters)]
    words += ["unused%d" % n for n in range(len(words), VOCABULARY[size])]
    layers, width = LAYERS[size]
    config = {
        **CONFIG,
        "num_hidden_layers": layers,
        "intermediate_size": width,
        "vocab_size": len(words),
    }
    named = {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "unk_token": "[UNK]",
    }
    tokeniser = {
        "tokenizer_class": "MPNetTokenizer",
        "do_lower_case": True,
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**tokeniser, **named}), encoding="utf-8"
    )
    (folder / "vocab.txt").write_text("".join(word + "\n" for word in words), encoding="utf-8")
