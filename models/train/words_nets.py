"""The networks that read a prompt: token ids → prompt_embeds → logits of the 29 kinds.

What a word means shows in its neighbours (a window of three tokens, over and over), and rounds of attention
between carry a speed to a motion that stands further away.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinds import KINDS

EMBED = 128
MAX_TOKENS = 77
REACH = 12  # tokens further away than this are equally far
DROPOUT = 0.1  # in training


@dataclass(frozen=True)
class Sizes:
    """What is inside the encoder: `width` numbers for a token, `hidden` of a window, `rounds` of attention
    with a window before, between and after them, each of `heads` that compare `compared` numbers."""

    width: int = 256
    hidden: int = 640
    rounds: int = 3
    heads: int = 8
    compared: int = 32

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> "Sizes":
        """Those of an encoder's weights."""
        heads = state["attention.0.distance"].shape[0]
        return cls(
            width=state["tokens.weight"].shape[1],
            hidden=state["windows.0.inner.weight"].shape[0],
            rounds=sum(name.endswith(".distance") for name in state),
            heads=heads,
            compared=state["attention.0.queries.weight"].shape[0] // heads,
        )


def widened(state: dict[str, Tensor], hidden: int) -> dict[str, Tensor]:
    """An encoder's weights with windows of `hidden` numbers, which read every prompt as before: the new units
    are drawn, always the same ones, and say nothing yet."""
    draw = torch.Generator().manual_seed(0)
    out = dict(state)
    for name, weight in state.items():
        more = hidden - weight.shape[0] if ".inner." in name else hidden - weight.shape[-1]
        if name.endswith(".inner.weight") and more:
            drawn = torch.randn(more, weight.shape[1], generator=draw) * weight.float().std()
            out[name] = torch.cat([weight, drawn.to(weight.dtype)])
        elif name.endswith(".inner.bias"):
            out[name] = F.pad(weight, (0, more))
        elif name.endswith(".outer.weight"):
            out[name] = F.pad(weight, (0, more))
    return out


class Window(nn.Module):
    """x + what a token and its two neighbours say together."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes.width)
        self.inner = nn.Linear(3 * sizes.width, sizes.hidden)
        self.outer = nn.Linear(sizes.hidden, sizes.width)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x (n, T, width), real (n, T, 1) is 1 up to and with the end token."""
        h = self.norm(x) * real
        h = F.pad(h, (0, 0, 1, 1))
        h = torch.cat([h[:, :-2], h[:, 1:-1], h[:, 2:]], 2)
        return x + self.drop(self.outer(F.relu(self.inner(h))))


class Attention(nn.Module):
    """x + what other tokens say, nearer ones by learnt weights more."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        width, compared = sizes.width, sizes.heads * sizes.compared
        self.norm = nn.LayerNorm(width)
        self.queries, self.keys = nn.Linear(width, compared), nn.Linear(width, compared)
        self.values, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.distance = nn.Parameter(torch.zeros(sizes.heads, 2 * REACH + 1))
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (n, T, width), bias (n, 1, 1, T) hides what is behind the end token."""
        n, t = x.shape[0], x.shape[1]
        heads, width, compared = self.sizes.heads, self.sizes.width, self.sizes.compared
        h = self.norm(x)
        q = self.queries(h).reshape(n, t, heads, compared).transpose(1, 2)
        k = self.keys(h).reshape(n, t, heads, compared).permute(0, 2, 3, 1)
        v = self.values(h).reshape(n, t, heads, width // heads).transpose(1, 2)
        place = torch.arange(t, device=x.device)
        far = (place[None] - place[:, None]).clamp(-REACH, REACH) + REACH
        scores = (q @ k) * compared**-0.5 + self.distance[:, far] + bias
        h = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, width)
        return x + self.drop(self.out(h))


