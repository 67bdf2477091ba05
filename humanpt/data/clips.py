"""Which clips a user means by the files, folders and lists given to a command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from humanpt.errors import InputError
from humanpt.files import exists

VIDEO_ENDINGS = (".mp4", ".mov", ".mkv", ".avi", ".webm")
OTHER_PICTURE_ENDINGS = (".gif", ".heic", ".heif", ".avif", ".jp2", ".exr", ".tga", ".dng", ".psd", ".jxl")
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True, kw_only=True)
class FoundClip:
    """One clip to work on: a video file, or a folder whose pictures are its frames."""

    path: Path
    """Where it is."""
    name: str
    """Its path relative to the input it was found in, with forward slashes; no two clips found together share one."""


def find_clips(inputs: Sequence[Path]) -> list[FoundClip]:
    """Find the clips among the given paths, in their order; what two inputs both reach is listed once.

    Args:
        inputs: video files; folders, searched to any depth in natural order, where a folder that holds pictures
            directly is one clip (beside any videos in it); list files (.txt) with one such path per line, relative to
            the list file, where lines that begin with # are comments. A search passes over hidden files and folders.

    Raises:
        InputError: if a path does not exist, a folder or list has no clip, or a file is a single picture.
    """
    found: dict[Path, FoundClip] = {}
    names: set[str] = set()
    for source in inputs:
        for path, name in _expand(source):
            if path.resolve() not in found:
                name = _unused(name, names)
                names.add(name)
                found[path.resolve()] = FoundClip(path=path, name=name)
    return list(found.values())


def natural_key(path: Path) -> tuple[list[str | int], str]:
    """Sort key by which 2.jpg comes before 10.jpg and capitals do not matter, except between names otherwise equal."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [int(part) if part.isdecimal() else part for part in parts], path.name


def pictures_in(folder: Path, endings: Sequence[str] = PICTURE_ENDINGS) -> list[Path]:
    """The files with a picture's name that lie directly in a folder, in natural order."""
    return [path for path in _entries(folder) if path.suffix.lower() in endings and not path.is_dir()]


def such_as(folder: Path) -> str:
    """What a line that asks for another path may add: the first video or folder of pictures below; else nothing."""
    first = next(_search(folder, set()), None)
    return "" if first is None else f", such as {first}"


def _expand(source: Path, *, in_list: bool = False) -> Iterator[tuple[Path, str]]:
    """The clips that one input stands for, with their names relative to it."""
    if not exists(source):
        raise InputError(f"{source}: no such file or folder; check the path")
    if source.is_dir():
        clips = list(_search(source, set()))
        if not clips:
            kinds = ", ".join(ending.removeprefix(".") for ending in VIDEO_ENDINGS)
            raise InputError(f"{source}: no video ({kinds}) and no folder of pictures in it; check the path")
        for clip in clips:
            yield clip, source.resolve().name if clip == source else clip.relative_to(source).as_posix()
    elif source.suffix.lower() == ".txt" and not in_list:
        yield from _read_list(source)
    elif source.suffix.lower() in PICTURE_ENDINGS:
        raise InputError(f"{source}: a single picture is no clip; give the folder that holds the frames")
    else:  # any other ending was named on purpose; whether it is a video shows when it is opened
        yield source, source.name


def _read_list(source: Path) -> Iterator[tuple[Path, str]]:
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{source}: not a text file in UTF-8; a list holds one path per line") from None
    entries = [(number, line.strip()) for number, line in enumerate(lines, start=1)]
    entries = [(number, entry) for number, entry in entries if entry and not entry.startswith("#")]
    if not entries:
        raise InputError(f"{source}: the list names no clip; write one path per line")
    for number, entry in entries:
        path = source.parent / Path(entry).expanduser()
        if not exists(path):
            raise InputError(f"{source}:{number}: no such file or folder as {entry}; correct or remove the line")
        if path.suffix.lower() == ".txt" and path.is_file():
            raise InputError(f"{source}:{number}: {entry} is a list within a list; name its clips here")
        prefix = "" if Path(entry).is_absolute() else Path(entry).parent.as_posix().removeprefix(".").lstrip("/")
        for clip, name in _expand(path, in_list=True):
            inner = f"{path.name}/{name}" if path.is_dir() and clip != path else name
            yield clip, f"{prefix}/{inner}" if prefix else inner


def _search(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Clips in a folder and below; `seen` are the folders already entered, so that links in a circle end."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    if pictures_in(folder):
        yield folder
    for path in _entries(folder):
        if path.is_dir():
            yield from _search(path, seen)
        elif path.suffix.lower() in VIDEO_ENDINGS:
            yield path


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_key)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read ({error.strerror}); check its permissions") from None


def _unused(name: str, names: set[str]) -> str:
    candidate, copy = name, 1
    while candidate in names:
        copy += 1
        candidate = f"{name} ({copy})"
    return candidate
