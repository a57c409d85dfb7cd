"""Trains the words' two networks, on a CPU or a GPU: `train_words.py FOLDER --seconds N`.

FOLDER has tokenizer.json and common_words.json, both made by words_tokenizer.py. Every caption is new.
Besides the classes of the whole caption, what every letter belongs to is known (phrases.py), so each token
is told its kind and speed, and each kind where to look. On a CPU captions of one length are trained
together, without padding; on a GPU they are padded to one of a few lengths, in batches that are all of one
size. Now and then the averaged weights are written to FOLDER in float16, and a checkpoint that the next run
goes on from; where only the weights are, it goes on from these.

On a CPU a few processes train the same weights. On a GPU the captions are made by other processes, and when
they are late, captions of before are learnt again.
"""

import argparse
import json
import math
import os
import queue
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor, nn

import phrases
import words_tokenizer
from draws import Labels
from kinds import INDEX, KINDS
from words_nets import EMBED, MAX_TOKENS, MotionHead, Sizes, TextEncoder, widened

CHUNK = 16384
# Per step.
CPU_TOKENS, GPU_TOKENS = 1536, 49152
# What captions are padded to on a GPU.
GPU_LENGTHS = (6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 56, 77)
# Parts of CHUNK / 4 captions whose batches are learnt in random order together, on a GPU.
GPU_PARTS = 16
KEPT_CHUNKS = 200
PARTS = {"text_encoder": "encoder.", "motion_head": "head.", "tagger": "tagger."}

# Of one length T, padded with the end token: ids (n, T), classes (n, kinds), first and second kind of every
# token (n, T), one more than their index and 0 for none, and whether these are known (n,).
Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass
class Batch:
    """Captions of one length, as Columns."""

    ids: Tensor
    classes: Tensor
    first: Tensor
    second: Tensor
    known: Tensor

    def to(self, device: str) -> "Batch":
        columns = [getattr(self, name) for name in self.__dataclass_fields__]
        if device == "cpu" or columns[0].is_cuda:
            return Batch(*(column.to(device) for column in columns))
        return Batch(*(column.pin_memory().to(device, non_blocking=True) for column in columns))

    def wide(self) -> "Batch":
        """With the whole numbers that losses take; they are kept small."""
        return Batch(*(getattr(self, name).long() for name in self.__dataclass_fields__))


def classes_of(labels: Labels) -> np.ndarray:
    classes = np.zeros(len(KINDS), dtype=np.uint8)
    for kind, speed in labels.items():
        classes[INDEX[kind]] = speed
    return classes


