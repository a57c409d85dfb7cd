"""Makes the tiny I2VGen-XL of the tests: real diffusers and transformers classes with random weights.

    python make_tiny.py CHECKPOINT PACK [CORES]

Writes a diffusers folder to CHECKPOINT, its export to PACK, and to CORES the two cores that the pack would
have with --deepcache. Four levels, every kind of block, the real scheduler configuration, a VAE of factor 8
and a CLIP tokenizer with 2,000 tokens. The weights are seeded and scaled so that each part matters in the
result: parity with a model that answers zero would prove nothing.
"""

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, I2VGenXLPipeline, I2VGenXLUNet
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizerFast,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from export import export_pack
from i2vgen_xl import export_unet
from manifest import I2VGEN_XL, write_json
from options import Options

DIM = 32
TOKENS = 77
VOCABULARY = 2000
BOS, EOS = "<|startoftext|>", "<|endoftext|>"

TINY: dict[str, Any] = {
    **I2VGEN_XL,
    "id": "tiny-i2vgen-xl",
    "title": "Tiny I2VGen-XL for tests",
    "licence": "MIT",
    "source": "random weights, made by models/export/make_tiny.py",
    "limits": {
        **I2VGEN_XL["limits"],
        "side": {"min": 64, "max": 512},
        "pixels": {"min": 64 * 64, "max": 512 * 512},
        "numFrames": {"min": 1, "max": 32},
    },
    "presets": {
        "fast": {"size": 64, "numFrames": 4, "numInferenceSteps": 3, "guidanceScale": 9},
        "standard": {"size": 64, "numFrames": 5, "numInferenceSteps": 5, "guidanceScale": 9},
        "high": {"size": 128, "numFrames": 6, "numInferenceSteps": 8, "guidanceScale": 10},
        "creative": {"size": 64, "numFrames": 5, "numInferenceSteps": 5, "guidanceScale": 6.5},
    },
}


def make_scheduler() -> DDIMScheduler:
    """The scheduler of the published I2VGen-XL."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.0001,
        beta_end=0.02,
        beta_schedule="squaredcos_cap_v2",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="leading",
        rescale_betas_zero_snr=True,
    )


def make_unet() -> I2VGenXLUNet:
    torch.manual_seed(0)
    unet = I2VGenXLUNet(
        sample_size=8,
        block_out_channels=(16, 16, 24, 32),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=DIM,
        attention_head_dim=8,
    )
    scale_weights(unet)
    with torch.no_grad():
        # Residual branches are damped, least where the prompt and the picture enter. A rounding error of 1e-6
        # then stays below 1e-4 over 50 steps at guidance 9; undamped, the loop is chaotic.
        for name, module in unet.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
                if ".attentions." in name and name.endswith("attn2.to_out.0"):
                    module.weight *= 0.9
                elif name.endswith(("conv2", "conv4.3", "to_out.0", "ff.net.2", "proj_out")):
                    module.weight *= 0.6
        unet.context_embedding[-1].weight *= 3
    return unet.eval()


def make_vae() -> AutoencoderKL:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.18125,
    )
    scale_weights(vae)
    with torch.no_grad():
        # Latents of about 1 after scaling, drawn with a standard deviation of about 1 before it; frames
        # inside [-1, 1].
        vae.quant_conv.weight[:4] *= 1.5 / vae.config.scaling_factor
        vae.quant_conv.weight[4:] *= 0.3
        vae.decoder.conv_out.weight *= 0.35
    return vae.eval()


def make_text_encoder(bos: int, eos: int) -> CLIPTextModel:
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=DIM,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        hidden_act="gelu",
        projection_dim=DIM,
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=eos,
    )
    text_encoder = CLIPTextModel(config)
    scale_weights(text_encoder)
    return text_encoder.eval()


def make_image_encoder() -> CLIPVisionModelWithProjection:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=DIM,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=56,
        patch_size=14,
        projection_dim=DIM,
        hidden_act="gelu",
    )
    image_encoder = CLIPVisionModelWithProjection(config)
    scale_weights(image_encoder)
    return image_encoder.eval()


def make_feature_extractor() -> CLIPImageProcessor:
    return CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})


@torch.no_grad()
def scale_weights(model: nn.Module) -> None:
    """Keeps variances: weights N(0, 1/fan_in), embeddings N(0, 1), small random biases and norms off the
    identity.

    Nothing stays at zero, the last convolution of each temporal layer included, which diffusers initialises
    to zero.
    """
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0, 1 / math.sqrt(fan_in))
            if module.bias is not None:
                module.bias.normal_(0, 0.1)
        elif isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
            module.weight.normal_(1, 0.1)
            module.bias.normal_(0, 0.1)
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0, 1)
    for name, parameter in model.named_parameters():
        if name.endswith("class_embedding"):
            parameter.normal_(0, 1)


def make_tokenizer(folder: Path) -> CLIPTokenizerFast:
    """A byte-level BPE in CLIP's layout: 256 bytes, 256 that end a word, merges, start and end token."""
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    endings = [letter + "</w>" for letter in letters]
    # The endings are named beforehand to fix their ids: pairs of equal count are merged in the order of ids.
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY * 2,
        initial_alphabet=letters,
        special_tokens=endings,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trained.train_from_iterator(training_text(), trainer)
    merges = json.loads(trained.to_str())["model"]["merges"]

    tokens = letters + endings
    merges = merges[: VOCABULARY - len(tokens) - 2]
    if len(tokens) + len(merges) + 2 != VOCABULARY:
        raise SystemExit(f"the text gave only {len(merges)} merges")
    tokens += ["".join(pair) for pair in merges] + [BOS, EOS]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "vocab.json", {token: i for i, token in enumerate(tokens)})
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CLIPTokenizerFast(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        bos_token=BOS,
        eos_token=EOS,
        unk_token=EOS,
        pad_token=EOS,
        model_max_length=TOKENS,
    )


