"""Motion capture: which file is of which kind, the free clips that come with humanpt, and motions put on bodies."""

from importlib import resources
from pathlib import Path

from humanpt.data.mocap.amass import read_amass
from humanpt.data.mocap.bvh import read_bvh
from humanpt.data.mocap.deepmimic import read_deepmimic
from humanpt.data.mocap.motion import Motion
from humanpt.data.mocap.retarget import retarget
from humanpt.errors import InputError

__all__ = ["Motion", "find_motions", "free_motions", "read_motion", "retarget"]

ENDINGS = (".bvh", ".txt", ".npz")


def read_motion(path: Path | str) -> Motion:
    """Read a motion: BVH with the CMU skeleton, a clip of DeepMimic (.txt), or a sequence of AMASS (.npz).

    Raises:
        InputError: if the file is missing, of another kind, damaged, or has an unknown skeleton.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; a motion is a .bvh, a DeepMimic .txt or an AMASS .npz file")
    if path.suffix.lower() == ".npz":
        return read_amass(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a text file; motions are .bvh, DeepMimic .txt and AMASS .npz files") from error
    start = text.lstrip()[:64]
    if start.startswith("HIERARCHY"):
        return read_bvh(path, text)
    if start.startswith("{"):
        return read_deepmimic(path, text)
    raise InputError(f"{path}: neither a BVH file (HIERARCHY) nor a clip of DeepMimic (JSON with Frames)")


def find_motions(folder: Path | str) -> list[Path]:
    """Motion files in a folder and those below, sorted; notes such as SOURCE.txt are left out.

    Raises:
        InputError: if there is no such folder, or no motion in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one with .bvh, DeepMimic .txt or AMASS .npz files")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and _is_motion(path))
    if not found:
        raise InputError(f"{folder}: no motion in it; .bvh, DeepMimic .txt and AMASS .npz files are read")
    return found


def _is_motion(path: Path) -> bool:
    if path.suffix.lower() != ".txt":
        return True
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"{")


def free_motions() -> list[Motion]:
    """The short free clips that come with humanpt, sorted by name; terms lie beside them in SOURCE.txt."""
    with resources.as_file(resources.files("humanpt.data.mocap") / "motions") as folder:
        return [read_motion(path) for path in find_motions(folder)]
