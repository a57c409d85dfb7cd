"""Exports Stable Video Diffusion: image encoder, VAE and the UNet in two parts. It reads no text."""

import copy
import gc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    UNetSpatioTemporalConditionModel,
)
from diffusers.models.attention_processor import Attention
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

import checkpoint as looks
import fusions
import graphs
import svd_fused
import svd_graphs
from branch import branch_by_rows
from family import Family
from fused import PACKED_TOKENS
from image_encoder import export_image_encoder_of
from lora import fuse_lora
from manifest import write_json
from onnx_files import count_nodes, save_fused, save_graph, trace_fused, write_fused
from options import Options
from precision import as_weights, vae_scale_factor
from progress import step
from rewrite import OnnxAttention

# Only these levels: from sigma_max to sigma_min by Karras, whose timesteps are no whole numbers. With them
# betas, spacing and offset have no influence.
SCHEDULER_VALUES: dict[str, tuple[object, ...]] = {
    "_class_name": ("EulerDiscreteScheduler",),
    "prediction_type": ("v_prediction",),
    "timestep_type": ("continuous",),
    "use_karras_sigmas": (True,),
    "interpolation_type": ("linear",),
    "final_sigmas_type": ("zero",),
    "rescale_betas_zero_snr": (False,),
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
    "trained_betas": (),
}


# Stable Video Diffusion was trained at 1024x576.
SVD_LIMITS: dict[str, Any] = {
    "side": {"min": 256, "max": 1024},
    "pixels": {"min": 256 * 256, "max": 1024 * 576},
    "numInferenceSteps": {"min": 1, "max": 100},
    "guidanceScale": {"min": 1, "max": 6},
    "targetFps": {"min": 5, "max": 30},
    "motionBucket": {"min": 1, "max": 255},
    "noiseAug": {"min": 0, "max": 0.5},
}


def card_of(trained_frames: int) -> dict[str, Any]:
    """Of img2vid with 14 frames, or of img2vid-xt with 25: no more than a model was trained with."""
    is_xt = trained_frames > 14
    guidance = 3 if is_xt else 2.5
    presets: dict[str, dict[str, Any]] = {
        "fast": {"size": 512, "numFrames": 14, "numInferenceSteps": 20, "guidanceScale": guidance},
        "standard": {"size": 640, "numFrames": 25, "numInferenceSteps": 25, "guidanceScale": guidance},
        "high": {"size": 768, "numFrames": 25, "numInferenceSteps": 30, "guidanceScale": guidance},
        "creative": {
            **{"size": 640, "numFrames": 25, "numInferenceSteps": 25, "guidanceScale": 2.5},
            "motion": "high",
        },
    }
    for values in presets.values():
        values["numFrames"] = min(values["numFrames"], trained_frames)
    name = "img2vid-xt" if is_xt else "img2vid"
    return {
        "id": "svd-xt" if is_xt else "svd",
        "title": "Stable Video Diffusion XT" if is_xt else "Stable Video Diffusion",
        "family": "svd",
        "licence": "Weights: Stability AI Community License (see models/README.md)",
        "source": f"stabilityai/stable-video-diffusion-{name}, exported from its diffusers checkpoint",
        # The licence wants it shown wherever people use the model.
        "attribution": "Powered by Stability AI",
        "sizeMultiple": 64,
        "limits": {**SVD_LIMITS, "numFrames": {"min": 8, "max": trained_frames}},
        # Not calibrated: 127 is usual, and diffusers' guide shows 180 for more motion.
        "motionBuckets": {"low": 60, "medium": 127, "high": 180},
        "defaults": {
            "scheduler": "euler",
            "fps": 7,
            "targetFps": 7,
            "noiseAug": 0.02,
            "minGuidance": 1,
            "decodeChunkSize": 7,
            "decodeOverlap": 2,
        },
        "presets": presets,
    }