def batches_of(part: dict[int, Columns], tokens: int) -> list[Batch]:
    """The part's captions in batches of `tokens` tokens at most."""
    out = []
    for length, columns in sorted(part.items()):
        size = max(4, tokens // length)
        tensors = [torch.from_numpy(column) for column in columns]
        for a in range(0, len(tensors[0]), size):
            out.append(Batch(*(tensor[a : a + size] for tensor in tensors)))
    return out


class FullBatches:
    """Batches of `tokens` tokens each, as soon as there are captions enough of a length."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.waiting: dict[int, list[Columns]] = {}

    def add(self, part: dict[int, Columns]) -> list[Batch]:
        out = []
        for length, columns in part.items():
            size = self.tokens // length
            waiting = [*self.waiting.get(length, []), columns]
            if sum(len(some[0]) for some in waiting) >= size:
                joined = [np.concatenate(group) for group in zip(*waiting, strict=True)]
                full = len(joined[0]) // size * size
                for a in range(0, full, size):
                    out.append(Batch(*(torch.from_numpy(column[a : a + size]) for column in joined)))
                ids, classes, first, second, known = (column[full:].copy() for column in joined)
                waiting = [(ids, classes, first, second, known)]
            self.waiting[length] = waiting
        return out


class Source:
    """New captions, as numbers."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        held_out: bool,
        lengths: tuple[int, ...] = tuple(range(MAX_TOKENS + 1)),
        share: float = 0.08,
    ) -> None:
        """`lengths`: what captions are padded to; `share`: that of prompts written by hand."""
        self.lengths = lengths
        common = phrases.read_common_words(folder)
        self.captions = phrases.Phrases(seed, common=common, held=False if held_out else None, share=share)
        path = folder / "tokenizer.json"
        self.plain, self.end = words_tokenizer.load(path)
        # Words come apart in other places too, as they do with typos and with endings never seen.
        self.broken, _ = words_tokenizer.load(path)
        self.broken.model.dropout = 0.1
        self.fold = str.maketrans(words_tokenizer.folded())
        for tokenizer in (self.plain, self.broken):
            tokenizer.normalizer = words_tokenizer.normalizer(fold=False)
        self.rng = random.Random(seed)

    def part(self, count: int) -> dict[int, Columns]:
        """Length in tokens → about `count` captions in all; those that are cut at the end are left out."""
        made = self.captions.generate(count)
        rows: dict[int, list[Columns]] = {}
        half = count * 3 // 5
        for tokenizer, some in ((self.plain, made[:half]), (self.broken, made[half:])):
            encoded = tokenizer.encode_batch([c.text.translate(self.fold) for c in some])
            for caption, e in zip(some, encoded, strict=True):
                if e.overflowing:
                    continue
                first, second = (np.zeros(len(caption.text) + 1, dtype=np.uint8) for _ in range(2))
                for start, end, kinds in caption.spans:
                    first[start:end] = INDEX[kinds[0]] + 1
                    second[start:end] = INDEX[kinds[1]] + 1 if len(kinds) > 1 else 0
                offsets = np.array(e.offsets)
                at, real = offsets[:, 0], (offsets[:, 1] > offsets[:, 0]).astype(np.uint8)
                spanned = {kind for _, _, kinds in caption.spans for kind in kinds}
                known = np.array(spanned >= set(caption.labels))
                length = next(length for length in self.lengths if length >= len(e.ids))
                ids = np.full(length, self.end, dtype=np.int16)
                ids[: len(e.ids)] = e.ids
                behind = (0, length - len(e.ids))
                kinds_of = [np.pad(kinds[at] * real, behind) for kinds in (first, second)]
                row = ids, classes_of(caption.labels), kinds_of[0], kinds_of[1], known
                rows.setdefault(length, []).append(row)
        return {
            length: tuple(np.stack(column) for column in zip(*group, strict=True))
            for length, group in rows.items()
        }

    def batches(self, count: int) -> list[Batch]:
        out = batches_of(self.part(count), CPU_TOKENS)
        self.rng.shuffle(out)
        return out


