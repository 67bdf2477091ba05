"""The shipped weights: they load, say where they come from, and find people that nobody ever saw."""

import numpy as np
import pytest
import torch

from humanpt.data.detection import cutout_people
from humanpt.data.detection.backdrops import Backdrops
from humanpt.data.detection.cutout_people import CutOutConfig, make_cutouts
from humanpt.data.detection.cutouts import CutOuts, part_name
from humanpt.data.detection.photography import PhotographyConfig
from humanpt.data.detection.pictures import Composer, PictureConfig
from humanpt.data.frame import ArrayFrame
from humanpt.detect.heatmap import OwnDetector, load_weights, weights_file
from humanpt.detect.matching import match, rates

UNSEEN = 1_000_000  # a person far beyond those of any training
PLAIN = PhotographyConfig(shadow=0, blur=0, motion=0, coarse=0, tone=0, tint=0, grey=0, noise=0, jpeg=0)
FRAMES = 16


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    config = CutOutConfig(figures=2, parts=0, hands=0, lone_hands=2, rooms=1.0, size=160)
    assert cutout_people.CutOutConfig().seed == config.seed
    make_cutouts(UNSEEN, 4, config, folder / part_name(UNSEEN), lambda: None)
    return CutOuts(folder)


@pytest.mark.parametrize("subject", ["body", "hand"])
def test_weights_are_small_and_say_how_they_were_made(subject):
    path = weights_file(subject)
    assert path.stat().st_size < 4_000_000
    record = load_weights(path, subject).record
    assert record["licence"] == "Apache-2.0"
    assert record["config"]["cutouts"]["people"] < UNSEEN
    assert record["data"]["photographs_sha256"]
    assert record["steps"] > 0


@pytest.mark.parametrize(("subject", "least"), [("body", 0.6), ("hand", 0.5)])
def test_unseen_generated_people_are_found(people, subject, least):
    shares = (1.0, 0.0, 0.0) if subject == "body" else (0.0, 0.0, 1.0)
    config = PictureConfig(
        subject=subject,
        size=224,
        shares=shares,
        figures=(0.4, 0.9),
        near=(0.4, 0.8),
        things=0,
        crowd=0,
        empty=0,
        bars=0,
        rooms=1.0,
        clutter=0,
        photography=PLAIN,
    )
    composer = Composer(people, np.arange(len(people)), Backdrops(None), config)
    detector = OwnDetector(subject)
    matches = []
    for number in range(FRAMES):
        picture = composer.picture(1, number)
        found = detector.detect(ArrayFrame(number, number / 25, picture.rgb))
        matches.append(match(found.boxes, found.scores, picture.boxes, picture.doubtful))
    recall, false = rates(matches, 0.3)
    assert recall >= least
    assert false <= 0.5


def test_the_mask_lies_on_the_person(people):
    config = PictureConfig(
        size=224, shares=(1, 0, 0), figures=(0.6, 0.8), things=0, crowd=0, empty=0, photography=PLAIN
    )
    composer = Composer(people, np.arange(len(people)), Backdrops(None), config)
    detector, shares = OwnDetector("body"), []
    for number in range(FRAMES):
        picture = composer.picture(2, number)
        found = detector.detect(ArrayFrame(number, number / 25, picture.rgb))
        if len(found) and found.masks[0] is not None and len(picture.boxes) == 1 and not picture.doubtful[0]:
            mask = (
                torch.nn.functional.interpolate(
                    torch.from_numpy(found.masks[0])[None, None].float(), size=picture.mask.shape, mode="nearest"
                )[0, 0]
                .bool()
                .numpy()
            )
            shares.append((mask & picture.mask).sum() / max(1, (mask | picture.mask).sum()))
    assert len(shares) > FRAMES / 3
    assert np.mean(shares) > 0.45
