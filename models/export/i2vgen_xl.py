"""Exports I2VGen-XL: text encoder, image encoder, VAE and the UNet in two parts."""

import copy
import gc
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, I2VGenXLUNet
from diffusers.models.attention_processor import Attention
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizerFast

import checkpoint as looks
import fused
import fusions
import graphs
from family import Family
from image_encoder import export_image_encoder_of
from lora import fuse_lora
from manifest import I2VGEN_XL, write_json
from onnx_files import count_nodes, save_fused, save_graph
from options import Options
from precision import as_weights, in_precision, vae_scale_factor
from progress import step
from rewrite import OnnxAttention, attention_nodes, rewrite_unet, rewrite_vae

# The values that src/inference/schedulers/scheduler-config.ts knows; a missing or null field is always fine.
SCHEDULER_VALUES: dict[str, tuple[object, ...]] = {
    "_class_name": ("DDIMScheduler", "DPMSolverMultistepScheduler"),
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "v_prediction"),
    "timestep_spacing": ("leading", "trailing", "linspace"),
    "trained_betas": (),
    "variance_type": (),
    "algorithm_type": ("dpmsolver++",),
    "solver_order": (2,),
    "solver_type": ("midpoint",),
    "final_sigmas_type": ("zero",),
    "thresholding": (False,),
    "use_karras_sigmas": (False,),
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
    "use_lu_lambdas": (False,),
    "use_flow_sigmas": (False,),
    "use_dynamic_shifting": (False,),
}


def check(found: looks.Checkpoint, options: Options) -> None:
    names = {str(path) for path in found.files}
    if "tokenizer/tokenizer.json" not in names:
        looks.check_files(found, ("tokenizer/merges.txt", "tokenizer/vocab.json"), FAMILY.title)
    scheduler = dict(DDIMScheduler.load_config(found.name, subfolder="scheduler"))
    looks.check_scheduler(found.name, scheduler, SCHEDULER_VALUES)
    if options.unet_file:
        raise SystemExit(
            "--unet is for Stable Video Diffusion; give I2VGen-XL a checkpoint with that UNet in it"
        )


def write(checkpoint: str, out: Path, variant: str | None, options: Options) -> dict:
    """Returns the manifest's `architecture`."""
    # The libraries name this option differently. Without it both keep half-precision weights.
    clip = {"dtype": torch.float32, "variant": variant}
    diffusers = {"torch_dtype": torch.float32, "variant": variant, "low_cpu_mem_usage": False}

    scheduler = dict(DDIMScheduler.load_config(checkpoint, subfolder="scheduler"))
    write_json(out / "scheduler" / "scheduler_config.json", scheduler)
    max_tokens = export_tokenizer(checkpoint, out)

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

    return {
        "latentChannels": vae_config.latent_channels,
        "vaeScaleFactor": vae_scale_factor(vae_config),
        "vaeScalingFactor": vae_config.scaling_factor,
        "maxTokens": max_tokens,
        **export_image_encoder_of(checkpoint, out, variant, options),
    }


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
    if options.is_cuda:
        vae.to(options.dtype)
        encoder, decoder = (kind(vae, options.dtype).eval() for kind in (fused.VaeEncoder, fused.VaeDecoder))
        inputs = {"sample": torch.rand(1, 3, 4 * factor, 6 * factor)}
        save_fused(encoder, inputs, ["moments"], out / "vae_encoder", graphs.ENCODER_AXES)
        options.count(out / "vae_encoder", fusions.expected_of([vae.encoder, vae.quant_conv]))
        inputs = {"latent": torch.rand(2, channels, 4, 6)}
        save_fused(decoder, inputs, graphs.DECODER_OUTPUTS, out / "vae_decoder", graphs.DECODER_AXES)
        options.count(out / "vae_decoder", fusions.expected_of([vae.decoder, vae.post_quant_conv]))
    else:
        rewrite_vae(vae)
        save_graph(graphs.VaeEncoder(vae).eval(), encoder_cases, out / "vae_encoder", graphs.ENCODER_AXES)
        decoder = graphs.VaeDecoder(vae).eval()
        save_graph(decoder, decoder_cases, out / "vae_decoder", graphs.DECODER_AXES, graphs.DECODER_OUTPUTS)
    options.check(out, encoder_cases, ["vae_encoder"])
    options.check(out, decoder_cases, ["vae_decoder"])


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
        outputs = dict(zip(("out_sample", "deep_features"), whole(*inputs.values()), strict=True))
    save_graph(whole, [(inputs, outputs)], out / "unet_core", axes)
    inputs = {**inputs, "deep_features": outputs["deep_features"]}
    save_graph(graphs.UnetShallow(core).eval(), [(inputs, {"out_sample": None})], out / "unet_shallow", axes)


def export_fused_core(unet: I2VGenXLUNet, inputs: dict, axes: dict, out: Path, options: Options) -> None:
    parts = [unet.conv_in, unet.transformer_in, *unet.down_blocks, unet.mid_block, *unet.up_blocks]
    expected = fusions.expected_of([*parts, unet.conv_norm_out, unet.conv_out])
    # The number of positions may be odd at the lowest resolution.
    higher = [*unet.down_blocks[:-1], *unet.up_blocks[1:]]
    temporal = [unet.transformer_in, *(t for b in higher for t in getattr(b, "temp_attentions", []))]
    expected["packed attention"] = 2 * len(temporal)
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
    save_fused(graphs.UnetCoreDeep(core), inputs, ["out_sample", "deep_features"], out / "unet_core", axes)
    options.count(out / "unet_core", expected)
    with torch.no_grad():
        deep = graphs.UnetCoreDeep(core)(*inputs.values())[1]
    inputs = {**inputs, "deep_features": deep}
    save_fused(fused.UnetShallow(core), inputs, ["out_sample"], out / "unet_shallow", axes)


FAMILY = Family(
    title="I2VGen-XL",
    pipeline="I2VGenXLPipeline",
    parts=("unet", "vae", "text_encoder", "image_encoder"),
    check=check,
    card=lambda _checkpoint, _options: I2VGEN_XL,
    write=write,
)
