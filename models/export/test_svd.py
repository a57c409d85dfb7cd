"""Tests the export of Stable Video Diffusion on the tiny model: equality, fusions, and what is refused.

The graphs run on the CPU, those of the `cuda` flavour with their fusions undone (lower.py). svd.export_unet
and svd.export_vae themselves compare each graph with the untouched modules, at two sizes, frame counts and
batches.
"""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import requests
import torch
from diffusers.models.resnet import SpatioTemporalResBlock
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

import checkpoint as looks
import export
import fused
import fusions
import make_golden_svd
import make_random
import make_tiny_svd
import svd
import svd_fused
import svd_graphs
from branch import graphs_of
from make_golden import DeepFeatures
from onnx_files import open_session, run
from options import Options

torch.set_num_threads(2)

# As published, but for the widths. Those of 64 let the timestep through the norms of 32 groups; the first is
# all that the shallow core has.
FOUR_LEVELS: dict[str, Any] = {
    "block_out_channels": (64, 32, 64, 64),
    "num_attention_heads": (4, 4, 4, 4),
    "down_block_types": (*("CrossAttnDownBlockSpatioTemporal",) * 3, "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", *("CrossAttnUpBlockSpatioTemporal",) * 3),
}
# Two levels, for tests of what does not depend on their number.
SMALL = {
    "block_out_channels": (32, 32),
    "num_attention_heads": (4, 4),
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
}
CUDA = {"flavour": "cuda", "dtype": torch.float32, "allow_unfused": True, "device": "cpu"}
PLAIN_PACK = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "packs" / "tiny-svd"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("svd") / "checkpoint"
    make_tiny_svd.make_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def cuda_graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published arrangement of blocks in float32, with both cores. The transformers of the highest
    resolution go in two parts where there is one row, as with the published widths.
    """
    folder = tmp_path_factory.mktemp("svd")
    options = Options(**CUDA, deepcache=True, checks=False)  # the tests compare
    with pytest.MonkeyPatch.context() as patch:
        widest = svd_fused.WIDEST_BYTES * FOUR_LEVELS["block_out_channels"][0] // 320
        patch.setattr(svd_fused, "WIDEST_BYTES", widest)
        svd.export_unet(make_tiny_svd.make_unet(**FOUR_LEVELS), folder, options)
    return folder


# Of the highest resolution in FOUR_LEVELS: one down, two up.
IN_TWO_PARTS = 3


def run_graph(folder: Path, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with open_session(folder) as session:
        return run(session, values)


def host(inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in inputs.items()}


@pytest.mark.parametrize("batch,frames,height,width", [(1, 1, 8, 8), (2, 14, 8, 16)])
def test_cores_run_at_sizes_that_they_were_not_traced_with(
    cuda_graphs: Path, batch: int, frames: int, height: int, width: int
) -> None:
    unet = make_tiny_svd.make_unet(**FOUR_LEVELS)
    torch.manual_seed(batch)
    inputs = svd.unet_case(unet.config, batch, frames, height, width, 0.3)
    expected = svd.reference_sample(unet, inputs).numpy()
    values = host(inputs)
    for name in ("unet_cond", "unet_core", "unet_shallow"):
        values |= run_graph(cuda_graphs / name, values)
        if name != "unet_cond":
            assert np.abs(values["out_sample"] - expected).max() <= 1e-4


def test_published_arrangement_is_exported_as_plain(tmp_path: Path) -> None:
    """svd.export_unet itself compares the graphs with the untouched UNet; the tiny pack has three levels."""
    unet = make_tiny_svd.make_unet(**FOUR_LEVELS)
    svd.export_unet(unet, tmp_path, Options(device="cpu"))
    attentions = fusions.count(tmp_path / "unet_core" / "model.onnx")["MultiHeadAttention"]
    assert attentions == 2 * len(svd_graphs.transformers_of(unet)) == 20


def test_rows_one_after_the_other_give_the_same_bits() -> None:
    unet = make_tiny_svd.make_unet()
    torch.manual_seed(2)
    values = host(svd.unet_case(unet.config, 2, 3, 8, 8, 1.1))
    values |= run_graph(PLAIN_PACK / "unet_cond", values)
    both = run_graph(PLAIN_PACK / "unet_core", values)["out_sample"]
    total = np.zeros_like(both)
    for row in range(2):
        single = {name: values[name][row : row + 1] for name in ("image_latents", "context")}
        factors = np.stack([values["factors"][0] * (row == 0), values["factors"][1 + row]])
        total += run_graph(PLAIN_PACK / "unet_core", {**values, **single, "factors": factors})["out_sample"]
    assert np.array_equal(total, both)


def test_committed_pack_is_the_export_of_the_committed_script() -> None:
    unet = make_tiny_svd.make_unet()
    torch.manual_seed(3)
    inputs = svd.unet_case(unet.config, 2, 4, 8, 16, -0.5)
    values = host(inputs)
    for name in ("unet_cond", "unet_core"):
        values |= run_graph(PLAIN_PACK / name, values)
    assert np.abs(values["out_sample"] - svd.reference_sample(unet, inputs).numpy()).max() <= 1e-4
    manifest = json.loads((PLAIN_PACK / "kinora.json").read_text())
    assert manifest["family"] == "svd"
    assert manifest["attribution"] == "Powered by Stability AI"
    assert manifest["architecture"]["trainedFrames"] == manifest["limits"]["numFrames"]["max"] == 25
    assert not (PLAIN_PACK / "tokenizer").exists() and not (PLAIN_PACK / "text_encoder").exists()
    assert sum(file["bytes"] for file in manifest["files"]) < 8e6


def test_committed_pack_shows_each_number_that_it_is_told() -> None:
    """By ten times the tolerance of the golden numbers, or these could not see a wrong one."""
    torch.manual_seed(8)
    values = host(svd.unet_case(make_tiny_svd.make_unet().config, 1, 2, 8, 8, 0.3))
    told = {"timestep": np.float32([0.3]), "added_time_ids": np.float32([[6, 127, 0.02]])}
    changes = {
        "timestep": {"timestep": np.float32([0.3 * 1.05])},
        "fps": {"added_time_ids": np.float32([[7, 127, 0.02]])},
        "bucket": {"added_time_ids": np.float32([[6, 180, 0.02]])},
        "noise_aug": {"added_time_ids": np.float32([[6, 127, 0.1]])},
    }
    with open_session(PLAIN_PACK / "unet_cond") as cond, open_session(PLAIN_PACK / "unet_core") as core:

        def output(change: dict[str, np.ndarray]) -> np.ndarray:
            inputs = {**values, **told, **change}
            return run(core, {**inputs, **run(cond, inputs)})["out_sample"]

        usual = output({})
        moved = {name: np.abs(output(change) - usual).max() for name, change in changes.items()}
    assert min(moved.values()) > 1e-3, moved


def test_cards_are_those_that_requests_are_tested_with() -> None:
    """tests/request/svd.test.ts compares their presets with the README."""
    golden = Path(__file__).resolve().parents[2] / "tests" / "golden" / "svd" / "cards.json"
    assert json.loads(golden.read_text()) == make_golden_svd.make_cards()


def test_what_all_rows_share_has_a_fixed_one(cuda_graphs: Path) -> None:
    """Kinora learns from these dimensions which tensors all rows share."""
    shared = {"added_time_ids", "cond_emb", "positions", "sample", "out_sample"}
    rows = {"image_embeddings", "image_latents", "context"}
    for pack in (PLAIN_PACK, cuda_graphs):
        for name in ("unet_cond", "unet_core", "unet_shallow"):
            graph = onnx.load(pack / name / "model.onnx", load_external_data=False).graph
            dims = {value.name: value.type.tensor_type.shape.dim for value in [*graph.input, *graph.output]}
            assert all(dims[name][0].dim_value == 1 for name in shared & dims.keys())
            assert all(dims[name][0].dim_param == "batch" for name in rows & dims.keys())
            if "factors" in dims:
                assert [dim.dim_param for dim in dims["factors"]] == ["factors", "frames"]
            elements = {v.name: v.type.tensor_type.elem_type for v in graph.input}
            assert elements.get("timestep", onnx.TensorProto.FLOAT) == onnx.TensorProto.FLOAT


@pytest.mark.parametrize("flavour", ["plain", "cuda"])
def test_other_queries_and_keys_of_cross_attention_give_the_same_pack(tmp_path: Path, flavour: str) -> None:
    options = Options(flavour=flavour, dtype=torch.float32, allow_unfused=True, device="cpu", checks=False)

    unet = make_tiny_svd.make_unet(**SMALL)

    def exported() -> dict[str, bytes]:
        folder = tmp_path / "pack"
        folder.mkdir()
        torch.manual_seed(5)
        svd.export_unet(unet, folder, options)
        files = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
        shutil.rmtree(folder)
        return files

    before = exported()
    dead = [p for name, p in unet.named_parameters() if ".attn2.to_q." in name or ".attn2.to_k." in name]
    with torch.no_grad():
        for parameter in dead:
            parameter.normal_()
    assert dead and before == exported()


def test_fusions_follow_from_the_modules(cuda_graphs: Path) -> None:
    unet = make_tiny_svd.make_unet(**FOUR_LEVELS)
    transformers = len(svd_graphs.transformers_of(unet))
    found = fusions.count(cuda_graphs / "unet_core" / "model.onnx")
    assert found["MultiHeadAttention"] + found[fusions.PACKED] == 2 * transformers + IN_TWO_PARTS == 23
    assert found["SkipLayerNormalization"] == 5 * transformers + 3 * IN_TWO_PARTS
    assert found["GroupNorm"] + found["SkipGroupNorm"] == 14 * 4 + transformers + 1
    for unfused in ("LayerNormalization", "InstanceNormalization", "Conv", "Softmax"):
        assert found[unfused] == 0


def test_two_rows_go_apart_at_the_highest_resolution(cuda_graphs: Path) -> None:
    """There, and in no parts; a single row goes in two."""
    model = onnx.load(cuda_graphs / "unet_core" / "model.onnx", load_external_data=False)
    branches = {graph.name: graph for graph in graphs_of(model)[1:]}
    attentions = {
        name: sum(node.op_type == "MultiHeadAttention" for node in graph.node)
        for name, graph in branches.items()
    }
    assert attentions == {"two_rows:": 20 + 2 * 3, "one_row:": 20 + IN_TWO_PARTS}
    assert not any(graph.initializer for graph in branches.values())  # both read the same weights


def test_published_arrangement_has_the_counts_of_the_specification() -> None:
    with torch.device("meta"):
        unet = svd.UNetSpatioTemporalConditionModel(**make_random.SVD_UNET)
    assert sum(parameter.numel() for parameter in unet.parameters()) == 1_524_623_082
    expected = svd.expected_of_core(unet)
    assert expected["MultiHeadAttention"] == 32
    assert expected["packed attention"] == 15
    assert expected["GroupNorm"] == 105
    assert expected["SkipLayerNorm"] == 80
    assert expected["BiasSplitGelu"] == 48
    shortcuts = sum(name.endswith("conv_shortcut") for name, _ in unet.named_modules())
    assert expected["NhwcConv"] == 110 - shortcuts + 1


def test_parts_are_as_few_as_the_arena_takes_well() -> None:
    """One row's widest tensor takes 1 GiB at most in a part, as far as the level has parts."""
    widths = (320, 640, 1280, 1280)
    assert [level.parts for level in svd_fused.levels_of(widths, 25)] == [2, 1, 1, 1]
    assert [level.parts for level in svd_fused.levels_of(widths, 14)] == [1, 1, 1, 1]
    wider = [4 * width for width in widths]
    assert [level.parts for level in svd_fused.levels_of(wider, 25)] == [8, 4, 2, 1]


