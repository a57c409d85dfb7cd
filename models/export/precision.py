"""Modules and tensors in the precision of a pack, and its scale."""

from diffusers.configuration_utils import FrozenDict
from torch import Tensor, nn

from options import Options


class Half(nn.Module):
    """A module that computes in FP16 between float32 inputs and outputs. Integers pass as they are."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.half()

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.module(*(x.half() if x.is_floating_point() else x for x in inputs)).float()


def in_precision(module: nn.Module, options: Options) -> nn.Module:
    return (Half(module) if options.is_half else module).eval()


def as_weights(value: Tensor, module: nn.Module) -> Tensor:
    """The value on the module's device, and in its precision unless it is an integer."""
    weight = next(module.parameters())
    return value.to(weight.device, weight.dtype if value.is_floating_point() else value.dtype)


def vae_scale_factor(config: FrozenDict) -> int:
    """Pixels per latent cell and side."""
    return 2 ** (len(config.block_out_channels) - 1)
