"""CPU time until each --help has answered, against an empty Python program. Run as a script; pytest leaves it alone.

python tests/benchmarks/help_time.py [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "humanpt --help": ["-m", "humanpt", "--help"],
    "humanpt mkpairs --help": ["-m", "humanpt", "mkpairs", "--help"],
    "humanpt pretrain --help": ["-m", "humanpt", "pretrain", "--help"],
    "humanpt doctor --help": ["-m", "humanpt", "doctor", "--help"],
    "humanpt --version": ["-m", "humanpt", "--version"],
}


def cpu_seconds(words: list[str]) -> float:
    """User and system time of one run, by the system's own account."""
    before = os.times()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Measure in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(words.rounds):
        for name, command in COMMANDS.items():
            times[name].append(cpu_seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in medians.items():
        print(f"{name:26} {1000 * seconds:6.0f} ms of CPU")
    if words.json:
        words.json.write_text(json.dumps(medians, indent=2))


if __name__ == "__main__":
    main()