def tiny_words(name: str) -> list[str]:
    """The lines of tiny_words/NAME.txt."""
    return (Path(__file__).with_name("tiny_words") / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def training_text() -> list[str]:
    """Prompts of the kind that people write, plus enough rare words to fill the vocabulary."""
    subjects, motions, adjectives = tiny_words("subjects"), tiny_words("motions"), tiny_words("adjectives")
    lines = [*tiny_words("phrases") * 4, " ".join(tiny_words("rare"))]
    for i, subject in enumerate(subjects):
        for j, motion in enumerate(motions):
            adjective = adjectives[(7 * i + 3 * j) % len(adjectives)]
            place = subjects[(i + 5 * j + 1) % len(subjects)]
            lines.append(f"a {adjective} {subject} {motion} in the {place}")
    return lines


def make_checkpoint(folder: Path) -> I2VGenXLPipeline:
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = make_tokenizer(Path(scratch))
        tokens = tokenizer.convert_tokens_to_ids([BOS, EOS])
        pipeline = I2VGenXLPipeline(
            vae=make_vae(),
            text_encoder=make_text_encoder(*tokens),
            tokenizer=tokenizer,
            image_encoder=make_image_encoder(),
            feature_extractor=make_feature_extractor(),
            unet=make_unet(),
            scheduler=make_scheduler(),
        )
        pipeline.save_pretrained(folder)
    return pipeline


def export_cores(folder: Path) -> None:
    """unet_core with deep_features, and unet_shallow; the other graphs are those of the pack."""
    with tempfile.TemporaryDirectory() as scratch:
        export_unet(make_unet(), Path(scratch), TOKENS, Options(deepcache=True))
        for name in ("unet_core", "unet_shallow"):
            shutil.copytree(Path(scratch, name), folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="folder for the diffusers checkpoint")
    parser.add_argument("pack", type=Path, help="folder for the exported pack")
    parser.add_argument(
        "cores", type=Path, nargs="?", help="folder for the two cores that reuse deep features"
    )
    args = parser.parse_args()
    make_checkpoint(args.checkpoint)
    export_pack(str(args.checkpoint), args.pack, TINY)
    if args.cores:
        export_cores(args.cores)


if __name__ == "__main__":
    main()
