"""Exports an I2VGen-XL checkpoint of diffusers into a Kinora model pack.

    python export.py CHECKPOINT OUT [--flavour plain|cuda] [--lora FILE[:SCALE]] [--deepcache] [--id ID]
    [--title TITLE]
                     [--licence TEXT] [--source TEXT] [--variant fp16] [--tensorrt-context WxHxF]

CHECKPOINT is a folder or the id of a repository on the Hugging Face hub. A `plain` pack holds float32 ONNX
graphs (opset 17 and com.microsoft.MultiHeadAttention) that run on every execution provider. A `cuda` pack
holds FP16 graphs made of ONNX Runtime's fused CUDA operators, with float32 inputs and outputs; the export
prints how many of each it got, and refuses to go on when the model's modules let one expect more
(--allow-unfused goes on and says so).

Each graph is run in ONNX Runtime at two different sizes, frame counts and batches and compared with PyTorch
before the manifest is written: on the GPU where there is one, otherwise on the CPU, for which the fusions are
undone (lower.py). Above 1e-4 (FP16: 1e-2 relative) the export fails.

Checkpoint, memory and disk are looked at first. The pack is written to OUT/.part and moved up when it is
whole, so an export that fails leaves nothing; what a kill leaves, the next try removes.
"""

import argparse
import copy
import errno
import fcntl
import gc
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

try:
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, DiffusionPipeline, I2VGenXLUNet
    from diffusers.configuration_utils import FrozenDict
    from diffusers.models.attention_processor import Attention
    from torch import Tensor, nn
    from transformers import (
        CLIPImageProcessor,
        CLIPTextModel,
        CLIPTokenizerFast,
        CLIPVisionModelWithProjection,
    )
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error.name} is not installed: pip install -r models/export/requirements.txt"
    ) from None

import checkpoint as looks
import fused
import fusions
import graphs
from lora import fuse_lora
from manifest import I2VGEN_XL, write_json, write_manifest
from onnx_files import check, count_nodes, save_fused, save_graph
from progress import step
from rewrite import OnnxAttention, attention_nodes, rewrite_unet, rewrite_vae
from tensorrt_context import Size, compile_pack, limits_within, require_tensorrt

TOLERANCE = 1e-4
HALF_TOLERANCE = 1e-2


@dataclass
class Options:
    """What kind of pack to write."""

    flavour: str = "plain"
    # Precision of the fused graphs. float32 is for exact comparison in tests.
    dtype: torch.dtype = torch.float16
    # "FILE" or "FILE:SCALE", fused into the UNet's weights in this order.
    loras: list[str] = field(default_factory=list)
    # Whether the core also gives deep_features, with a second core that takes them.
    deepcache: bool = False
    allow_unfused: bool = False
    # Sizes for which TensorRT compiles the finished plain pack, on this machine's GPU.
    tensorrt_sizes: list[Size] = field(default_factory=list)
    # Whether each graph is run and compared with PyTorch.
    checks: bool = True
    device: str = "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def is_cuda(self) -> bool:
        return self.flavour == "cuda"

    @property
    def is_half(self) -> bool:
        return self.is_cuda and self.dtype == torch.float16

    def check(self, out: Path, cases: list, names: list[str]) -> None:
        if self.checks:
            check(out, cases, names, HALF_TOLERANCE if self.is_half else TOLERANCE, relative=self.is_half)

    def count(self, folder: Path, expected: Counter) -> None:
        """Prints the table of fusions. Raises SystemExit if some were lost and allow_unfused is not set."""
        lost = fusions.compare(folder.name, fusions.count(folder / "model.onnx"), expected)
        if lost and not self.allow_unfused:
            raise SystemExit(
                "fusions were lost: " + "; ".join(lost) + " (--allow-unfused exports all the same)"
            )