class TextEncoder(nn.Module):
    """Token ids (n, T) → prompt_embeds (n, T, EMBED); rows after the first end token are zero."""

    def __init__(self, vocabulary: int, end_token: int, sizes: Sizes | None = None) -> None:
        super().__init__()
        sizes = sizes or Sizes()
        self.end_token = end_token
        self.tokens = nn.Embedding(vocabulary, sizes.width)
        nn.init.normal_(self.tokens.weight, std=0.3)
        self.windows = nn.ModuleList([Window(sizes) for _ in range(sizes.rounds + 1)])
        self.attention = nn.ModuleList([Attention(sizes) for _ in range(sizes.rounds)])
        self.out = nn.Linear(sizes.width, EMBED)
        self.norm = nn.LayerNorm(EMBED)

    def forward(self, ids: Tensor) -> Tensor:
        ends = (ids == self.end_token).to(torch.int64)
        real = ((ends.cumsum(1) - ends) == 0).to(self.norm.weight.dtype)
        bias = ((1 - real) * -1e4)[:, None, None, :]
        real = real[:, :, None]
        h = self.windows[0](self.tokens(ids), real)
        for attention, window in zip(self.attention, self.windows[1:], strict=True):
            h = window(attention(h, bias), real)
        return self.norm(self.out(h)) * real


class MotionHead(nn.Module):
    """prompt_embeds (n, T, EMBED) → logits (n, kinds, 4) of absent, slow, normal, fast.

    Every kind looks for its words, or nowhere, and every token has a vote for each class of each kind, which
    counts as much as the kind looks at it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Linear(EMBED, len(KINDS))
        self.votes = nn.Linear(EMBED, len(KINDS) * 4)
        self.nowhere = nn.Parameter(torch.tensor([3.0, 0, 0, 0]).repeat(len(KINDS), 1))

    def looks(self, prompt_embeds: Tensor) -> Tensor:
        """Where every kind looks: (n, T + 1, kinds), nowhere last."""
        empty = (prompt_embeds.abs().sum(-1, keepdim=True) == 0).to(prompt_embeds.dtype)
        scores = self.where(prompt_embeds) + empty * -1e4
        return F.pad(scores, (0, 0, 0, 1)).softmax(1)

    def read(self, prompt_embeds: Tensor, looks: Tensor) -> Tensor:
        n, t = prompt_embeds.shape[0], prompt_embeds.shape[1]
        votes = self.votes(prompt_embeds).reshape(n, t, len(KINDS), 4)
        seen = (looks[:, :-1, :, None] * votes).sum(1)
        return seen + looks[:, -1, :, None] * self.nowhere

    def forward(self, prompt_embeds: Tensor) -> Tensor:
        return self.read(prompt_embeds, self.looks(prompt_embeds))


# In nats. A motion that nobody asked for is worse than one that is missed: it must be this much likelier than
# none. The likeliest of a prompt need not: somebody who writes one word means it.
DOUBT = 3.0


def classes_of(logits: Tensor) -> Tensor:
    """MotionHead's logits (n, kinds, 4) → the class of every kind (n, kinds).

    0 absent, 1 slow, 2 normal, 3 fast.
    """
    speed = logits[..., 1:].argmax(-1) + 1
    lead = logits[..., 1:].amax(-1) - logits[..., 0]
    needed = torch.where(lead == lead.amax(1, keepdim=True), 0.0, DOUBT)
    return torch.where(lead > needed, speed, torch.zeros_like(speed))


def load(folder: Path, vocabulary: int, end_token: int) -> tuple[TextEncoder, MotionHead]:
    """The networks with the weights of train_words.py's folder, not to be trained."""
    states = [
        {key: value.float() for key, value in torch.load(folder / name, weights_only=True).items()}
        for name in ("text_encoder.pt", "motion_head.pt")
    ]
    encoder, head = TextEncoder(vocabulary, end_token, Sizes.of(states[0])), MotionHead()
    encoder.load_state_dict(states[0])
    head.load_state_dict(states[1])
    return encoder.eval(), head.eval()
