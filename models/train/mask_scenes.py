"""Pictures with known water, foliage and sky for train_masks.py: the photographs of a pack of mask_photos.py,
and scenes composed of them.

Pictures are (n, 3, WORK, WORK) in 0 … 1, squeezed to a square as mask_net.py sees them; labels (n, WORK,
WORK) are indices of mask_photos.KINDS. Everything runs in batches on the device, since no loader keeps up
with a GPU.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mask_net import WORK
from mask_photos import FOLIAGE, NONE, SIDE, SKIP, SKY, SOFT, WATER, Labelled
from scenes import Scenes

# Views of each panorama: pictures of 90 to 110 degrees. Of its sky alone as many more.
VIEWS = 10
# Dark green, olive, brown, turquoise, blue, navy, grey, black, evening, deep.
WATERS = (
    (0.07, 0.13, 0.08),
    (0.25, 0.28, 0.10),
    (0.33, 0.25, 0.15),
    (0.20, 0.58, 0.58),
    (0.16, 0.36, 0.58),
    (0.05, 0.12, 0.24),
    (0.45, 0.48, 0.50),
    (0.04, 0.05, 0.06),
    (0.62, 0.38, 0.30),
    (0.12, 0.24, 0.20),
)
# Blue, pale, grey, white, storm, evening, dusk, night, haze.
SKIES = (
    (0.30, 0.52, 0.85),
    (0.62, 0.75, 0.90),
    (0.62, 0.63, 0.65),
    (0.93, 0.93, 0.94),
    (0.34, 0.36, 0.40),
    (0.92, 0.60, 0.42),
    (0.42, 0.34, 0.52),
    (0.05, 0.06, 0.12),
    (0.85, 0.80, 0.72),
)
# How often a picture is drawn from those with water, with other things that move, and with nothing.
DRAWN = (0.33, 0.37, 0.30)
# How many pictures are photographs as they are.
PLAIN = 0.35


class MaskScenes:
    """Endless batches from a pack's photographs."""

    def __init__(self, photos: list[Labelled], device: str, seed: int, views: int = VIEWS) -> None:
        torch.manual_seed(seed)
        self.device = device
        axis = (torch.arange(WORK, device=device) + 0.5) / WORK * 2 - 1
        self.y, self.x = axis[None, :, None], axis[None, None, :]
        pictures, labels, sizes, weights = [], [], [], []

        def add(picture: Tensor, label: Tensor, weight: float) -> None:
            """(3, h, w) in 0 … 255 and (h, w), with a margin down to SIDE × SIDE."""
            height, width = label.shape
            margin = (0, SIDE - width, 0, SIDE - height)
            pictures.append(F.pad(picture, margin))
            labels.append(F.pad(label, margin, value=SKIP))
            sizes.append((height, width))
            weights.append(weight)

        for photo in photos:
            picture = torch.from_numpy(photo.picture).permute(2, 0, 1).to(device)
            label = torch.from_numpy(photo.label).to(device)
            if not photo.panorama:
                add(picture, label, photo.times)
                continue
            for upward in (False, True) if bool((label == SKY).any()) else (False,):
                for view, its in zip(*self._views(picture, label, views, upward), strict=True):
                    add(view, its, 0.5 * photo.times / views)
        for picture in Scenes(device, seed).batch(3 * views):
            # Textures like wood and fur.
            add(
                (picture * 255).round().byte(), torch.full(picture.shape[1:], NONE, device=device).byte(), 0.2
            )
        self.pictures, self.labels = torch.stack(pictures), torch.stack(labels)
        self.sizes = torch.tensor(sizes, device=device).float()
        weight = torch.tensor(weights, device=device)
        part = torch.stack(
            [(self.labels == k).flatten(1).float().mean(1) for k in (WATER, FOLIAGE, SKY, SOFT)], 1
        )
        wet = (part[:, 0] > 0.02).float()
        moving = (part.amax(1) > 0.01).float() * (1 - wet)
        still = (1 - wet) * (1 - moving)
        self.still = weight * still
        self.weight = sum(
            share * weight * kind / (weight * kind).sum().clamp(min=1e-6)
            for share, kind in zip(DRAWN, (wet, moving, still), strict=True)
        )
        count = 16 * views
        self.waters, self.skies = self._textures(WATER, count), self._textures(SKY, count)
        self.greens = self._textures(FOLIAGE, count)

    # Draws

    def uniform(self, n: int, low: float = 0, high: float = 1) -> Tensor:
        """(n, 1, 1)"""
        return torch.rand(n, 1, 1, device=self.device) * (high - low) + low

    def normal(self, n: int, spread: float = 1) -> Tensor:
        return torch.randn(n, 1, 1, device=self.device) * spread

    def noise(self, n: int, low: float = 1.2, high: float = 2.3) -> Tensor:
        """1/f^e noise, zero mean and unit spread: (n, WORK, WORK)."""
        fy = torch.fft.fftfreq(WORK, device=self.device)[:, None]
        fx = torch.fft.rfftfreq(WORK, device=self.device)[None]
        radius = (fy**2 + fx**2).sqrt().clamp(min=1 / WORK)
        white = torch.fft.rfft2(torch.randn(n, WORK, WORK, device=self.device))
        field = torch.fft.irfft2(white * radius ** -self.uniform(n, low, high), s=(WORK, WORK))
        return (field - field.mean((1, 2), keepdim=True)) / field.std((1, 2), keepdim=True).clamp(min=1e-6)

    def colours(self, table: tuple[tuple[float, ...], ...], n: int) -> Tensor:
        """One of the table's and a little of its own: (n, 3, 1, 1)."""
        rows = torch.tensor(table, device=self.device)
        own = rows[torch.randint(len(table), (n,), device=self.device)][:, :, None, None]
        grey = torch.exp(torch.randn(n, 1, 1, 1, device=self.device) * 0.25)
        return (own * grey + torch.randn(n, 3, 1, 1, device=self.device) * 0.04).clamp(0.01, 1)

    # Photographs

    def _views(self, picture: Tensor, label: Tensor, n: int, upward: bool) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, 480, SIDE) that a camera takes inside a panorama, and their labels."""
        height, width = 480, SIDE
        turn = torch.arange(n, device=self.device)[:, None, None] / n * math.tau + self.uniform(n)
        pitch = self.uniform(n, 0.45, 0.9) if upward else self.normal(n, 0.14)
        reach = self.uniform(n, 0.9, 1.35)
        across = torch.linspace(-1, 1, width, device=self.device)[None, None] * reach
        down = torch.linspace(-1, 1, height, device=self.device)[None, :, None] * reach * height / width
        # The ray (across, down, 1), tilted up by the pitch.
        y = down * pitch.cos() - pitch.sin()
        z = down * pitch.sin() + pitch.cos()
        y, z, across = torch.broadcast_tensors(y, z, across)
        u = (torch.atan2(across, z) + turn) / math.tau
        v = torch.atan2(y, (across**2 + z**2).sqrt()) / math.pi * 2
        grid = torch.stack([(u - u.floor()) * 2 - 1, v], -1)
        seen = F.grid_sample(
            picture[None].float().expand(n, -1, -1, -1), grid, padding_mode="border", align_corners=False
        )
        its = F.grid_sample(
            label[None, None].float().expand(n, -1, -1, -1),
            grid,
            mode="nearest",
            padding_mode="border",
            align_corners=False,
        )[:, 0]
        return seen.round().byte(), its.round().byte()

    def crops(self, which: Tensor, least: float = 0.35, most: float = 1.15) -> tuple[Tensor, Tensor]:
        """Parts of the photographs `which` (n,), mirrored, turned and stretched a little."""
        n = len(which)
        height, width = self.sizes[which].T[:, :, None, None]
        share = torch.maximum(self.uniform(n, least, most), self.uniform(n, least, most)).clamp(max=1)
        ratio = torch.exp(self.normal(n, 0.22))
        h, w = (share * height / ratio.sqrt()), (share * width * ratio.sqrt())
        h, w = torch.minimum(h, height), torch.minimum(w, width)
        top, left = (height - h) * self.uniform(n), (width - w) * self.uniform(n)
        angle = self.normal(n, 0.05)
        mirror = (self.uniform(n) < 0.5).float() * 2 - 1
        dx = (self.x * angle.cos() - self.y * angle.sin()) * mirror
        dy = self.x * angle.sin() + self.y * angle.cos()
        x = (left + w / 2 * (1 + dx)).clamp(min=0.5)
        y = (top + h / 2 * (1 + dy)).clamp(min=0.5)
        x, y = torch.minimum(x, width - 0.5), torch.minimum(y, height - 0.5)
        grid = torch.stack([x, y], -1) / (SIDE / 2) - 1
        half = F.interpolate(grid.permute(0, 3, 1, 2), scale_factor=2, mode="bilinear").permute(0, 2, 3, 1)
        seen = F.grid_sample(
            self.pictures[which].float() / 255, half, padding_mode="border", align_corners=False
        )
        its = F.grid_sample(
            self.labels[which][:, None].float(),
            grid,
            mode="nearest",
            padding_mode="border",
            align_corners=False,
        )
        return F.avg_pool2d(seen, 2), its[:, 0].round().long()

    def pick(self, weight: Tensor, n: int) -> Tensor:
        return torch.multinomial(weight, n, replacement=True)

    def _textures(self, kind: int, count: int) -> Tensor:
        """Parts of photographs that show one kind and nothing else, as bytes: (≤ count, 3, WORK, WORK)."""
        weight = (self.labels == kind).flatten(1).float().mean(1) * (self.weight > 0)
        found: list[Tensor] = []
        for _ in range(6 * math.ceil(count / 16)):
            picture, label = self.crops(self.pick(weight, 16), 0.08, 0.4)
            whole = (label == kind).flatten(1).float().mean(1) > 0.96
            found.append((picture[whole] * 255).round().byte())
            if sum(len(f) for f in found) >= count:
                break
        return torch.cat(found)[:count]

    def texture(self, bank: Tensor, n: int) -> Tensor:
        picture = bank[torch.randint(len(bank), (n,), device=self.device)].float() / 255
        return torch.where(self.uniform(n)[:, None] < 0.5, picture, picture.flip(3))

    # Light and colour

    def tinted(self, picture: Tensor, table: tuple[tuple[float, ...], ...]) -> Tensor:
        """The same light and dark in another colour."""
        n = len(picture)
        light = picture.mean(1, keepdim=True)
        relative = light / light.mean((2, 3), keepdim=True).clamp(min=0.02)
        target = self.colours(table, n)
        glow = self.uniform(n, 0.4, 1.3)[:, None]
        made = (target * relative.clamp(max=6) ** glow).clamp(0, 1)
        return picture + (made - picture) * self.uniform(n, 0.5, 1)[:, None]

    def coloured(self, picture: Tensor, strong: float = 1) -> Tensor:
        """Other exposure, tint and saturation."""
        n = len(picture)
        picture = picture.clamp(1e-4, 1) ** torch.exp(self.normal(n, 0.28 * strong))[:, None]
        picture = picture * torch.exp(self.normal(n, 0.15 * strong))[:, None]
        picture = picture * (1 + torch.randn(n, 3, 1, 1, device=self.device) * 0.08 * strong)
        grey = picture.mean(1, keepdim=True)
        return (grey + (picture - grey) * self.uniform(n, 0.4, 1.5)[:, None]).clamp(0, 1)

    def developed(self, picture: Tensor) -> Tensor:
        """As another camera would have taken it: exposure, focus, noise, black and white."""
        n = len(picture)
        picture = self.coloured(picture)
        grey = picture.mean(1, keepdim=True)
        picture = torch.where(self.uniform(n)[:, None] < 0.06, grey.expand_as(picture), picture)
        padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
        soft = F.avg_pool2d(padded, 3, 1)
        focus = self.uniform(n, -1.2, 1.0)[:, None] * (self.uniform(n)[:, None] < 0.6).float()
        picture = picture + (soft - picture) * focus
        grain = (self.uniform(n) < 0.35).float() * self.uniform(n, 0, 0.05)
        return (picture + torch.randn_like(picture) * grain[:, None]).clamp(0, 1)

    # Scenes

    def sky(self, n: int) -> Tensor:
        """Gradients, mostly with clouds, and skies of photographs in other colours."""
        top = self.colours(SKIES, n)
        low = torch.where(self.uniform(n)[:, None] < 0.5, self.colours(SKIES, n), top * 0.5 + 0.5)
        y = ((self.y + 1) / 2) ** self.uniform(n, 0.5, 2)
        made = top + (low - top) * y[:, None]
        field = self.noise(n, 1.5, 2.3)
        # Clouds are wider than high.
        field = F.interpolate(field[:, None, :, : WORK // 2], size=(WORK, WORK), mode="bilinear")
        cover = torch.sigmoid((field - self.uniform(n, -0.5, 1.5)[:, None]) * self.uniform(n, 1, 4)[:, None])
        cloud = self.uniform(n, 0.35, 1)[:, None]
        made = made + (cloud - made) * cover * self.uniform(n, 0, 1)[:, None]
        real = self.tinted(self.texture(self.skies, n), SKIES)
        real = torch.where(self.uniform(n)[:, None] < 0.5, self.texture(self.skies, n), real)
        return torch.where(self.uniform(n)[:, None] < 0.45, made, real).clamp(0, 1)

    def metal(self, n: int) -> Tensor:
        """What only looks like water or sky: polished sheets, tubes, glass and folded paper."""
        turn = torch.atan2(self.y + self.normal(n, 0.4), self.x + self.normal(n, 0.4))
        far = ((self.y + self.normal(n, 0.3)) ** 2 + (self.x + self.normal(n, 0.3)) ** 2).sqrt()
        angle = self.uniform(n, 0, math.pi)
        line = self.x * angle.cos() + self.y * angle.sin()
        round_ = (self.uniform(n) < 0.5).float()
        arms = (self.uniform(n, 0, 4)).round()
        phase = round_ * (far * self.uniform(n, 8, 50) + arms * turn) + (1 - round_) * line * self.uniform(
            n, 6, 60
        )
        phase = phase + self.noise(n, 2.2, 2.8) * self.uniform(n, 0, 2.5)
        sharp = self.uniform(n, 0.3, 4)
        shade = 0.5 + 0.5 * torch.tanh(phase.sin() * sharp) / torch.tanh(sharp)
        shine = (0.5 + 0.5 * (phase * 0.5 + self.normal(n)).sin()) ** self.uniform(n, 4, 30)
        dark, light = (torch.rand(n, 3, 1, 1, device=self.device) for _ in range(2))
        grey = self.uniform(n)[:, None]
        dark = (dark * grey + dark.mean(1, keepdim=True) * (1 - grey)) * 0.5
        light = light * grey + light.mean(1, keepdim=True) * (1 - grey)
        made = dark + (light - dark) * shade[:, None] + shine[:, None] * self.uniform(n, 0, 0.8)[:, None]
        return (made + self.noise(n)[:, None] * self.uniform(n, 0, 0.04)[:, None]).clamp(0, 1)

    def cloth(self, n: int) -> tuple[Tensor, Tensor]:
        """Flags and curtains: stripes or one colour in folds, and where they are (n, WORK, WORK)."""
        lean = self.normal(n, 0.5)
        along = self.x + lean * self.y + 0.15 * self.noise(n, 2, 2.6)
        folds = (along * self.uniform(n, 8, 26) + self.normal(n, 3)).sin()
        folds = folds * (0.6 + 0.4 * self.noise(n, 1.8, 2.4).clamp(-1.5, 1.5))
        across = self.y - 0.5 * lean * self.x + 0.05 * folds
        stripes = (across * self.uniform(n, 4, 26)).sin() > self.uniform(n, -0.8, 1.2)
        one, other = (torch.rand(n, 3, 1, 1, device=self.device) for _ in range(2))
        one = 0.3 * one.mean(1, keepdim=True) + 0.7 * one
        made = torch.where(stripes[:, None], one, other) * (0.75 + 0.3 * folds[:, None])
        half_w, half_h = self.uniform(n, 0.15, 0.6), self.uniform(n, 0.15, 0.7)
        x0, y0 = self.uniform(n, -0.9, 0.9), self.uniform(n, -0.8, 0.5)
        wavy = 0.05 * folds
        inside = ((self.x - x0 + wavy).abs() < half_w) & ((self.y - y0 + wavy).abs() < half_h)
        return made.clamp(0, 1), inside

    def mirrored(self, picture: Tensor, line: Tensor) -> Tensor:
        """What lies above the line (n, 1, 1), upside down below it, in ripples."""
        n = len(picture)
        below = (self.y - line).clamp(min=0)
        near = below / (1 - line).clamp(min=0.1)
        stretch = torch.exp(self.normal(n, 0.25))
        wave = self.noise(n, 1.0, 1.8) * self.uniform(n, 0, 0.12) * (0.2 + near)
        y = line - below * stretch + wave
        y = torch.where(y < -1, -2 - y, y)
        x = (self.x + 0.4 * wave).expand_as(y)
        made = F.grid_sample(picture, torch.stack([x, y], -1), padding_mode="reflection", align_corners=False)
        deep = self.colours(WATERS, n)
        made = made + (deep - made) * (self.uniform(n, 0, 0.5) + self.uniform(n, 0, 0.5) * near)[:, None]
        return (made * self.uniform(n, 0.55, 1)[:, None]).clamp(0, 1)

    def batch(self, n: int) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, WORK, WORK) in -1 … 1 and labels (n, WORK, WORK)."""
        picture, label = self.crops(self.pick(self.weight, n))
        plain = self.uniform(n) < PLAIN

        def chosen(share: float) -> Tensor:
            return (self.uniform(n) < share) & ~plain

        def put(new: Tensor, where: Tensor, kind: int | Tensor) -> None:
            nonlocal picture, label
            picture = torch.where(where[:, None], new, picture)
            label = torch.where(where, torch.as_tensor(kind, device=self.device), label)

        # Each kind in colours of its own, so that no colour alone says what a thing is.
        wild = torch.randn(n, 3, 3, device=self.device) * 0.3 + torch.eye(3, device=self.device) * 0.6
        wild = torch.einsum("nij,njhw->nihw", wild / wild.sum(2, keepdim=True).clamp(min=0.4), picture).clamp(
            0, 1
        )
        for kind, other, share in (
            (NONE, wild, 0.2),
            (NONE, self.coloured(picture, 1.5), 0.3),
            (WATER, self.tinted(picture, WATERS), 0.45),
            (SKY, self.tinted(picture, SKIES), 0.3),
            (FOLIAGE, self.coloured(picture, 1.2), 0.4),
            (SOFT, self.coloured(picture, 1.2), 0.4),
        ):
            put(other, (label == kind) & chosen(share), kind)
        put(self.sky(n), (label == SKY) & chosen(0.4), SKY)
        # Other water where water is.
        water = self.texture(self.waters, n)
        water = torch.where(chosen(0.6)[:, None], self.tinted(water, WATERS), water)
        put(water, (label == WATER) & chosen(0.25), WATER)
        # A shore or a meadow with a straight or uneven border, and the sky above a skyline.
        line = self.uniform(n, -0.5, 0.75)
        uneven = self.noise(n, 1.8, 2.4)[:, :1] * self.uniform(n, 0, 0.12) * chosen(0.6).float()
        below = self.y > line + uneven
        reflection = self.mirrored(picture, line)
        ground = torch.where(chosen(0.5)[:, None], reflection, water)
        put(ground, below & chosen(0.3), WATER)
        put(self.texture(self.greens, n), below & chosen(0.08), FOLIAGE)
        block = self.noise(n, 1.6, 2.2)[:, :1]
        steps = F.interpolate(block[:, :, ::20], size=WORK, mode="nearest")
        skyline = torch.where(chosen(0.5), block, steps) * self.uniform(n, 0, 0.2)
        put(self.sky(n), (self.y < self.uniform(n, -0.7, 0.5) + skyline) & chosen(0.13), SKY)
        # Other pictures in patches, and things in front.
        other, its = self.crops(self.pick(self.weight, n), 0.25)
        put(other, (self.noise(n, 1.8, 2.4) > self.uniform(n, -0.3, 1.2)) & chosen(0.12), its)
        thing, its = self.crops(self.pick(self.still, n), 0.15)
        thing = torch.where(chosen(0.25)[:, None], self.metal(n), self.coloured(thing, 1.5))
        for _ in range(2):
            x0, y0 = self.uniform(n, -1, 1), self.uniform(n, -0.8, 1)
            w, h = self.uniform(n, 0.06, 0.5), self.uniform(n, 0.1, 0.7)
            u, v = (self.x - x0) / w, (self.y - y0) / h
            power = torch.where(chosen(0.5), 2.0, 8.0)
            shape = u.abs() ** power + v.abs() ** power + 0.15 * self.noise(n, 1.8, 2.4) < 1
            put(thing, shape & chosen(0.3), NONE)
        flag, inside = self.cloth(n)
        put(flag, inside & chosen(0.1), SOFT)
        put(self.metal(n), chosen(0.05).expand_as(label), NONE)
        return self.developed(picture) * 2 - 1, label