def animate_lcm_card_of(svd: dict[str, Any]) -> dict[str, Any]:
    """Of a UNet of AnimateLCM-SVD in the pack that `svd` describes: few steps, hardly any guidance."""
    few = {"fast": 4, "standard": 4, "high": 8, "creative": 6}
    return {
        **svd,
        "id": f"animatelcm-{svd['id']}",
        "title": f"AnimateLCM with {svd['title']}",
        "source": f"AnimateLCM-SVD, with all but the UNet of {svd['source']}",
        "limits": {**svd["limits"], "numInferenceSteps": {"min": 1, "max": 20}},
        "motionBuckets": {**svd["motionBuckets"], "medium": 80},
        "defaults": {**svd["defaults"], "scheduler": "lcm", "fps": 8},
        "presets": {
            name: {**values, "numInferenceSteps": few[name], "guidanceScale": 1.2}
            for name, values in svd["presets"].items()
        },
    }


def check(found: looks.Checkpoint, options: Options) -> None:
    raw = EulerDiscreteScheduler.load_config(found.name, subfolder="scheduler")
    looks.check_scheduler(found.name, {"_class_name": raw.get("_class_name")}, SCHEDULER_VALUES)
    # With the class's own values where the file has none: they are no Karras levels.
    config = dict(EulerDiscreteScheduler.from_config(raw).config)
    looks.check_scheduler(found.name, config, SCHEDULER_VALUES)
    if not (config["sigma_min"] and config["sigma_max"] and 0 < config["sigma_min"] < config["sigma_max"]):
        raise SystemExit(f"{found.name}: the scheduler names no sigma_min below its sigma_max")
    if options.tensorrt_sizes:
        raise SystemExit(
            "--tensorrt-context is for I2VGen-XL; export Stable Video Diffusion with --flavour cuda"
        )
    if options.unet_file and not options.unet_file.is_file():
        raise SystemExit(f"there is no file {options.unet_file}")


def card(checkpoint: str, options: Options) -> dict[str, Any]:
    config = UNetSpatioTemporalConditionModel.load_config(checkpoint, subfolder="unet")
    described = card_of(config["num_frames"])
    return animate_lcm_card_of(described) if options.unet_file else described


def write(checkpoint: str, out: Path, variant: str | None, options: Options) -> dict:
    """Returns the manifest's `architecture`."""
    weights = {"torch_dtype": torch.float32, "variant": variant, "low_cpu_mem_usage": False}

    scheduler = dict(EulerDiscreteScheduler.load_config(checkpoint, subfolder="scheduler"))
    write_json(out / "scheduler" / "scheduler_config.json", scheduler)

    # The UNet first: if it cannot be fused, the export stops early.
    with step("unet: reading the weights"):
        if options.unet_file:
            unet = unet_of_file(checkpoint, options.unet_file)
        else:
            unet = UNetSpatioTemporalConditionModel.from_pretrained(checkpoint, subfolder="unet", **weights)
    for lora in options.loras:
        fuse_lora(unet, lora)
    trained_frames = unet.config.num_frames
    export_unet(unet.eval(), out, options)
    del unet
    gc.collect()

    with step("vae: reading the weights"):
        vae = AutoencoderKLTemporalDecoder.from_pretrained(checkpoint, subfolder="vae", **weights).eval()
    vae_config = vae.config
    export_vae(vae, out, options)
    del vae
    gc.collect()

    return {
        "latentChannels": vae_config.latent_channels,
        "vaeScaleFactor": vae_scale_factor(vae_config),
        "vaeScalingFactor": vae_config.scaling_factor,
        "trainedFrames": trained_frames,
        **export_image_encoder_of(checkpoint, out, variant, options),
    }


