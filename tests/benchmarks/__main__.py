"""`make bench`: the benchmarks of this folder, one after the other, on this machine.

    python -m tests.benchmarks [NAME [OPTION...]]

A name runs one script (`detection`, `shard_reads`, ...) with the options after it. Compare ratios, not times: each
script measures its baseline in the same run. docs/benchmarks.md reports them.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
USUAL = (
    "help_time",
    "shard_reads",
    "mkpairs_speed",
    "body_speed",
    "pose_speed",
    "render_speed",
    "scene_speed",
    "people_speed",
    "clock_offsets",
    "detection",
    "demo_speed",
    "croco_parity",
    "step_speed",
    "loader_speed",
    "scoring_speed",
    "recover_speed",
    "demo_speed",
    "smoothing",
    "end_to_end",
)
PEERS = ("hog_people", "render_peer_pyrender", "render_peer_warp")  # run by others, in their own Python


def main() -> None:
    """Run the scripts; a failure ends the whole."""
    name, *options = sys.argv[1:] or [None]
    if name is not None and not (FOLDER / f"{name}.py").is_file():
        known = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem not in PEERS)
        sys.exit(f"there is no benchmark {name!r}; there are {', '.join(known)}")
    print(f"{platform.platform()}, Python {platform.python_version()}")
    for script in (name,) if name else USUAL:
        print(f"\n== {script}", flush=True)
        if subprocess.run([sys.executable, FOLDER / f"{script}.py", *options]).returncode:
            sys.exit(1)


if __name__ == "__main__":
    main()