def export_pack(
    checkpoint: str, out: Path, card: dict, variant: str | None = None, options: Options | None = None
) -> None:
    """Writes the whole pack to `out`, which must be empty or absent. Raises SystemExit when the checkpoint
    cannot be used, when there is no room for it, and when a graph is not equal.
    """
    options = options or Options()
    with step(f"{checkpoint}: looking at it"):
        check_checkpoint(checkpoint, out, variant, options)
    with new_folder(out) as folder:
        architecture = write_pack(checkpoint, folder, card, variant, options)
    if options.tensorrt_sizes:
        add_engines(out, card, architecture, options.tensorrt_sizes)
    total = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    print(f"{out}: {total / 1e6:.1f} MB")


def add_engines(pack: Path, card: dict, architecture: dict, sizes: list[Size]) -> None:
    """Compiles a plain pack for TensorRT. One that cannot be compiled stays as it is."""
    try:
        requires = compile_pack(pack, sizes, architecture["vaeScaleFactor"])
    except SystemExit as error:
        raise SystemExit(f"{error}; {pack} is a whole pack without engines") from None
    card = {**card, "limits": limits_within(card["limits"], sizes)}
    write_manifest(pack, flavour="plain", architecture=architecture, card=card, requires=requires)


def check_checkpoint(checkpoint: str, out: Path, variant: str | None, options: Options) -> None:
    found = looks.find(checkpoint)
    looks.check_files(found)
    model_index = dict(DiffusionPipeline.load_config(checkpoint))
    if model_index.get("_class_name") != "I2VGenXLPipeline":
        raise SystemExit(f"{checkpoint} holds a {model_index.get('_class_name')}, not an I2VGenXLPipeline")
    looks.check_scheduler(checkpoint, dict(DDIMScheduler.load_config(checkpoint, subfolder="scheduler")))
    looks.check_room(found, out, variant, options.is_half)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder whose contents are moved to `out` at the end, or removed. It lies in `out`, which may be a
    disk of its own. Removes what an export that was killed left there.
    """
    part = out / ".part"
    if out.exists() and any(path != part for path in out.iterdir()):
        is_pack = (out / "kinora.json").exists()
        raise SystemExit(
            f"{out} is not empty" + ("" if is_pack else ", and what is in it is no pack: delete it")
        )
    is_new = not out.exists() or part.exists()
    part.mkdir(parents=True, exist_ok=True)
    with (part / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another export is writing {out}") from None
        try:
            shutil.rmtree(part / "pack", ignore_errors=True)
            (part / "pack").mkdir()
            yield part / "pack"
            # The manifest last: until then this is no pack.
            for path in sorted((part / "pack").iterdir(), key=lambda path: path.name == "kinora.json"):
                path.rename(out / path.name)
            is_new = False
        finally:
            shutil.rmtree(part)
            if is_new:
                out.rmdir()


def write_pack(checkpoint: str, out: Path, card: dict, variant: str | None, options: Options) -> dict:
    """Returns the manifest's `architecture`."""
    torch.manual_seed(0)
    # The libraries name this option differently. Without it both keep half-precision weights.
    clip = {"dtype": torch.float32, "variant": variant}
    diffusers = {"torch_dtype": torch.float32, "variant": variant, "low_cpu_mem_usage": False}

    write_json(out / "model_index.json", dict(DiffusionPipeline.load_config(checkpoint)))
    scheduler = dict(DDIMScheduler.load_config(checkpoint, subfolder="scheduler"))
    write_json(out / "scheduler" / "scheduler_config.json", scheduler)
    max_tokens = export_tokenizer(checkpoint, out)
    feature_extractor = CLIPImageProcessor.from_pretrained(checkpoint, subfolder="feature_extractor")

    # The UNet first: if it cannot be fused, the export stops early.
    with step("unet: reading the weights"):
        unet = I2VGenXLUNet.from_pretrained(checkpoint, subfolder="unet", **diffusers).eval()
    for lora in options.loras:
        fuse_lora(unet, lora)
    export_unet(unet, out, max_tokens, options)
    del unet
    gc.collect()

    with step("vae: reading the weights"):
        vae = AutoencoderKL.from_pretrained(checkpoint, subfolder="vae", **diffusers).eval()
    vae_config = vae.config
    export_vae(vae, out, options)
    del vae
    gc.collect()

    with step("text_encoder: reading the weights"):
        text_encoder = CLIPTextModel.from_pretrained(checkpoint, subfolder="text_encoder", **clip).eval()
    positions = text_encoder.config.max_position_embeddings
    if positions != max_tokens:
        raise SystemExit(f"the tokenizer pads to {max_tokens} tokens, the text encoder takes {positions}")
    export_text_encoder(text_encoder, out, options)
    del text_encoder
    gc.collect()

    with step("image_encoder: reading the weights"):
        image_encoder = CLIPVisionModelWithProjection.from_pretrained(
            checkpoint, subfolder="image_encoder", **clip
        ).eval()
    image_size = image_encoder.config.image_size
    crop_size = dict(feature_extractor.crop_size)
    if crop_size != {"height": image_size, "width": image_size}:
        raise SystemExit(f"the feature extractor crops to {crop_size}, the image encoder takes {image_size}")
    export_image_encoder(image_encoder, out, options)
    del image_encoder

    architecture = {
        "latentChannels": vae_config.latent_channels,
        "vaeScaleFactor": vae_scale_factor(vae_config),
        "vaeScalingFactor": vae_config.scaling_factor,
        "maxTokens": max_tokens,
        "imageEncoderSize": image_size,
        "imageMean": list(feature_extractor.image_mean),
        "imageStd": list(feature_extractor.image_std),
    }
    requires = {"device": "cuda"} if options.is_cuda else None
    with step("kinora.json: hashing all files"):
        write_manifest(out, flavour=options.flavour, architecture=architecture, card=card, requires=requires)
    return architecture


