"""Trains the text encoder and the motion head of unet_cond together: captions in, a class per motion out.

Every caption is new. The accuracy that is printed is that of ten thousand captions of another seed;
evaluate.py measures prompts that were written by hand.
"""

import math
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import captions
import make_tokenizer
import motion
import nets

CHUNK = 32768


def make_chunk(task: tuple[int, int, str]) -> tuple[np.ndarray, np.ndarray]:
    """(ids (n, T) int32, classes (n, kinds) int8) of one seed."""
    seed, count, path = task
    tokenizer, _ = make_tokenizer.load(path)
    made = captions.Captions(seed).generate(count)
    ids = np.array([e.ids for e in tokenizer.encode_batch([t for t, _ in made])], dtype=np.int32)
    classes = np.zeros((count, motion.NUM_KINDS), dtype=np.int8)
    for row, (_, labels) in enumerate(made):
        for kind, speed in labels.items():
            classes[row, motion.INDEX[kind]] = speed
    return ids, classes


def chunks(path: Path, total: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    tasks = [(seed + i, CHUNK, str(path)) for i in range(math.ceil(total / CHUNK))]
    workers = max(1, min(12, multiprocessing.cpu_count() - 3))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(make_chunk, tasks)


def accuracy(encoder: nets.TextEncoder, head: nets.MotionHead, ids: Tensor, classes: Tensor) -> float:
    right = 0
    with torch.no_grad():
        for a in range(0, len(ids), 1024):
            guess = head(encoder(ids[a : a + 1024])).argmax(-1)
            right += int((guess == classes[a : a + 1024]).all(1).sum())
    return right / len(ids)


def main(tokenizer_path: Path, out: Path, steps: int, batch: int = 1024, rate: float = 1e-3) -> None:
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer, end = make_tokenizer.load(tokenizer_path)
    encoder = nets.TextEncoder(tokenizer.get_vocab_size(), end).to(device)
    head = nets.MotionHead().to(device)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.02)
    averages = [p.detach().clone() for p in parameters]
    test_ids, test_classes = make_chunk((999_999, 10_000, str(tokenizer_path)))
    test = torch.from_numpy(test_ids).long().to(device), torch.from_numpy(test_classes).long().to(device)
    step, start = 0, time.time()
    for ids, classes in chunks(tokenizer_path, steps * batch, 1000):
        ids, classes = torch.from_numpy(ids).long().to(device), torch.from_numpy(classes).long().to(device)
        for a in range(0, CHUNK, batch):
            if step == steps:
                break
            factor = min(1, (step + 1) / 300) * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 0.005
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            x = ids[a : a + batch]
            x = x[:, : int((x != end).sum(1).max()) + 1]
            # One token in a hundred is replaced, so that the rest of a caption must be enough.
            lost = (torch.rand(x.shape, device=device) < 0.01) & (x != end)
            x = torch.where(lost, torch.randint_like(x, 256, end - 2), x)
            with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
                logits = head(encoder(x))
            y = classes[a : a + batch]
            losses = F.cross_entropy(
                logits.float().reshape(-1, 4), y.reshape(-1), reduction="none", label_smoothing=0.01
            )
            loss = losses.reshape(y.shape).sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            with torch.no_grad():
                for average, p in zip(averages, parameters, strict=True):
                    average.lerp_(p, 1 - min(0.999, step / (step + 10)))
            step += 1
            if step % 500 == 0 or step == steps:
                encoder.eval(), head.eval()
                print(
                    f"text {step}/{steps} {time.time() - start:.0f} s: loss {float(loss):.3f}, "
                    f"whole captions right {accuracy(encoder, head, *test):.4f}",
                    flush=True,
                )
                encoder.train(), head.train()
    with torch.no_grad():
        for average, p in zip(averages, parameters, strict=True):
            p.copy_(average)
    encoder.eval(), head.eval()
    print(f"text, averaged weights: {accuracy(encoder, head, *test):.4f}", flush=True)
    torch.save({k: v.cpu() for k, v in encoder.state_dict().items()}, Path(out) / "text_encoder.pt")
    torch.save({k: v.cpu() for k, v in head.state_dict().items()}, Path(out) / "motion_head.pt")
