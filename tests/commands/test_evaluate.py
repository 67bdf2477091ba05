"""`humanpt eval` on a few made hands and pictures: what it measures, what it leaves, what it refuses."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.commands.evaluate import EvaluateConfig
from humanpt.commands.evaluation_samples import choose_samples, described
from humanpt.commands.evaluation_sources import PredJson
from humanpt.commands.finetune_network import load_finetuned
from humanpt.config import from_dict
from humanpt.data.labelled import open_labelled
from humanpt.data.labelled.open_dense import open_dense
from humanpt.data.pairs import PairConfig
from humanpt.engine.report import Silent
from humanpt.errors import ConfigError, InputError
from humanpt.scoring.benchmarks import Changes
from humanpt.scoring.card import Card
from humanpt.scoring.predictions import PredictionBatch, PredictionLayout, Predictions, write_predictions
from humanpt.tasks.mesh_recovery import MeshTask
from tests.commands.results import done, one_line_error
from tests.commands.test_finetune import COMMON
from tests.data.labelled.test_densepose_coco import annotation as coco_person
from tests.data.labelled.test_densepose_coco import write as write_coco
from tests.data.labelled.written_distances import write_distances
from tests.data.labelled.written_sets import write_freihand, write_ho3d, write_interhand
from tests.people import SIZE, made

QUICK = ["--workers", "0", "--device", "cpu", "--json"]


def evaluate(*words, page="--no-page"):
    return CliRunner().invoke(app, ["eval", *map(str, words), *QUICK, page])


def finetuned(task, data, out, *words):
    words = [*COMMON, "--data", data, "--out", out, "--steps", 2, "--set", "encoder.image_size=32", *words]
    done(CliRunner().invoke(app, ["finetune", task, *map(str, words)]))
    return out


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Twelve pictures of generated hands, left and right."""
    folder = tmp_path_factory.mktemp("hands")
    for seed in (0, 1):
        made(folder / f"pairs-{seed}.h5", "hand", 0, 3, seed=seed)
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Four pictures of other generated hands."""
    folder = tmp_path_factory.mktemp("others")
    made(folder / "pairs.h5", "hand", 0, 2, seed=7)
    return folder


@pytest.fixture(scope="module")
def run(people, tmp_path_factory):
    """A run of two steps."""
    return finetuned("hand-mesh", people, tmp_path_factory.mktemp("runs") / "hands")


@pytest.fixture(scope="module")
def evaluated(run, others):
    """The run on the other hands, and the summary."""
    return done(evaluate(run, "--data", others, "--out", run / "eval-others", page="--page"))


def close(figures):
    """Shares of vertices within a distance may differ by some vertices of one hand."""
    return {
        name: pytest.approx(value, rel=1e-4, abs=0 if name.endswith("_mm") else 1e-3) for name, value in figures.items()
    }


@pytest.fixture(scope="module")
def freihand(tmp_path_factory):
    return write_freihand(tmp_path_factory.mktemp("freihand"), 3, part="evaluation")


def truth_of(root):
    return [json.loads((root / f"evaluation_{name}.json").read_text()) for name in ("xyz", "verts")]


def score(tmp_path, root, keypoints, vertices, *words):
    """Score a pred.json."""
    file = tmp_path / "pred.json"
    file.write_text(json.dumps([np.asarray(keypoints).tolist(), np.asarray(vertices).tolist()]))
    return evaluate("--predictions", file, "--benchmark", "freihand", "--data", root, "--out", tmp_path / "out", *words)


def test_a_run_is_measured_on_what_it_held_out_as_in_its_training(run):
    found = done(evaluate(run))
    settings, network, header = load_finetuned(run, torch.device("cpu"))
    chosen = choose_samples(settings, header, run, None, None, None, Silent())
    assert found["split"] == "held-out"
    assert 0 < found["samples"] == len(chosen.indices) < 12
    expected = MeshTask(settings.task, network, chosen.samples(settings)).evaluate()
    for name in ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm", "pa_pve_mm"):
        assert found["figures"][name] == pytest.approx(expected[name], rel=1e-4)


def test_it_leaves_predictions_a_card_results_and_a_page(run, others, evaluated):
    out = run / "eval-others"
    card = from_dict(Card, json.loads((out / "card.json").read_text()), "card.json")
    predictions, data = Predictions(out / "predictions.h5"), open_labelled(str(others), subject="hand")
    assert predictions.names == tuple(data.name(index) for index in range(len(data)))
    assert card.predictions_sha256 == predictions.sha256
    assert card.count == evaluated["samples"] == 4
    assert card.split == "all"
    assert card.root == ("wrist",)
    assert card.mesh == "anny-hand"
    assert np.nanmean(predictions.errors("pa_mpjpe_mm")) == pytest.approx(evaluated["figures"]["pa_mpjpe_mm"])
    focal = next(predictions.batches(4)).focal
    np.testing.assert_allclose(focal[0], data.labels(0).intrinsics.diagonal()[:2])
    assert json.loads((out / "results.json").read_text())["figures"] == evaluated["figures"]
    page = (out / "report.html").read_text()
    assert "PA-MPJPE" in page
    assert not re.search(r"""(src|href)=["']?(http|//)""", page)


