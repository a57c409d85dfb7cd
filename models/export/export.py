"""Exports an I2VGen-XL checkpoint of diffusers into a Kinora model pack of flavour `plain`.

    python export.py CHECKPOINT OUT [--id ID] [--title TITLE] [--licence TEXT] [--source TEXT] [--variant fp16]

CHECKPOINT is a folder or the id of a repository on the Hugging Face hub. The pack holds float32 ONNX graphs (opset 17
and com.microsoft.MultiHeadAttention) that run on every execution provider. Each graph is run in ONNX Runtime at two
different sizes, frame counts and batches and compared with PyTorch before the manifest is written: above 1e-4 the
export fails and leaves a folder without kinora.json, which is no pack.
"""

import argparse
import gc
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiffusionPipeline, I2VGenXLUNet
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizerFast, CLIPVisionModelWithProjection

import graphs
from manifest import I2VGEN_XL, write_json, write_manifest
from rewrite import attention_nodes, rewrite_unet, rewrite_vae

OPSET = 17
TOLERANCE = 1e-4
# A protobuf file ends at 2 GB; above half of that the weights go to a file beside the graph.
EXTERNAL_DATA_BYTES = 1_000_000_000
EXTERNAL_DATA_NAME = "model.onnx_data"


def export_pack(checkpoint: str, out: Path, card: dict, variant: str | None = None) -> None:
    """Writes the whole pack to `out`, which must be empty or absent. Raises SystemExit when a graph is not equal."""
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    # The two libraries name the type differently. Both would otherwise keep half-precision weights as they are.
    clip = {"dtype": torch.float32, "variant": variant}
    diffusers = {"torch_dtype": torch.float32, "variant": variant, "low_cpu_mem_usage": False}

    model_index = dict(DiffusionPipeline.load_config(checkpoint))
    if model_index.get("_class_name") != "I2VGenXLPipeline":
        raise SystemExit(f"{checkpoint} holds a {model_index.get('_class_name')}, not an I2VGenXLPipeline")
    write_json(out / "model_index.json", model_index)
    scheduler = dict(DDIMScheduler.load_config(checkpoint, subfolder="scheduler"))
    write_json(out / "scheduler" / "scheduler_config.json", scheduler)
    max_tokens = export_tokenizer(checkpoint, out)
    feature_extractor = CLIPImageProcessor.from_pretrained(checkpoint, subfolder="feature_extractor")

    text_encoder = CLIPTextModel.from_pretrained(checkpoint, subfolder="text_encoder", **clip).eval()
    positions = text_encoder.config.max_position_embeddings
    if positions != max_tokens:
        raise SystemExit(f"the tokenizer pads to {max_tokens} tokens, the text encoder takes {positions}")
    export_text_encoder(text_encoder, out)
    del text_encoder

    image_encoder = CLIPVisionModelWithProjection.from_pretrained(checkpoint, subfolder="image_encoder", **clip).eval()
    image_size = image_encoder.config.image_size
    crop_size = dict(feature_extractor.crop_size)
    if crop_size != {"height": image_size, "width": image_size}:
        raise SystemExit(f"the feature extractor crops to {crop_size}, the image encoder takes {image_size}")
    export_image_encoder(image_encoder, out)
    del image_encoder
    gc.collect()

    vae = AutoencoderKL.from_pretrained(checkpoint, subfolder="vae", **diffusers).eval()
    vae_config = vae.config
    export_vae(vae, out)
    del vae
    gc.collect()

    unet = I2VGenXLUNet.from_pretrained(checkpoint, subfolder="unet", **diffusers).eval()
    export_unet(unet, out, max_tokens)

    architecture = {
        "latentChannels": vae_config.latent_channels,
        "vaeScaleFactor": vae_scale_factor(vae_config),
        "vaeScalingFactor": vae_config.scaling_factor,
        "maxTokens": max_tokens,
        "imageEncoderSize": image_size,
        "imageMean": list(feature_extractor.image_mean),
        "imageStd": list(feature_extractor.image_std),
    }
    write_manifest(out, flavour="plain", architecture=architecture, card=card)
    total = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    print(f"{out}: {total / 1e6:.1f} MB")


def vae_scale_factor(config) -> int:
    return 2 ** (len(config.block_out_channels) - 1)


