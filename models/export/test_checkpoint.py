"""Tests what is refused before an export begins, what a failed one says, and what it leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi

import checkpoint as looks
import export
import i2vgen_xl
import make_tiny
import progress
import svd
from i2vgen_xl import FAMILY


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    make_tiny.make_checkpoint(folder)
    return folder


@pytest.fixture
def checkpoint(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "checkpoint"))


def refusal(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """What main() ends with: one line."""
    monkeypatch.setattr(sys, "argv", ["export.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as error:
        export.main()
    message = str(error.value)
    assert "\n" not in message and message
    return message


def rename_weights(checkpoint: Path, variant: str) -> None:
    for path in [*checkpoint.rglob("*.safetensors")]:
        path.rename(path.with_suffix(f".{variant}.safetensors"))


def test_half_precision_files_are_named(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "pack"
    assert "leave --variant away" in refusal(monkeypatch, checkpoint, out, "--variant", "fp16")
    rename_weights(checkpoint, "fp16")
    assert "add --variant fp16" in refusal(monkeypatch, checkpoint, out)
    looks.check_room(looks.find(str(checkpoint)), FAMILY.parts, out, "fp16", is_half=False)
    next((checkpoint / "vae").glob("*.safetensors")).unlink()
    assert "no weights in vae/" in refusal(monkeypatch, checkpoint, out, "--variant", "fp16")
    assert not out.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"_class_name": "EulerDiscreteScheduler"},
        {"prediction_type": "sample"},
        {"beta_schedule": "sigmoid"},
        {"thresholding": True},
        {"trained_betas": [0.1, 0.2]},
    ],
)
def test_schedulers_that_kinora_does_not_know_are_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict
) -> None:
    file = checkpoint / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert f"the scheduler has {next(iter(change))} = " in refusal(monkeypatch, checkpoint, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize(
    ("values", "schema", "unknown"),
    [
        (i2vgen_xl.SCHEDULER_VALUES, "betaConfigSchema", set()),
        # The engine's levels of Karras know no betas.
        (svd.SCHEDULER_VALUES, "karrasConfigSchema", {"trained_betas", "rescale_betas_zero_snr"}),
    ],
)
def test_values_of_the_scheduler_are_those_of_the_engine(
    values: dict[str, tuple[object, ...]], schema: str, unknown: set[str]
) -> None:
    source = Path(__file__).parents[2] / "src" / "inference" / "schedulers" / "scheduler-config.ts"
    text = source.read_text("utf-8")
    fields = text.split(f"const {schema} = z.object({{")[1].split("});")[0]
    for field, known in values.items():
        lines = [line for line in fields.splitlines() if line.strip().startswith(f"{field}:")]
        assert len(lines) == (0 if field in unknown else 1), field
        if field == "timestep_spacing":
            lines = [line for line in text.splitlines() if "timestepSpacings =" in line]
        named = [value for value in known if isinstance(value, str)]
        for line in lines:
            assert all(f"'{value}'" in line for value in named) and line.count("'") == 2 * len(named)


def test_room_is_looked_at_first(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(looks, "available_memory", lambda: 10**9)
        message = refusal(monkeypatch, checkpoint, tmp_path / "pack")
        assert "1.0 GB of memory, and 1.0 GB are free" in message
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        assert "of disk at" in refusal(monkeypatch, checkpoint, tmp_path / "pack")
    assert not [path for path in tmp_path.iterdir() if path != checkpoint]


def test_a_full_size_checkpoint_needs_what_it_was_measured_to_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the published repository, in half precision, on the hub."""
    sizes = {
        "unet": 2_838_000_000,
        "vae": 167_000_000,
        "text_encoder": 681_000_000,
        "image_encoder": 1_264_000_000,
    }
    siblings = [
        SimpleNamespace(rfilename=f"{part}/model.fp16.safetensors", size=size) for part, size in sizes.items()
    ]
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: SimpleNamespace(siblings=siblings))
    found = looks.find("ali-vilab/i2vgen-xl")
    monkeypatch.setattr(looks, "available_memory", lambda: 12 * 10**9)
    with pytest.raises(SystemExit, match=r"13\.5 GB of memory"):
        looks.check_room(found, FAMILY.parts, tmp_path, "fp16", is_half=False)
    monkeypatch.setattr(looks, "available_memory", lambda: 14 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=15 * 10**9))
    monkeypatch.setattr(looks.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(SystemExit, match=r"15\.8 GB of disk"):  # the pack and the download
        looks.check_room(found, FAMILY.parts, tmp_path / "pack", "fp16", is_half=False)


def test_available_memory_is_known_here() -> None:
    free = looks.available_memory()
    assert free is not None and 10**6 < free < 10**15


@pytest.mark.parametrize(
    "spoil,message",
    [
        (lambda folder: shutil.rmtree(folder), "neither a folder nor the id"),
        (lambda folder: (folder / "model_index.json").unlink(), "model_index.json"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "model_index.json"),
        (lambda folder: (folder / "model_index.json").write_text("{}"), "Kinora knows I2VGenXLPipeline"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "has no tokenizer/"),
        (lambda folder: shutil.rmtree(folder / "feature_extractor"), "has no feature_extractor/preproc"),
        (
            lambda folder: os.truncate(folder / "unet" / "diffusion_pytorch_model.safetensors", 1000),
            "unet: reading the weights: ",
        ),
    ],
)
def test_failures_are_one_sentence_and_leave_nothing(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], object],
    message: str,
) -> None:
    spoil(checkpoint)
    assert message in refusal(monkeypatch, checkpoint, tmp_path / "pack")
    assert [path for path in tmp_path.iterdir() if path != checkpoint] == []


def test_folders_that_are_in_use(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "pack"
    with export.new_folder(out):
        assert "another export is writing" in refusal(monkeypatch, checkpoint, out)
    (out / "holiday.jpg").touch()
    assert "is no pack: delete it" in refusal(monkeypatch, checkpoint, out)


def test_what_a_kill_leaves_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "pack" / ".part" / "pack" / "unet_core"
    left.mkdir(parents=True)
    (left / "model.onnx_data").write_bytes(b"5.4 GB")
    with export.new_folder(tmp_path / "pack") as folder:
        assert list(folder.iterdir()) == []
        (folder / "kinora.json").write_text("{}")
        (folder / "vae_decoder").mkdir()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["kinora.json", "pack", "vae_decoder"]


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    """It may be the place of a disk, which cannot be replaced."""
    out = tmp_path / "disk"
    out.mkdir()
    number = out.stat().st_ino
    with pytest.raises(ValueError, match="broken"), export.new_folder(out):
        raise ValueError("broken")
    assert list(out.iterdir()) == []
    with export.new_folder(out) as folder:
        (folder / "kinora.json").write_text("{}")
    assert out.stat().st_ino == number and [path.name for path in out.iterdir()] == ["kinora.json"]


def test_a_terminated_export_leaves_nothing_and_has_told_what_it_did(
    checkpoint: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "export.py", str(checkpoint), str(tmp_path / "pack")]
    child = subprocess.Popen(
        command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout
    told = next(line for line in child.stdout if "unet_core: tracing" in line)
    assert told.startswith("[")
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate()
    assert child.returncode == 1
    assert "nothing of it is left" in errors and "Traceback" not in errors
    assert [path for path in tmp_path.iterdir() if path != checkpoint] == []


def test_a_long_step_is_told_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.01)
    said = ""
    with progress.step("unet: tracing"):
        while "unet: tracing: still at it" not in said:
            time.sleep(0.01)
            said += capsys.readouterr().out
    assert said.splitlines()[0].endswith("unet: tracing")
