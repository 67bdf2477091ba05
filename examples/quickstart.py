"""The main job on the clips that come with the project, and on generated people: pairs, a network on each, one page.

    python examples/quickstart.py [FOLDER]

Goes on with the hand network fine-tuned for meshes on the generated hands, and what it sees in the clips; ends with the
live demo on the clip of a hand, by the network that comes with humanpt. Takes about ten minutes on two cores. What it
runs are the commands of the README, each printed before it starts.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from html import escape
from itertools import islice
from pathlib import Path

CLIPS = Path(__file__).parent / "clips"

# The clips are short: more pictures per second and more partners for each than on a real collection.
DENSE = ["pairs.every=0.06", "pairs.partners=4", "pairs.tries=8", "pairs.max_uses=8", "pairs.novelty=0.01"]
DENSE_VIEWS = ["pairs.every=0.06", "capture.min_change=0.02", "capture.per_instant=6"]

BODY_STEPS, HAND_STEPS = 3000, 2000
GENERATED = 320  # pairs of each

MESH_STEPS = 1000
FEW = ["optim.base_lr=0.006", "loop.eval_every=250", "loop.save_every=250"]  # for few steps of few pictures
LOOKED_AT = {"human_hand_video.mp4": (93, 248, 403), "cups_excerpt.mp4": (22,)}  # frames of examples/clips/hand


def humanpt(*words: object) -> None:
    """Run one command as a user would type it."""
    texts = [str(word) for word in words]
    print(f"\n$ humanpt {shlex.join(texts)}", flush=True)
    subprocess.run([sys.executable, "-m", "humanpt", *texts], check=True)


def make_pairs(out: Path, *words: object, rules: Sequence[str] = ()) -> Path:
    """Pairs in a folder of their own, in place of those of an earlier quickstart."""
    shutil.rmtree(out, ignore_errors=True)
    licence = [] if "synthetic" in words else ["--source-licence", "see examples/clips"]
    humanpt("mkpairs", *words, "--out", out, *licence, *(word for rule in rules for word in ("--set", rule)))
    return out


def train(kind: str, data: Sequence[Path], run: Path, steps: int) -> None:
    """A small network on pairs."""
    shutil.rmtree(run, ignore_errors=True)
    pairs = [word for folder in data for word in ("--data", folder)]
    small = ["--recipe", "tiny", "--steps", steps]
    humanpt("pretrain", f"--{kind}", *pairs, "--out", run, *small)


def finetune(pairs: Path, start: Path, run: Path) -> None:
    """A pre-trained network for meshes of hands, on generated hands."""
    shutil.rmtree(run, ignore_errors=True)
    few = ["--steps", MESH_STEPS, "--batch-size", 32, *(word for change in FEW for word in ("--set", change))]
    humanpt("finetune", "hand-mesh", "--data", pairs, "--init", start, "--out", run, *few)


def draw_hands(run: Path) -> list[Path]:
    """What a fine-tuned network sees in some frames of the clips, as pictures in its run's folder."""
    from finetune_hands import overlays  # torch loads here, when all commands are done

    from humanpt.data.image import encode_jpeg
    from humanpt.data.video import open_clip

    frames = [
        frame.rgb()
        for name, numbers in LOOKED_AT.items()
        for frame in islice(open_clip(CLIPS / "hand" / name).frames(), max(numbers) + 1)
        if frame.number in numbers
    ]
    pictures = []
    for number, drawn in enumerate(overlays(run, frames)):
        pictures.append(run / f"overlay-{number}.jpg")
        pictures[-1].write_bytes(encode_jpeg(drawn))
    return pictures


def record_demo(out: Path) -> str:
    """The demo's recording of the clip of a hand, as HTML."""
    shutil.rmtree(out, ignore_errors=True)
    humanpt("demo", "--video", CLIPS / "hand" / "human_hand_video.mp4", "--hand", "--record", out)
    name = out.name
    return (
        "<h2>live demo</h2><p>What <code>humanpt demo --hand --webcam</code> would show: the small hand network that "
        "comes with humanpt, trained on generated hands alone, on a clip that it never saw. Also written: "
        f"<a href='{name}/animation.glb'>animation.glb</a> for Blender and game engines, "
        f"<a href='{name}/motion'>.bvh</a> files and <a href='{name}/people.npz'>people.npz</a> with all numbers.</p>"
        f"<video src='{name}/overlay.mp4' controls autoplay muted loop></video>"
    )