def test_figures_depend_neither_on_the_batch_nor_on_the_processes(run, others, evaluated, tmp_path):
    again = done(evaluate(run, "--data", others, "--out", tmp_path / "a", "--batch-size", 3))
    assert again["figures"] == close(evaluated["figures"])


def test_predictions_in_a_file_score_as_they_did(others, evaluated, run, tmp_path):
    file = run / "eval-others" / "predictions.h5"
    again = done(evaluate("--predictions", file, "--data", others, "--out", tmp_path / "again"))
    assert again["figures"] == pytest.approx(evaluated["figures"], rel=1e-6)
    assert again["card"]["predictions_sha256"] == evaluated["card"]["predictions_sha256"]
    done(evaluate("--compare", run / "eval-others", tmp_path / "again", "--out", tmp_path / "pages"))
    assert (tmp_path / "pages" / "comparison.html").is_file()


def test_two_evaluations_of_one_protocol_stand_side_by_side(run, others, evaluated, tmp_path):
    done(evaluate(run, "--data", others, "--out", tmp_path / "again"))
    page = tmp_path / "page.html"
    found = done(evaluate("--compare", run / "eval-others", tmp_path / "again", "--out", page))
    assert found["figures"]["pa_mpjpe_mm"] == [pytest.approx(evaluated["figures"]["pa_mpjpe_mm"])] * 2
    assert page.read_text().count("<img") > 2


def test_evaluations_of_unlike_protocols_are_not_ranked_and_it_says_why(run, others, evaluated, tmp_path):
    done(evaluate(run, "--data", others, "--out", tmp_path / "eval-a", "--reflections"))
    done(evaluate(run, "--data", others, "--out", tmp_path / "eval-b", "--most", 3))
    mirrored, fewer = tmp_path / "eval-a", tmp_path / "eval-b"
    one_line_error(
        evaluate("--compare", run / "eval-others", mirrored), "cannot be ranked", "reflections (False and True)"
    )
    one_line_error(evaluate("--compare", run / "eval-others", fewer), "cannot be ranked", "count (4 and 3)")
    one_line_error(evaluate("--compare", tmp_path, mirrored), "several evaluations (eval-a, eval-b)")


def test_the_truth_as_predictions_has_no_error_and_makes_a_submission(freihand, tmp_path):
    found = done(score(tmp_path, freihand, *truth_of(freihand), "--submission"))
    assert found["figures"]["raw_mpjpe_mm"] < 1e-3
    assert found["figures"]["raw_f_at_5"] == found["figures"]["pa_f_at_15"] == 1
    assert found["card"]["reflections"] is True
    assert any("3 of the 3,960 samples" in note for note in found["details"]["notes"])
    with zipfile.ZipFile(found["submission"]) as bundle:
        keypoints, _ = json.loads(bundle.read("pred.json"))
    np.testing.assert_allclose(keypoints, truth_of(freihand)[0], atol=1e-6)


