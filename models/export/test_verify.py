"""Rehearses verify_svd.py with tiny models on the CPU: its table, and a job beside that of diffusers."""

import csv
import json
import sys
from pathlib import Path

import pytest

import diffusers_memory
import svd_table
import verify_svd
from measuring import is_good


def test_a_whole_job_is_that_of_diffusers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, results = tmp_path / "table.csv", tmp_path / "results.json"
    arguments = ["--random", str(tmp_path / "pack"), "--tiny", "--sizes", "64x64x8", "--steps", "3"]
    arguments += ["--without", "decoder,deepcache,memory,memory of diffusers,error"]
    arguments += ["--csv", str(table), "--json", str(results)]
    monkeypatch.setattr(sys, "argv", ["verify_svd.py", *arguments])
    assert verify_svd.main() == 0
    job = json.loads(results.read_text())["job 64x64x8"]
    assert job["windows"] == 2 and job["finite"]
    assert job["difference"] <= 1e-4
    first, *lines = table.read_text().splitlines()
    assert first.startswith("# ") and "diffusers" in first
    rows = {row["what"]: row for row in csv.DictReader(lines)}
    assert float(rows["job 64x64x8, 3 steps"]["of diffusers"]) > 0


def test_memory_of_diffusers_has_the_names_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--random", "unused", "--tiny", "--sizes", "64x64x2"]
    monkeypatch.setattr(sys, "argv", ["diffusers_memory.py", *arguments])
    diffusers_memory.main()
    names = json.loads(capsys.readouterr().out)
    assert [*names] == [
        *("64x64x2, decoder 7 frames", "64x64x2, decoder 14 frames"),
        *("64x64x2, 2 rows", "64x64x2, job"),
    ]


def test_windows_are_even_and_keep_their_neighbours() -> None:
    """As in tests of src/inference/pipelines/decode-runs.ts."""
    starts = [window.start for window in verify_svd.windows_of(25)]
    assert starts == [0, 3, 6, 9, 12, 15, 18]
    assert [window.start for window in verify_svd.windows_of(14)] == [0, 2, 5, 7]
    assert verify_svd.windows_of(7) == [range(7)]


def test_the_table_has_what_was_measured() -> None:
    values = {
        "step 1x1x2": {"ort": 6.0, "eager": 10.0},
        "compiled 1x1x2": {"compiled": 8.0, "ort": 6.4, "compileSeconds": 120},
        "memory": {"1x1x2, 2 rows": {"usedGiB": 5.0}},
        "memory of diffusers": {"1x1x2, 2 rows": {"usedGiB": 8.0}},
    }
    step, compiling = svd_table.rows_of(values, ["1x1x2"])
    assert (step["of diffusers"], step["of torch.compile"]) == (0.6, 0.8)
    assert (step["Kinora GiB"], step["diffusers GiB"]) == (5.0, 8.0)
    assert compiling["torch.compile"] == 120


@pytest.mark.parametrize(
    "stage",
    [
        {"skipped": "3 s left of 60 s"},
        {"error": "RuntimeError: out of memory"},
        {"1x1x2, job": {"error": "no GPU"}},
        {"ok": False},
        {"window 4": {"finite": False}},
    ],
)
def test_what_was_not_measured_is_no_success(stage: dict) -> None:
    measured = {"device": "CPU", "decoder": {"window 4": {"ort": 3.0, "error": 0.002}, "ok": True}}
    assert is_good(measured)
    assert not is_good({**measured, "memory": stage})
