"""How the commands' summaries look in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from humanpt.cli.console import counted, duration_text, print_line, print_table


def show_mkpairs(summary: dict[str, Any]) -> None:
    """Totals, parts and rejections of `mkpairs`."""
    found = summary["detector"] is not None  # else they were generated, and nobody was looked for
    how = f"{summary['subject']}, {summary['detector']}" if found else f"{summary['subject']}, generated"
    columns: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
        (summary["noun"], lambda part: part["name"]),
        ("reader", lambda part: part["reader"] or "-"),
        ("frames", lambda part: part["frames"]),
        ("with subject", lambda part: f"{part['found']} of {part['looked']}"),
        ("tracks", lambda part: f"{part['kept_tracks']} of {part['tracks']}"),
        ("jumps", lambda part: part["jumps"]),
        ("pairs", lambda part: "-" if part["problem"] else part["pairs"]),
    ]
    shown = columns if found else [columns[0], columns[-1]]
    print_table(
        f"{counted(summary['pairs'], 'pair')} from {counted(summary['parts'], summary['noun'])} ({how})",
        [name for name, _ in shown],
        [[value(part) for _, value in shown] for part in summary["per_part"]],
    )
    if summary["rejected"]:
        rows = [(summary["reasons"][reason], count) for reason, count in summary["rejected"].items()]
        what = "left out (pictures, or partners tried for one)" if found else "drawn and left out"
        print_table(what, ("why", "count"), rows)
    for part in summary["per_part"]:
        for note in [*part["notes"], *([part["problem"]] if part["problem"] else [])]:
            print_line(note if part["name"] in note else f"{part['name']}: {note}")
    print_line(
        f"{counted(summary['frames'], summary['unit'])} in {summary['seconds']:.1f} s, "
        f"{summary['frames_per_second']:.3g} per second; {counted(len(summary['shards']), 'shard')} in {summary['out']}"
    )
    if summary["preview"]:
        print_line(f"look at the pairs: {summary['preview']}")


def show_share(made: dict[str, Any]) -> None:
    """What one of several jobs of `mkpairs` made."""
    noun, unreadable = made["noun"], f" ({made['unreadable']} unreadable)" if made["unreadable"] else ""
    print_line(f"part {made['part']}: {counted(made['parts'], noun)}, {counted(made['pairs'], 'pair')}{unreadable}")
    if made["missing"]:
        print_line(f"{counted(made['missing'], noun)} of other parts are still missing")
    else:
        print_line("all parts are there: the same command with --resume in place of --part joins them")


def show_doctor(found: dict[str, Any]) -> None:
    """The findings of `doctor`."""
    print_line(f"humanpt {found['humanpt']}, Python {found['python']}, {found['system']}")
    rows = [(name, entry["version"] or entry["problem"]) for name, entry in found["packages"].items()]
    print_table("packages", ("name", "version"), rows)
    if found["device"]:
        print_line(f"device           {found['device']['device']}, {found['device']['precision']}")
    print_line(f"decoders         {', '.join(found['decoders']) or 'none'}")
    for model, where in found["free_body_models"].items():
        print_line(f"{model:<16} {where}")
    for model, files in found["body_models"].items():
        listed = [file["file"] + (" (cannot be read, see below)" if file["problem"] else "") for file in files]
        print_line(f"{model:<16} {', '.join(listed) or 'no files (optional; licensed by their owners)'}")
    print_line(f"looked in        {', '.join(found['body_model_folders'])}")
    print_line(f"cache            {found['cache_folder']}")
    for entry in found.get("path", {}).get("entries", []):
        print_line("  ".join(f"{name} {value}" for name, value in entry.items() if value not in (None, {})))
    for problem in found["problems"]:
        print_line(f"problem: {problem}")
    print_line("all is well" if found["ok"] else counted(len(found["problems"]), "problem"))


def show_dry_run(found: dict[str, Any]) -> None:
    """What a run would take."""
    from humanpt.commands.dry_run import size_text

    parameters, flops, memory, disk = (found[name] for name in ("parameters", "flops", "memory", "disk"))
    step = found["seconds_per_step"]
    rows = [
        ("parameters", f"{parameters['total']:,} (encoder {parameters['encoder']:,})"),
        ("GFLOP per pair, forward; step", f"{flops['forward_per_pair'] / 1e9:.3g}; {flops['step_per_pair'] / 1e9:.3g}"),
        ("memory of a step, about", size_text(memory["total"])),
        ("memory there", "unknown" if memory["available"] is None else size_text(memory["available"])),
        ("checkpoint; most on disk", f"{size_text(disk['checkpoint'])}; {size_text(disk['most'])}"),
        ("steps of so many pairs", f"{found['steps']:,} of {found['batch_size']}"),
        ("epochs of so many pairs", f"{found['epochs']:.4g} of {found['training_pairs']:,}"),
        ("seconds per step, about", f"{step['expected']:.3g} (limited by {found['limits']})"),
        ("time of the run, about", duration_text(found["seconds"])),
    ]
    print_table(f"{found['recipe']}, {found['subject']}: {found['device']}, {found['precision']}", ("", ""), rows)
    for line in found["advice"]:
        print_line(f"note: {line}")
    print_line("nothing was trained and nothing written; evaluations and saves take time besides")


def show_pretrain(summary: dict[str, Any]) -> None:
    """The outcome of `pretrain`."""
    figures = summary["figures"]
    rows = [
        ("steps", summary["steps"]),
        ("pairs per second", f"{summary['pairs_per_second']:.0f}"),
        ("training loss", f"{figures['loss']:.4f}" if "loss" in figures else "-"),
    ]
    if "heldout_loss" in figures:
        rows.append(("held-out loss", f"{figures['heldout_loss']:.4f}"))
    if summary["best_by"] == "held-out loss":  # not when it was stopped before the first measurement in training
        rows.append(("best, at step", f"{summary['best_loss']:.4f}, {summary['best_step']}"))
    if "heldout_margin" in figures:
        rows.append(("wrong reference", f"{figures['heldout_margin']:+.1%} held-out error"))
    if "heldout_probe_mpjpe_mm" in figures:
        probe, mean = figures["heldout_probe_mpjpe_mm"], figures["heldout_probe_mean_mm"]
        rows.append(("linear probe of 3D key points", f"{probe:.1f} mm (the mean pose: {mean:.1f})"))
    print_table(f"{summary['recipe']}, {summary['subject']}", ("", ""), rows)
    _show_end(summary)


def show_detection(summary: dict[str, Any]) -> None:
    """The outcome of `finetune detection`."""
    figures = summary["figures"]
    rows = [
        ("steps", summary["steps"]),
        ("pictures per second", f"{summary['pictures_per_second']:.0f}"),
    ]
    rows.append(("recall, at 0.3 false boxes a frame", f"{figures['recall']:.2f}"))
    rows.append(("at the score", f"{figures['threshold']:.2f}"))
    if "side" in figures:
        rows.append(("hands whose side is told; of those, right", f"{figures['sided']:.0%}; {figures['side']:.0%}"))
    print_table(f"{summary['recipe']}, {summary['subject']}, held-out generated pictures", ("", ""), rows)
    if summary["interrupted"]:
        print_line(f"stopped early; the same command with --resume goes on from {summary['last']}")
    print_line(f"weights: {summary['weights']}")


def show_finetune(summary: dict[str, Any]) -> None:
    """The outcome of `finetune` for a task."""
    from humanpt.pages.scores import score, told

    rows = [
        ("first weights", summary["init"]),
        ("labelled pictures; held out", f"{summary['labelled']}; {summary['heldout']}"),
        ("steps", summary["steps"]),
        ("pictures per second", f"{summary['pictures_per_second']:.0f}"),
    ]
    if summary["waiting"] is not None:
        rows.append(("time spent waiting for data", f"{summary['waiting']:.0%}"))
    print_table(f"{summary['task']}, {summary['recipe']}", ("", ""), rows)
    columns = {f"last, step {summary['measured_step']:,}": summary["figures"]} if summary["measured_step"] else {}
    if summary["best_figures"]:
        columns = {f"best, step {summary['best_step']:,}": summary["best_figures"], **columns}
    names = [name for name in summary["figures"] if name.startswith("heldout_")]
    if names and columns:  # what was measured before training began is no outcome
        figures = [(score(name).title, *(told(name, of.get(name)) for of in columns.values())) for name in names]
        print_table("held-out pictures", ("", *columns), figures)
    _show_end(summary)


def _show_end(summary: dict[str, Any]) -> None:
    """What is worth knowing after the figures of a run, and where it left them."""
    for warning in summary["warnings"]:
        print_line(f"warning: {warning}")
    if summary["interrupted"]:
        print_line(f"stopped early; the same command with --resume goes on from {summary['last']}")
    print_line(f"weights: {summary['best'] or summary['last']}")
    print_line(f"open the report: {summary['report']}")


def show_demo(summary: dict[str, Any]) -> None:
    """What the demo saw, how fast, and what it wrote."""
    print_line(
        f"{summary['source']}: {counted(summary['shown'], 'frame')} shown in {summary['seconds']:.1f} s "
        f"({summary['rate']:.1f} a second), {summary['dropped']} dropped; by {summary['network']}"
    )
    show_stages(summary["stages"])
    for line in summary["damage"]:
        print_line(line)
    if summary["shown"] and not summary["subjects_per_frame"]:
        print_line("nobody was found; hands want --hand, people --body, and other detectors --detector")
    if summary["most_left_out"]:
        followed = summary["config"]["pipeline"]["follow"]["max_people"]
        print_line(
            f"at most {followed} followed at once, up to {summary['most_left_out']} more seen; "
            f"--set pipeline.follow.max_people={followed + summary['most_left_out']}"
        )
    if summary["trouble"]:
        print_line(summary["trouble"])
    show_files(summary["files"])


def show_files(files: dict[str, str]) -> None:
    """What was written."""
    for path in files.values():
        print_line(f"written: {path}")


def show_stages(stages: dict[str, dict[str, float]]) -> None:
    """How long each part of the work on a frame took."""
    rows = [(name, f"{1000 * spread['p50']:.1f}", f"{1000 * spread['p95']:.1f}") for name, spread in stages.items()]
    print_table("milliseconds a frame", ("stage", "p50", "p95"), rows)


def show_benchmark(measured: dict[str, Any]) -> None:
    """Stages, and ratios measured in the same run."""
    print_line(
        f"{measured['clip']}: {counted(measured['frames'], 'frame')} of {measured['width']} x {measured['height']}, "
        f"{measured['network']} by {measured['runtime']} on {measured['device']}, {measured['precision']}"
    )
    show_stages(measured["stages"])
    ways = {"one frame after the other": measured, "capture, inference and drawing at once": measured["overlapped"]}
    for told, way in ways.items():
        print_line(
            f"whole pipeline, {told}: {way['frames_per_second']:.1f} frames a second, "
            f"{way['over_parts']:.2f} times the time of detection and network alone"
        )
    if measured["against_eager"] is not None:
        print_line(f"network: {measured['against_eager']:.2f} times as fast as the same network in plain eager fp32")
