"""Where the files of licensed body models are looked for.

humanpt ships none of them and needs none. Who has registered with their owners puts the files into one of `folders()`.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

MODELS = {
    "SMPL": ("SMPL_NEUTRAL", "SMPL_MALE", "SMPL_FEMALE"),
    "SMPL-X": ("SMPLX_NEUTRAL", "SMPLX_MALE", "SMPLX_FEMALE"),
    "MANO": ("MANO_RIGHT", "MANO_LEFT"),
}
"""Names of the models, and of their files without ending, as their owners distribute them."""

SUFFIXES = (".npz", ".pkl")


def cache_folder() -> Path:
    """Where humanpt keeps what it can make again; the environment variable HUMANPT_CACHE moves it."""
    return Path(os.environ.get("HUMANPT_CACHE") or platformdirs.user_cache_dir("humanpt", appauthor=False))


def folders() -> list[Path]:
    """The folders that are searched: HUMANPT_BODY_MODELS if set, then `body_models` here and in the cache folder."""
    named = os.environ.get("HUMANPT_BODY_MODELS")
    return [*([Path(named)] if named else []), Path("body_models"), cache_folder() / "body_models"]


def find(model: str) -> list[Path]:
    """The files of a model, a key of `MODELS`, in all folders and their subfolders."""
    wanted = {stem + suffix for stem in MODELS[model] for suffix in SUFFIXES}
    return sorted(file for folder in folders() if folder.is_dir() for file in folder.rglob("*") if file.name in wanted)
