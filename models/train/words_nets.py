"""The networks that read a prompt: token ids → prompt_embeds → logits of the 29 kinds.

Made to be trained on two CPU cores: what a word means shows in its neighbours (a window of three tokens, over
and over), and two rounds of attention carry a speed to a motion that stands further away.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinds import KINDS

EMBED = 128
WIDTH = 96  # inside
MAX_TOKENS = 77
HEADS = 4
REACH = 12  # tokens further away than this are equally far


class Window(nn.Module):
    """x + what a token and its two neighbours say together."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.inner = nn.Linear(3 * WIDTH, hidden)
        self.outer = nn.Linear(hidden, WIDTH)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x (n, T, WIDTH), real (n, T, 1) is 1 up to and with the end token."""
        h = self.norm(x) * real
        h = F.pad(h, (0, 0, 1, 1))
        h = torch.cat([h[:, :-2], h[:, 1:-1], h[:, 2:]], 2)
        return x + self.outer(F.relu(self.inner(h)))


class Attention(nn.Module):
    """x + what other tokens say, nearer ones by learnt weights more."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.LayerNorm(WIDTH)
        self.queries, self.keys = nn.Linear(WIDTH, HEADS * width), nn.Linear(WIDTH, HEADS * width)
        self.values, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.distance = nn.Parameter(torch.zeros(HEADS, 2 * REACH + 1))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (n, T, WIDTH), bias (n, 1, 1, T) hides what is behind the end token."""
        n, t = x.shape[0], x.shape[1]
        h = self.norm(x)
        q = self.queries(h).reshape(n, t, HEADS, self.width).transpose(1, 2)
        k = self.keys(h).reshape(n, t, HEADS, self.width).permute(0, 2, 3, 1)
        v = self.values(h).reshape(n, t, HEADS, WIDTH // HEADS).transpose(1, 2)
        place = torch.arange(t, device=x.device)
        far = (place[None] - place[:, None]).clamp(-REACH, REACH) + REACH
        scores = (q @ k) * self.width**-0.5 + self.distance[:, far] + bias
        h = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, WIDTH)
        return x + self.out(h)


class TextEncoder(nn.Module):
    """Token ids (n, T) → prompt_embeds (n, T, EMBED); rows after the first end token are zero."""

    def __init__(self, vocabulary: int, end_token: int, hidden: int = 112) -> None:
        super().__init__()
        self.end_token = end_token
        self.tokens = nn.Embedding(vocabulary, WIDTH)
        nn.init.normal_(self.tokens.weight, std=0.3)
        self.windows = nn.ModuleList([Window(hidden) for _ in range(3)])
        self.attention = nn.ModuleList([Attention() for _ in range(2)])
        self.out = nn.Linear(WIDTH, EMBED)
        self.norm = nn.LayerNorm(EMBED)

    def forward(self, ids: Tensor) -> Tensor:
        ends = (ids == self.end_token).to(torch.int64)
        real = ((ends.cumsum(1) - ends) == 0).to(self.norm.weight.dtype)
        bias = ((1 - real) * -1e4)[:, None, None, :]
        real = real[:, :, None]
        h = self.windows[0](self.tokens(ids), real)
        h = self.windows[1](self.attention[0](h, bias), real)
        h = self.windows[2](self.attention[1](h, bias), real)
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
