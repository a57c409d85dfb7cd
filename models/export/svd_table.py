"""The table of verify_svd.py, from whatever it has measured. Measures nothing."""

import csv
from pathlib import Path

COLUMNS = (
    *("what", "unit", "Kinora", "diffusers", "torch.compile", "of diffusers", "of torch.compile"),
    *("Kinora GiB", "diffusers GiB"),
)
Row = dict[str, str | float]


def rows_of(values: dict, sizes: list[str]) -> list[Row]:
    """A row a measurement: time in its unit, GiB of the card by a process that does nothing else. `values` is
    that of a report.
    """
    rows: list[Row] = []
    ours_gib, their_gib = values.get("memory", {}), values.get("memory of diffusers", {})

    def row(
        what: str,
        unit: str,
        ours: float | None,
        gib_of: str,
        theirs: dict,
        compiled: float | None = None,
        beside_compiled: float | None = None,
    ) -> None:
        if ours is None:
            return
        others = {"diffusers": theirs.get("eager"), "torch.compile": compiled}
        # A ratio is of what took turns.
        beside = {"diffusers": ours, "torch.compile": beside_compiled or ours}
        ratios = {
            f"of {name}": round(beside[name] / other, 3) for name, other in others.items() if other and unit
        }
        cells = {"Kinora": ours, **others, **ratios}
        for name, gib in (("Kinora", ours_gib), ("diffusers", their_gib)):
            cells[f"{name} GiB"] = gib.get(gib_of, {}).get("usedGiB")
        rows.append(
            {"what": what, "unit": unit} | {name: cell for name, cell in cells.items() if cell is not None}
        )

    for size in sizes:
        step, job = values.get(f"step {size}", {}), values.get(f"job {size}", {})
        compiled = values.get(f"compiled {size}", {})
        beside = compiled.get("compiled"), compiled.get("ort")
        row(f"step {size}", "ms", step.get("ort"), f"{size}, 2 rows", step, *beside)
        row(f"step {size}, one row", "ms", step.get("oneRow"), f"{size}, 1 row", {})
        name, seconds = f"job {size}, {job.get('steps')} steps", compiled.get("compiledJob")
        row(name, "s", job.get("ort"), f"{size}, job", job, seconds)
        if "compileSeconds" in compiled:
            whole = {"unit": "s", "torch.compile": compiled["compileSeconds"]}
            rows.append({"what": f"compiling {size}", **whole})
    for name, entry in values.get("decoder", {}).items():
        if name.startswith("window "):
            frames = name.removeprefix("window ")
            what = f"decoding {frames} frames of {sizes[0]}"
            row(what, "ms", entry["ort"], f"{sizes[0]}, decoder {frames} frames", entry)
    for level, entry in values.get("error", {}).items():
        if isinstance(entry, dict):
            row(f"error at timestep {level}", "", entry["ort"], "", entry)
    return rows


def write_table(path: Path, values: dict, sizes: list[str]) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in values["versions"].items())
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {values['device']}, {versions}\n")
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows_of(values, sizes))