@pytest.mark.parametrize("rows", [1, 2])
def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Four parts, halves of height and width, which two rows have below the highest resolution alone; the
    graphs above have two.
    """
    unet = make_tiny_svd.make_unet(**FOUR_LEVELS)
    widest = unet.config.num_frames * svd_fused.MOST_CELLS * 8 * 64 * 2
    monkeypatch.setattr(svd_fused, "WIDEST_BYTES", widest // 4 // (1 if rows == 1 else 8))
    torch.manual_seed(4)
    inputs = svd.unet_case(unet.config, rows, 3, 8, 8, 0.3)
    with torch.no_grad():
        cond = svd_graphs.UnetCond(unet)(*(inputs[name] for name in svd.COND_NAMES))
        core = svd_fused.UnetCore(unet, torch.float32)
        first = (inputs[name] for name in ("sample", "timestep", "image_latents"))
        out = core(*first, *cond, inputs["factors"])
    assert core.down[0 if rows == 1 else 1][0].transformer.level.parts == 4
    assert (out - svd.reference_sample(unet, inputs)).abs().max() <= 1e-4


def test_real_widths_lose_nothing(tmp_path: Path) -> None:
    unet = make_random.make_svd_unet(
        "cpu",
        torch.float32,
        block_out_channels=(320, 320),
        layers_per_block=1,
        num_attention_heads=(5, 5),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=64,
    )
    options = Options(flavour="cuda", dtype=torch.float32, device="cpu", checks=False, deepcache=True)
    svd.export_unet(unet, tmp_path, options)
    found = fusions.count(tmp_path / "unet_core" / "model.onnx")
    # Three transformers of the higher resolution, which go in two parts, and one of the lower.
    assert found["BiasSplitGelu"] == 3 * 3 * 2 + 3
    assert found["Erf"] == found["Gelu"] == 0


def test_random_models_know_their_positions() -> None:
    """to_empty leaves what is no parameter as it finds it."""
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    model = make_random.with_random_weights(lambda: CLIPVisionModelWithProjection(config), 0, "cpu")
    (positions,) = model.buffers()
    assert torch.equal(positions, torch.arange((224 // 32) ** 2 + 1)[None])


def test_convolutions_over_time_of_a_width_that_is_turned() -> None:
    torch.manual_seed(9)
    width, frames, height = fused.TURNED_WIDTH, 3, 2
    block = SpatioTemporalResBlock(width, width, temb_channels=32).eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.03)
    x, emb = torch.randn(2 * frames, width, height, 4), torch.randn(1, 32)
    sizes = fused.Sizes(torch.zeros(2, frames, height, 4), torch.float32)
    unread = torch.zeros(1)
    seen = torch.nn.functional.silu(emb)
    clips = svd_fused.Clips(
        False, True, seen, seen.expand(2 * frames, -1), torch.ones(2, 1, 1, 1), unread, unread, unread
    )
    with torch.no_grad():
        expected = block(x, emb.expand(2 * frames, -1), torch.zeros(2, frames))
        resnet = svd_fused.Resnet(block)
        act = resnet(fused.Sum(x.permute(0, 2, 3, 1).contiguous(), "space", width), sizes, clips)
        out = act.value(sizes, "space").permute(0, 3, 1, 2)
    assert resnet.is_turned and expected.std() > 0.5
    assert (out - expected).abs().max() <= 1e-4


def test_a_lost_fusion_stops_the_export(cuda_graphs: Path) -> None:
    """The tiny widths have no BiasSplitGelu."""
    expected = svd.expected_of_core(make_tiny_svd.make_unet(**FOUR_LEVELS))
    with pytest.raises(SystemExit, match="fusions were lost: .*BiasSplitGelu"):
        Options(flavour="cuda").count(cuda_graphs / "unet_core", expected)


def test_a_fusion_that_the_shallow_core_lost_stops_the_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(flavour="cuda", dtype=torch.float32, device="cpu", checks=False, deepcache=True)
    monkeypatch.setattr(svd, "expected_of_core", lambda _: Counter())
    with pytest.raises(SystemExit, match="unet_shallow: 3 of 3 BiasSplitGelu"):
        svd.export_unet(make_tiny_svd.make_unet(**SMALL), tmp_path, options)


def test_packing_that_fell_to_one_stops_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(flavour="cuda", dtype=torch.float32, device="cpu", checks=False)
    monkeypatch.setattr(svd_fused, "positions_of", lambda _: 1)
    with pytest.raises(SystemExit, match="unet_core: 3 of 3 packed attention"):
        svd.export_unet(make_tiny_svd.make_unet(**SMALL), tmp_path, options)


def test_half_precision_is_close_and_the_encoder_is_float32(tmp_path: Path) -> None:
    """svd.export_unet and svd.export_vae refuse a relative error above 1e-2."""
    options = Options(flavour="cuda", allow_unfused=True, device="cpu")
    svd.export_unet(make_tiny_svd.make_unet(**SMALL), tmp_path, options)
    svd.export_vae(make_tiny_svd.make_vae(), tmp_path, options)

    def types_of(name: str) -> tuple[set[int], set[int]]:
        graph = onnx.load(tmp_path / name / "model.onnx", load_external_data=False).graph
        outside = {value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}
        return outside, {weight.data_type for weight in graph.initializer if len(weight.dims) > 2}

    for name in ("unet_cond", "unet_core", "vae_encoder", "vae_decoder"):
        outside, weights = types_of(name)
        assert outside <= {onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8}
        is_half = name in ("unet_core", "vae_decoder")
        assert weights <= {onnx.TensorProto.FLOAT16 if is_half else onnx.TensorProto.FLOAT}
    vae = make_tiny_svd.make_vae()
    sample = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    moments = run_graph(tmp_path / "vae_encoder", {"sample": sample.numpy()})["moments"]
    with torch.no_grad():
        expected = vae.encode(sample).latent_dist.parameters.numpy()
    assert np.abs(moments - expected).max() <= 1e-5


def test_attention_over_time_packs_positions_behind_a_mask(
    cuda_graphs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but that of the lowest resolution, the middle block's, whose number of positions may be odd."""
    found = fusions.count(cuda_graphs / "unet_core" / "model.onnx")
    assert found[fusions.PACKED] == 10 - 1 + IN_TWO_PARTS

    unet = make_tiny_svd.make_unet()
    torch.manual_seed(6)
    inputs = svd.unet_case(unet.config, 1, 3, 8, 8, 0.3)
    cond_names, names = svd.COND_NAMES, ("sample", "timestep", "image_latents")

    def error() -> float:
        with torch.no_grad():
            cond = svd_graphs.UnetCond(unet)(*(inputs[name] for name in cond_names))
            core = svd_fused.UnetCore(unet, torch.float32)
            out = core(*(inputs[name] for name in names), *cond, inputs["factors"])
        return float((out - svd.reference_sample(unet, inputs)).abs().max())

    assert error() <= 1e-4
    monkeypatch.setattr(fused, "APART", 0.0)
    assert error() > 1e-2


