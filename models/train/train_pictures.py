"""Trains the networks that see pictures, in three stages; each writes its weights and reads the earlier ones.

vae   vae_encoder and vae_decoder, and beside them the larger picture decoder that lives in unet_cond
warp  unet_cond's picture decoder and frame encoder: the moved picture's latents, judged after decoding
core  unet_core (diffusion loss at every timestep) and the image encoder

Frames are independent in every network, so a training example is one frame: a picture, motions, a position in
time.
"""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import free_photos
import motion
import nets
import scenes

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LATENT_STAGES = ("vae", "warp", "core")

Network = TypeVar("Network", bound=nn.Module)


def save(folder: Path, **modules: nn.Module) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, module in modules.items():
        state = {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
        torch.save(state, Path(folder) / f"{name}.pt")


def load(folder: Path, name: str, module: Network) -> Network:
    module.load_state_dict(torch.load(Path(folder) / f"{name}.pt", map_location="cpu", weights_only=True))
    return module.to(DEVICE)


class Pictures:
    """Random crops of the library as -1 … 1 floats."""

    def __init__(self, library: Tensor, seed: int) -> None:
        self.library = library
        self.rng = torch.Generator().manual_seed(seed)

    def crops(self, n: int, side: int) -> Tensor:
        index = torch.randint(0, len(self.library), (n,), generator=self.rng)
        top, left = torch.randint(0, scenes.SIDE - side + 1, (2,), generator=self.rng).tolist()
        x = (
            self.library[index.to(self.library.device), :, top : top + side, left : left + side].float()
            / 127.5
            - 1
        )
        flips = torch.rand(2, generator=self.rng)
        if flips[0] < 0.5:
            x = x.flip(3)
        if flips[1] < 0.5:
            x = x.transpose(2, 3)
        return x.contiguous()


def picture_loss(guess: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Between squared error and its logarithm: PSNR counts every picture alike, whatever its detail."""
    error = (guess.float() - truth).square().mean((1, 2, 3))
    return (error / (error.detach() + 2e-4).sqrt()).mean() * 50, error


def psnr(error: Tensor) -> Tensor:
    """Of squared error on the -1 … 1 scale, after the mean over pixels."""
    return -10 * torch.log10(error / 4)


class Run:
    """Adam with warm-up and cosine decay over a fixed number of steps, bfloat16 for all but the last part."""

    def __init__(self, name: str, modules: list[nn.Module], steps: int, rate: float) -> None:
        self.name, self.steps, self.rate = name, steps, rate
        self.parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=rate, betas=(0.9, 0.98), weight_decay=1e-4, fused=DEVICE == "cuda"
        )
        self.step = 0
        self.start = time.time()
        self.log: dict[str, Tensor] = {}

    def __iter__(self) -> Iterator[int]:
        for step in range(self.steps):
            self.step = step
            factor = min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * step / self.steps)) + 0.002
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * factor
            yield step
        self.report(force=True)

    def autocast(self) -> torch.autocast:
        exact = self.step > 0.85 * self.steps or DEVICE == "cpu"
        return torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=not exact)

    def descend(self, loss: Tensor, **numbers: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
        for key, value in {"loss": loss.detach(), **numbers}.items():
            old = self.log.get(key, value)
            self.log[key] = old * 0.98 + value * 0.02
        self.report()

    def report(self, force: bool = False) -> None:
        if force or self.step % 500 == 499 or self.step == 20:
            numbers = " ".join(f"{k} {float(v):.3f}" for k, v in self.log.items())
            print(
                f"{self.name} {self.step + 1}/{self.steps} {time.time() - self.start:.0f} s: {numbers}",
                flush=True,
            )


def held_out(folder: Path, width: int, height: int) -> dict[str, Tensor]:
    return {
        name: scenes.cover(scenes.load_photo(Path(folder) / name), width, height).to(DEVICE)
        for name in free_photos.HELD_OUT
    }


def set_from_pca(encoder: nets.Encoder, decoders: list[nets.Decoder], pictures: Pictures) -> None:
    """The linear halves become the principal components of training patches, latents of unit variance."""
    patches = torch.cat(
        [
            F.pixel_unshuffle(pictures.crops(64, 256), nets.PATCH).permute(0, 2, 3, 1).reshape(-1, 48)
            for _ in range(8)
        ]
    ).double()
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    top = vectors.flip(1)[:, : nets.LATENTS]
    spread = values.flip(0)[: nets.LATENTS].sqrt()
    with torch.no_grad():
        down = (top / spread).T
        encoder.linear.weight.copy_(down[:, :, None, None])
        encoder.linear.bias.copy_(-(down @ mean))
        for decoder in decoders:
            decoder.linear.weight.copy_((top * spread)[:, :, None, None])
            decoder.linear.bias.copy_(mean)
    print(
        f"PCA keeps {float(values.flip(0)[: nets.LATENTS].sum() / values.sum()):.5f} of the variance",
        flush=True,
    )


def train_vae(
    pictures: Pictures, photos: Path, weights: Path, steps: int, batch: int = 64, side: int = 128
) -> None:
    encoder = nets.make_vae_encoder().to(DEVICE)
    decoder = nets.make_vae_decoder().to(DEVICE)
    picture_decoder = nets.make_picture_decoder().to(DEVICE)
    modules = [encoder, decoder, picture_decoder]
    set_from_pca(encoder, modules[1:], pictures)
    for m in modules:
        m.to(memory_format=torch.channels_last)
    test = held_out(photos, 256, 256)
    run = Run("vae", modules, steps, 1.2e-3)
    for step in run:
        x = pictures.crops(batch, side)
        with run.autocast():
            z = encoder(x)
            # Noise on the latents, so that they hold no detail that a denoiser could not reproduce.
            noisy = z + 0.01 * torch.randn_like(z)
            small, small_error = picture_loss(decoder(noisy), x)
            large, large_error = picture_loss(picture_decoder(noisy), x)
        mean, var = z.float().mean((0, 2, 3)), z.float().var((0, 2, 3))
        keep = (mean.square() + (var.clamp(min=1e-6).log()).square()).mean()
        run.descend(
            small + 0.7 * large + 0.01 * keep,
            psnr=psnr(small_error.detach()).mean(),
            psnr_large=psnr(large_error.detach()).mean(),
        )
        if step % 2000 == 1999 or step == steps - 1:
            evaluate_vae(test, encoder, [decoder, picture_decoder])
    normalise_latents(encoder, modules[1:], pictures)
    save(weights, vae_encoder=encoder, vae_decoder=decoder, picture_decoder=picture_decoder)


@torch.no_grad()
def evaluate_vae(photos: dict[str, Tensor], encoder: nets.Encoder, decoders: list[nets.Decoder]) -> None:
    """Prints the PSNR of each photograph after encoding and each of the decoders."""
    lines = []
    for name, photo in photos.items():
        z = encoder(photo)
        errors = [(decoder(z).clamp(-1, 1) - photo).square().mean() for decoder in decoders]
        lines.append(f"{name.split('.')[0]} " + "/".join(f"{float(psnr(error)):.2f}" for error in errors))
    print("  held out:", " ".join(lines), flush=True)


@torch.no_grad()
def normalise_latents(encoder: nets.Encoder, decoders: list[nets.Decoder], pictures: Pictures) -> None:
    """Unit variance per channel, folded into the weights. Scales only: a shift would change what the
    convolutions' zero padding means at the border."""
    z = torch.cat([encoder(pictures.crops(64, 256)) for _ in range(8)])
    mean, spread = z.mean((0, 2, 3)), z.std((0, 2, 3))
    for layer in (encoder.linear, encoder.tail):
        layer.weight.div_(spread[:, None, None, None])
        layer.bias.div_(spread)
    for decoder in decoders:
        for layer in (decoder.linear, decoder.head):
            layer.weight.mul_(spread[None, :, None, None])
    largest = float((mean / spread).abs().max())
    low, high = float(spread.min()), float(spread.max())
    print(f"latents: mean at most {largest:.3f}, spread was {low:.3f} to {high:.3f}")


def random_motions(n: int, rng: torch.Generator) -> Tensor:
    """Classes (n, kinds): mostly one motion, sometimes two or three; every speed, also none."""
    classes = torch.zeros(n, motion.NUM_KINDS, dtype=torch.long)
    for row in classes:
        count = [1, 1, 1, 2, 2, 3][int(torch.randint(0, 6, (1,), generator=rng))]
        for kind in torch.randperm(motion.NUM_KINDS, generator=rng)[:count]:
            row[kind] = int(torch.randint(1, 4, (1,), generator=rng))
    return classes


class MovedFrames:
    """A training example: picture, its latents, a moved frame, where it was taken from."""

    def __init__(self, pictures: Pictures, encoder: nets.Encoder, seed: int) -> None:
        self.pictures, self.encoder = pictures, encoder
        self.rng = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def batch(self, n: int, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        x = self.pictures.crops(n, side)
        hot = F.one_hot(random_motions(n, self.rng), 4).float().to(DEVICE)
        fps = torch.exp2(torch.rand(n, generator=self.rng) * 3 + 2)  # 4 … 32
        p = torch.rand(n, generator=self.rng)
        p = torch.where(torch.rand(n, generator=self.rng) < 0.1, torch.zeros(()), p)
        grid = motion.sampling_grid(hot, motion.fps_gain(fps).to(DEVICE), p.to(DEVICE), side, side)
        # 8 bits in, so no clamping of overshoot beyond what a frame can show.
        truth = motion.sample(x, grid).clamp(-1, 1)
        return x, self.encoder(x), grid, truth, fps.to(DEVICE)


def evaluate_warp(
    photos: dict[str, Tensor],
    encoder: nets.Encoder,
    decoder: nets.Decoder,
    picture_decoder: nets.Decoder,
    frame_encoder: nets.Encoder,
    extra: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> None:
    """Mean PSNR per motion on the held-out photographs at 256²; with `extra` (latents → latents) applied to
    the frames.
    """
    lines = []
    with torch.no_grad():
        p = torch.linspace(0, 1, 6, device=DEVICE)
        for kind in motion.KINDS:
            scores = []
            for photo in photos.values():
                hot = F.one_hot(motion.classes_of([(kind, "normal")]), 4).float().to(DEVICE).expand(6, -1, -1)
                grid = motion.sampling_grid(hot, torch.ones(6, device=DEVICE), p, 256, 256)
                truth = motion.sample(photo.expand(6, -1, -1, -1), grid).clamp(-1, 1)
                w = frame_encoder(motion.sample(picture_decoder(encoder(photo)).expand(6, -1, -1, -1), grid))
                if extra is not None:
                    w = extra(w, photo)
                scores.append(psnr((decoder(w).clamp(-1, 1) - truth).square().mean((1, 2, 3))).mean())
            lines.append(f"{kind} {float(torch.stack(scores).mean()):.2f}")
    print("  held out:", " ".join(lines), flush=True)


def train_warp(
    pictures: Pictures, photos: Path, weights: Path, steps: int, batch: int = 32, side: int = 160
) -> None:
    encoder = load(weights, "vae_encoder", nets.make_vae_encoder()).requires_grad_(False)
    decoder = load(weights, "vae_decoder", nets.make_vae_decoder()).requires_grad_(False)
    picture_decoder = load(weights, "picture_decoder", nets.make_picture_decoder())
    frame_encoder = nets.make_frame_encoder().to(DEVICE)
    # Starts as the picture encoder; the further block starts as the identity.
    frame_encoder.load_state_dict({k: v for k, v in encoder.state_dict().items()}, strict=False)
    modules = [encoder, decoder, picture_decoder, frame_encoder]
    for m in modules:
        m.to(memory_format=torch.channels_last)
    frames = MovedFrames(pictures, encoder, 11)
    test = held_out(photos, 256, 256)
    run = Run("warp", modules[2:], steps, 5e-4)
    for step in run:
        x, z, grid, truth, _ = frames.batch(batch, side)
        with run.autocast():
            picture = picture_decoder(z)
            w = frame_encoder(motion.sample(picture.float(), grid))
            loss, error = picture_loss(decoder(w), truth)
            source, _ = picture_loss(picture, x)
            latent = (w.float() - encoder(truth)).square().mean()
        run.descend(
            loss + 0.2 * source + 0.5 * latent, psnr=psnr(error.detach()).mean(), latent=latent.detach()
        )
        if step % 2000 == 1999 or step == steps - 1:
            evaluate_warp(test, *modules)
    save(weights, picture_decoder=picture_decoder, frame_encoder=frame_encoder)


def image_encoder_input(pictures: Tensor) -> Tensor:
    """(n, 3, H, W) -> (n, 3, IMAGE_SIDE, IMAGE_SIDE), antialiased."""
    size = (nets.IMAGE_SIDE, nets.IMAGE_SIDE)
    return F.interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)


def descriptors(x: Tensor) -> Tensor:
    """The target of image_embeds for a picture (n, 3, 64, 64): palette, contrast, edges by direction and
    scale (n, 32).
    """
    mean, spread = x.mean((2, 3)), x.std((2, 3))
    grey = x.mean(1, keepdim=True)
    bins = torch.linspace(-1, 1, 8, device=x.device)[None, :, None, None]
    histogram = torch.exp(-(((grey - bins) / 0.2) ** 2)).mean((2, 3))
    parts = [
        mean,
        spread,
        histogram,
        (x[:, 0] - x[:, 1]).abs().mean((1, 2))[:, None],
        (x[:, 2] - x[:, 1]).abs().mean((1, 2))[:, None],
    ]
    for scale in (1, 2, 4):
        g = F.avg_pool2d(grey, scale)
        dx, dy = g[..., 1:, 1:] - g[..., 1:, :-1], g[..., 1:, 1:] - g[..., :-1, 1:]
        for edge in (dx, dy, (dx + dy) * 0.7, (dx - dy) * 0.7):
            parts.append((edge.abs().mean((2, 3)) + 1e-3).log() * 0.5)
    parts.append(F.adaptive_avg_pool2d(grey, 2).flatten(1))
    return torch.cat(parts, 1)


def train_core(
    pictures: Pictures, photos: Path, weights: Path, steps: int, batch: int = 32, side: int = 160
) -> None:
    encoder = load(weights, "vae_encoder", nets.make_vae_encoder()).requires_grad_(False)
    decoder = load(weights, "vae_decoder", nets.make_vae_decoder()).requires_grad_(False)
    picture_decoder = load(weights, "picture_decoder", nets.make_picture_decoder()).requires_grad_(False)
    frame_encoder = load(weights, "frame_encoder", nets.make_frame_encoder()).requires_grad_(False)
    core = nets.Denoiser().to(DEVICE)
    image_encoder = nets.ImageEncoder().to(DEVICE)
    tell = nn.Linear(nets.EMBED, 32).to(DEVICE)
    frozen = (encoder, decoder, picture_decoder, frame_encoder)
    for m in [*frozen, core]:
        m.to(memory_format=torch.channels_last)
    frames = MovedFrames(pictures, encoder, 12)
    test = held_out(photos, 256, 256)
    conditioner = nets.Conditioner(nets.MotionHead(), nn.Identity(), nn.Identity()).to(DEVICE)
    features = conditioner.fps_features

    def example(n: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        x, z, grid, truth, fps = frames.batch(n, side)
        with torch.no_grad(), torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=DEVICE == "cuda"):
            warped = frame_encoder(motion.sample(picture_decoder(z).float(), grid)).float()
        return image_encoder_input(x), encoder(truth), warped, truth, fps

    with torch.no_grad():
        errors = torch.cat(
            [(target - warped) for _, target, warped, _, _ in (example(batch) for _ in range(16))]
        )
        core.sigma.copy_(errors.square().mean((0, 2, 3)).sqrt())
    print("error of the warped latents per channel:", [round(float(s), 3) for s in core.sigma], flush=True)
    rng = torch.Generator().manual_seed(13)
    noise_rng = torch.Generator(device=DEVICE).manual_seed(14)
    run = Run("core", [core, image_encoder, tell], steps, 1e-3)
    for step in run:
        small, target, warped, truth, fps = example(batch)
        t = torch.randint(0, nets.TRAIN_STEPS, (batch,), generator=rng)
        t[: batch // 8] = nets.TRAIN_STEPS - 1
        later = (torch.rand(batch, generator=rng) * (nets.TRAIN_STEPS - 1 - t)).long()
        earlier = (t + 1 + later).clamp(max=nets.TRAIN_STEPS - 1)
        # Most examples come from the model's own step at an earlier time, as in sampling.
        own = (torch.rand(batch, generator=rng) < 0.75)[:, None, None, None].to(DEVICE)
        known = (torch.rand(batch, 1, generator=rng) > 0.12).float().to(DEVICE)
        t, earlier = t.to(DEVICE), earlier.to(DEVICE)
        noise = torch.randn(target.shape, generator=noise_rng, device=DEVICE)
        sa, sr = core.coefficients(t)
        with run.autocast():
            embeds = image_encoder(small)
            context = torch.stack([embeds * known, torch.zeros_like(embeds)], 1)
            fps_emb = features(fps)
            with torch.no_grad():
                ea, er = core.coefficients(earlier)
                before = ea * target + er * noise
                guess = core.predict_x0(before, warped, ea, er, core.conditioning(earlier, fps_emb, context))
                rolled = sa * guess.float() + sr * (before - ea * guess.float()) / er
            noisy = torch.where(own & (earlier > t)[:, None, None, None], rolled, sa * target + sr * noise)
            x0 = core.predict_x0(noisy, warped, sa, sr, core.conditioning(t, fps_emb, context))
            sigma = core.sigma[None, :, None, None]
            out_scale = sigma * sr * ((sa * sigma) ** 2 + sr**2).rsqrt()
            diffusion = ((x0.float() - target) / out_scale.clamp(min=0.1 * sigma)).square().mean()
            seen, error = picture_loss(decoder(x0), truth)
        described = F.smooth_l1_loss(tell(embeds.float()), descriptors(small))
        loss = 0.3 * diffusion + seen + 0.2 * described
        first = psnr(error.detach()[: batch // 8]).mean()
        run.descend(
            loss,
            diffusion=diffusion.detach(),
            psnr=psnr(error.detach()).mean(),
            psnr_noise=first,
            described=described.detach(),
        )
        if step % 2000 == 1999 or step == steps - 1:
            evaluate_warp(test, *frozen)
            for n in (1, 6):
                evaluate_warp(test, *frozen, partial(sample, core, image_encoder, features, n))
    save(weights, unet_core=core, image_encoder=image_encoder)


@torch.no_grad()
def sample(
    core: nets.Denoiser,
    image_encoder: nets.ImageEncoder,
    features: Callable[[Tensor], Tensor],
    steps: int,
    warped: Tensor,
    photo: Tensor,
) -> Tensor:
    """DDIM with trailing timesteps, as the pipeline runs it."""
    embeds = image_encoder(image_encoder_input(photo)).expand(len(warped), -1)
    context = torch.stack([embeds, torch.zeros_like(embeds)], 1)
    fps_emb = features(torch.full((len(warped),), 16.0, device=warped.device))
    times = [round(nets.TRAIN_STEPS - i * nets.TRAIN_STEPS / steps) - 1 for i in range(steps)]
    x = torch.randn(warped.shape, generator=torch.Generator().manual_seed(1)).to(warped.device)
    for t in times:
        now = torch.full((len(warped),), t, device=warped.device)
        sa, sr = core.coefficients(now)
        x0 = core.predict_x0(x, warped, sa, sr, core.conditioning(now, fps_emb, context))
        noise = (x - sa * x0) / sr
        before = t - nets.TRAIN_STEPS // steps
        na, nr = (core.sqrt_alpha[before], core.sqrt_rest[before]) if before >= 0 else (1.0, 0.0)
        x = na * x0 + nr * noise
    return x


def main(stages: list[str], photos: Path, weights: Path, library_size: int, steps: dict[str, int]) -> None:
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    start = time.time()
    library = scenes.make_library(library_size, 0.25, photos, DEVICE, 5)
    print(f"{len(library)} pictures in {time.time() - start:.0f} s on {DEVICE}", flush=True)
    for stage in stages:
        torch.manual_seed(100 + LATENT_STAGES.index(stage))
        pictures = Pictures(library, 6 + LATENT_STAGES.index(stage))
        if stage == "vae":
            train_vae(pictures, photos, weights, steps["vae"])
        elif stage == "warp":
            train_warp(pictures, photos, weights, steps["warp"])
        else:
            train_core(pictures, photos, weights, steps["core"])
