"""The networks of the built-in model. Plain convolutions and ReLU, no norms: they fuse well on a CPU.

Pictures are (N, 3, H, W) in -1 … 1, latents (N, 16, H/4, W/4) of unit variance per channel. Each frame is
seen alone; the frames of a clip hang together by the geometry in motion.py.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import motion

LATENTS = 16
PATCH = 4
EMBED = 128  # width of prompt_embeds and image_embeds
IMAGE_SIDE = 64
ASKED_OFFSET = EMBED // 2  # of the levels asked for, in the row of context that has the levels done
MAX_TOKENS = 77
TRAIN_STEPS = 1000


class ResBlock(nn.Module):
    """x + conv(relu(conv(x))), optionally scaled and shifted in between by a conditioning vector."""

    def __init__(self, width: int, cond: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)
        self.film = nn.Linear(cond, 2 * width) if cond else None
        if self.film is not None:
            nn.init.zeros_(self.film.weight)
            nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        h = self.first(x)
        if self.film is not None:
            scale, shift = self.film(cond)[:, :, None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        return x + self.second(F.relu(h))


class Encoder(nn.Module):
    """Picture → latents: a linear map of 4×4 patches (set from PCA) plus a convolutional correction."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(3 * PATCH**2, LATENTS, 1)
        self.head = nn.Conv2d(3 * PATCH**2, width, 3, padding=1)
        self.blocks = nn.Sequential(*[ResBlock(width) for _ in range(blocks)])
        self.tail = nn.Conv2d(width, LATENTS, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    def forward(self, picture: Tensor) -> Tensor:
        patches = F.pixel_unshuffle(picture, PATCH)
        return self.linear(patches) + self.tail(F.relu(self.blocks(F.relu(self.head(patches)))))


class Decoder(nn.Module):
    """Latents → picture: a linear map to 4×4 patches plus a convolutional correction."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(LATENTS, 3 * PATCH**2, 1)
        self.head = nn.Conv2d(LATENTS, width, 3, padding=1)
        self.blocks = nn.Sequential(*[ResBlock(width) for _ in range(blocks)])
        self.tail = nn.Conv2d(width, 3 * PATCH**2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    def forward(self, latents: Tensor) -> Tensor:
        h = self.tail(F.relu(self.blocks(F.relu(self.head(latents)))))
        return F.pixel_shuffle(self.linear(latents) + h, PATCH)


def make_vae_encoder() -> Encoder:
    return Encoder(64, 4)


def make_vae_decoder() -> Decoder:
    return Decoder(96, 4)


def make_picture_decoder() -> Decoder:
    """Inside unet_cond: the input picture back from its latents, once per clip, so it may be larger."""
    return Decoder(128, 8)


def make_frame_encoder() -> Encoder:
    """Inside unet_cond: the warped frames to latents."""
    return Encoder(64, 5)


class ImageEncoder(nn.Module):
    """Picture 64×64 → image_embeds (N, EMBED): palette, contrast and texture of the whole picture."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 32, 48, 64, 96]
        layers = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.project = nn.Linear(2 * widths[-1], EMBED)

    def forward(self, pixels: Tensor) -> Tensor:
        h = self.features(pixels)
        mean = h.mean((2, 3))
        spread = (h - mean[:, :, None, None]).square().mean((2, 3)).add(1e-6).sqrt()
        return self.project(torch.cat([mean, spread], 1))


def alphas_cumprod() -> Tensor:
    """Squared-cosine schedule with zero terminal SNR, as diffusers computes it: (1000,) float64."""
    u = torch.arange(TRAIN_STEPS + 1, dtype=torch.float64) / TRAIN_STEPS
    f = torch.cos((u + 0.008) / 1.008 * torch.pi / 2) ** 2
    betas = (1 - f[1:] / f[:-1]).clamp(max=0.999).float().double()
    r = torch.cumprod(1 - betas, 0).sqrt()
    r = (r - r[-1]) * r[0] / (r[0] - r[-1])
    return r * r


def frames_first(latents: Tensor) -> Tensor:
    """(B, C, F, h, w) -> (B*F, C, h, w)."""
    rows, channels, frames, h, w = latents.shape
    return latents.transpose(1, 2).reshape(rows * frames, channels, h, w)


class Denoiser(nn.Module):
    """unet_core: noisy latents, the warped latents and the conditioning → v.

    x0 = warped + c_skip d + c_out net(d, warped), d = noisy - sqrt(a) warped: the best linear guess when the
    warped latents are off by `sigma` per channel, and a learned rest. v follows from x0 by the scheduler's
    alphas.
    """

    def __init__(self, width: int = 64, wide: int = 128, cond: int = 128) -> None:
        super().__init__()
        a = alphas_cumprod()
        self.register_buffer("sqrt_alpha", a.sqrt().float(), persistent=False)
        self.register_buffer("sqrt_rest", (1 - a).sqrt().float(), persistent=False)
        self.register_buffer("sigma", torch.full((LATENTS,), 0.15))
        self.register_buffer("frequencies", torch.exp(-torch.arange(32) / 32 * 6.9), persistent=False)
        self.time = nn.Sequential(nn.Linear(64, cond), nn.SiLU(), nn.Linear(cond, cond))
        self.context = nn.Linear(EMBED, cond)
        self.fps = nn.Linear(64, cond)
        self.merge = nn.Sequential(nn.SiLU(), nn.Linear(cond, cond), nn.SiLU())
        self.head = nn.Conv2d(8 * LATENTS, width, 3, padding=1)
        self.down_blocks = nn.ModuleList([ResBlock(width, cond) for _ in range(2)])
        self.down = nn.Conv2d(width, wide, 2, stride=2)
        self.middle = nn.ModuleList([ResBlock(wide, cond) for _ in range(2)])
        self.up = nn.Conv2d(wide, width * 4, 1)
        self.up_blocks = nn.ModuleList([ResBlock(width, cond) for _ in range(2)])
        self.tail = nn.Conv2d(width, 4 * LATENTS, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    def conditioning(self, timestep: Tensor, fps_emb: Tensor, context: Tensor) -> Tensor:
        """timestep (N,), fps_emb (N, 64), context (N, 2, EMBED) → (N, cond). Context row 0 is the picture."""
        angle = timestep[:, None].float() * self.frequencies
        t = self.time(torch.cat([angle.cos(), angle.sin()], 1))
        return self.merge(t + self.fps(fps_emb) + self.context(context[:, 0]))

    def coefficients(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """timestep (N,) -> the square roots of alpha and of 1 - alpha, each (N, 1, 1, 1)."""
        return self.sqrt_alpha[timestep].reshape(-1, 1, 1, 1), self.sqrt_rest[timestep].reshape(-1, 1, 1, 1)

    def predict_x0(
        self, noisy: Tensor, warped: Tensor, sqrt_alpha: Tensor, sqrt_rest: Tensor, cond: Tensor
    ) -> Tensor:
        """noisy, warped (N, C, h, w); sqrt_alpha, sqrt_rest (N, 1, 1, 1); cond (N, cond)."""
        sigma = self.sigma[None, :, None, None]
        variance = (sqrt_alpha * sigma) ** 2 + sqrt_rest**2
        d = noisy - sqrt_alpha * warped
        c_skip = sqrt_alpha * sigma**2 / variance
        c_out = sigma * sqrt_rest * variance.rsqrt()
        h = torch.cat([d * variance.rsqrt(), warped], 1)
        rest = self.network(h, cond)
        return warped + c_skip * d + c_out * rest

    def network(self, h: Tensor, cond: Tensor) -> Tensor:
        """Rows and columns must be multiples of 4 (pictures: of 16)."""
        h = F.relu(self.head(F.pixel_unshuffle(h, 2)))
        for block in self.down_blocks:
            h = block(h, cond)
        skip = h
        h = F.relu(self.down(h))
        for block in self.middle:
            h = block(h, cond)
        h = skip + F.pixel_shuffle(self.up(F.relu(h)), 2)
        for block in self.up_blocks:
            h = block(h, cond)
        return F.pixel_shuffle(self.tail(F.relu(h)), 2)

    def forward(
        self, sample: Tensor, timestep: Tensor, fps_emb: Tensor, context: Tensor, warped: Tensor
    ) -> Tensor:
        """sample (1, C, F, h, w), timestep (1,) int64, fps_emb (1, 64), context and warped of B rows → v (B,
        C, F, h, w). B·F frames are independent."""
        batch, frames = warped.shape[0], warped.shape[2]
        cond = self.conditioning(timestep, fps_emb, context)
        cond = cond[:, None].expand(-1, frames, -1).reshape(batch * frames, -1)
        noisy = frames_first(sample.expand(batch, -1, -1, -1, -1))
        sa, sr = self.coefficients(timestep)
        x0 = self.predict_x0(noisy, frames_first(warped), sa, sr, cond)
        v = (sa * noisy - x0) / sr
        return v.reshape(batch, frames, LATENTS, x0.shape[2], x0.shape[3]).transpose(1, 2)

    def step(
        self,
        sample: Tensor,
        timestep: Tensor,
        fps_emb: Tensor,
        context: Tensor,
        warped: Tensor,
        factors: Tensor,
    ) -> Tensor:
        """factors (1 + B,): the sample's and each row's; guidance and a scheduler's step are such a sum → (1,
        C, F, h, w).
        """
        v = self(sample, timestep, fps_emb, context, warped)
        return factors[0] * sample + (factors[1:].reshape(-1, 1, 1, 1, 1) * v).sum(0, keepdim=True)


class TextEncoder(nn.Module):
    """Token ids (n, T) → prompt_embeds (n, T, EMBED); rows after the first end token are zero."""

    def __init__(self, vocabulary: int, end_token: int, layers: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.end_token = end_token
        self.tokens = nn.Embedding(vocabulary, EMBED)
        self.places = nn.Parameter(torch.randn(MAX_TOKENS, EMBED) * 0.02)
        nn.init.normal_(self.tokens.weight, std=0.05)
        self.layers = nn.ModuleList([TextLayer(heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(EMBED)
        self.dropout = nn.Dropout(0.1)

    def forward(self, ids: Tensor) -> Tensor:
        ends = (ids == self.end_token).to(torch.int64)
        real = ((ends.cumsum(1) - ends) == 0).to(self.places.dtype)  # up to and with the first end token
        bias = ((1 - real) * -1e4)[:, None, None, :]
        h = self.dropout(self.tokens(ids) + self.places[: ids.shape[1]])
        for layer in self.layers:
            h = layer(h, bias)
        return self.norm(h) * real[:, :, None]


class TextLayer(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(EMBED), nn.LayerNorm(EMBED)
        self.qkv = nn.Linear(EMBED, 3 * EMBED)
        self.out = nn.Linear(EMBED, EMBED)
        self.ff = nn.Sequential(nn.Linear(EMBED, 4 * EMBED), nn.GELU(), nn.Linear(4 * EMBED, EMBED))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        n, t = x.shape[0], x.shape[1]
        qkv = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, EMBED // self.heads).permute(2, 0, 3, 1, 4)
        scores = qkv[0] @ qkv[1].transpose(2, 3) * (EMBED // self.heads) ** -0.5 + bias
        h = (scores.softmax(-1) @ qkv[2]).transpose(1, 2).reshape(n, t, EMBED)
        x = x + self.dropout(self.out(h))
        return x + self.dropout(self.ff(self.norm2(x)))


class MotionHead(nn.Module):
    """prompt_embeds (n, T, EMBED) → logits (n, kinds, 4) of absent, slow, normal, fast. Two rounds of one
    query per kind over the words; between them the queries see each other, so that a speed finds its
    motion."""

    def __init__(self, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Parameter(torch.randn(motion.NUM_KINDS, EMBED) * 0.5)
        self.cross = nn.ModuleList([CrossAttention(heads) for _ in range(2)])
        self.mix = TextLayer(heads)
        self.norm = nn.LayerNorm(EMBED)
        self.classify = nn.Linear(EMBED, 4)

    def forward(self, prompt_embeds: Tensor) -> Tensor:
        empty = (prompt_embeds.abs().sum(-1) == 0).to(prompt_embeds.dtype)
        bias = (empty * -1e4)[:, None, None, :]
        q = self.queries[None].expand(prompt_embeds.shape[0], -1, -1)
        q = self.cross[0](q, prompt_embeds, bias)
        q = self.mix(q, q.new_zeros(1, 1, 1, 1))
        q = self.cross[1](q, prompt_embeds, bias)
        return self.classify(self.norm(q))


class CrossAttention(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(EMBED), nn.LayerNorm(EMBED)
        self.q, self.kv = nn.Linear(EMBED, EMBED), nn.Linear(EMBED, 2 * EMBED)
        self.out = nn.Linear(EMBED, EMBED)
        self.ff = nn.Sequential(nn.Linear(EMBED, 4 * EMBED), nn.GELU(), nn.Linear(4 * EMBED, EMBED))

    def forward(self, x: Tensor, words: Tensor, bias: Tensor) -> Tensor:
        n, k, t = x.shape[0], x.shape[1], words.shape[1]
        d = EMBED // self.heads
        q = self.q(self.norm1(x)).reshape(n, k, self.heads, d).transpose(1, 2)
        kv = self.kv(words).reshape(n, t, 2, self.heads, d).permute(2, 0, 3, 1, 4)
        scores = q @ kv[0].transpose(2, 3) * d**-0.5 + bias
        h = (scores.softmax(-1) @ kv[1]).transpose(1, 2).reshape(n, k, EMBED)
        x = x + self.out(h)
        return x + self.ff(self.norm2(x))


class Conditioner(nn.Module):
    """unet_cond: everything that does not depend on the noise or the step.

    Reads the motions from the words, moves the picture and encodes the moved frames. Of two rows (guidance)
    the second is the prompt; motions that the first (the negative prompt) names are taken out of it. Both
    rows get the same frames. fps and image_latents have one row, the embeddings and the words B.
    """

    def __init__(self, head: nn.Module, picture_decoder: nn.Module, frame_encoder: nn.Module) -> None:
        super().__init__()
        self.head, self.picture_decoder, self.frame_encoder = head, picture_decoder, frame_encoder
        self.register_buffer("frequencies", torch.exp(-torch.arange(32) / 32 * 5.0), persistent=False)
        default = F.one_hot(motion.classes_of([]), 4).float()
        self.register_buffer("default", default[None], persistent=False)
        self.register_buffer(
            "absent",
            F.one_hot(torch.zeros(motion.NUM_KINDS, dtype=torch.long), 4).float()[None],
            persistent=False,
        )
        self.register_buffer("levels", torch.tensor(motion.LEVELS), persistent=False)
        self.register_buffer("speeds", torch.eye(4), persistent=False)

    def fps_features(self, fps: Tensor) -> Tensor:
        angle = fps[:, None].float() * self.frequencies
        return torch.cat([angle.cos(), angle.sin()], 1)

    def motions(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """encoder_hidden_states (B, T, EMBED) → one-hot classes (1, kinds, 4) of prompt and of clip."""
        hot = self.speeds[self.head(words).argmax(-1)]  # exact numbers of the table, whatever the margin
        asked, unwanted = hot[-1:], hot[:1]
        guided = (torch.as_tensor(words.shape[0]) > 1).to(words.dtype)
        moving = 1 - asked[:, :, 0]
        nothing = (moving.sum(1) == 0).to(words.dtype)[:, None, None]
        wanted = nothing * self.default + (1 - nothing) * asked
        removed = (1 - unwanted[:, :, :1]) * guided
        return asked, removed * self.absent + (1 - removed) * wanted

    def forward(
        self, fps: Tensor, image_latents: Tensor, image_embeddings: Tensor, encoder_hidden_states: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, frames = image_embeddings.shape[0], image_latents.shape[2]
        asked, hot = self.motions(encoder_hidden_states)
        first = image_latents[:, :, 0]  # (1, C, h, w)
        p = image_latents[0, 0, :, 0, 0]
        p = p * (torch.arange(frames, device=p.device) > 0).to(
            p.dtype
        )  # frame 0 holds the picture, not its position
        gain = motion.fps_gain(fps.to(p.dtype))
        picture = self.picture_decoder(first)
        grid = motion.sampling_grid(
            hot.expand(frames, -1, -1), gain.expand(frames), p, picture.shape[2], picture.shape[3]
        )
        moved = motion.sample(picture.expand(frames, -1, -1, -1), grid)
        warped = self.frame_encoder(moved)
        # Where nothing moved, the picture's own latents are the better answer.
        scale = (
            torch.stack([torch.as_tensor(picture.shape[3]), torch.as_tensor(picture.shape[2])]).to(p.dtype)
            / 2
        )
        still = motion.sampling_grid(self.absent, gain, p[:1] * 0, picture.shape[2], picture.shape[3])
        shift = ((grid - still).abs().amax((1, 2)) * scale).amax(
            1
        )  # largest displacement in pixels per frame
        moving = (shift > 0.02).to(p.dtype)[:, None, None, None]
        warped = moving * warped + (1 - moving) * first
        rest = image_embeddings.new_zeros(1, ASKED_OFFSET - motion.NUM_KINDS)
        row = torch.cat([hot @ self.levels, rest, asked @ self.levels, rest], 1)
        context = torch.cat([image_embeddings, row[:, None].expand(batch, -1, -1)], 1)
        out = warped.transpose(0, 1)[None].expand(batch, -1, -1, -1, -1)
        return self.fps_features(fps), context, out