def make_parts(folder: Path, seed: int, held_out: bool, share: float, parts: "mp.Queue") -> None:
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    source = Source(folder, seed, held_out, GPU_LENGTHS, share)
    while True:
        parts.put(source.part(CHUNK // 4))


class Feed:
    """Batches on the device, of captions that other processes make."""

    def __init__(self, options: argparse.Namespace) -> None:
        context = mp.get_context("spawn")
        self.rng = random.Random(options.seed)
        self.device: str = options.device
        self.parts: mp.Queue = context.Queue(2 * GPU_PARTS)
        self.ready: queue.Queue[list[Batch]] = queue.Queue(2)
        self.kept: list[list[Batch]] = []
        self.repeated = 0
        for number in range(options.processes):
            seed = options.seed + 7919 * number
            arguments = (options.folder, seed, options.hold_out, options.written, self.parts)
            context.Process(target=make_parts, args=arguments, daemon=True).start()
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self) -> None:
        # The first ones are few, so that training begins soon.
        count = 4
        full = FullBatches(GPU_TOKENS)
        while True:
            batches: list[Batch] = []
            for _ in range(count):
                batches += [batch.to(self.device) for batch in full.add(self.parts.get())]
            if batches:
                self.ready.put(batches)
                count = GPU_PARTS

    def batches(self, _count: int) -> list[Batch]:
        try:
            chunk = self.ready.get(block=len(self.kept) < 3)
            self.kept = [*self.kept[-KEPT_CHUNKS:], chunk]
        except queue.Empty:
            chunk = self.rng.choice(self.kept)
            self.repeated += 1
        return self.rng.sample(chunk, len(chunk))


class Tagger(nn.Module):
    """Tells every token its kind and speed; needed for training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = nn.Linear(EMBED, len(KINDS) + 1)
        self.speed = nn.Linear(EMBED, 4)


def mean_where(losses: Tensor, where: Tensor) -> Tensor:
    """The mean of those that count, which may be none."""
    where = where.reshape(-1).float()
    return (losses * where).sum() / where.sum().clamp(min=1)


class Model(nn.Module):
    def __init__(self, vocabulary: int, end: int) -> None:
        super().__init__()
        self.encoder, self.head, self.tagger = TextEncoder(vocabulary, end), MotionHead(), Tagger()

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The sum to minimise, and the share of captions read wrongly."""
        device = batch.ids.device.type
        ends = (batch.ids == self.encoder.end_token).long()
        real = ends.cumsum(1) == ends
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            words = self.encoder(batch.ids)
        words = words.float()
        looks = self.head.looks(words)
        logits = self.head.read(words, looks)
        losses = F.cross_entropy(logits.reshape(-1, 4), batch.classes.reshape(-1), reduction="none")
        loss = losses.reshape(batch.classes.shape).sum(1).mean()
        wrong = (logits.argmax(-1) != batch.classes).any(1).float().mean()

        # Tokens of two kinds are left out here; the heads look at them for both.
        known = (batch.known[:, None] > 0) & (batch.second == 0) & real
        told = self.tagger.kind(words).reshape(-1, len(KINDS) + 1)
        loss = loss + 2 * mean_where(F.cross_entropy(told, batch.first.reshape(-1), reduction="none"), known)
        speeds = F.pad(batch.classes, (1, 0)).gather(1, batch.first)
        told = self.tagger.speed(words).reshape(-1, 4)
        loss = loss + mean_where(F.cross_entropy(told, speeds.reshape(-1), reduction="none"), known)

        each = torch.arange(1, len(KINDS) + 1, device=words.device)
        there = (batch.first[:, :, None] == each) | (batch.second[:, :, None] == each)
        asked = batch.classes > 0
        target = torch.cat([there, ~asked[:, None]], 1).float()
        seen = (looks * target).sum(1).clamp(min=1e-6).log()
        weight = torch.where(asked, 1.0, 0.05) * target.amax(1)
        return loss - (seen * weight).sum(1).mean(), wrong


class Trainer:
    """On a CPU one of several processes that train the same weights, in shared memory, each at its own pace:
    with one thread each, none waits for another. The first one also keeps the averages and saves."""

    def __init__(self, options: argparse.Namespace, model: Model, number: int, source: Source | Feed) -> None:
        self.options, self.model, self.number, self.source = options, model, number, source
        self.device = next(model.parameters()).device.type
        torch.manual_seed(options.seed + number)
        table = model.encoder.tokens.weight
        rest = [p for p in model.parameters() if p is not table]
        self.optimizer = torch.optim.AdamW(
            [{"params": [table], "weight_decay": 0.0, "scale": 2.0}, {"params": rest, "scale": 1.0}],
            betas=(0.9, 0.98),
            weight_decay=0.01,
            fused=True,
        )
        self.averages = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.step = self.seen = 0
        saved = load_checkpoint(options)
        if saved:
            self.optimizer.load_state_dict(saved["optimizer"])
            averages = saved["averages"]
            self.averages = {name: p.to(self.device) for name, p in averages.items()}
            self.step, self.seen = saved["step"], saved["seen"]

    def train(self) -> None:
        begin = saved_at = told = time.time()
        first_seen, first_step = self.seen, self.step
        results: list[Tensor] = []
        self.model.train()
        count = CHUNK // 4
        while time.time() - begin < self.options.seconds:
            for batch in self.source.batches(count):
                done = (time.time() - begin) / self.options.seconds
                if done >= 1:
                    break
                warm = (self.step - first_step + 1) / 300
                falling = max(0.0, 1 - (1 - done) / self.options.cooldown)
                self.update(batch, min(warm, (1 + math.cos(math.pi * falling)) / 2), results)
                now = time.time()
                if self.number == 0 and now - told > 30:
                    loss, wrong = torch.stack(results).mean(0).tolist()
                    repeated = f", {self.source.repeated} repeated" if isinstance(self.source, Feed) else ""
                    print(
                        f"{now - begin:.0f} s, step {self.step}, {self.seen} captions, "
                        f"{(self.seen - first_seen) / (now - begin):.0f}/s{repeated}: "
                        f"loss {loss:.3f}, wrong {wrong:.4f}",
                        flush=True,
                    )
                    results, told = [], now
                if self.number == 0 and now - saved_at > self.options.every:
                    self.save()
                    saved_at = now
            count = CHUNK
        if self.number == 0:
            self.save()

    def update(self, batch: Batch, factor: float, results: list[Tensor]) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * factor * group["scale"]
        loss, wrong = self.model.loss(batch.to(self.device).wide())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        self.step += 1
        self.seen += len(batch.ids)
        # Read only when they are told: reading waits for the GPU.
        results.append(torch.stack([loss.detach(), wrong]))
        if self.number == 0 and self.step % 5 == 0:
            with torch.no_grad():
                weight = 1 - min(0.99, self.step / (self.step + 10))
                torch._foreach_lerp_(list(self.averages.values()), list(self.model.parameters()), weight)

    def save(self) -> None:
        folder = self.options.folder
        saved = {
            "checkpoint": dict(
                model=self.model.state_dict(),
                optimizer=self.optimizer.state_dict(),
                averages=self.averages,
                step=self.step,
                seen=self.seen,
            )
        }
        for name, prefix in PARTS.items():
            saved[name] = {
                key.removeprefix(prefix): value.cpu().half()
                for key, value in self.averages.items()
                if key.startswith(prefix)
            }
        for name, part in saved.items():
            torch.save(part, folder / f"{name}.tmp")
            (folder / f"{name}.tmp").replace(folder / f"{name}.pt")
        numbers = {"step": self.step, "captions": self.seen, "kinds": KINDS}
        (folder / "words.json").write_text(json.dumps(numbers, indent=1) + "\n")


def load_checkpoint(options: argparse.Namespace) -> dict | None:
    path = options.folder / "checkpoint.pt"
    if options.fresh or not path.exists():
        return None
    saved: dict = torch.load(path, map_location="cpu", weights_only=True)
    return saved


def load_model(options: argparse.Namespace, model: Model) -> None:
    """What an earlier run left, if there is any and it may be gone on from."""
    saved = load_checkpoint(options)
    if saved:
        model.load_state_dict(saved["model"])
    elif not options.fresh and (options.folder / "text_encoder.pt").exists():
        for name, prefix in PARTS.items():
            path = options.folder / f"{name}.pt"
            if path.exists():
                part = torch.load(path, map_location="cpu", weights_only=True)
                if name == "text_encoder":
                    part = widened(part, Sizes().hidden)
                model.get_submodule(prefix.removesuffix(".")).load_state_dict(part)


def work(number: int, options: argparse.Namespace, model: Model) -> None:
    torch.set_num_threads(1)
    seed = options.seed + 7919 * number
    source = Source(options.folder, seed, options.hold_out, share=options.written)
    Trainer(options, model, number, source).train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument(
        "--cooldown", type=float, default=0.6, help="last part of the time, in which the rate falls"
    )
    parser.add_argument("--fresh", action="store_true", help="starts anew although there is a checkpoint")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--every", type=float, default=60, help="seconds between two savings")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--processes", type=int, help="on a CPU those that train, else those that make captions"
    )
    parser.add_argument(
        "--hold-out", action="store_true", help="keeps back the words that evaluate_words.py --held-out reads"
    )
    parser.add_argument(
        "--written", type=float, default=0.08, help="share of captions that are prompts of wordlists/written"
    )
    options = parser.parse_args()
    options.processes = options.processes or (
        2 if options.device == "cpu" else max(1, (os.cpu_count() or 4) - 2)
    )
    torch.set_float32_matmul_precision("high")
    tokenizer, end = words_tokenizer.load(options.folder / "tokenizer.json")
    torch.manual_seed(options.seed)
    model = Model(tokenizer.get_vocab_size(), end)
    load_model(options, model)
    if options.device != "cpu":
        Trainer(options, model.to(options.device), 0, Feed(options)).train()
        return
    model.share_memory()
    mp.spawn(work, (options, model), nprocs=options.processes)


if __name__ == "__main__":
    main()