def vae_scale_factor(config: FrozenDict) -> int:
    return 2 ** (len(config.block_out_channels) - 1)


def export_tokenizer(checkpoint: str, out: Path) -> int:
    """Writes tokenizer.json (the format of the `tokenizers` library) and returns the number of tokens per
    prompt.
    """
    tokenizer = CLIPTokenizerFast.from_pretrained(checkpoint, subfolder="tokenizer")
    if tokenizer.pad_token_id is None or tokenizer.model_max_length > 1000:
        raise SystemExit("the tokenizer names no pad token or no maximum length")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        (out / "tokenizer").mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(Path(folder, name), out / "tokenizer" / name)
    return tokenizer.model_max_length


class Half(nn.Module):
    """A module that computes in FP16 between float32 inputs and outputs. Integers pass as they are."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.half()

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.module(*(x.half() if x.is_floating_point() else x for x in inputs)).float()


def in_precision(module: nn.Module, options: Options) -> nn.Module:
    return (Half(module) if options.is_half else module).eval()


def export_text_encoder(text_encoder: CLIPTextModel, out: Path, options: Options) -> None:
    config = text_encoder.config
    cases = []
    for n in (1, 2):
        ids = torch.randint(0, config.vocab_size, (n, config.max_position_embeddings))
        with torch.no_grad():
            # As I2VGenXLPipeline.encode_prompt does with clip_skip=1.
            hidden_states = text_encoder(ids, output_hidden_states=True).hidden_states[-2]
            prompt_embeds = graphs.text_transformer(text_encoder).final_layer_norm(hidden_states)
        cases.append(({"input_ids": ids}, {"prompt_embeds": prompt_embeds}))
    graph = in_precision(graphs.TextEncoder(text_encoder), options)
    axes = {"input_ids": {0: "n"}, "prompt_embeds": {0: "n"}}
    save_graph(graph, cases, out / "text_encoder", axes)
    options.check(out, cases, ["text_encoder"])


def export_image_encoder(image_encoder: CLIPVisionModelWithProjection, out: Path, options: Options) -> None:
    size = image_encoder.config.image_size
    cases = []
    for _ in range(2):
        pixels = torch.randn(1, 3, size, size)
        with torch.no_grad():
            cases.append(({"pixel_values": pixels}, {"image_embeds": image_encoder(pixels).image_embeds}))
    save_graph(in_precision(graphs.ImageEncoder(image_encoder), options), cases, out / "image_encoder", {})
    options.check(out, cases, ["image_encoder"])


def export_vae(vae: AutoencoderKL, out: Path, options: Options) -> None:
    channels, factor = vae.config.latent_channels, vae_scale_factor(vae.config)
    encoder_cases, decoder_cases = [], []
    for n, height, width in ((1, 8, 8), (3, 16, 24)):
        sample = torch.rand(1, 3, height * factor, width * factor) * 2 - 1
        latent = torch.randn(n, channels, height, width) / vae.config.scaling_factor
        with torch.no_grad():
            moments = vae.encode(as_weights(sample, vae)).latent_dist.parameters
            encoder_cases.append(({"sample": sample}, {"moments": moments.float()}))
            decoder_cases.append(
                ({"latent": latent}, {"sample": vae.decode(as_weights(latent, vae)).sample.float()})
            )
    encoder_axes = {"sample": {2: "height", 3: "width"}, "moments": {2: "latent_height", 3: "latent_width"}}
    decoder_axes = {"latent": {0: "n", 2: "latent_height", 3: "latent_width"}}
    decoder_axes |= {
        "sample": {0: "n", 2: "height", 3: "width"},
        "rgb": {0: "n", 1: "height", 2: "width"},
        "mean": {},
    }
    if options.is_cuda:
        vae.to(options.dtype)
        encoder, decoder = (kind(vae, options.dtype).eval() for kind in (fused.VaeEncoder, fused.VaeDecoder))
        inputs = {"sample": torch.rand(1, 3, 4 * factor, 6 * factor)}
        save_fused(encoder, inputs, ["moments"], out / "vae_encoder", encoder_axes)
        options.count(out / "vae_encoder", fusions.expected_of([vae.encoder, vae.quant_conv]))
        inputs = {"latent": torch.rand(2, channels, 4, 6)}
        save_fused(decoder, inputs, graphs.DECODER_OUTPUTS, out / "vae_decoder", decoder_axes)
        options.count(out / "vae_decoder", fusions.expected_of([vae.decoder, vae.post_quant_conv]))
    else:
        rewrite_vae(vae)
        save_graph(graphs.VaeEncoder(vae).eval(), encoder_cases, out / "vae_encoder", encoder_axes)
        decoder = graphs.VaeDecoder(vae).eval()
        save_graph(decoder, decoder_cases, out / "vae_decoder", decoder_axes, graphs.DECODER_OUTPUTS)
    options.check(out, encoder_cases, ["vae_encoder"])
    options.check(out, decoder_cases, ["vae_decoder"])


def as_weights(value: Tensor, module: nn.Module) -> Tensor:
    """The value on the module's device, and in its precision unless it is an integer."""
    weight = next(module.parameters())
    return value.to(weight.device, weight.dtype if value.is_floating_point() else value.dtype)