def test_shallow_core_with_features_of_an_earlier_step(cuda_graphs: Path) -> None:
    """Against the untouched UNet, whose last layer is given the same old features by a hook."""
    unet = make_tiny_svd.make_unet(**FOUR_LEVELS)
    torch.manual_seed(7)
    first = svd.unet_case(unet.config, 2, 3, 8, 16, 1.2)
    second = {**first, "sample": torch.randn(first["sample"].shape), "timestep": torch.tensor([0.9])}
    with DeepFeatures(unet) as features:
        svd.reference_sample(unet, first)
        features.are_old = True
        expected = svd.reference_sample(unet, second).numpy()
    values = run_graph(cuda_graphs / "unet_cond", host(first))
    features_of_first = run_graph(cuda_graphs / "unet_core", {**host(first), **values})["deep_features"]
    values = {**host(second), **values, "deep_features": features_of_first}
    assert np.abs(run_graph(cuda_graphs / "unet_shallow", values)["out_sample"] - expected).max() <= 1e-4
    late = {**values, "timestep": 1.05 * values["timestep"]}
    assert np.abs(run_graph(cuda_graphs / "unet_shallow", late)["out_sample"] - expected).max() > 1e-3


def test_fused_decoder_sees_all_frames() -> None:
    vae = make_tiny_svd.make_vae(block_out_channels=(32, 32, 64, 64))
    latent = torch.randn(5, 4, 4, 6, generator=torch.Generator().manual_seed(4)) * 5
    with torch.no_grad():
        expected = vae.decode(latent, num_frames=5).sample
        alone = vae.decode(latent[:1], num_frames=1).sample
        sample, rgb, mean = svd_fused.VaeDecoder(vae, torch.float32)(latent)
    assert (sample - expected).abs().max() <= 1e-4
    assert (expected[:1] - alone).abs().max() > 0.01
    pixels = (expected * 127.5 + 127.5).clip(0, 255).round().permute(0, 2, 3, 1)
    assert (rgb.float() - pixels).abs().max() <= 1
    assert torch.isclose(mean, expected.mean(), atol=1e-5)


