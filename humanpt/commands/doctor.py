"""`humanpt doctor`: what is installed, what is missing, and what is wrong with a shard or a run."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from humanpt import __version__
from humanpt.body import files as body_files
from humanpt.errors import CheckpointError, HumanptError, InputError
from humanpt.files import exists

NEEDED = (
    *("numpy", "torch", "timm", "cv2", "av", "h5py", "scipy", "safetensors"),
    *("matplotlib", "jinja2", "tensorboard", "platformdirs", "rich", "typer"),
)
OPTIONAL = {
    "decord": "the second video reader (pip install decord; x86 only)",
    "onnxruntime": "detectors in ONNX files (pip install 'humanpt[onnx]')",
    "anny": "builds anny-body-full, once (pip install 'humanpt[anny]')",
    "smplx": "runs SMPL, SMPL-X and MANO from your own files (pip install 'humanpt[smplx]')",
}
SLOW = ("anny",)
"""Packages that take seconds to import: only whether they are there is looked up."""

DISTRIBUTIONS = {"cv2": "opencv-python"}
LIBGL = (
    "OpenCV needs a system library that is not here: apt-get install libgl1 libglib2.0-0, "
    "or pip install opencv-python-headless in place of opencv-python"
)


def run(path: Path | None = None, plan: Path | None = None) -> dict[str, Any]:
    """Look over the installation, and over a shard, a folder of shards, a run or a capture if one is named.

    Args:
        path: what to look at besides the installation.
        plan: SVG file for a plan of a capture's cameras.

    Returns:
        What was found, ready for JSON; `problems` lists what needs mending, `ok` says that there is nothing.

    Raises:
        InputError: if the path is not there or is none of these.
    """
    packages = {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    problems = [entry["problem"] for name, entry in packages.items() if name in NEEDED and entry["problem"]]
    complete = not problems  # else the body models, which need numpy, torch and scipy, are not opened
    licensed = _licensed_files(complete)
    problems += [file["problem"] for files in licensed.values() for file in files if file["problem"]]
    found: dict[str, Any] = {
        "command": "doctor",
        "humanpt": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": packages,
        "device": _device() if packages["torch"]["version"] else None,
        "decoders": [name for name, module in (("pyav", "av"), ("decord", "decord")) if packages[module]["version"]],
        "free_body_models": _free_body_models() if complete else {},
        "body_models": licensed,
        "body_model_folders": [str(folder.absolute()) for folder in body_files.folders()],
        "cache_folder": str(body_files.cache_folder()),
    }
    if path is not None:
        found["path"] = _look_at(path, plan)
        problems += found["path"]["problems"]
    return found | {"problems": problems, "ok": not problems}


def _version(module: str) -> dict[str, str | None]:
    """Version of an importable module, or why it cannot be imported."""
    name = DISTRIBUTIONS.get(module, module)
    try:
        if module in SLOW:
            return {"version": importlib.metadata.version(name), "problem": None}
        loaded = importlib.import_module(module)
    except (ImportError, OSError) as error:  # a package may fail to load its own library
        if module == "cv2" and "cannot open shared object" in str(error):
            return {"version": None, "problem": f"cv2: {error}. {LIBGL}"}
        advice = f"optional, {OPTIONAL[module]}" if module in OPTIONAL else f"pip install {name}"
        return {
            "version": None,
            "problem": f"{module}: cannot be imported ({error}); {advice}",
        }
    version = getattr(loaded, "__version__", None) or importlib.metadata.version(name)
    return {"version": str(version), "problem": None}


def _device() -> dict[str, Any]:
    from humanpt.engine.runtime import choose_device, choose_precision, describe_device

    device = choose_device("auto")
    return {"device": describe_device(device), "precision": choose_precision("auto", device)}


def _free_body_models() -> dict[str, str]:
    from humanpt.body.anny import available

    return available()


def _licensed_files(read: bool) -> dict[str, list[dict[str, str | None]]]:
    """The files of each licensed model, and what is wrong with those that are damaged or of another kind."""
    found: dict[str, list[dict[str, str | None]]] = {model: [] for model in body_files.MODELS}
    for model, files in found.items():
        for path in body_files.find(model):
            files.append({"file": str(path), "problem": _wrong_with(model, path) if read else None})
    return found


def _wrong_with(model: str, path: Path) -> str | None:
    """One line on why a file of a licensed model cannot be read, or nothing."""
    from humanpt.body import smpl_files

    name = next(name for name, kind in smpl_files.KINDS.items() if kind.title == model)
    try:
        smpl_files.read(name, path)
    except InputError as error:
        return str(error)
    return None


def _look_at(path: Path, plan: Path | None) -> dict[str, Any]:
    """Check a shard, a folder of shards, a checkpoint, the folder of a run or a capture."""
    if not exists(path):
        raise InputError(f"{path}: no such file or folder; give a shard, a folder of shards, or a run")
    if path.is_dir() and any(path.glob("*.safetensors")):
        return _look_at_run(path)
    if path.suffix == ".safetensors":
        return _look_at_checkpoints([path])
    from humanpt.data.shards import find_shards

    try:
        return _look_at_shards(find_shards(path))
    except InputError:
        from humanpt.commands.check_captures import holds_clips, look_at_captures

        if path.is_dir() and holds_clips(path):
            return look_at_captures(path, plan)
        raise InputError(f"{path}: holds neither shards (*.h5), a run (*.safetensors) nor a capture's clips") from None


def _look_at_shards(shards: list[Path]) -> dict[str, Any]:
    from humanpt.data.shards import verify

    entries, problems = [], []
    for shard in shards:
        try:
            check = verify(shard)
        except HumanptError as error:
            problems.append(str(error))
            continue
        entries.append({"file": str(shard), "pairs": check.pairs, "bytes": shard.stat().st_size})
        problems += list(check.problems)
    return {
        "kind": "shards",
        "entries": entries,
        "pairs": sum(entry["pairs"] for entry in entries),
        "problems": problems,
    }


def _look_at_run(folder: Path) -> dict[str, Any]:
    from humanpt.engine.loop import BEST, LAST

    files = sorted(folder.glob("*.safetensors"))
    own = [file for file in files if file.name in (LAST, BEST)]  # an exported file beside them is no checkpoint
    found = _look_at_checkpoints(own or files)
    log = folder / "log.jsonl"
    if not log.is_file():
        found["problems"].append(f"{log}: is missing; the curves of this run are lost, its weights are not")
        return found
    lines = log.read_text().splitlines()
    try:
        found["log"] = {"lines": len(lines), "last": json.loads(lines[-1]) if lines else None}
    except json.JSONDecodeError:
        found["problems"].append(f"{log}: its last line is broken; the next --resume mends it")
    return found


def _look_at_checkpoints(files: list[Path]) -> dict[str, Any]:
    from humanpt.engine.checkpoint import read_header

    entries, problems = [], []
    for file in files:
        try:
            header = read_header(file)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        entries.append(
            {
                "file": str(file),
                "recipe": header.provenance.recipe,
                "step": header.step,
                "metrics": dict(header.metrics),
                "humanpt": header.humanpt_version,
            }
        )
    return {"kind": "run", "entries": entries, "problems": problems}