def tell_meshes(run: Path, pictures: Sequence[Path]) -> str:
    """The pictures and the held-out errors, as HTML; a run begins at the mean pose, and its log with what that has."""
    figures = json.loads((run / "summary.json").read_text())["best_figures"]
    mean = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    images = "".join(f"<img src='{run.name}/{picture.name}' alt='a frame with meshes'>" for picture in pictures)
    return (
        f"<p><a href='{run.name}/report.html'>Fine-tuned for meshes</a> on generated hands alone, then shown frames of "
        f"the clips.</p><div class='frames'>{images}</div><p>Held-out generated hands, mean error of key points: "
        f"<b>{figures['heldout_mpjpe_mm']:.0f} mm</b> relative to the wrist, where the mean pose scores "
        f"{mean['heldout_mpjpe_mm']:.0f} mm; <b>{figures['heldout_pa_mpjpe_mm']:.1f} mm</b> after a similarity fit, "
        f"where it scores {figures['heldout_mean_pa_mpjpe_mm']:.1f} mm. How a hand is turned is learned first; how its "
        "fingers bend takes more pictures.</p>"
    )


def write_index(folder: Path, data: Mapping[str, Sequence[Path]], meshes: Mapping[str, str], demo: str) -> Path:
    """One page that leads to the others: the demo, then a part for each kind with its `meshes` at the top."""
    rows = []
    for kind, folders in data.items():
        links = []
        for made in folders:
            pairs = json.loads((made / "summary.json").read_text())
            links.append(f"<a href='{made.name}/preview.html'>{pairs['pairs']} pairs</a> ({made.name.split('-')[1]})")
        run = json.loads((folder / f"{kind}-run" / "summary.json").read_text())
        margin = run["figures"].get("heldout_margin")
        told = f"a wrong reference makes it {margin:+.1%} worse" if margin is not None else "nothing was held out"
        rows.append(
            f"<h2>{kind}</h2>{meshes.get(kind, '')}<p>{', '.join(links)}. "
            f"<a href='{kind}-run/report.html'>What the network learned</a> "
            f"in {run['steps']} steps: {escape(told)}.</p><iframe src='{kind}-run/report.html' title='{kind}'></iframe>"
        )
    page = folder / "index.html"
    page.write_text(
        "<!doctype html><meta charset='utf-8'><title>humanpt quickstart</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:92rem;margin:3rem auto;padding:0 1rem}"
        "iframe{width:100%;height:46rem;border:1px solid #ddd;border-radius:8px}"
        ".frames{display:grid;grid-template-columns:1fr 1fr;gap:.5rem}.frames img,video{width:100%}</style><body>"
        "<h1>humanpt quickstart</h1>" + demo + "".join(rows) + "</body>\n"
    )
    return page


def main() -> None:
    """Do it all and say where to look."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart")
    capture = CLIPS / "pose2sim_single"
    data = {
        "body": [
            make_pairs(folder / "body-clips", capture / "videos", rules=DENSE),
            make_pairs(folder / "body-views", capture, "--multiview", rules=DENSE_VIEWS),
            make_pairs(folder / "body-generated", "synthetic", "--count", GENERATED),
        ],
        "hand": [
            make_pairs(folder / "hand-clips", CLIPS / "hand", "--hand", rules=DENSE),
            make_pairs(folder / "hand-generated", "synthetic", "--hand", "--count", GENERATED),
        ],
    }
    train("body", data["body"], folder / "body-run", BODY_STEPS)
    train("hand", data["hand"], folder / "hand-run", HAND_STEPS)
    finetune(folder / "hand-generated", folder / "hand-run", folder / "hand-mesh")
    hands = tell_meshes(folder / "hand-mesh", draw_hands(folder / "hand-mesh"))
    shown = record_demo(folder / "hand-demo")
    print(f"\nopen {write_index(folder, data, {'hand': hands}, shown).resolve()}")


if __name__ == "__main__":
    main()