# Free dimensions of tensors that all rows share; their batch dimension is fixed to 1.
LATENTS = {2: "frames", 3: "latent_height", 4: "latent_width"}


@torch.no_grad()
def reference_sample(unet: I2VGenXLUNet, inputs: dict) -> Tensor:
    """The reference for unet_cond and unet_core together: the untouched I2VGenXLUNet predicts for every row,
    and the sample and the predictions are summed with the factors as weights.
    """
    sample, factors = inputs["sample"], inputs["factors"]
    values = {name: as_weights(value, unet) for name, value in inputs.items() if name != "factors"}
    rows = len(inputs["encoder_hidden_states"])
    for name in ("sample", "fps", "image_latents"):
        values[name] = values[name].repeat_interleave(rows, dim=0)
    predictions = unet(**values).sample.float().cpu()
    return factors[0] * sample + torch.tensordot(factors[1:], predictions, dims=1)[None]


def export_unet(unet: I2VGenXLUNet, out: Path, max_tokens: int, options: Options) -> None:
    """The reference is the untouched I2VGenXLUNet; the graphs are checked as the pair that Kinora runs."""
    config = unet.config
    unet.to(options.device)
    cases = []
    for batch, frames, height, width, t in ((1, 3, 8, 16, 981), (2, 5, 24, 16, 1)):
        inputs = {
            "fps": torch.tensor([7 + batch]),
            "image_latents": torch.randn(1, config.in_channels, frames, height, width),
            "image_embeddings": torch.randn(batch, 1, config.cross_attention_dim),
            "encoder_hidden_states": torch.randn(batch, max_tokens, config.cross_attention_dim),
            "sample": torch.randn(1, config.in_channels, frames, height, width),
            "timestep": torch.tensor([t]),
            # The predictions' factors are above 1, so that their errors are not scaled down.
            "factors": torch.cat([torch.randn(1), 1 + torch.rand(batch)]),
        }
        with step(f"unet: computing what {frames} frames should give"):
            cases.append((inputs, {"out_sample": reference_sample(unet, inputs)}))
    expected_nodes = attention_nodes(unet)
    if options.is_cuda:
        for attn in unet.image_latents_temporal_encoder.modules():
            if isinstance(attn, Attention):
                attn.set_processor(OnnxAttention())
    else:
        rewrite_unet(unet)

    cond_names = ("fps", "image_latents", "image_embeddings")
    # In float32 in every flavour: it runs once per picture and is small.
    graph = copy.deepcopy(graphs.UnetCond(unet)).float().cpu().eval()
    cond_inputs = {name: cases[1][0][name] for name in cond_names}
    with torch.no_grad():
        outputs = dict(zip(("fps_emb", "context", "image_latents_enc"), graph(**cond_inputs), strict=True))
    axes = {name: {0: "batch"} for name in ("image_embeddings", "context")}
    axes |= {"image_latents": LATENTS, "image_latents_enc": LATENTS}
    save_graph(graph, [(cond_inputs, outputs)], out / "unet_cond", axes)

    before = {name: cases[1][0][name] for name in ("sample", "timestep", "encoder_hidden_states")}
    core_inputs = {**before, **outputs, "factors": cases[1][0]["factors"]}
    axes = {"sample": LATENTS, "image_latents_enc": LATENTS, "out_sample": LATENTS}
    axes |= {"encoder_hidden_states": {0: "batch"}, "context": {0: "batch"}, "factors": {0: "factors"}}
    if options.is_cuda:
        export_fused_core(unet, core_inputs, axes, out, options)
    else:
        export_core(unet, core_inputs, axes, out, options)
        found = sum(count_nodes(out / name, "MultiHeadAttention") for name in ("unet_cond", "unet_core"))
        if found != expected_nodes:
            raise SystemExit(f"unet: {found} MultiHeadAttention nodes instead of {expected_nodes}")
    options.check(out, cases, ["unet_cond", "unet_core"])
    if options.deepcache:
        # With the features of the same step, the shallow core must give what the whole one gives.
        options.check(out, cases, ["unet_cond", "unet_core", "unet_shallow"])