def test_an_all_zero_pred_json_is_as_far_as_the_hands(freihand, tmp_path):
    keypoints, vertices = (np.array(part) for part in truth_of(freihand))
    found = done(score(tmp_path, freihand, 0 * keypoints, 0 * vertices))["figures"]
    assert found["raw_mpjpe_mm"] == pytest.approx(1000 * np.linalg.norm(keypoints, axis=-1).mean(), rel=1e-5)
    middle = keypoints.mean(axis=1, keepdims=True)
    assert found["pa_mpjpe_mm"] == pytest.approx(1000 * np.linalg.norm(keypoints - middle, axis=-1).mean(), rel=1e-4)
    assert found["raw_f_at_15"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda keypoints, vertices: (keypoints[:, :20], vertices), "20 key points and 778 vertices"),
        (lambda keypoints, vertices: (keypoints[:2], vertices[:2]), "2 samples are predicted"),
        (lambda keypoints, vertices: (keypoints * 1000, vertices * 1000), "millimetres; write metres"),
        (lambda keypoints, vertices: (keypoints * 100, vertices * 100), "centimetres; write metres"),
        (lambda keypoints, vertices: (keypoints * 1e6, vertices * 1e6), "another unit; write metres"),
        (lambda keypoints, vertices: (keypoints * np.nan, vertices), "is not finite"),
        (lambda keypoints, vertices: (keypoints, vertices[:2]), "no pair of lists"),
    ],
    ids=["key points", "samples", "millimetres", "centimetres", "no unit", "not a number", "lists"],
)
def test_predictions_that_cannot_be_scored_are_told_in_one_line(freihand, tmp_path, change, message):
    one_line_error(score(tmp_path, freihand, *change(*(np.array(part) for part in truth_of(freihand)))), message)


def test_a_network_is_measured_by_freihands_rules_though_its_mesh_is_another(run, freihand, tmp_path):
    found = done(evaluate(run, "--benchmark", "freihand", "--data", freihand, "--out", tmp_path / "out"))
    assert found["samples"] == 3
    assert found["card"]["mesh"] == "anny-hand against mano"
    assert found["card"]["rules"]["mesh_alignment"] == "freihand"
    assert 0 <= found["figures"]["pa_f_at_15"] <= 1
    assert "pa_pve_mm" not in found["figures"]


def test_named_data_are_measured_on_their_part_for_evaluation_though_the_run_held_some_out(freihand, tmp_path):
    root = tmp_path / "freihand"
    shutil.copytree(freihand, root)
    write_freihand(root, 4)
    run = finetuned("hand-mesh", f"freihand:{root}", tmp_path / "run")
    asked = done(evaluate(run, "--benchmark", "freihand", "--data", root))
    assert (asked["split"], asked["samples"], asked["details"]["notes"][0][:1]) == ("evaluation", 3, "3")
    own = done(evaluate(run))
    assert (own["split"], own["samples"]) == ("held-out", 8)
    assert "was chosen by its loss on these samples" in own["details"]["notes"][0]
    trained = done(evaluate(run, "--split", "training"))
    assert "was trained on 8 of these 16 samples" in trained["details"]["notes"][0]


def test_what_a_run_was_trained_on_is_known_by_any_path(run, people, others, tmp_path):
    shutil.copytree(people, tmp_path / "deep" / "copy")
    shutil.copy(run / "last.safetensors", tmp_path)  # without the names of what it learned from
    count, out = json.loads((run / "labels.json").read_text())["count"], tmp_path / "out"
    copied = done(evaluate(run, "--data", tmp_path / "deep", "--out", out))
    assert f"was trained on {count} of these 12 samples" in copied["details"]["notes"][0]
    assert not done(evaluate(run, "--data", others, "--out", out))["details"]["notes"]
    alone = done(evaluate(tmp_path / "last.safetensors", "--data", people, "--split", "all", "--out", out))
    assert "may have been trained" in alone["details"]["notes"][0]


def test_samples_of_another_split_that_only_share_names_are_not_taken_for_trained_on(tmp_path):
    for split in ("train", "test"):
        write_interhand(tmp_path / "interhand", 2, split=split)
    run = finetuned("hand-mesh", f"interhand:{tmp_path / 'interhand'}", tmp_path / "run")
    found = done(evaluate(run, "--data", f"interhand:{tmp_path / 'interhand'}"))
    assert (found["split"], found["details"]["notes"]) == ("test", [])


def test_pictures_that_a_classifier_was_trained_on_are_known_by_their_files(tmp_path):
    write_classes(tmp_path / "set" / "train", ("a", "b"))
    write_classes(tmp_path / "set" / "test", ("a", "b"), count=2)
    run = finetuned("gesture", tmp_path / "set", tmp_path / "run")
    count = json.loads((run / "labels.json").read_text())["count"]
    found = done(evaluate(run, "--data", tmp_path / "set" / "train"))
    assert f"was trained on {count} of these 12 samples" in found["details"]["notes"][0]