# ---- the command line


def refusal(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """What main() ends with: one line."""
    monkeypatch.setattr(sys, "argv", ["export.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as error:
        export.main()
    message = str(error.value)
    assert "\n" not in message and message
    return message


@pytest.fixture
def own_checkpoint(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))


@pytest.mark.parametrize(
    "change",
    [
        {"_class_name": "DDIMScheduler"},
        {"prediction_type": "epsilon"},
        {"use_karras_sigmas": False},
        {"timestep_type": "discrete"},
        {"sigma_min": None},
    ],
)
def test_other_schedulers_are_refused(
    own_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict
) -> None:
    file = own_checkpoint / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    message = refusal(monkeypatch, own_checkpoint, tmp_path / "pack")
    assert "the scheduler" in message and next(iter(change)) in message
    assert not (tmp_path / "pack").exists()


def test_a_gated_repository_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "stabilityai/stable-video-diffusion-img2vid-xt-1-1"
    info = SimpleNamespace(siblings=[], gated="auto")
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: info)

    def refuse(*_: object, **__: object) -> None:
        response = requests.Response()
        response.status_code = 403
        raise GatedRepoError("403 Client Error", response=response)

    monkeypatch.setattr(HfApi, "auth_check", refuse)
    message = refusal(monkeypatch, name, tmp_path / "pack")
    assert "accept the licence" in message and "HF_TOKEN" in message and name in message


def test_licences_are_copied_and_the_notice_is_written(own_checkpoint: Path, tmp_path: Path) -> None:
    notice = "This Model is licensed under the Example Licence, Copyright (c) Example. All Rights Reserved"
    licence = f'(ii) retain the following attribution notice within a "Notice" text file: "{notice}"; and'
    (own_checkpoint / "LICENSE.md").write_text(licence)
    (own_checkpoint / "README.md").write_text("not a licence")
    out = tmp_path / "pack"
    out.mkdir()
    looks.copy_licences(looks.find(str(own_checkpoint)), out)
    assert (out / "LICENSE.md").read_text() == licence
    assert (out / "Notice").read_text() == notice + "\n"
    assert sorted(path.name for path in out.iterdir()) == ["LICENSE.md", "Notice"]
    (own_checkpoint / "NOTICE").write_text("theirs")
    (out / "Notice").unlink()
    looks.copy_licences(looks.find(str(own_checkpoint)), out)
    assert (out / "NOTICE").read_text() == "theirs" and not (out / "Notice").exists()


def test_a_file_with_another_unet_replaces_it(checkpoint: Path, tmp_path: Path) -> None:
    """As AnimateLCM-SVD comes: one file with the keys of the UNet."""
    weights = load_file(checkpoint / "unet" / "diffusion_pytorch_model.safetensors")
    weights = {name: value + 0.01 for name, value in weights.items()}
    save_file(weights, tmp_path / "lcm.safetensors")
    unet = svd.unet_of_file(str(checkpoint), tmp_path / "lcm.safetensors")
    assert torch.equal(unet.conv_in.weight, weights["conv_in.weight"])
    card = svd.card(str(checkpoint), Options(unet_file=tmp_path / "lcm.safetensors"))
    assert card["defaults"]["scheduler"] == "lcm"
    assert all(preset["numInferenceSteps"] <= 8 for preset in card["presets"].values())
    del weights["conv_in.weight"]
    save_file(weights, tmp_path / "lcm.safetensors")
    with pytest.raises(SystemExit, match=r"is no UNet of this checkpoint: .*conv_in\.weight"):
        svd.unet_of_file(str(checkpoint), tmp_path / "lcm.safetensors")


def test_the_command_takes_another_unet(
    own_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tiny_svd.make_unet(**SMALL).save_pretrained(own_checkpoint / "unet")
    weights = load_file(own_checkpoint / "unet" / "diffusion_pytorch_model.safetensors")
    save_file(weights, tmp_path / "lcm.safetensors")
    arguments = [own_checkpoint, tmp_path / "pack", "--unet", tmp_path / "lcm.safetensors"]
    monkeypatch.setattr(sys, "argv", ["export.py", *map(str, arguments)])
    export.main()
    manifest = json.loads((tmp_path / "pack" / "kinora.json").read_text())
    assert manifest["defaults"]["scheduler"] == "lcm" and manifest["id"].startswith("animatelcm-")


def test_options_of_the_other_family_are_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = refusal(monkeypatch, checkpoint, tmp_path / "pack", "--unet", tmp_path / "none.safetensors")
    assert "there is no file" in missing
