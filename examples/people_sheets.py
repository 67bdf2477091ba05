"""Contact sheets of generated people and hands, as the documentation shows them.

python examples/people_sheets.py docs/images
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from humanpt.data.people.generate import Cast, PeopleConfig, make_people
from humanpt.data.shards import ShardReader
from humanpt.pages.sheets import pairs, truth_row, views, write_sheet

SIZE = 160
CHOSEN = {
    "body": {
        "views": (1, 2, 4, 6, 11),
        "pairs": (0, 1, 2, 5, 7, 9, 10, 11, 12, 13, 14, 15, 21, 24, 26, 28),
        "truth": (1, 5, 17, 25),
    },
    "hand": {"views": (0, 1, 4, 5, 8), "pairs": range(16), "truth": (1, 5, 13, 25)},
}


def main(out: Path) -> None:
    """Draw all sheets into a folder."""
    for subject, chosen in CHOSEN.items():
        config = PeopleConfig(subject="hand" if subject == "hand" else "body", seed=7, count=32)
        write_sheet(out / f"{subject}_views.jpg", views(config, Cast(config), chosen["views"], 6, SIZE))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pairs.h5"
            make_people(0, config.count, config, path, lambda _: None)
            shard = ShardReader(path)
            write_sheet(out / f"{subject}_pairs.jpg", pairs(shard, chosen["pairs"], 4, SIZE))
            write_sheet(out / f"{subject}_truth.jpg", [truth_row(shard, row, SIZE) for row in chosen["truth"]])
            shard.release()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "sheets"))
