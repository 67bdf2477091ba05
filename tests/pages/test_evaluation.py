"""Pages of evaluated and fine-tuned runs: that they hold what they were given, and open offline."""

import dataclasses
import re

import numpy as np
import pytest

from humanpt.pages.dense_pictures import LEVELS, DenseCase, draw_dense, in_parts, with_lines
from humanpt.pages.evaluation import (
    ClassCase,
    card_rows,
    write_class_report,
    write_dense_report,
    write_evaluation_report,
)
from humanpt.pages.evaluation_compare import Evaluated, write_run_comparison
from humanpt.pages.finetuning import write_finetuning_report
from tests.pages.meshes import SIZE, case

CARD = {"dataset": "freihand", "split": "evaluation", "count": 3960, "predictions_sha256": "ab" * 32, "root": None}
FIGURES = {"pa_mpjpe_mm": 6.254, "mpjpe_mm": 15.5, "pa_f_at_5": 0.7}
PARTS = ("torso", "arm")


def text_of(path):
    """What a reader sees, without markup, pictures and charts."""
    page = path.read_text()
    page = re.sub(r"<(svg|style).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def pictures_in(path):
    return len(re.findall(r"<img ", path.read_text()))


def charts_in(path):
    return len(re.findall(r'<svg role="img"', path.read_text()))


def asks_for_nothing(path):
    page = re.sub(
        r'xmlns(:\w+)?="[^"]*"|<!DOCTYPE[^>]*>|<metadata>.*?</metadata>', "", path.read_text(), flags=re.DOTALL
    )
    return not re.search(r"(src|href)=\"(?!data:|#)|url\((?!#)|<script|<link|@import", page)


def test_an_evaluation_shows_its_figures_its_card_and_its_cases(tmp_path):
    write_evaluation_report(
        tmp_path / "report.html",
        title="mine <on> FreiHAND",
        card=CARD,
        figures=FIGURES,
        cases={"best": [case("a")], "median": [case("b")], "worst": [case("c<d>", shift=(0, 0.01, 0)), case("e")]},
        per_joint={"wrist": 4.0, "thumb_tip": 9.0},
        by_occlusion=[("nothing hidden", 3000, 5.0), ("half", 960, 8.0), ("all", 0, float("nan"))],
        pck_curve={"pa": ([0, 25, 50], [0, 0.5, 1.0])},
        calibration=[(0.2, 9.0, 100), (0.9, 3.0, 400)],
    )
    text = text_of(tmp_path / "report.html")
    for piece in ("mine &lt;on&gt; FreiHAND", "6.25 mm", "PA-MPJPE", "0.700", "3,960 samples", "abababababababab…"):
        assert piece in text
    assert "c&lt;d&gt;" in text
    assert "<dt>split</dt>" in (tmp_path / "report.html").read_text()
    assert "<dt>root</dt>" not in (tmp_path / "report.html").read_text()  # the card says nothing of it
    assert pictures_in(tmp_path / "report.html") == 4
    assert charts_in(tmp_path / "report.html") == 4
    assert asks_for_nothing(tmp_path / "report.html")
    assert text.index("The best") < text.index("Around the median") < text.index("The worst")


def test_an_evaluation_of_nothing_but_figures_has_a_page(tmp_path):
    write_evaluation_report(tmp_path / "report.html", title="points", card={}, figures=FIGURES, cases={})
    assert "15.50 mm" in text_of(tmp_path / "report.html")
    assert pictures_in(tmp_path / "report.html") == charts_in(tmp_path / "report.html") == 0


def test_a_card_is_told_in_rows():
    rows = card_rows({"joints": tuple(f"joint_{i}" for i in range(21)), "reflections": False, "rules": {"rate": 30.0}})
    assert rows == [
        ("joints", "21: joint 0, joint 1, joint 2, joint 3, …"),
        ("reflections", "no"),
        ("rules rate", "30"),
    ]


def evaluated(name, error, cases):
    by_sample = {f"sample {i}": error * (1 + i % 3) for i in range(30)}
    figures = {"pa_mpjpe_mm": error, "pa_auc": 1 - error / 100}
    return Evaluated(
        name=name, card=CARD, figures=figures, per_joint={"wrist": error}, by_sample=by_sample, cases=cases
    )


def test_two_runs_stand_side_by_side_with_the_samples_they_share(tmp_path):
    first = evaluated("random", 20.0, [case("a"), case("b"), case("only here")])
    second = evaluated("both", 15.0, [case("b"), case("a")])
    write_run_comparison(tmp_path / "compare.html", first, second)
    page, text = (tmp_path / "compare.html").read_text(), text_of(tmp_path / "compare.html")
    assert '<b class="good">15.00 mm</b>' in page
    assert '<b class="good">0.850</b>' in page
    assert page.count('<b class="good">-25.0%</b>') == 1
    assert "nearer to the truth in 100%" in text
    assert pictures_in(tmp_path / "compare.html") == 4
    assert "only here" not in text
    assert asks_for_nothing(tmp_path / "compare.html")


def test_runs_are_compared_by_the_strictest_alignment_that_both_have(tmp_path):
    far, near = ([0, 50], [0.0, 0.1]), ([0, 50], [0.9, 1.0])
    first = dataclasses.replace(evaluated("a", 2.0, []), pck_curve={"pa": near, "raw": far, "root": far})
    second = dataclasses.replace(evaluated("b", 2.0, []), pck_curve={"root": far, "pa": near})
    page = tmp_path / "compare.html"

    def drawn(*curves):
        runs = [dataclasses.replace(run, pck_curve=some) for run, some in zip((first, second), curves, strict=True)]
        write_run_comparison(page, *runs)
        return re.findall(r' d="([^"]*)"', page.read_text())

    write_run_comparison(page, first, second)
    shown = re.findall(r' d="([^"]*)"', page.read_text())
    assert shown == drawn({"pa": near}, {"pa": near}) != drawn({"root": far}, {"root": far})
    assert len(drawn({"pa": near}, {"root": far})) < len(shown)  # they have none in common


def test_unlike_protocols_are_named_and_nobody_wins(tmp_path):
    first, second = evaluated("a", 20.0, []), evaluated("b", 15.0, [])
    second = dataclasses.replace(second, card=CARD | {"split": "training"})
    write_run_comparison(tmp_path / "compare.html", first, second, unlike=["split (evaluation and training)"])
    page = (tmp_path / "compare.html").read_text()
    assert "split (evaluation and training)" in page
    assert 'class="good"' not in page
    assert "<b>training</b>" in page


def test_classes_are_shown_with_what_is_taken_for_what(tmp_path):
    picture = np.zeros((32, 32, 3), np.uint8)
    mistake = ClassCase(name="x.jpg", picture=picture, true="fist", predicted="palm", confidence=0.91)
    write_class_report(
        tmp_path / "report.html",
        title="gestures",
        card={"dataset": "gestures"},
        figures={"top1": 0.75},
        class_names=("fist", "palm", "never"),
        confusion=np.array([[3, 1, 0], [1, 3, 0], [0, 0, 0]]),
        worst=[mistake],
        calibration=[(0.6, 0.5, 4), (0.9, 1.0, 4)],
    )
    text = text_of(tmp_path / "report.html")
    assert "75.0% top-1 accuracy" in text
    assert "fist taken for palm (91%)" in text
    assert charts_in(tmp_path / "report.html") == 3
    assert asks_for_nothing(tmp_path / "report.html")


def test_a_confusion_of_other_classes_is_the_callers_mistake(tmp_path):
    with pytest.raises(ValueError, match="2 classes"):
        write_class_report(
            tmp_path / "report.html",
            title="",
            card={},
            figures={},
            class_names=("a", "b"),
            confusion=np.zeros((3, 3), np.int64),
            worst=[],
        )


def dense_case(**changes):
    part = np.zeros((SIZE, SIZE), np.int64)
    part[16:48, 16:32], part[16:48, 32:48] = 1, 2
    along = np.mgrid[:SIZE, :SIZE].astype(np.float32) / SIZE
    values = {
        "name": "one",
        "picture": np.full((SIZE, SIZE, 3), 100, np.uint8),
        "predicted_part": part,
        "predicted_uv": np.moveaxis(along, 0, -1),
        "true_part": part,
        "errors": {"mean_iou": 1.0},
    }
    return DenseCase(**(values | changes))


def test_lines_of_equal_u_run_inside_of_parts_alone():
    across = np.repeat(np.linspace(0, 1, SIZE, dtype=np.float32)[None], SIZE, axis=0)
    one = dense_case(predicted_uv=np.dstack([across, np.zeros_like(across)]))
    drawn = with_lines(one.picture, one.predicted_part, one.predicted_uv).astype(int)
    coloured = np.ptp(drawn, axis=-1) > 30
    rows, columns = np.flatnonzero(coloured.any(1)), np.flatnonzero(coloured.any(0))
    ratio = len(drawn) / SIZE
    assert 16 * ratio <= rows[0] + 2
    assert rows[-1] - 2 <= 48 * ratio
    levels = [level * SIZE * ratio for level in LEVELS if 16 < level * SIZE < 48]
    starts = columns[np.flatnonzero(np.diff(columns, prepend=-9) > 2)]
    assert starts == pytest.approx(levels, abs=4)


def test_parts_are_coloured_and_the_rest_is_left_alone():
    one = dense_case()
    drawn = in_parts(one.picture, one.predicted_part)
    assert (drawn[one.predicted_part == 0] == 100).all()
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 3


def test_dense_poses_are_shown_with_whatever_is_labelled(tmp_path):
    points = dense_case(true_part=None, points=np.array([[20, 20], [40, 30]], np.float32), points_part=np.array([1, 2]))
    bare = dense_case(true_part=None)
    assert draw_dense(points).shape == draw_dense(dense_case()).shape
    assert draw_dense(bare).shape[1] < draw_dense(points).shape[1]
    write_dense_report(
        tmp_path / "report.html",
        title="dense",
        card={"variant": "one-k"},
        figures={"ap": 0.5, "gpsm_ap": 0.4},
        cases={"best": [dense_case()], "worst": [points, bare]},
        part_names=PARTS,
        per_part={"torso": 0.9, "arm": 0.3},
    )
    text = text_of(tmp_path / "report.html")
    assert "0.500 AP" in text
    assert "torso arm" in text.replace("  ", " ")
    assert pictures_in(tmp_path / "report.html") == 3
    assert asks_for_nothing(tmp_path / "report.html")


LOG = [
    {"step": 10, "loss": 2.0, "pixels": 1.0, "lr": 1e-3, "waiting": 0.5, "pictures_per_second": 10.0},
    {
        "step": 20,
        "loss": 1.0,
        "pixels": 0.5,
        "lr": 1e-4,
        "waiting": 0.1,
        "pictures_per_second": 11.0,
        "heldout_loss": 1.5,
        "heldout_pa_mpjpe_mm": 9.0,
        "heldout_mean_pa_mpjpe_mm": 19.5,
    },
]
SUMMARY = {
    "task": "hand-mesh",
    "init": "runs/both",
    "labels": 0.1,
    "labelled": 540,
    "heldout": 600,
    "tune": "norm",
    "steps": 20,
    "waiting": 0.3,
    "warnings": ["few <labels>"],
    "data": {"data": "freihand:/data", "sources": [{"path": "x", "licence": "research only"}]},
}


def test_a_fine_tuned_run_tells_what_it_began_from_and_how_it_went(tmp_path):
    panel = np.zeros((20, 40, 3), np.uint8)
    write_finetuning_report(tmp_path / "report.html", SUMMARY, LOG, {"mesh/0": panel, "mesh/1": panel})
    text = text_of(tmp_path / "report.html")
    for piece in ("Hand mesh, fine-tuned", "9.00 mm PA-MPJPE", "runs/both", "10%", "540", "norms of the trunk"):
        assert piece in text
    for piece in ("30% of the time waiting for data", "few &lt;labels&gt;", "research only"):
        assert piece in text
    assert pictures_in(tmp_path / "report.html") == 2
    assert charts_in(tmp_path / "report.html") == 2 + 1 + 3  # held out, terms of the loss, how it went
    assert asks_for_nothing(tmp_path / "report.html")


def test_the_error_of_a_guess_is_a_level_and_no_achievement(tmp_path):
    write_finetuning_report(tmp_path / "report.html", SUMMARY, LOG, {})
    page = (tmp_path / "report.html").read_text()
    assert "always the mean pose" in page
    top = page[page.index('class="figures"') : page.index("<svg")]
    assert "19.50" not in top


def test_the_figures_of_the_best_weights_stand_first_and_those_of_the_last_are_named(tmp_path):
    best = {"best_step": 10, "best_figures": {"heldout_pa_mpjpe_mm": 7.0, "heldout_loss": 1.0}}
    write_finetuning_report(tmp_path / "report.html", SUMMARY | best, LOG, {})
    text = text_of(tmp_path / "report.html")
    assert "7.00 mm PA-MPJPE" in text
    assert "of the best weights, at step 10" in text
    assert "best, step 10 last" in text
    assert "PA-MPJPE 7.00 mm 9.00 mm" in text


def test_a_run_without_held_out_pictures_has_a_page(tmp_path):
    write_finetuning_report(tmp_path / "report.html", {"task": "gesture"}, LOG[:1], {})
    assert "Held out" not in text_of(tmp_path / "report.html")
