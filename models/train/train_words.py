"""Trains the words' two networks, on a CPU or a GPU: `train_words.py FOLDER --seconds N`.

FOLDER has tokenizer.json. Every caption is new. Besides the classes of the whole caption, what every letter
belongs to is known (phrases.py), so each token is told its kind and speed, and each kind where to look.
Captions of one length are trained together, without padding. Every few minutes the averaged weights are
written to FOLDER, and a checkpoint that the next run goes on from.
"""

import argparse
import json
import random
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
from words_nets import EMBED, MotionHead, TextEncoder

CHUNK = 16384
TOKENS = 1536  # per step


@dataclass
class Batch:
    """Captions of T tokens each: ids (n, T), classes (n, kinds), first and second kind of every token (n, T),
    one more than their index and 0 for none, and whether they are known (n,)."""

    ids: Tensor
    classes: Tensor
    first: Tensor
    second: Tensor
    known: Tensor

    def to(self, device: str) -> "Batch":
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def classes_of(labels: Labels) -> np.ndarray:
    classes = np.zeros(len(KINDS), dtype=np.int64)
    for kind, speed in labels.items():
        classes[INDEX[kind]] = speed
    return classes


class Source:
    """Batches of new captions."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.captions = phrases.Phrases(seed)
        path = folder / "tokenizer.json"
        self.plain, self.end = words_tokenizer.load(path)
        # Words come apart in other places too, as they do with typos and with endings never seen.
        self.broken, _ = words_tokenizer.load(path)
        self.broken.model.dropout = 0.1
        self.fold = str.maketrans(words_tokenizer.folded())
        for tokenizer in (self.plain, self.broken):
            tokenizer.normalizer = words_tokenizer.normalizer(fold=False)
        self.rng = random.Random(seed)

    def batches(self, count: int) -> list[Batch]:
        made = self.captions.generate(count)
        rows: dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]] = {}
        half = count * 2 // 3
        for tokenizer, part in ((self.plain, made[:half]), (self.broken, made[half:])):
            encoded = tokenizer.encode_batch([c.text.translate(self.fold) for c in part])
            for caption, e in zip(part, encoded, strict=True):
                ids = np.array(e.ids, dtype=np.int64)
                first, second = (np.zeros(len(caption.text) + 1, dtype=np.int64) for _ in range(2))
                for start, end, kinds in caption.spans:
                    first[start:end] = INDEX[kinds[0]] + 1
                    second[start:end] = INDEX[kinds[1]] + 1 if len(kinds) > 1 else 0
                at = np.array([start for start, _ in e.offsets])
                real = np.array([end > start for start, end in e.offsets])
                spanned = {kind for _, _, kinds in caption.spans for kind in kinds}
                known = np.array(spanned >= set(caption.labels))
                row = ids, classes_of(caption.labels), first[at] * real, second[at] * real, known
                rows.setdefault(len(ids), []).append(row)
        out = []
        for length, group in rows.items():
            size = max(4, TOKENS // length)
            for a in range(0, len(group), size):
                columns = [
                    torch.from_numpy(np.stack(part)) for part in zip(*group[a : a + size], strict=True)
                ]
                out.append(Batch(columns[0], columns[1], columns[2], columns[3], columns[4]))
        self.rng.shuffle(out)
        return out


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
        words = self.encoder(batch.ids)
        looks = self.head.looks(words)
        logits = self.head.read(words, looks)
        losses = F.cross_entropy(logits.reshape(-1, 4), batch.classes.reshape(-1), reduction="none")
        loss = losses.reshape(batch.classes.shape).sum(1).mean()
        wrong = (logits.argmax(-1) != batch.classes).any(1).float().mean()

        # Tokens of two kinds are left out here; the heads look at them for both.
        known = batch.known[:, None] & (batch.second == 0)
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
    """One of several processes that train the same weights, in shared memory, each at its own pace: with one
    thread each, none waits for another. The first one also keeps the averages and saves."""

    def __init__(self, options: argparse.Namespace, model: Model, number: int) -> None:
        self.options, self.model, self.number = options, model, number
        self.device = next(model.parameters()).device.type
        torch.manual_seed(options.seed + number)
        self.source = Source(options.folder, options.seed + 7919 * number)
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
            self.averages, self.step, self.seen = saved["averages"], saved["step"], saved["seen"]

    def train(self) -> None:
        begin = saved_at = told = time.time()
        first_seen, first_step = self.seen, self.step
        results: list[tuple[float, float]] = []
        self.model.train()
        count = CHUNK // 4
        while time.time() - begin < self.options.seconds:
            for batch in self.source.batches(count):
                done = (time.time() - begin) / self.options.seconds
                if done >= 1:
                    break
                warm = (self.step - first_step + 1) / 150
                self.update(batch, min(1.0, warm, max(0.01, (1 - done) / self.options.cooldown)), results)
                now = time.time()
                if self.number == 0 and now - told > 30:
                    loss, wrong = np.mean(results, axis=0)
                    print(
                        f"{now - begin:.0f} s, step {self.step}, {self.seen} captions, "
                        f"{(self.seen - first_seen) / (now - begin):.0f}/s: "
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

    def update(self, batch: Batch, factor: float, results: list[tuple[float, float]]) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * factor * group["scale"]
        loss, wrong = self.model.loss(batch.to(self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        self.step += 1
        self.seen += len(batch.ids)
        results.append((loss.item(), wrong.item()))
        if self.number == 0 and self.step % 5 == 0:
            with torch.no_grad():
                weight = 1 - min(0.99, self.step / (self.step + 10))
                for name, p in self.model.named_parameters():
                    self.averages[name].lerp_(p, weight)

    def save(self) -> None:
        folder = self.options.folder
        parts = {
            "checkpoint": dict(
                model=self.model.state_dict(),
                optimizer=self.optimizer.state_dict(),
                averages=self.averages,
                step=self.step,
                seen=self.seen,
            )
        }
        for prefix, name in (("encoder.", "text_encoder"), ("head.", "motion_head")):
            parts[name] = {
                key.removeprefix(prefix): value.cpu().clone()
                for key, value in self.averages.items()
                if key.startswith(prefix)
            }
        for name, part in parts.items():
            torch.save(part, folder / f"{name}.tmp")
            (folder / f"{name}.tmp").replace(folder / f"{name}.pt")
        numbers = {"step": self.step, "captions": self.seen, "kinds": KINDS}
        (folder / "words.json").write_text(json.dumps(numbers, indent=1) + "\n")


def load_checkpoint(options: argparse.Namespace) -> dict | None:
    path = options.folder / "checkpoint.pt"
    return None if options.fresh or not path.exists() else torch.load(path, weights_only=True)


def work(number: int, options: argparse.Namespace, model: Model) -> None:
    torch.set_num_threads(1)
    Trainer(options, model, number).train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument(
        "--cooldown", type=float, default=0.4, help="last part of the time, in which the rate falls"
    )
    parser.add_argument("--fresh", action="store_true", help="starts anew although there is a checkpoint")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--every", type=float, default=180, help="seconds between two savings")
    parser.add_argument("--processes", type=int, default=2, help="on a CPU")
    options = parser.parse_args()
    tokenizer, end = words_tokenizer.load(options.folder / "tokenizer.json")
    torch.manual_seed(options.seed)
    model = Model(tokenizer.get_vocab_size(), end)
    saved = load_checkpoint(options)
    if saved:
        model.load_state_dict(saved["model"])
    if torch.cuda.is_available():
        Trainer(options, model.cuda(), 0).train()
        return
    model.share_memory()
    mp.spawn(work, (options, model), nprocs=options.processes)


if __name__ == "__main__":
    main()
