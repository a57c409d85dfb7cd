"""Fuses a LoRA file in diffusers' format into the weights of a UNet.

The file is safetensors with pairs NAME.lora_A.weight (r, in) and NAME.lora_B.weight (out, r), also called
lora.down and lora.up, with or without NAME.alpha; NAME is a module of the UNet, with or without "unet."
before it. Layers whose adapter is of another kind (DoRA, LoHa and others) are refused, not left out.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

# The last suffix of each follows a name of PROCESSOR.
DOWN = (".lora_A.weight", ".lora.down.weight", ".lora_down.weight", ".down.weight")
UP = (".lora_B.weight", ".lora.up.weight", ".lora_up.weight", ".up.weight")
# Old attention processors of diffusers named the adapters of a projection this way.
PROCESSOR = {"to_q_lora": "to_q", "to_k_lora": "to_k", "to_v_lora": "to_v", "to_out_lora": "to_out.0"}


def parse_lora(text: str) -> tuple[Path, float]:
    """ "FILE" or "FILE:SCALE" -> path and scale. A colon in the file's name needs a scale behind it."""
    path, colon, scale = text.rpartition(":")
    if colon and path:
        try:
            return Path(path), float(scale)
        except ValueError:
            pass
    return Path(text), 1.0


def fuse_lora(unet: nn.Module, text: str) -> int:
    """weight += scale * alpha / r * up @ down for every adapter of the file, in place. Returns how many there
    were.

    Raises SystemExit when the file holds anything that does not fit, before any weight was changed.
    """
    path, scale = parse_lora(text)
    if not path.is_file():
        raise SystemExit(f"--lora: {path} is no file")
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    modules = dict(unet.named_modules())
    adapters: dict[str, dict[str, torch.Tensor]] = {}
    unknown = []
    for key, tensor in tensors.items():
        name, part = split_key(key)
        if name is None or name not in modules:
            unknown.append(key)
        else:
            adapters.setdefault(name, {})[part] = tensor
    if unknown:
        raise SystemExit(
            f"--lora: {path} holds {len(unknown)} tensors for no layer of the UNet, such as {unknown[0]}"
        )
    changes = [(modules[name], delta_of(name, modules[name], parts)) for name, parts in adapters.items()]
    for module, delta in changes:
        module.weight.data += (scale * delta).to(module.weight)
    print(f"{path.name}: {len(changes)} layers changed, scale {scale:g}", flush=True)
    return len(changes)


def split_key(key: str) -> tuple[str | None, str]:
    for part, suffixes in (("down", DOWN), ("up", UP), ("alpha", (".alpha",))):
        for suffix in suffixes:
            if key.endswith(suffix):
                return module_name(key.removesuffix(suffix)), part
    return None, ""


def module_name(name: str) -> str:
    name = name.removeprefix("unet.").replace(".processor.", ".")
    head, _, last = name.rpartition(".")
    return f"{head}.{PROCESSOR[last]}" if last in PROCESSOR else name


def delta_of(name: str, module: nn.Module, parts: dict) -> torch.Tensor:
    """What the adapter adds to the module's weight at scale 1."""
    if "down" not in parts or "up" not in parts:
        raise SystemExit(f"--lora: {name} has only one half of its adapter")
    down, up = parts["down"].float(), parts["up"].float()
    rank = down.shape[0]
    delta = up.flatten(1) @ down.flatten(1)
    weight = getattr(module, "weight", None)
    is_pointwise = up.flatten(1).shape[1] == rank and up.numel() == up.shape[0] * rank
    if (
        weight is None
        or not is_pointwise
        or delta.numel() != weight.numel()
        or up.shape[0] != weight.shape[0]
    ):
        raise SystemExit(f"--lora: the adapter of {name} does not fit its weight")
    alpha = float(parts["alpha"]) if "alpha" in parts else rank
    return delta.reshape(weight.shape) * (alpha / rank)