def unet_of_file(checkpoint: str, file: Path) -> UNetSpatioTemporalConditionModel:
    """The checkpoint's UNet with the weights of a safetensors file. Raises SystemExit if they do not fit."""
    try:
        weights = load_file(file)
    except SafetensorError as error:
        raise SystemExit(f"{file} is no safetensors file: {error}") from None
    config = UNetSpatioTemporalConditionModel.load_config(checkpoint, subfolder="unet")
    with torch.device("meta"):
        unet = UNetSpatioTemporalConditionModel.from_config(config)
    expected = {name: value.shape for name, value in unet.state_dict().items()}
    other = [name for name in expected.keys() | weights.keys() if name not in expected or name not in weights]
    other += [name for name, value in weights.items() if name in expected and value.shape != expected[name]]
    if other:
        raise SystemExit(
            f"{file} is no UNet of this checkpoint: {len(other)} weights differ, {min(other)} for one"
        )
    unet.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return unet.requires_grad_(False)


# Free dimensions of tensors that all rows share; their batch dimension is fixed to 1.
LATENTS = {2: "frames", 3: "latent_height", 4: "latent_width"}
COND_NAMES = ("added_time_ids", "image_embeddings", "frame_index")
COND_OUTPUTS = ("cond_emb", "context", "positions")


@torch.no_grad()
def reference_sample(unet: UNetSpatioTemporalConditionModel, inputs: dict) -> Tensor:
    """The reference for unet_cond and unet_core together: the untouched UNet predicts for every row, and the
    sample and the predictions are summed with the factors, which are given for each frame, as weights.
    """
    sample, pictures, factors = inputs["sample"], inputs["image_latents"], inputs["factors"]
    rows, num_frames = len(pictures), sample.shape[2]
    noisy = sample.transpose(1, 2).expand(rows, -1, -1, -1, -1)
    joined = torch.cat([noisy, pictures[:, None].expand(-1, num_frames, -1, -1, -1)], dim=2)
    predictions = unet(
        as_weights(joined, unet),
        inputs["timestep"].to(unet.device),
        as_weights(inputs["image_embeddings"], unet),
        as_weights(inputs["added_time_ids"], unet).expand(rows, -1),
    ).sample
    predictions = predictions.float().cpu().transpose(1, 2)
    return svd_graphs.combine(sample, predictions, factors)


def unet_case(
    config: dict, batch: int, num_frames: int, height: int, width: int, timestep: float
) -> dict[str, Tensor]:
    """Random inputs of unet_cond and unet_core."""
    channels = config["out_channels"]
    return {
        "added_time_ids": torch.tensor([[6.0, 120.0 + batch, 0.02 * num_frames]]),
        "image_embeddings": torch.randn(batch, 1, config["cross_attention_dim"]),
        "frame_index": torch.arange(num_frames, dtype=torch.float32),
        "sample": torch.randn(1, channels, num_frames, height, width),
        "timestep": torch.tensor([timestep]),
        "image_latents": torch.randn(batch, channels, height, width),
        # The predictions' factors are above 1, so that their errors are not scaled down.
        "factors": torch.cat([torch.randn(1, num_frames), 1 + torch.rand(batch, num_frames)]),
    }


def export_unet(unet: UNetSpatioTemporalConditionModel, out: Path, options: Options) -> None:
    """The reference is the untouched UNet; the graphs are checked as the pair that Kinora runs."""
    unet.to(options.device)
    cases = []
    for case in ((1, 3, 8, 16, 1.6), (2, 5, 24, 16, -1.2)):
        inputs = unet_case(unet.config, *case)
        with step(f"unet: computing what {case[1]} frames should give"):
            cases.append((inputs, {"out_sample": reference_sample(unet, inputs)}))
    # In float32 in every flavour: it runs once per clip.
    cond = copy.deepcopy(svd_graphs.UnetCond(unet)).float().cpu().eval()
    cond_inputs = {name: cases[1][0][name] for name in COND_NAMES}
    with torch.no_grad():
        outputs = dict(zip(COND_OUTPUTS, cond(**cond_inputs), strict=True))
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in ("image_embeddings", "context")}
    axes |= {"frame_index": {0: "frames"}, "positions": {1: "frames"}}
    save_graph(cond, [(cond_inputs, outputs)], out / "unet_cond", axes)
    del cond

    before = {name: cases[1][0][name] for name in ("sample", "timestep", "image_latents")}
    core_inputs = {**before, **outputs, "factors": cases[1][0]["factors"]}
    axes = {"sample": LATENTS, "out_sample": LATENTS, "context": {0: "batch"}, "positions": {1: "frames"}}
    axes |= {"image_latents": {0: "batch", 2: "latent_height", 3: "latent_width"}}
    axes |= {"factors": {0: "factors", 1: "frames"}}
    export = export_fused_core if options.is_cuda else export_core
    export(unet, core_inputs, axes, out, options)
    options.check(out, cases, ["unet_cond", "unet_core"])
    if options.deepcache:
        # With the features of the same step, the shallow core must give what the whole one gives.
        options.check(out, cases, ["unet_cond", "unet_core", "unet_shallow"])


