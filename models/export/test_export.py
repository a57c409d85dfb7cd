"""Tests the `cuda` flavour on the tiny model without a GPU: fusion counts, and equality in float32.

    pip install pytest && pytest test_export.py

The graphs run on the CPU with their fusions undone (lower.py), weights and order as exported. What only the
CUDA kernels can get wrong is verify.py's to find.
"""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from diffusers import I2VGenXLUNet
from safetensors.torch import save_file

import export
import fused
import fusions
import graphs
import i2vgen_xl
import make_random
import make_tiny
from lora import fuse_lora, parse_lora
from lower import standardise
from make_golden import DeepFeatures
from onnx_files import open_session, run
from options import Options
from rewrite import OnnxAttention
from tensorrt_context import PROVIDER, Size, limits_within, profiles_of, require_tensorrt

torch.set_num_threads(2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    make_tiny.make_checkpoint(folder)
    return folder


def export_to(out: Path, checkpoint: Path, **options: object) -> Path:
    settings = {"flavour": "cuda", "dtype": torch.float32, "allow_unfused": True, "device": "cpu", **options}
    export.export_pack(str(checkpoint), out, make_tiny.TINY, options=Options(**settings))
    return out


@pytest.fixture(scope="module")
def pack(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In float32, with both cores. export_pack itself compares every graph with PyTorch at two sizes, to
    1e-4.
    """
    return export_to(tmp_path_factory.mktemp("tiny") / "pack", checkpoint, deepcache=True)


def test_half_precision_pack_is_close_and_float32_outside(checkpoint: Path, tmp_path: Path) -> None:
    out = export_to(tmp_path / "pack", checkpoint, dtype=torch.float16)
    for folder in ("text_encoder", "image_encoder", "vae_encoder", "unet_cond", "unet_core", "vae_decoder"):
        graph = onnx.load(out / folder / "model.onnx", load_external_data=False).graph
        types = {value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}
        assert types <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.UINT8}
    manifest = json.loads((out / "kinora.json").read_text())
    assert manifest["flavour"] == "cuda"
    assert manifest["requires"] == {"device": "cuda"}
    core = onnx.load(out / "unet_core" / "model.onnx", load_external_data=False).graph
    weights = [w for w in core.initializer if len(w.dims) > 1]
    assert weights and all(w.data_type == onnx.TensorProto.FLOAT16 for w in weights if "freqs" not in w.name)


def test_counts_of_fusions_follow_from_the_modules(pack: Path) -> None:
    unet = make_tiny.make_unet()
    found = fusions.count(pack / "unet_core" / "model.onnx")
    blocks = len(
        re.findall(r"transformer_blocks\.0\.attn1\.to_q\.weight", "\n".join(dict(unet.named_parameters())))
    )
    temporal = len(re.findall(r"temp_convs\.\d+\.conv1\.0\.weight", "\n".join(dict(unet.named_parameters()))))
    assert found["MultiHeadAttention"] + found[fusions.PACKED] == 2 * blocks == 42
    assert found["SkipLayerNormalization"] == 3 * blocks
    assert found["GroupNorm"] + found["SkipGroupNorm"] == 106
    assert temporal == 14
    for unfused in ("LayerNormalization", "InstanceNormalization", "Conv", "Softmax"):
        assert found[unfused] == 0


def test_no_arithmetic_with_shapes_but_one_product(pack: Path) -> None:
    """A shape goes straight into a Reshape or an Expand, or is multiplied by constants for a Reshape: all
    that ONNX Runtime leaves to the CPU.
    """
    for name in ("unet_core", "unet_shallow", "vae_encoder", "vae_decoder"):
        graph = onnx.load(pack / name / "model.onnx", load_external_data=False).graph
        producers = {output: node for node in graph.node for output in node.output}
        weights = {weight.name for weight in graph.initializer}
        for node in graph.node:
            for value in node.input:
                source = producers.get(value)
                if source is not None and source.op_type == "Shape":
                    if node.op_type == "Mul":
                        assert producers[node.input[1]].op_type == "Constant"
                        assert {n.op_type for n in graph.node if node.output[0] in n.input} == {"Reshape"}
                    else:
                        assert node.op_type in ("Reshape", "Expand")
                    assert (
                        producers.get(source.input[0]) is None
                        or producers[source.input[0]].op_type != "Transpose"
                    )
            if node.op_type == "Expand":
                assert node.input[0] not in weights


@pytest.mark.parametrize("height,width", [(1, 1), (3, 5)])
def test_convolution_of_what_is_upsampled_without_upsampling_it(height: int, width: int) -> None:
    torch.manual_seed(1)
    conv = torch.nn.Conv2d(6, 4, 3, padding=1)
    x = torch.randn(2, 6, height, width)
    with torch.no_grad():
        expected = conv(torch.nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        out = fused.UpsampledConv(conv)(x.permute(0, 2, 3, 1))
    assert (out.permute(0, 3, 1, 2) - expected).abs().max() <= 1e-5


def test_packed_sequences_are_as_long_as_the_kernel_computes_at_once() -> None:
    packed = {frames: fused.positions_of(frames) for frames in (8, 14, 16, 25, 32, 64, 200)}
    assert packed == {8: 16, 14: 8, 16: 8, 25: 4, 32: 4, 64: 2, 200: 1}


def test_no_output_without_a_reader(pack: Path) -> None:
    for name in ("unet_core", "unet_shallow", "vae_encoder", "vae_decoder"):
        graph = onnx.load(pack / name / "model.onnx", load_external_data=False).graph
        read = {value for node in graph.node for value in node.input} | {value.name for value in graph.output}
        assert [
            output for node in graph.node for output in node.output if output and output not in read
        ] == []


def test_decoded_pixels_are_the_sample_in_bytes(pack: Path) -> None:
    latent = (
        8 * torch.randn(2, 4, 6, 10, generator=torch.Generator().manual_seed(3)).numpy()
    )  # some out of range
    broken = latent.copy()
    broken[1, 2, 3, 4] = np.inf
    with open_session(pack / "vae_decoder") as decoder:
        sample, rgb, mean = decoder.run(["sample", "rgb", "mean"], {"latent": latent})
        (of_broken,) = decoder.run(["mean"], {"latent": broken})
    assert sample.max() > 1
    expected = (sample * np.float32(127.5) + np.float32(127.5)).clip(0, 255).round().astype(np.uint8)
    assert np.array_equal(rgb, expected.transpose(0, 2, 3, 1))
    assert np.isclose(mean, sample.mean(), atol=1e-5)
    assert not np.isfinite(of_broken)


def test_lost_fusions_stop_the_export(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="BiasSplitGelu"):
        export_to(tmp_path / "pack", checkpoint, allow_unfused=False)
    assert not (tmp_path / "pack" / "kinora.json").exists()


def test_real_widths_lose_nothing(tmp_path: Path) -> None:
    """The published widths and head sizes in two levels instead of four."""
    unet = make_random.make_unet(
        "cpu",
        torch.float32,
        block_out_channels=(320, 640),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=64,
    )
    options = Options(flavour="cuda", dtype=torch.float32, device="cpu")
    i2vgen_xl.export_unet(unet, tmp_path, 77, options)
    found = fusions.count(tmp_path / "unet_core" / "model.onnx")
    # Six feed-forwards of the higher resolution in two parts, two below, transformer_in's widened and in four
    # parts.
    assert found["BiasSplitGelu"] == 6 * 2 + 2 + 4
    assert found["Erf"] == found["Gelu"] == 0


@pytest.mark.parametrize("batch,frames,height,width", [(1, 1, 8, 8), (1, 4, 16, 8), (2, 3, 8, 24)])
def test_core_runs_at_sizes_that_it_was_not_traced_with(
    pack: Path, batch: int, frames: int, height: int, width: int
) -> None:
    unet = make_tiny.make_unet()
    inputs = inputs_of(batch, frames, height, width, seed=batch + frames)
    expected = i2vgen_xl.reference_sample(unet, inputs).numpy()
    values = {name: value.numpy() for name, value in inputs.items()}
    for name in ("unet_cond", "unet_core", "unet_shallow"):
        values |= run_graph(pack / name, values)
        if name != "unet_cond":
            assert np.abs(values["out_sample"] - expected).max() <= 1e-4


def inputs_of(batch: int, frames: int, height: int, width: int, seed: int) -> dict[str, torch.Tensor]:
    """For unet_cond and unet_core of the tiny model, with a context of `batch` rows."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "fps": torch.tensor([16]),
        "image_latents": noise(1, 4, frames, height, width),
        "image_embeddings": noise(batch, 1, 32),
        "encoder_hidden_states": noise(batch, 77, 32),
        "sample": noise(1, 4, frames, height, width),
        "timestep": torch.tensor([501]),
        "factors": noise(1 + batch),
    }


def run_graph(folder: Path, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with open_session(folder) as session:
        return run(session, values)


@pytest.mark.parametrize("flavour", ["plain", "cuda"])
def test_what_all_rows_share_has_a_fixed_one(pack: Path, flavour: str) -> None:
    """Kinora learns from these dimensions which tensors all rows share."""
    tiny = Path(__file__).parents[2] / "tests" / "fixtures"
    cond, cores = (tiny / "packs" / "tiny", tiny / "cores") if flavour == "plain" else (pack, pack)
    shared = {"fps", "image_latents", "fps_emb", "image_latents_enc", "sample", "out_sample"}
    rows = {"image_embeddings", "encoder_hidden_states", "context"}
    for folder in (cond / "unet_cond", cores / "unet_core", cores / "unet_shallow"):
        graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
        first = {value.name: value.type.tensor_type.shape.dim[0] for value in [*graph.input, *graph.output]}
        assert all(first[name].dim_value == 1 for name in shared & first.keys())
        assert all(first[name].dim_param == "batch" for name in rows & first.keys())
        assert "factors" not in first or first["factors"].dim_param == "factors"


def test_sum_and_factors_are_float32_in_half_precision() -> None:
    """Factors beyond FP16's range, which cancel each other: only a sum in float32 gives about the sample
    back.
    """
    core = fused.UnetCore(make_tiny.make_unet().half(), torch.float16)
    sample = torch.randn(1, 4, 2, 8, 8)
    text, context = (torch.randn(1, tokens, 32).repeat(2, 1, 1) for tokens in (77, 68))
    with torch.no_grad():
        out = core(
            sample,
            torch.tensor([501]),
            text,
            torch.randn(1, 64),
            context,
            sample,
            torch.tensor([1, 1e5, -1e5]),
        )
    assert (out - sample).abs().max() < 0.05


def test_work_before_the_first_cross_attention_is_done_once(pack: Path) -> None:
    """The highest resolution's self-attention of the first layer sees F pictures with two rows of context as
    with one.
    """
    core = fused.UnetCore(make_tiny.make_unet(), torch.float32)
    seen = {}
    for name, part in (
        ("first", core.down[0][0].attn.block.attn1),
        ("second", core.down[1][0].attn.block.attn1),
    ):
        part.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: len(args[0])}))
    sample, text, context = torch.randn(1, 4, 3, 8, 8), torch.randn(2, 77, 32), torch.randn(2, 68, 32)
    with torch.no_grad():
        core(sample, torch.tensor([501]), text, torch.randn(1, 64), context, sample, torch.ones(3))
    assert seen == {"first": 3, "second": 6}