def export_tokenizer(checkpoint: str, out: Path) -> int:
    """Writes tokenizer.json (the format of the `tokenizers` library) and returns the number of tokens per prompt."""
    tokenizer = CLIPTokenizerFast.from_pretrained(checkpoint, subfolder="tokenizer")
    if tokenizer.pad_token_id is None or tokenizer.model_max_length > 1000:
        raise SystemExit("the tokenizer names no pad token or no maximum length")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        (out / "tokenizer").mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(Path(folder, name), out / "tokenizer" / name)
    return tokenizer.model_max_length


def export_text_encoder(text_encoder, out: Path) -> None:
    config = text_encoder.config
    cases = []
    for n in (1, 2):
        ids = torch.randint(0, config.vocab_size, (n, config.max_position_embeddings))
        with torch.no_grad():
            # As I2VGenXLPipeline.encode_prompt does with clip_skip=1.
            hidden_states = text_encoder(ids, output_hidden_states=True).hidden_states[-2]
            prompt_embeds = text_encoder.text_model.final_layer_norm(hidden_states)
        cases.append(({"input_ids": ids}, {"prompt_embeds": prompt_embeds}))
    graph = graphs.TextEncoder(text_encoder).eval()
    axes = {"input_ids": {0: "n"}, "prompt_embeds": {0: "n"}}
    save_graph(graph, cases, out / "text_encoder", axes)
    check(out, cases, ["text_encoder"])


def export_image_encoder(image_encoder, out: Path) -> None:
    size = image_encoder.config.image_size
    cases = []
    for _ in range(2):
        pixels = torch.randn(1, 3, size, size)
        with torch.no_grad():
            cases.append(({"pixel_values": pixels}, {"image_embeds": image_encoder(pixels).image_embeds}))
    save_graph(graphs.ImageEncoder(image_encoder).eval(), cases, out / "image_encoder", {})
    check(out, cases, ["image_encoder"])


def export_vae(vae, out: Path) -> None:
    channels, factor = vae.config.latent_channels, vae_scale_factor(vae.config)
    encoder_cases, decoder_cases = [], []
    for n, height, width in ((1, 8, 8), (3, 16, 24)):
        sample = torch.rand(1, 3, height * factor, width * factor) * 2 - 1
        latent = torch.randn(n, channels, height, width) / vae.config.scaling_factor
        with torch.no_grad():
            encoder_cases.append(({"sample": sample}, {"moments": vae.encode(sample).latent_dist.parameters}))
            decoder_cases.append(({"latent": latent}, {"sample": vae.decode(latent).sample}))
    rewrite_vae(vae)
    axes = {"sample": {2: "height", 3: "width"}, "moments": {2: "latent_height", 3: "latent_width"}}
    save_graph(graphs.VaeEncoder(vae).eval(), encoder_cases, out / "vae_encoder", axes)
    check(out, encoder_cases, ["vae_encoder"])
    axes = {"latent": {0: "n", 2: "latent_height", 3: "latent_width"}, "sample": {0: "n", 2: "height", 3: "width"}}
    save_graph(graphs.VaeDecoder(vae).eval(), decoder_cases, out / "vae_decoder", axes)
    check(out, decoder_cases, ["vae_decoder"])


