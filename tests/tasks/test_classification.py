"""Gestures and grasps: what is held out, what is drawn, what the figures say, and that classes are learned."""

import pickle

import cv2
import numpy as np
import pytest
import torch

from humanpt.data.labelled.class_folders import open_classes
from humanpt.data.square_crops import CropConfig
from humanpt.errors import ConfigError
from humanpt.models.classes import ClassesNetwork
from humanpt.models.croco import tiny
from humanpt.models.trunk import Trunk
from humanpt.tasks.classification import ClassesConfig, ClassesSamples, ClassesTask, collate, part, predict

NAMES = ("across", "down", "flat")


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """Four pictures of each class: stripes that lie, stripes that stand, and none."""
    root = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:40, 0:60]
    for name, wave in zip(NAMES, (y, x, 0 * x), strict=True):
        (root / name).mkdir()
        for number in range(4):
            bright = 128 + 90 * np.sin(wave / 2 + number) + rng.normal(0, 5, (40, 60))
            cv2.imwrite(str(root / name / f"{number}.png"), bright.clip(0, 255).astype(np.uint8))
    return open_classes(root)


def config(**changes):
    return ClassesConfig(**({"class_names": NAMES} | changes))


def seen_by(data, indices=None, *, training=False, seed=0, **changes):
    indices = np.arange(len(data)) if indices is None else indices
    return ClassesSamples(data, indices, config(**changes), 64, seed, training=training)


def same(first, second):
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


class Saying(torch.nn.Module):
    """Gives answers in the order in which it was told them."""

    def __init__(self, classes, names=2):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.logits = 9 * torch.nn.functional.one_hot(torch.tensor(classes), names).float()
        self.place = 0

    def forward(self, image):
        self.place += len(image)
        return self.logits[self.place - len(image) : self.place]


class Labels:
    """Pictures of one colour, of given classes."""

    def __init__(self, labels, names):
        self.labels, self.class_names, self.groups = np.array(labels), names, np.arange(len(labels))

    def __len__(self):
        return len(self.labels)

    def picture(self, index):
        return np.full((8, 8, 3), index, np.uint8)


def test_ninety_right_of_a_and_ten_wrong_of_b():
    """The known answer: top-1 0.9, mean per class 0.5."""
    data = Labels([0] * 90 + [1] * 10, ("a", "b"))
    heldout = ClassesSamples(data, np.arange(100), config(class_names=("a", "b")), 8, 0, training=False)
    figures = ClassesTask(config(class_names=("a", "b")), Saying([0] * 100), heldout).evaluate()
    assert figures["top1"] == pytest.approx(0.9)
    assert figures["mean_per_class"] == pytest.approx(0.5)
    assert figures["chance"] == pytest.approx(0.9)


def test_nothing_held_out_has_no_figures():
    task = ClassesTask(config(), Saying([0]))
    assert task.evaluate() == {}
    assert task.pictures() == {}


def test_classes_are_learned(stripes):
    torch.manual_seed(0)
    network = ClassesNetwork(Trunk(tiny()), config())
    still = CropConfig(scale=0, shift=0, brightness=0, contrast=0, saturation=0)
    train = seen_by(stripes, training=True, augment=still)
    task = ClassesTask(config(), network, seen_by(stripes))
    before = task.evaluate()
    assert before["loss"] == pytest.approx(np.log(3), rel=1e-5)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for step in range(30):
        optimizer.zero_grad()
        task.loss(collate([train[position] for position in range(12 * step, 12 * (step + 1))]))[0].backward()
        optimizer.step()
    after = task.evaluate()
    assert after["top1"] == after["mean_per_class"] == 1
    assert after["loss"] < 0.5 * before["loss"]
    batch = collate([seen_by(stripes)[place] for place in range(12)])
    chances = predict(network, batch)
    torch.testing.assert_close(chances.sum(dim=1), torch.ones(12))
    assert (chances.argmax(dim=1) == batch.label).all()


