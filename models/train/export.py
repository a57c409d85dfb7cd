"""The built-in model as a pack: `export.py WORDS PACK`, six ONNX graphs and the manifest.

WORDS has tokenizer.json, tokenizer_config.json, text_encoder.pt and motion_head.pt. Apart from these and from
the masks everything is computed, not learnt. Every graph is compared with PyTorch in several shapes.
"""

import copy
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import GraphProto, ModelProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import dct
import masks
import scene
import words_nets
import words_tokenizer
from core import TRAIN_STEPS, Core
from graphs import Graph, check, save, trace
from kinds import KINDS

ID = "kinora-builtin-2"
IMAGE_SIDE = 64
COND_OUTPUTS = ["fps_emb", "context", "camera_path", "image_latents_enc"]


class VaeEncoder(nn.Module):
    """Moments as a VAE gives them. The standard deviation is exp(-15), so the latents are the mean."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, sample: Tensor) -> Tensor:
        mean = self.encoder(sample)
        return torch.cat([mean, torch.zeros_like(mean) - 30.0], 1)


class VaeDecoder(nn.Module):
    """Beside the sample (n, 3, H, W) the same as pixels (n, H, W, 3), and a mean that is finite only if all
    of it is.
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sample = self.decoder(latent)
        rgb = (sample * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return sample, rgb, sample.mean()


def all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and every graph inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_graphs(attribute.g)


def rename(graph: GraphProto, names: dict[str, str]) -> None:
    for inner in all_graphs(graph):
        for node in inner.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        for value in [*inner.input, *inner.output, *inner.initializer, *inner.value_info]:
            value.name = names.get(value.name, value.name)


def names_made_in(graph: GraphProto) -> set[str]:
    made: set[str] = set()
    for inner in all_graphs(graph):
        made.update(value.name for value in [*inner.input, *inner.initializer])
        made.update(name for node in inner.node for name in node.output)
    return made - {""}


def scan(prepare: ModelProto, frame: ModelProto) -> ModelProto:
    """One graph of both: `frame` for each row of `frames`. What all frames share it finds by name."""
    inner = frame.graph
    own = names_made_in(inner) - set(scene.SHARED)
    rename(inner, {name: f"frame/{name}" for name in own})
    for node in inner.node:
        node.name = f"frame/{node.name}"
    place = next(value for value in inner.input if value.name == "frame/place")
    del inner.input[:]
    place.type.tensor_type.shape.dim[0].dim_value = 5
    inner.input.append(place)
    outer = prepare.graph
    outer.initializer.extend(inner.initializer)
    del inner.initializer[:]
    node = helper.make_node(
        "Scan", ["frames"], ["drawn"], name="scan", body=inner, num_scan_inputs=1, scan_output_axes=[1]
    )
    first = helper.make_tensor("first_axis", onnx.TensorProto.INT64, [1], [0])
    outer.initializer.append(first)
    outer.node.extend(
        [node, helper.make_node("Unsqueeze", ["drawn", "first_axis"], ["image_latents_enc"], name="batch")]
    )
    kept = [value for value in outer.output if value.name in COND_OUTPUTS]
    del outer.output[:]
    outer.output.extend(kept)
    shape = [1, dct.CHANNELS, "F", "h", "w"]
    outer.output.append(helper.make_tensor_value_info("image_latents_enc", onnx.TensorProto.FLOAT, shape))
    return prepare


def fold_norms(net: nn.Module) -> nn.Module:
    """Each norm becomes part of the convolution that its module has right before it, as the tracer would do
    it, so that these can be rounded as they are kept."""
    for module in net.modules():
        for (first, conv), (second, norm) in pairwise(module.named_children()):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module.register_module(first, fuse_conv_bn_eval(conv, norm))
                module.register_module(second, nn.Identity())
    return net


class Given(nn.Module):
    """In Found's place while what lies around the masks is traced: tracing would take only one way."""

    def __init__(self) -> None:
        super().__init__()
        self.places = self.needed = torch.zeros(())

    def forward(self, picture: Tensor, needed: Tensor) -> Tensor:
        self.needed = needed
        return self.places


class AroundMasks(nn.Module):
    """Prepare, its masks an input; another output says whether they are needed."""

    def __init__(self, prepare: scene.Prepare) -> None:
        super().__init__()
        self.given = Given()
        self.prepare = copy.copy(prepare)
        self.prepare._modules = {**prepare._modules, "found": self.given}

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *others, self.given.places = inputs
        return (*self.prepare(*others), self.given.needed)


def insert_masks(outer: ModelProto, find: ModelProto) -> ModelProto:
    """`outer` with its input `places` computed by `find` where its output `needed` is true."""
    inner, graph = find.graph, outer.graph
    rename(inner, {name: f"find/{name}" for name in names_made_in(inner) - {"picture"}})
    graph.initializer.extend(inner.initializer)
    del inner.initializer[:]
    del inner.input[:]
    empty = numpy_helper.from_array(np.zeros(scene.NO_MASKS, np.float32), "no_masks")
    node = helper.make_node("Constant", [], ["no_masks"], value=empty)
    kind = helper.make_tensor_value_info("no_masks", onnx.TensorProto.FLOAT, list(scene.NO_MASKS))
    no = helper.make_graph([node], "no_masks", [], [kind])
    choice = helper.make_node("If", ["needed"], ["places"], name="masks", then_branch=inner, else_branch=no)
    first = next(i for i, each in enumerate(graph.node) if "places" in each.input)
    graph.node.insert(first, choice)
    graph.input.remove(next(value for value in graph.input if value.name == "places"))
    return outer


class Parts:
    """The networks, rounded as they are kept."""

    def __init__(self, words: Path) -> None:
        tokenizer, end = words_tokenizer.load(words / "tokenizer.json")
        self.vocabulary = tokenizer.get_vocab_size()
        self.text_encoder, head = words_nets.load(words, self.vocabulary, end)
        self.scene = scene.Scene(scene.Prepare(head, fold_norms(masks.load())), scene.Frame())
        for module in (self.text_encoder, self.scene):
            module.eval().requires_grad_(False)
            for parameter in module.parameters():
                if parameter.numel() >= 256:
                    parameter.copy_(parameter.half().float())

    def words(self, rows: int) -> Tensor:
        embedded: Tensor = self.text_encoder(torch.randint(0, self.vocabulary, (rows, 77)))
        return embedded


def cond_inputs(words: Tensor, frames: int, h: int, w: int) -> dict[str, Tensor]:
    """Of a smooth picture, as photographs are; noise would make every mask and grid a matter of rounding.

    words (B, T, width) as the text encoder gives them.
    """
    rows = words.shape[0]
    small = torch.rand(1, 3, h // 4 + 2, w // 4 + 2) * 1.6 - 0.8
    picture = nn.functional.interpolate(small, (4 * h, 4 * w), mode="bicubic")
    return {
        "fps": torch.tensor([16]),
        "image_latents": dct.Encoder()(picture)[:, :, None],
        "image_embeddings": torch.randn(rows, 1, scene.EMBED),
        "frame_positions": torch.arange(frames) / max(frames - 1, 1),
        "encoder_hidden_states": words,
        "draws": torch.rand(1, scene.DRAWS),
        "frame_size": torch.tensor([4 * h, 4 * w]),
        "frame_views": torch.zeros(frames, 4),
        "motion_mask": torch.zeros(1, 1, 1, 1),
    }


def conditioner(whole: scene.Scene, inputs: dict[str, Tensor]) -> ModelProto:
    """unet_cond, traced with two rows of words."""
    prepare, frame = whole.prepare, whole.frame
    free = {2: "h", 3: "w"}
    axes = {
        "image_latents": {3: "h", 4: "w"},
        "image_embeddings": {0: "B"},
        "frame_positions": {0: "F"},
        "frame_views": {0: "F"},
        "motion_mask": {2: "a", 3: "b"},
        "encoder_hidden_states": {0: "B", 1: "T"},
        "context": {0: "B"},
        "frames": {0: "F"},
    }
    outputs = [*COND_OUTPUTS[:3], "frames", *scene.SHARED, "needed"]
    picture = prepare.decoder(inputs["image_latents"][:, :, 0])
    find = trace(
        Graph(prepare.found.find, {"picture": picture}, ["places"], {"picture": free, "places": free})
    )
    around = {**inputs, "places": prepare.found.find(picture)}
    outer = insert_masks(trace(Graph(AroundMasks(prepare), around, outputs, {**axes, "places": free})), find)
    _, _, _, frames, *shared = prepare(*inputs.values())
    frame_inputs = {"place": frames[1], **dict(zip(scene.SHARED, shared, strict=True))}
    inner = trace(
        Graph(
            frame,
            frame_inputs,
            ["latents"],
            {
                # Were its size known to the tracer, it would take a branch for one frame to be the only one.
                "place": {0: "numbers"},
                "picture": free,
                "cycles": {0: "M"},
                "factors": {0: "2 M", 2: "h2", 3: "w2"},
                **{name: {2: "h2", 3: "w2"} for name in ("way", "second")},
                "sky": {2: "h4", 3: "w4"},
                "latents": {1: "h", 2: "w"},
            },
        )
    )
    return scan(outer, inner)


def plain_graphs(parts: Parts) -> dict[str, Graph]:
    """All but unet_cond."""
    c, d, frames, h, w = dct.CHANNELS, scene.EMBED, 3, 16, 20
    volume = {2: "F", 3: "h", 4: "w"}
    return {
        "text_encoder": Graph(
            parts.text_encoder,
            {"input_ids": torch.randint(0, parts.vocabulary, (2, 77))},
            ["prompt_embeds"],
            {"input_ids": {0: "n", 1: "T"}, "prompt_embeds": {0: "n", 1: "T"}},
        ),
        "image_encoder": Graph(
            scene.ImageEncoder(),
            {"pixel_values": torch.randn(1, 3, IMAGE_SIDE, IMAGE_SIDE)},
            ["image_embeds"],
            {"pixel_values": {0: "n"}, "image_embeds": {0: "n"}},
        ),
        "vae_encoder": Graph(
            VaeEncoder(dct.Encoder()),
            {"sample": torch.rand(1, 3, 4 * h, 4 * w) * 2 - 1},
            ["moments"],
            {"sample": {0: "n", 2: "H", 3: "W"}, "moments": {0: "n", 2: "h", 3: "w"}},
        ),
        "vae_decoder": Graph(
            VaeDecoder(dct.Decoder()),
            {"latent": torch.randn(2, c, h, w)},
            ["sample", "rgb", "mean"],
            {
                "latent": {0: "n", 2: "h", 3: "w"},
                "sample": {0: "n", 2: "H", 3: "W"},
                "rgb": {0: "n", 1: "H", 2: "W"},
            },
        ),
        "unet_core": Graph(
            Core(),
            {
                "sample": torch.randn(1, c, frames, h, w),
                "timestep": torch.tensor([499]),
                "fps_emb": torch.randn(1, 64),
                "context": torch.randn(2, 2, d),
                "image_latents_enc": torch.randn(1, c, frames, h, w),
                "factors": torch.randn(3),
            },
            ["out_sample"],
            {
                "sample": volume,
                "context": {0: "B"},
                "image_latents_enc": volume,
                "factors": {0: "1 + B"},
                "out_sample": volume,
            },
        ),
    }


def other_feeds(name: str, parts: Parts) -> list[tuple[Tensor, ...]]:
    """More shapes than the traced one: other sizes, frame counts and one or two rows."""
    c, d = dct.CHANNELS, scene.EMBED
    feeds: list[tuple[Tensor, ...]] = []
    for rows, frames, h, w in ((1, 8, 24, 16), (2, 5, 16, 32), (1, 1, 16, 16)):
        made: dict[str, tuple[Tensor, ...]] = {
            "text_encoder": (torch.randint(0, parts.vocabulary, (rows, 77)),),
            "image_encoder": (torch.randn(1, 3, IMAGE_SIDE, IMAGE_SIDE),),
            "vae_encoder": (torch.rand(1, 3, 4 * h, 4 * w) * 2 - 1,),
            "vae_decoder": (torch.randn(frames, c, h, w),),
            "unet_cond": tuple(cond_inputs(parts.words(rows), frames, h, w).values()),
            "unet_core": (
                torch.randn(1, c, frames, h, w),
                torch.tensor([999 if frames == 1 else 100 * frames]),
                torch.randn(1, 64),
                torch.randn(rows, 2, d),
                torch.randn(1, c, frames, h, w),
                torch.randn(1 + rows),
            ),
        }
        feeds.append(made[name])
    return feeds


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_manifest(pack: Path) -> None:
    steps = {"numInferenceSteps": 1, "guidanceScale": 1}
    manifest = {
        "kinora": 1,
        "id": ID,
        "title": "Kinora built-in",
        "family": "i2vgen-xl",
        "flavour": "plain",
        "licence": "MIT AND Apache-2.0",
        "source": "computed and trained by models/train: its words learnt from generated captions, "
        "its masks from free photographs, from EfficientNet-Lite0 on",
        "architecture": {
            "latentChannels": dct.CHANNELS,
            "vaeScaleFactor": dct.CELL,
            "vaeScalingFactor": 1.0,
            "maxTokens": words_nets.MAX_TOKENS,
            "imageEncoderSize": IMAGE_SIDE,
            "imageMean": [0.5, 0.5, 0.5],
            "imageStd": [0.5, 0.5, 0.5],
        },
        "sizeMultiple": 16,
        "limits": {
            "side": {"min": 128, "max": 2048},
            "pixels": {"min": 128 * 128, "max": 1024 * 1024},
            "numFrames": {"min": 1, "max": 96},
            "numInferenceSteps": {"min": 1, "max": 1},
            "guidanceScale": {"min": 1, "max": 1},
            "targetFps": {"min": 4, "max": 32},
        },
        "motionFps": {"low": 24, "medium": 16, "high": 8},
        "defaults": {
            "scheduler": "ddim",
            "prompt": "",
            "negativePrompt": "",
            "fps": 24,
            "decodeChunkSize": 2,
        },
        # Of a photograph of 3:2: long sides of 480, 720 and 1024 pixels.
        "presets": {
            "fast": {"size": 392, "numFrames": 48, **steps},
            "standard": {"size": 588, "numFrames": 72, **steps},
            "high": {"size": 836, "numFrames": 96, **steps},
            "creative": {"size": 588, "numFrames": 72, **steps},
        },
        "motions": list(KINDS),
        "ignoredOptions": [
            "negativePrompt",
            "numInferenceSteps",
            "guidanceScale",
            "guidanceEnd",
            "scheduler",
        ],
    }
    # The texts for people may be edited without a new export.
    kept = (p for p in pack.rglob("*") if p.is_file() and p.name != "kinora.json" and p.suffix != ".md")
    manifest["files"] = [
        {
            "path": p.relative_to(pack).as_posix(),
            "bytes": p.stat().st_size,
            "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
        }
        for p in sorted(kept)
    ]
    write_json(pack / "kinora.json", manifest)


def write_scheduler(pack: Path) -> None:
    schedule = {
        "_class_name": "DDIMScheduler",
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "beta_schedule": "squaredcos_cap_v2",
        "clip_sample": False,
        "clip_sample_range": 1.0,
        "num_train_timesteps": TRAIN_STEPS,
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "set_alpha_to_one": True,
        "steps_offset": 1,
        "thresholding": False,
        "timestep_spacing": "trailing",
        "trained_betas": None,
    }
    write_json(pack / "scheduler" / "scheduler_config.json", schedule)


def main(words: Path, pack: Path) -> None:
    torch.manual_seed(0)
    (pack / "tokenizer").mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(words / name, pack / "tokenizer" / name)
    parts = Parts(words)
    for name, graph in plain_graphs(parts).items():
        path = pack / name / "model.onnx"
        save(trace(graph), path)
        check(name, graph.module, path, [tuple(graph.inputs.values()), *other_feeds(name, parts)])
    path = pack / "unet_cond" / "model.onnx"
    save(conditioner(parts.scene, cond_inputs(parts.words(2), 3, 16, 20)), path)
    check("unet_cond", parts.scene, path, other_feeds("unet_cond", parts))
    write_json(pack / "model_index.json", {"_class_name": "I2VGenXLPipeline"})
    write_scheduler(pack)
    write_manifest(pack)
    print(json.dumps({"bytes": sum(p.stat().st_size for p in pack.rglob("*") if p.is_file())}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