def test_checkpoints_and_parts_have_folders_of_their_own_and_the_best_was_chosen_by_what_is_held_out(run):
    folders = {}
    for words in (("",), ("best.safetensors",), ("last.safetensors",), ("", "--most", 2)):
        found = done(evaluate(run / words[0], *words[1:]))
        folders[words] = Path(found["out"]).name
        chosen = any("was chosen by its loss" in note for note in found["details"]["notes"])
        assert chosen == (words[0] != "last.safetensors")
    names = ["", "", "-last", "-most-2"]
    assert list(folders.values()) == [f"eval-generated-held-out{name}" for name in names]


def test_hands_that_were_generated_otherwise_have_another_card(tmp_path):
    names = []
    for name, margin, count in (("a", 1.2, 1), ("b", 1.2, 2), ("c", 1.1, 1)):
        made(tmp_path / name / "pairs.h5", "hand", 0, count, seed=7, pairs=PairConfig(crop_size=SIZE, margin=margin))
        meshes = open_labelled(str(tmp_path / name), subject="hand")
        dense = open_dense(str(tmp_path / name), subject="hand")
        names.append(described(meshes))
        assert described(dense) == names[-1]
    assert names[0].startswith("generated ")
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("benchmark", ["freihand", "ho3d-v3"])
def test_a_submission_is_read_as_its_server_reads_it(benchmark, tmp_path):
    root = tmp_path / "data"
    write_ho3d(root, 2) if benchmark == "ho3d-v3" else write_freihand(root, 2, part="evaluation")
    data = open_labelled(f"{benchmark}:{root}", "evaluation", subject="hand")
    labels, rng = [data.labels(number) for number in range(len(data))], np.random.default_rng(0)
    keypoints, vertices = (np.stack([getattr(one, name) for one in labels]) for name in ("keypoints", "vertices"))
    keypoints += rng.normal(0, 0.01, keypoints.shape).astype(np.float32)
    layout = PredictionLayout(subject="hand", keypoint_names=data.layout.keypoint_names, model="mano")
    with write_predictions(tmp_path / "predictions.h5", layout) as writer:
        writer.add(PredictionBatch(names=tuple(one.name for one in labels), keypoints=keypoints, vertices=vertices))
    words = ["--data", f"{benchmark}:{root}", "--out"]
    ours = done(evaluate("--predictions", tmp_path / "predictions.h5", *words, tmp_path / "ours", "--submission"))
    with zipfile.ZipFile(ours["submission"]) as bundle:
        bundle.extract("pred.json", tmp_path)
    theirs = done(evaluate("--predictions", tmp_path / "pred.json", *words, tmp_path / "theirs"))
    lengths = [
        {name: one["figures"][name] for name in one["figures"] if name.endswith("_mm")} for one in (ours, theirs)
    ]
    assert lengths[1] == pytest.approx(lengths[0], abs=2e-3)
    assert lengths[0]["raw_mpjpe_mm"] > 5


def test_depths_that_are_not_in_front_of_ho3ds_camera_are_refused(tmp_path):
    file = tmp_path / "pred.json"
    file.write_text(json.dumps([[[[0, 0, 0.5]] * 21], [[[0, 0, 0.5]] * 778]]))
    with pytest.raises(InputError, match="depths are positive"):
        PredJson(file, "ho3d-v2")