def export_core(
    unet: UNetSpatioTemporalConditionModel, inputs: dict, axes: dict, out: Path, options: Options
) -> None:
    core = svd_graphs.UnetCore(unet).eval()
    if options.deepcache:
        axes = {**axes, "deep_features": {0: "batch_frames", 2: "latent_height", 3: "latent_width"}}
        whole = graphs.UnetCoreDeep(core).eval()
        with torch.no_grad():
            outputs = dict(zip(("out_sample", "deep_features"), whole(*inputs.values()), strict=True))
        save_graph(whole, [(inputs, outputs)], out / "unet_core", axes)
        inputs = {**inputs, "deep_features": outputs["deep_features"]}
        shallow = svd_graphs.UnetShallow(core).eval()
        save_graph(shallow, [(inputs, {"out_sample": None})], out / "unet_shallow", axes)
    else:
        save_graph(core, [(inputs, {"out_sample": None})], out / "unet_core", axes)
    found, expected = count_nodes(out / "unet_core", "MultiHeadAttention"), self_attentions(unet)
    if found != expected:
        raise SystemExit(f"unet: {found} MultiHeadAttention nodes instead of {expected}")


def export_fused_core(
    unet: UNetSpatioTemporalConditionModel, inputs: dict, axes: dict, out: Path, options: Options
) -> None:
    expected, of_shallow = expected_of_core(unet), expected_of_shallow(unet)
    core = svd_fused.UnetCore(unet.to(options.dtype), options.dtype).eval()
    module: torch.nn.Module = core
    outputs = ["out_sample"]
    if options.deepcache:
        axes = {**axes, "deep_features": {0: "batch_frames", 1: "latent_height", 2: "latent_width"}}
        module, outputs = graphs.UnetCoreDeep(core), ["out_sample", "deep_features"]
    # Small inputs: the trace does not depend on sizes.
    small = {"sample": np.s_[:, :, :2, :8, :8], "image_latents": np.s_[:, :, :8, :8]}
    small |= {"positions": np.s_[:, :2], "factors": np.s_[:, :2]}
    inputs = {name: value[small.get(name, ...)].contiguous() for name, value in inputs.items()}
    inputs = {name: value.to(core.freqs.device) for name, value in inputs.items()}
    # It does depend on the number of rows.
    single = {"image_latents": np.s_[:1], "context": np.s_[:1], "factors": np.s_[:2]}
    row = {name: value[single.get(name, ...)].contiguous() for name, value in inputs.items()}
    with step("unet_core: tracing and writing"):
        two, one = (trace_fused(module, values, outputs, axes) for values in (inputs, row))
        write_fused(branch_by_rows(two, one, "context"), module.state_dict(), out / "unet_core")
    options.count(out / "unet_core", expected)
    if options.deepcache:
        with torch.no_grad():
            inputs = {**inputs, "deep_features": module(*inputs.values())[1]}
        save_fused(svd_fused.UnetShallow(core), inputs, ["out_sample"], out / "unet_shallow", axes)
        options.count(out / "unet_shallow", of_shallow)