def test_attention_over_time_packs_positions_behind_a_mask(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two attentions in each temporal transformer but those of the lowest resolution, whose number of
    positions may be odd. Without the mask, positions would see each other.
    """
    unet = make_tiny.make_unet()
    transformers = [unet.transformer_in, *(t for b in unet.down_blocks[:3] for t in b.temp_attentions)]
    transformers += [t for b in unet.up_blocks[1:] for t in b.temp_attentions]
    found = fusions.count(pack / "unet_core" / "model.onnx")
    assert found[fusions.PACKED] == 2 * len(transformers) == 20

    monkeypatch.setattr(fused, "APART", 0.0)
    options = Options(flavour="cuda", dtype=torch.float32, allow_unfused=True, device="cpu")
    with pytest.raises(SystemExit, match="unet_core"):
        i2vgen_xl.export_unet(unet, tmp_path, 77, options)


def test_features_of_another_step_change_the_shallow_core(pack: Path) -> None:
    """With the features of another clip, the result changes: the graph reads them."""
    unet = make_tiny.make_unet()
    for attn in unet.image_latents_temporal_encoder.modules():
        if hasattr(attn, "set_processor"):
            attn.set_processor(OnnxAttention())
    core = fused.UnetCore(unet, torch.float32)
    sample, latents = torch.randn(1, 4, 2, 8, 8), torch.randn(1, 4, 2, 8, 8)
    with torch.no_grad():
        cond = graphs.UnetCond(unet)(torch.tensor([8]), latents, torch.randn(1, 1, 32))
        inputs = (sample, torch.tensor([501]), torch.randn(1, 77, 32), *cond, torch.tensor([0.0, 1.0]))
        out, deep = core.with_deep_features(*inputs)
        other = fused.UnetShallow(core)(*inputs, deep * 0)
    assert (out - other).abs().max() > 0.1


@pytest.mark.parametrize("flavour", ["plain", "cuda"])
def test_shallow_core_with_features_of_an_earlier_step(pack: Path, tmp_path: Path, flavour: str) -> None:
    """Against the untouched UNet, whose last layer is given the same old features by a hook."""
    if flavour == "plain":
        make_tiny.export_cores(tmp_path / "cores")
        cores = tmp_path / "cores"
    else:
        cores = pack
    unet = make_tiny.make_unet()
    inputs = inputs_of(2, 3, 8, 16, seed=7)
    other_noise = torch.randn(1, 4, 3, 8, 16, generator=torch.Generator().manual_seed(8))
    steps = [{**inputs, "timestep": torch.tensor([901])}, {**inputs, "sample": other_noise}]
    with DeepFeatures(unet) as features:
        expected = [i2vgen_xl.reference_sample(unet, steps[0])]
        features.are_old = True
        expected.append(i2vgen_xl.reference_sample(unet, steps[1]))
    values = run_graph(pack / "unet_cond", {name: value.numpy() for name, value in inputs.items()})
    folders = (cores / "unet_core", cores / "unet_shallow")
    for folder, step, result in zip(folders, steps, expected, strict=True):
        values |= {name: value.numpy() for name, value in step.items()}
        values |= run_graph(folder, values)
        assert np.abs(values["out_sample"] - result.numpy()).max() <= 1e-4


LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    "down,up,prefix,alpha",
    [
        (".lora_A.weight", ".lora_B.weight", "unet.", None),
        (".lora.down.weight", ".lora.up.weight", "", 2.0),
        (".lora_A.weight", ".lora_B.weight", "", 8.0),
    ],
)
def test_lora_is_the_sum_of_its_outer_products(
    tmp_path: Path, down: str, up: str, prefix: str, alpha: float | None
) -> None:
    unet = make_tiny.make_unet()
    before = unet.get_submodule(LAYER).weight.detach().clone()
    others = {name: p.detach().clone() for name, p in unet.named_parameters() if name != f"{LAYER}.weight"}
    a, b = torch.randn(4, before.shape[1]), torch.randn(before.shape[0], 4)
    tensors = {f"{prefix}{LAYER}{down}": a, f"{prefix}{LAYER}{up}": b}
    if alpha is not None:
        tensors[f"{prefix}{LAYER}.alpha"] = torch.tensor(alpha)
    save_file(tensors, tmp_path / "lora.safetensors")
    assert fuse_lora(unet, f"{tmp_path / 'lora.safetensors'}:0.5") == 1
    expected = before.clone()
    for rank in range(4):
        expected += 0.5 * (alpha or 4) / 4 * torch.outer(b[:, rank], a[rank])
    assert torch.allclose(unet.get_submodule(LAYER).weight, expected, atol=1e-6)
    assert all(torch.equal(p, others[name]) for name, p in unet.named_parameters() if name in others)


def test_old_processor_names_and_convolutions(tmp_path: Path) -> None:
    unet = make_tiny.make_unet()
    attn, conv = LAYER.removesuffix(".to_q"), "down_blocks.0.resnets.0.conv1"
    out, weight = unet.get_submodule(f"{attn}.to_out.0").weight, unet.get_submodule(conv).weight
    before_out, before = out.detach().clone(), weight.detach().clone()
    tensors = {
        f"unet.{attn}.processor.to_out_lora.down.weight": torch.randn(2, out.shape[1]),
        f"unet.{attn}.processor.to_out_lora.up.weight": torch.randn(out.shape[0], 2),
        f"{conv}.lora_A.weight": torch.randn(2, *weight.shape[1:]),
        f"{conv}.lora_B.weight": torch.randn(weight.shape[0], 2, 1, 1),
    }
    save_file(tensors, tmp_path / "lora.safetensors")
    assert fuse_lora(unet, str(tmp_path / "lora.safetensors")) == 2
    names = list(tensors)
    assert torch.allclose(out, before_out + tensors[names[1]] @ tensors[names[0]], atol=1e-6)
    # Applied one after the other, the two convolutions of the adapter are one.
    x = torch.randn(1, weight.shape[1], 6, 6)
    adapter = torch.nn.functional.conv2d(
        torch.nn.functional.conv2d(x, tensors[names[2]], padding=1), tensors[names[3]]
    )
    both = torch.nn.functional.conv2d(x, before, padding=1) + adapter
    assert torch.allclose(torch.nn.functional.conv2d(x, weight, padding=1), both, atol=1e-3)


@pytest.mark.parametrize(
    "tensors,message",
    [
        ({"text_model.x.lora_A.weight": torch.zeros(1, 1)}, "no layer of the UNet"),
        ({f"{LAYER}.lora_A.weight": torch.zeros(2, 16)}, "one half"),
        (
            {f"{LAYER}.lora_A.weight": torch.zeros(2, 5), f"{LAYER}.lora_B.weight": torch.zeros(16, 2)},
            "does not fit",
        ),
        ({f"{LAYER}.lora_magnitude_vector": torch.zeros(2)}, "no layer of the UNet"),
    ],
)
def test_lora_that_does_not_fit_changes_nothing(
    tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
) -> None:
    unet = make_tiny.make_unet()
    before = {name: p.detach().clone() for name, p in unet.named_parameters()}
    save_file(tensors, tmp_path / "lora.safetensors")
    with pytest.raises(SystemExit, match=message):
        fuse_lora(unet, str(tmp_path / "lora.safetensors"))
    assert all(torch.equal(p, before[name]) for name, p in unet.named_parameters())


def test_lora_reaches_the_pack(checkpoint: Path, tmp_path: Path) -> None:
    """The exported core with a LoRA equals PyTorch with the same weights changed by hand."""
    tensors = {
        f"{LAYER}.lora_A.weight": torch.ones(1, 16) * 0.2,
        f"{LAYER}.lora_B.weight": torch.ones(16, 1) * 0.2,
    }
    save_file(tensors, tmp_path / "lora.safetensors")
    unet = I2VGenXLUNet.from_pretrained(checkpoint, subfolder="unet").eval()
    with torch.no_grad():
        unet.get_submodule(LAYER).weight += 0.04 * 0.5
    by_hand = unet.get_submodule(LAYER).weight.detach()
    pack = export_to(tmp_path / "pack", checkpoint, loras=[f"{tmp_path / 'lora.safetensors'}:0.5"])
    core = onnx.load(pack / "unet_core" / "model.onnx")
    shapes = {
        w.name: w for w in core.graph.initializer if w.name.endswith("down.0.0.attn.block.attn1.q.weight")
    }
    (weight,) = shapes.values()
    assert np.allclose(onnx.numpy_helper.to_array(weight), by_hand.t().numpy(), atol=1e-6)


def test_parse_lora(tmp_path: Path) -> None:
    assert parse_lora("a.safetensors") == (Path("a.safetensors"), 1.0)
    assert parse_lora("a.safetensors:0.7") == (Path("a.safetensors"), 0.7)
    assert parse_lora("a:b.safetensors") == (Path("a:b.safetensors"), 1.0)


def test_graphs_for_tensorrt_are_standard_and_equal(tmp_path: Path) -> None:
    """The plain core and decoder without attention nodes, against themselves with them."""
    pack = Path(__file__).parents[2] / "tests" / "fixtures" / "packs" / "tiny"
    generator = np.random.default_rng(0)
    for name in ("unet_core", "vae_decoder"):
        with open_session(pack / name) as session:
            feed = {}
            for value in session.get_inputs():
                named = {
                    "batch": 2,
                    "factors": 3,
                    "n": 2,
                    "frames": 3,
                    "latent_height": 8,
                    "latent_width": 16,
                }
                dims = [named.get(dim, dim) for dim in value.shape]
                feed[value.name] = generator.standard_normal(dims).astype(np.float32)
                if value.type == "tensor(int64)":
                    feed[value.name] = np.array([501])
            expected = session.run(None, feed)[0]
        model = onnx.load(pack / name / "model.onnx")
        standardise(model)
        assert all(node.domain in ("", "ai.onnx") for node in model.graph.node)
        onnx.save_model(model, tmp_path / "model.onnx")
        with open_session(tmp_path) as session:
            assert np.abs(session.run(None, feed)[0] - expected).max() <= 1e-4


def test_tensorrt_profiles_span_all_sizes() -> None:
    pack = Path(__file__).parents[2] / "tests" / "fixtures" / "packs" / "tiny"
    sizes = [Size.parse("512x512x16"), Size.parse("768x448x24")]
    core = profiles_of(pack / "unet_core", sizes, 8, 2)
    fixed = (
        "sample:1x4x{0},encoder_hidden_states:{1}x77x32,context:{1}x68x32,"
        "image_latents_enc:1x4x{0},factors:{2}"
    )
    assert core["trt_profile_min_shapes"] == fixed.format("16x56x64", 1, 2)
    assert core["trt_profile_opt_shapes"] == fixed.format("16x64x64", 2, 3)
    assert core["trt_profile_max_shapes"] == fixed.format("24x64x96", 2, 3)
    decoder = profiles_of(pack / "vae_decoder", sizes, 8, 2)
    assert decoder["trt_profile_max_shapes"] == "latent:2x4x64x96"
    with pytest.raises(SystemExit, match="512x512x16"):
        Size.parse("512")


def test_tensorrt_pack_offers_only_what_its_engines_can_do() -> None:
    sizes = [Size.parse("384x640x16"), Size.parse("640x384x16"), Size.parse("512x512x8")]
    limits = limits_within({"side": {"min": 256, "max": 1280}, "guidanceScale": {"min": 1, "max": 20}}, sizes)
    assert limits == {
        "side": {"min": 384, "max": 640},
        "pixels": {"min": 384 * 640, "max": 512 * 512},
        "numFrames": {"min": 8, "max": 16},
        "guidanceScale": {"min": 1, "max": 20},
    }
    with pytest.raises(SystemExit, match="upright"):
        limits_within({}, [Size.parse("640x384x16")])


def test_tensorrt_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [name for name in ort.get_available_providers() if name != PROVIDER]
    monkeypatch.setattr(ort, "get_available_providers", lambda: others)
    with pytest.raises(SystemExit, match="TensorRT"):
        require_tensorrt()