def test_a_folder_never_holds_files_of_two_evaluations(run, others, evaluated, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(run / "eval-others", out)
    (out / "submission.zip").write_bytes(b"old")
    (out / "mine.txt").write_bytes(b"kept")
    done(evaluate(run, "--data", others, "--out", out, "--most", 2))
    names = ["card.json", "mine.txt", "predictions.h5", "results.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    shutil.copy(run / "eval-others" / "predictions.h5", out)
    one_line_error(evaluate("--compare", out, out), "predictions.h5: not the predictions that card.json tells of")
    monkeypatch.setattr("humanpt.commands.evaluate.evaluate_meshes", stopped)
    assert evaluate(run, "--data", others, "--out", out).exit_code == 130
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    one_line_error(evaluate(run, "--data", others, "--out", run), "holds a run", "choose another --out")


def stopped(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("kind", "config", "option"),
    [
        ("gesture", {"changes": Changes(reflections=False)}, "--reflections"),
        ("grasp", {"changes": Changes(pck_mm=(20, 50))}, "--pck"),
        ("gesture", {"variant": "one-k"}, "--gps"),
        ("gesture", {"benchmark": "freihand", "data": "x"}, "--benchmark freihand"),
        ("hand-mesh", {"variant": "one-k"}, "--gps"),
        ("body-mesh", {"benchmark": "densepose-coco", "data": "x"}, "--benchmark densepose-coco"),
        ("dense-pose", {"benchmark": "3dpw", "data": "x"}, "--benchmark 3dpw"),
        ("dense-pose", {"changes": Changes(reflections=True)}, "--reflections"),
        ("dense-pose", {"changes": Changes(pck_mm=(20, 50))}, "--pck"),
    ],
)
def test_an_option_of_another_task_is_refused(kind, config, option):
    with pytest.raises(ConfigError, match=f"^{option}: is not for {kind}"):
        EvaluateConfig(**config).refuse_idle(kind)


def write_classes(root, names, count=6):
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            cv2.imwrite(str(root / name / f"{number}.png"), rng.integers(0, 255, (40, 40, 3), dtype=np.uint8))


def test_a_set_that_changed_since_has_no_part_that_was_surely_held_out(tmp_path):
    write_classes(tmp_path / "set", ("a", "b"))
    run = finetuned("gesture", tmp_path / "set", tmp_path / "run")
    write_classes(tmp_path / "set", ("a", "b"), count=9)
    one_line_error(evaluate(run), "not the samples that this run was begun with")
    assert done(evaluate(run, "--data", tmp_path / "set", "--split", "all"))["samples"] == 18


def test_classes_with_a_test_part_are_measured_on_it(tmp_path):
    write_classes(tmp_path / "set" / "train", ("a", "b"))
    write_classes(tmp_path / "set" / "test", ("a", "b"), count=2)
    run = finetuned("gesture", tmp_path / "set", tmp_path / "run")
    found = done(evaluate(run, "--data", tmp_path / "set"))
    assert (found["split"], found["samples"], found["details"]["notes"]) == ("test", 4, [])
    assert done(evaluate(run, "--data", tmp_path / "set", "--split", "train"))["card"]["split"] == "train"


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("keypoints", lambda values: values * np.nan, "the predicted key points are not finite"),
        ("vertices", lambda values: values * np.inf, "the predicted vertices are not finite"),
        ("keypoints", lambda values: values[:, :20], "key points are 4 x 20 x 3, must be 4 x 21 x 3"),
        ("vertices", lambda values: values[:3], "vertices are of 3 samples, not of 4"),
    ],
)
def test_damaged_files_of_predictions_are_told_in_one_line(run, others, evaluated, tmp_path, part, change, message):
    file = tmp_path / "predictions.h5"
    shutil.copy(run / "eval-others" / "predictions.h5", file)
    with h5py.File(file, "a") as content:
        values = change(content[part][:])
        del content[part]
        content[part] = values
    one_line_error(evaluate("--predictions", file, "--data", others, "--out", tmp_path / "out"), message)


def test_samples_without_published_labels_are_predicted_and_it_says_so(run, tmp_path):
    write_ho3d(tmp_path / "ho3d", 2, with_truth=False)
    found = done(evaluate(run, "--benchmark", "ho3d-v3", "--data", tmp_path / "ho3d", "--out", tmp_path / "out"))
    assert any("Nothing of these samples is labelled" in note for note in found["details"]["notes"])
    assert found["figures"]["pa_mpjpe_mm"] is None
    assert len(Predictions(tmp_path / "out" / "predictions.h5")) == 2


def test_a_classifier_is_measured_by_class_and_refuses_other_classes(tmp_path):
    rng = np.random.default_rng(0)
    for root, names in (("set", ("red", "blue")), ("strange", ("red", "green"))):
        for name in names:
            (tmp_path / root / name).mkdir(parents=True)
            for number in range(6):
                picture = rng.integers(0, 120, (40, 40, 3), dtype=np.uint8)
                picture[..., ("blue", "green", "red").index(name)] += 120
                cv2.imwrite(str(tmp_path / root / name / f"{number}.png"), picture)
    run = finetuned("gesture", tmp_path / "set", tmp_path / "run")
    found = done(evaluate(run))
    assert found["figures"]["top1"] == pytest.approx(np.trace(found["details"]["confusion"]) / found["samples"])
    every = done(evaluate(run, "--data", tmp_path / "set", "--split", "all"))
    assert every["samples"] == 12
    assert every["card"]["predictions_sha256"] != found["card"]["predictions_sha256"]
    one_line_error(evaluate(run, "--data", tmp_path / "strange"), "has the class green", "blue, red")