def export_unet(unet, out: Path, max_tokens: int) -> None:
    """The reference is the untouched I2VGenXLUNet; the two graphs are checked as the pair that Kinora runs."""
    config = unet.config
    cases = []
    for batch, frames, height, width, t in ((1, 3, 8, 16, 981), (2, 5, 24, 16, 1)):
        cond = {
            "fps": torch.full((batch,), 7 + batch),
            "image_latents": torch.randn(batch, config.in_channels, frames, height, width),
            "image_embeddings": torch.randn(batch, 1, config.cross_attention_dim),
            "encoder_hidden_states": torch.randn(batch, max_tokens, config.cross_attention_dim),
        }
        step = {"sample": torch.randn(batch, config.in_channels, frames, height, width), "timestep": torch.tensor([t])}
        with torch.no_grad():
            cases.append(({**cond, **step}, {"out_sample": unet(**cond, **step).sample}))
    expected_nodes = attention_nodes(unet)
    rewrite_unet(unet)

    latents = {0: "batch", 2: "frames", 3: "latent_height", 4: "latent_width"}
    cond_names = ("fps", "image_latents", "image_embeddings", "encoder_hidden_states")
    graph = graphs.UnetCond(unet).eval()
    cond_inputs = {name: cases[1][0][name] for name in cond_names}
    with torch.no_grad():
        outputs = dict(zip(("fps_emb", "context", "image_latents_enc"), graph(**cond_inputs)))
    axes = {name: {0: "batch"} for name in ("fps", "image_embeddings", "encoder_hidden_states", "fps_emb", "context")}
    axes |= {"image_latents": latents, "image_latents_enc": latents}
    save_graph(graph, [(cond_inputs, outputs)], out / "unet_cond", axes)

    core_inputs = {"sample": cases[1][0]["sample"], "timestep": cases[1][0]["timestep"], **outputs}
    axes = {"sample": latents, "image_latents_enc": latents, "out_sample": latents}
    axes |= {"fps_emb": {0: "batch"}, "context": {0: "batch"}}
    save_graph(graphs.UnetCore(unet).eval(), [(core_inputs, cases[1][1])], out / "unet_core", axes)

    found = sum(count_nodes(out / name, "MultiHeadAttention") for name in ("unet_cond", "unet_core"))
    if found != expected_nodes:
        raise SystemExit(f"unet: {found} MultiHeadAttention nodes instead of {expected_nodes}")
    check(out, cases, ["unet_cond", "unet_core"])


def save_graph(module: torch.nn.Module, cases: list, folder: Path, dynamic_axes: dict) -> None:
    """Traces `module` with the last case's inputs and writes folder/model.onnx."""
    inputs, outputs = cases[-1]
    folder.mkdir()
    with tempfile.TemporaryDirectory(dir=folder) as scratch, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns of each Python number; check() is the judge of them
        traced = Path(scratch, "model.onnx")
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(traced),  # above 2 GB the exporter accepts no Path
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=dynamic_axes,
            custom_opsets={"com.microsoft": 1},
        )
        model = onnx.load(traced)
    external = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > EXTERNAL_DATA_BYTES
    onnx.save_model(
        model,
        folder / "model.onnx",
        save_as_external_data=external,
        all_tensors_to_one_file=True,
        location=EXTERNAL_DATA_NAME,
    )
    if external:
        (folder / EXTERNAL_DATA_NAME).chmod(0o644)  # onnx makes it readable for its owner only


def count_nodes(folder: Path, op_type: str) -> int:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    return sum(node.op_type == op_type for node in model.graph.node)


def check(out: Path, cases: list, names: list[str]) -> None:
    """Runs the named graphs one after the other, each fed from the inputs and the outputs before it."""
    sessions = [open_session(out / name / "model.onnx") for name in names]
    for inputs, expected in cases:
        values = {name: value.numpy() for name, value in inputs.items()}
        for session in sessions:
            feed = {i.name: values[i.name] for i in session.get_inputs()}
            values |= dict(zip([o.name for o in session.get_outputs()], session.run(None, feed)))
        for name, reference in expected.items():
            shape = "x".join(map(str, reference.shape))
            if values[name].shape != tuple(reference.shape):
                raise SystemExit(f"{names[-1]}: {name} has shape {values[name].shape} instead of {shape}")
            error = float(np.abs(values[name] - reference.numpy()).max())
            print(f"{names[-1]:14} {name} {shape}: max error {error:.1e} (std {reference.std():.2f})", flush=True)
            if not error <= TOLERANCE:
                raise SystemExit(f"{names[-1]}: max error {error:.1e} is above {TOLERANCE:.0e}")


def open_session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", help="folder in diffusers format, or a repository id on the Hugging Face hub")
    parser.add_argument("out", type=Path, help="folder of the new pack")
    for key in ("id", "title", "licence", "source"):
        parser.add_argument(f"--{key}", default=I2VGEN_XL[key])
    parser.add_argument("--variant", help='weights file variant, for example "fp16"; the pack is float32 all the same')
    args = parser.parse_args()
    card = {**I2VGEN_XL, "id": args.id, "title": args.title, "licence": args.licence, "source": args.source}
    export_pack(args.checkpoint, args.out, card, args.variant)


if __name__ == "__main__":
    main()
