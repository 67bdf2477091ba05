"""`make bench`: every benchmark of this folder, one after the other, on this machine.

    python -m tests.benchmarks

Compare ratios, not times: each script measures its baseline in the same run. docs/benchmarks.md reports them.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    """Run the scripts; a failure ends the whole."""
    print(f"{platform.platform()}, Python {platform.python_version()}")
    for script in ("help_time.py", "shard_reads.py", "mkpairs_speed.py"):
        print(f"\n== {script}", flush=True)
        subprocess.run([sys.executable, FOLDER / script], check=True)


if __name__ == "__main__":
    main()