def test_dense_pose_is_measured_along_the_surface(tmp_path):
    for seed in (0, 1):
        made(tmp_path / "people" / f"pairs-{seed}.h5", "body", 0, 1, seed=seed)
    run = finetuned("dense-pose", tmp_path / "people", tmp_path / "run")
    found = done(evaluate(run, "--gps", "k-per-part"))
    assert {"gps", "gps_ap", "gpsm_ap", "mask_iou", "part_accuracy", "mean_iou"} <= set(found["figures"])
    assert found["card"]["rules"]["gps"] == "a k for each coarse part"
    assert found["card"]["rules"]["picture size"].startswith("32 px")
    assert len(found["card"]["predictions_sha256"]) == 64
    assert "anny-body-small" in found["card"]["rules"]["geodesics"]


def test_densepose_coco_is_measured_by_the_distances_of_its_owners(tmp_path):
    people = [coco_person(3), coco_person(5, 9, area=90.0**2), coco_person(6, 9, area=200.0**2)]
    root = write_coco(tmp_path / "coco", *people)
    folder = root / "annotations"
    shutil.copy(folder / "densepose_minival2014.json", folder / "densepose_train2014.json")
    run = finetuned("dense-pose", root, tmp_path / "run")
    without = done(evaluate(run, "--data", root))
    assert without["card"]["split"] == "minival"
    assert "gps" not in without["figures"]
    assert any("eval_data/SMPL_subdiv.mat is missing" in note for note in without["details"]["notes"])
    write_distances(root / "eval_data", form="plain.mat")
    found = done(evaluate(run, "--data", root, "--gps", "k-per-part", page="--page"))
    wanted = {f"{kind}_{name}" for kind in ("gps", "gpsm") for name in ("ap", "ap50", "ap75", "ap_m", "ap_l")}
    assert wanted | {"gps", "mask_iou"} <= set(found["figures"])
    assert "Pdist_matrix.mat, metres between 72 vertices" in found["card"]["rules"]["geodesics"]
    assert "all labelled people of its picture" in found["card"]["rules"]["matching"]
    (note,) = found["details"]["notes"]
    assert "was trained on 2 of these 3 samples" in note  # the part for evaluation is a copy here
    (root / "eval_data" / "SMPL_SUBDIV_TRANSFORM.mat").write_bytes(b"nothing")
    one_line_error(evaluate(run, "--data", root), "SMPL_SUBDIV_TRANSFORM.mat: cannot be read")


def test_a_k_for_each_part_of_the_body_is_refused_for_hands(people, tmp_path):
    run = finetuned("dense-pose", people, tmp_path / "run", "--hand")
    one_line_error(evaluate(run, "--gps", "k-per-part"), "parts of the body; leave it out for hands")
    assert any("25.5 cm is longer than a hand" in note for note in done(evaluate(run))["details"]["notes"])


def test_what_cannot_be_measured_is_told_in_one_line(run, others, freihand, tmp_path):
    one_line_error(evaluate(tmp_path / "nothing"), "nothing")
    one_line_error(evaluate(run, "--benchmark", "freehand", "--data", others), "benchmark is 'freehand'; choose")
    one_line_error(evaluate(run, "--benchmark", "freihand"), "needs its samples; add --data")
    one_line_error(evaluate(run, "--data", others, "--split", "held-out"), "leave out --data")
    one_line_error(evaluate(run, "--data", others, "--submission"), "generated: has no server")
    wanted = evaluate(run, "--data", freihand, "--submission", "--out", tmp_path / "for-the-server")
    one_line_error(wanted, "freihand: the server wants mano's vertices, not anny-hand's")
    assert not (tmp_path / "for-the-server").exists()  # told before anything is measured
    one_line_error(evaluate(run, "--gps", "one-k"), "--gps: is not for hand-mesh", "leave it out")
    one_line_error(evaluate(run, "--predictions", "x.h5"), "give a RUN, or --predictions FILE")
    one_line_error(evaluate("--compare", tmp_path, run), "holds no results of an evaluation")
    damaged = run / "eval-others" / "predictions.h5"
    one_line_error(
        evaluate("--predictions", damaged, "--data", freihand, "--out", tmp_path / "a"), "4 samples are predicted"
    )
