"""GiB of the card that diffusers takes for Stable Video Diffusion, in a process that has done nothing else.

    python diffusers_memory.py ...    with the arguments of verify_svd.py

Prints one JSON object, with the names of gpu_sessions.py. As there, a measurement has on the card what it
needs and nothing else, and CUDA's context and what the allocator keeps count.
"""

import json
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

import verify_svd
from gpu_sessions import used_gib
from measuring import DEVICE, give_back


def main() -> None:
    args = verify_svd.parse()
    before = used_gib()
    verification = verify_svd.Verification(*verify_svd.models_of(args), args.pack, args)
    unet, vae, encoder = verification.unet, verification.vae, verification.pipe.image_encoder
    verification.pipe.to("cpu")
    result = {}

    def take(key: str, modules: list[nn.Module], work: Callable[[], object]) -> None:
        give_back()
        for module in modules:
            module.to(DEVICE)
        work()
        result[key] = {"usedGiB": round(used_gib() - before, 2)}
        for module in modules:
            module.to("cpu")

    def step(size: tuple[int, int, int]) -> None:
        verify_svd.Eager(unet, verify_svd.make_inputs(unet.config, size, 2), unet.dtype)()

    sizes = {text: verify_svd.parse_size(text) for text in args.sizes.split(",")}
    name, (width, height, _) = next(iter(sizes.items()))
    for n in verify_svd.MEMORY_WINDOWS:
        latent = torch.randn(n, 4, height // 8, width // 8)
        take(f"{name}, decoder {n} frames", [vae], partial(verification.decode_eagerly, latent))
    for text, size in sizes.items():
        take(f"{text}, 2 rows", [unet], partial(step, size))
        take(f"{text}, job", [unet, vae, encoder], partial(verification.their_job, size, 1))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