def expected_of_core(unet: UNetSpatioTemporalConditionModel) -> Counter:
    """The smallest number of each row of fusions.ROWS that the untouched UNet should give."""
    # The number of positions may be odd at the lowest resolution.
    higher = [*unet.down_blocks[:-1], *unet.up_blocks[1:]]
    packed = sum(len(getattr(block, "attentions", [])) for block in higher)
    layers = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    return expected_of_layers(unet, layers, len(svd_graphs.transformers_of(unet)), packed)


def expected_of_shallow(unet: UNetSpatioTemporalConditionModel) -> Counter:
    """The same of the shallow core, which has the last layer alone."""
    last = unet.up_blocks[-1]
    transformers = getattr(last, "attentions", [])[-1:]
    layers = [last.resnets[-1], *transformers]
    return expected_of_layers(unet, layers, len(transformers), len(transformers))


def expected_of_layers(
    unet: UNetSpatioTemporalConditionModel, layers: list[torch.nn.Module], transformers: int, packed: int
) -> Counter:
    """Of layers between the first and the last convolution, with so many transformers in them, of which
    `packed` may have several positions a sequence.
    """
    expected = fusions.expected_of([unet.conv_in, *layers, unet.conv_norm_out, unet.conv_out])
    # Of the cross-attentions and the norms before them nothing is left; conv_in is two.
    expected["MultiHeadAttention"] = 2 * transformers
    if 2 * unet.config.num_frames <= PACKED_TOKENS:
        expected["packed attention"] = packed
    expected["SkipLayerNorm"] -= 2 * transformers
    expected["BiasAdd"] = 0  # the biases of feed-forwards are in the Linear after them
    expected["NhwcConv"] += 1
    return expected


def self_attentions(unet: UNetSpatioTemporalConditionModel) -> int:
    """Those over space and over time. The cross-attentions are no attentions in a pack."""
    return 2 * len(svd_graphs.transformers_of(unet))


def export_vae(vae: AutoencoderKLTemporalDecoder, out: Path, options: Options) -> None:
    """The encoder is float32 in every flavour, as in the pipeline of diffusers: it overflows FP16."""
    channels, factor = vae.config.latent_channels, vae_scale_factor(vae.config)
    encoder_cases, decoder_cases = [], []
    for n, height, width in ((1, 8, 8), (3, 16, 24)):
        sample = torch.rand(1, 3, height * factor, width * factor) * 2 - 1
        latent = torch.randn(n, channels, height, width) / vae.config.scaling_factor
        with torch.no_grad():
            moments = vae.encode(as_weights(sample, vae)).latent_dist.parameters
            encoder_cases.append(({"sample": sample}, {"moments": moments.float()}))
            decoded = vae.decode(as_weights(latent, vae), num_frames=n).sample
            decoder_cases.append(({"latent": latent}, {"sample": decoded.float()}))
    for module in vae.modules():
        if isinstance(module, Attention):
            module.set_processor(OnnxAttention())
    save_graph(
        graphs.VaeEncoder(vae).float().cpu().eval(), encoder_cases, out / "vae_encoder", graphs.ENCODER_AXES
    )
    if options.is_cuda:
        expected = fusions.expected_of([vae.decoder])
        vae.decoder.to(options.dtype)
        decoder = svd_fused.VaeDecoder(vae, options.dtype).eval()
        inputs = {"latent": torch.rand(2, channels, 4, 6)}
        save_fused(decoder, inputs, graphs.DECODER_OUTPUTS, out / "vae_decoder", graphs.DECODER_AXES)
        options.count(out / "vae_decoder", expected)
    else:
        decoder = svd_graphs.VaeDecoder(vae).eval()
        save_graph(decoder, decoder_cases, out / "vae_decoder", graphs.DECODER_AXES, graphs.DECODER_OUTPUTS)
    options.check(out, encoder_cases, ["vae_encoder"])
    options.check(out, decoder_cases, ["vae_decoder"])


FAMILY = Family(
    title="Stable Video Diffusion",
    pipeline="StableVideoDiffusionPipeline",
    parts=("unet", "vae", "image_encoder"),
    check=check,
    card=card,
    write=write,
)