def export_core(unet: I2VGenXLUNet, inputs: dict, axes: dict, out: Path, options: Options) -> None:
    core = graphs.UnetCore(unet).eval()
    if not options.deepcache:
        save_graph(core, [(inputs, {"out_sample": None})], out / "unet_core", axes)
        return
    axes = {**axes, "deep_features": {0: "batch_frames", 2: "latent_height", 3: "latent_width"}}
    whole = graphs.UnetCoreDeep(core).eval()
    with torch.no_grad():
        outputs = dict(zip(("out_sample", "deep_features"), whole(**inputs), strict=True))
    save_graph(whole, [(inputs, outputs)], out / "unet_core", axes)
    inputs = {**inputs, "deep_features": outputs["deep_features"]}
    save_graph(graphs.UnetShallow(core).eval(), [(inputs, {"out_sample": None})], out / "unet_shallow", axes)


def export_fused_core(unet: I2VGenXLUNet, inputs: dict, axes: dict, out: Path, options: Options) -> None:
    parts = [unet.conv_in, unet.transformer_in, *unet.down_blocks, unet.mid_block, *unet.up_blocks]
    expected = fusions.expected_of([*parts, unet.conv_norm_out, unet.conv_out])
    core = fused.UnetCore(unet.to(options.dtype), options.dtype).eval()
    # Small inputs: the trace does not depend on sizes.
    inputs = {
        name: (value[:, :, :2, :8, :8].contiguous() if value.ndim == 5 else value).to(core.freqs.device)
        for name, value in inputs.items()
    }
    if not options.deepcache:
        save_fused(core, inputs, ["out_sample"], out / "unet_core", axes)
        options.count(out / "unet_core", expected)
        return
    deep_axes = {0: "batch_frames", 1: "latent_height", 2: "latent_width"}
    axes = {**axes, "deep_features": deep_axes}
    save_fused(fused.UnetCoreDeep(core), inputs, ["out_sample", "deep_features"], out / "unet_core", axes)
    options.count(out / "unet_core", expected)
    with torch.no_grad():
        deep = fused.UnetCoreDeep(core)(*inputs.values())[1]
    inputs = {**inputs, "deep_features": deep}
    save_fused(fused.UnetShallow(core), inputs, ["out_sample"], out / "unet_shallow", axes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "checkpoint", help="folder in diffusers format, or a repository id on the Hugging Face hub"
    )
    parser.add_argument("out", type=Path, help="folder of the new pack")
    for key in ("id", "title", "licence", "source"):
        parser.add_argument(f"--{key}", default=I2VGEN_XL[key])
    parser.add_argument(
        "--variant", help='weights file variant, for example "fp16"; a plain pack is float32 all the same'
    )
    parser.add_argument("--flavour", choices=("plain", "cuda"), default="plain")
    parser.add_argument(
        "--lora", action="append", default=[], metavar="FILE[:SCALE]", help="may be given several times"
    )
    parser.add_argument(
        "--deepcache", action="store_true", help="write a second core that reuses deep features"
    )
    parser.add_argument(
        "--allow-unfused", action="store_true", help="write a cuda pack that lost fusions all the same"
    )
    parser.add_argument(
        "--tensorrt-context",
        action="append",
        default=[],
        metavar="WxHxF",
        help="experimental, has not been run: compile with TensorRT for this size (plain)",
    )
    parser.add_argument("--traceback", action="store_true", help="show where in the code a failure happened")
    args = parser.parse_args()
    sizes = [Size.parse(text) for text in args.tensorrt_context]
    if sizes:
        if args.flavour != "plain":
            parser.error("--tensorrt-context needs --flavour plain")
        limits_within(I2VGEN_XL["limits"], sizes)
        require_tensorrt()
        if args.deepcache:
            parser.error("--tensorrt-context and --deepcache exclude each other")
    card = {**I2VGEN_XL, "id": args.id, "title": args.title, "licence": args.licence, "source": args.source}
    options = Options(
        flavour=args.flavour,
        loras=args.lora,
        deepcache=args.deepcache,
        allow_unfused=args.allow_unfused,
        tensorrt_sizes=sizes,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("the export was ended; nothing of it is left"))
    try:
        export_pack(args.checkpoint, args.out, card, args.variant, options)
    except KeyboardInterrupt:
        raise SystemExit("the export was ended; nothing of it is left") from None
    except Exception as error:
        if args.traceback:
            raise
        raise SystemExit(sentence_of(error)) from None


def sentence_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; nothing of the export is left"
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return (
            "the memory is full: close other programs, or export on a larger machine (a pack can be copied)"
        )
    where = next(iter(getattr(error, "__notes__", [])), "export")
    return f"{where}: {looks.first_line(error)} (--traceback tells more)"


if __name__ == "__main__":
    main()