def test_smoothing_leaves_a_certain_answer_with_a_loss(stripes):
    batch = collate([seen_by(stripes)[place] for place in range(4)])
    certain = Saying([0, 0, 0, 0], names=3)
    hard = ClassesTask(config(smoothing=0), certain).loss(batch)[0]
    certain.place = 0
    soft = ClassesTask(config(smoothing=0.3), certain).loss(batch)[0]
    assert float(soft - hard) == pytest.approx(0.2 * 9, rel=1e-3)  # a fifth of the label lies nine below


def test_a_sample_is_a_function_of_seed_and_position_alone(stripes):
    first = seen_by(stripes, training=True, mirror=True)
    there = [first[position] for position in (30, 2, 7)]
    other = pickle.loads(pickle.dumps(seen_by(stripes, training=True, mirror=True)))
    assert all(same(other[position], there[k]) for k, position in ((1, 2), (2, 7), (0, 30)))
    assert not same(seen_by(stripes, training=True, mirror=True, seed=1)[2], there[1])


def test_pictures_are_mirrored_only_where_that_is_asked_for(stripes):
    plain = seen_by(stripes, training=True)
    mirrored = seen_by(stripes, training=True, mirror=True)
    pairs = [(plain[position].picture, mirrored[position].picture) for position in range(24)]
    as_it_is = [np.array_equal(one, other) for one, other in pairs]
    flipped = [np.array_equal(one[:, ::-1], other) for one, other in pairs]
    assert all(one or other for one, other in zip(as_it_is, flipped, strict=True))
    assert 4 < sum(flipped) - sum(map(all, zip(as_it_is, flipped, strict=True))) < 20


def test_held_out_pictures_are_shown_whole(stripes):
    picture = seen_by(stripes)[0].picture
    assert picture.shape == (64, 64, 3)
    band = round(64 * 10 / 60)  # what a 60 x 40 picture leaves of a square, above and below
    assert (picture[: band - 1] == 114).all()
    assert (picture[-band + 1 :] == 114).all()
    assert picture[32].std() < picture[:, 32].std()


def test_every_picture_is_held_out_in_one_fold(stripes):
    folds = [part(stripes, config(folds=4, fold=fold), 0.5, seed=0) for fold in range(4)]
    assert sorted(np.concatenate([held for _, held in folds]).tolist()) == list(range(12))
    for train, held in folds:
        assert not set(train.tolist()) & set(held.tolist())
        assert np.bincount(stripes.labels[held], minlength=3).tolist() == [1, 1, 1]


def test_right_and_wrong_answers_are_framed_apart(stripes):
    sheet = ClassesTask(config(), Saying([0] * 12, names=3), seen_by(stripes)).pictures()["classes"]
    assert sheet.shape == (3 * 64, 4 * 64, 3)
    assert (sheet[0, 0] == sheet[0, -1]).all()  # the first four are of the class that is told
    assert (sheet[0, 0] != sheet[-1, 0]).any()


@pytest.mark.parametrize("wrong", [{"crop": "foot"}, {"smoothing": 1.0}, {"folds": 2, "fold": 2}, {"margin": 0.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        config(**wrong)


def test_real_gestures_are_read_and_the_person_cut_out(samples):
    data = open_classes(samples / "gestures")
    assert data.class_names == ("call", "four", "none", "rock")
    cut = ClassesConfig(class_names=data.class_names, crop="body")
    seen = ClassesSamples(data, np.arange(0, 24, 6), cut, 64, 0, training=False)
    batch = collate([seen[place] for place in range(4)])
    assert batch.label.tolist() == [0, 1, 2, 3]
    assert batch.pictures.float().std(dim=(1, 2, 3)).min() > 5
    for place in range(4):
        height, width = data.picture(seen.locate(place)).shape[:2]
        square = seen._squares[seen.locate(place)]
        assert square[2] - square[0] < 1.7 * max(height, width)
