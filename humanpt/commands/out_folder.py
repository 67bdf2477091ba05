"""The output folder of mkpairs before work begins: empty, to go on with, or to be emptied."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from humanpt.commands.parts import PLAN, WORK, Plan, Share, read_note
from humanpt.engine.run_folder import LOCK
from humanpt.errors import OutputError
from humanpt.files import cannot_write, write_json


def prepare(
    plan: Plan,
    promise: dict[str, Any],
    finished: Sequence[str],
    check: Callable[[], None],
    *,
    resume: bool,
    overwrite: bool,
) -> None:
    """See that `out` may be written, and leave there what a resumed run must find unchanged.

    Args:
        plan: what will be made.
        promise: as `Plan.promise` gives it.
        finished: names of the files beside the shards that a finished run leaves, the summary first.
        check: raises, before anything is overwritten, if none of the parts can be made.
        resume: go on with what is there.
        overwrite: remove what is there.

    Raises:
        OutputError: if `out` is not empty, was begun otherwise or holds what is not ours.
    """
    out, promised = plan.out, plan.work / PLAN
    held = _held(out)
    if overwrite:
        if held:
            check()
        _clear(out, finished)
    elif resume and promised.is_file():
        _see_unchanged(out, promise)
    elif resume and finished[0] in held:
        raise OutputError(f"{out}: is complete, there is nothing to resume; --overwrite starts again")
    elif resume and held:
        raise OutputError(f"{out}: holds no interrupted run; choose another --out, or leave out --resume")
    elif held - {finished[0]}:  # a summary alone: nothing was found
        raise OutputError(
            f"{out}: is not empty; add --resume to go on, --overwrite to start again, or choose another --out"
        )
    write_json(promised, promise)


def prepare_share(plan: Plan, promise: dict[str, Any], finished: Sequence[str], share: Share) -> None:
    """See that a share of the parts may be made, and that all shares are of one plan: the first to come writes it.

    Raises:
        OutputError: if the folder is complete, was begun otherwise or holds what is not ours.
    """
    out, promised = plan.out, plan.work / PLAN
    held = _held(out)
    if not promised.is_file():
        if finished[0] in held:
            raise OutputError(f"{out}: is complete, there is no part to make; choose another --out to start again")
        if held:
            raise OutputError(f"{out}: holds no interrupted run; choose another --out")
        own = plan.work / f"plan-{share.index}-of-{share.count}.json"
        write_json(own, promise)
        try:
            promised.hardlink_to(own)  # unlike a change of name, this never replaces what another share wrote
        except FileExistsError:
            pass
        except OSError:  # not every system has links
            write_json(promised, promise)
        own.unlink(missing_ok=True)
    _see_unchanged(out, promise)


def _held(out: Path) -> set[str]:
    """Names of what lies in the folder, without locks and without a folder of ours in which nothing was begun."""
    if not out.is_dir():
        return set()
    begun = (out / WORK / PLAN).is_file()
    names = {path.name for path in out.iterdir() if not path.name.startswith(LOCK)}
    return names if begun else names - {WORK}


def _see_unchanged(out: Path, promise: dict[str, Any]) -> None:
    earlier = read_note(out / WORK / PLAN)
    for what, now in promise.items():
        if earlier.get(what) != now:
            raise OutputError(f"{out}: was begun with other {what}; --overwrite starts again, another --out keeps it")


def _clear(out: Path, finished: Sequence[str]) -> None:
    """Remove what mkpairs writes, and refuse to touch a folder that holds anything else."""
    if not out.exists():
        return
    known = "|".join(map(re.escape, finished))
    names = re.compile(rf"pairs-\d{{5,}}\.h5|{known}|{re.escape(WORK)}|\.(pairs-\d{{5,}}\.h5|{known})\.partial")
    held = sorted(path for path in out.iterdir() if not path.name.startswith(LOCK))
    strangers = [path.name for path in held if not names.fullmatch(path.name)]
    if strangers:
        raise OutputError(f"{out}: holds {strangers[0]}, which mkpairs did not write; choose another --out")
    try:
        for path in held:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
