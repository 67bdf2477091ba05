"""Which boxes of several cameras are one subject."""

import numpy as np
import pytest

from humanpt.data.captures.association import Association, Sighting, mismatch
from tests import rigs, stage

CAMERAS = rigs.rig((0, 40, 100, 160), lens=())


def box_of(camera, place, scale=1.0):
    """The box of a figure that stands at a place."""
    points = stage.figure()[0] * scale + place
    seen = np.column_stack([points, np.ones(len(points))]) @ camera.projection.T
    pixels = seen[:, :2] / seen[:, 2:]
    return np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]).astype(np.float32)


def sightings(places, *, cameras=CAMERAS, tracks=None, kinds=None, noise=0.0, seed=0):
    """Every place seen by every camera; the boxes of one camera come in an order of its own."""
    random = np.random.default_rng(seed)
    found, truth = [], {}
    for number, camera in enumerate(cameras):
        for who in random.permutation(len(places)).tolist():
            jitter = noise * random.normal(size=4)
            track = who if tracks is None else tracks[number][who]
            found.append(
                Sighting(
                    camera=number,
                    index=len(found),
                    track=track,
                    kind="body" if kinds is None else kinds[who],
                    box=(box_of(camera, places[who]) + jitter).astype(np.float32),
                )
            )
            truth[number, track] = who
    return found, truth


def people(groups, truth):
    """Who the members of each group are."""
    return {
        subject: {truth[camera, sighting.track] for camera, sighting in group.items()}
        for subject, group in groups.items()
    }


def test_one_persons_boxes_meet_in_space_and_those_of_one_who_jumps_do_not():
    here, above = np.array([0.4, 0.0, 0.2]), np.array([0.4, -0.6, 0.2])
    for second in CAMERAS[1:]:
        assert mismatch(CAMERAS[0], box_of(CAMERAS[0], here), second, box_of(second, here)) < 0.03
        assert mismatch(CAMERAS[0], box_of(CAMERAS[0], above), second, box_of(second, here)) > 0.1


def test_boxes_of_unlike_size_are_not_one_subject():
    place = np.zeros(3)
    assert np.isinf(mismatch(CAMERAS[0], box_of(CAMERAS[0], place), CAMERAS[1], box_of(CAMERAS[1], place, scale=0.3)))


def test_what_would_lie_behind_a_camera_is_not_one_subject():
    opposite = rigs.rig((0, 180), lens=())
    left, right = np.float32([10, 100, 40, 160]), np.float32([10, 100, 40, 160])
    assert np.isinf(mismatch(opposite[0], left, opposite[1], right))


@pytest.mark.parametrize("seed", range(5))
def test_three_people_are_told_apart_by_four_cameras(seed):
    places = np.array([[-0.9, 0, 0.1], [0.1, -0.1, -0.7], [0.8, 0.05, 0.5]])
    association = Association(CAMERAS, 0.25)
    found, truth = sightings(places, noise=3.0, seed=seed)
    for _ in range(5):
        groups = association.update(found)
    assert sorted(map(tuple, people(groups, truth).values())) == [(0,), (1,), (2,)]
    assert all(len(group) == 4 for group in groups.values())
    assert association.count == 3


def test_people_who_cross_keep_their_numbers():
    association = Association(CAMERAS, 0.25)
    seen = []
    for step in np.linspace(-1, 1, 21):
        places = np.array([[step, 0.0, 0.35], [-step, 0.0, -0.35]])
        found, truth = sightings(places)
        groups = association.update(found)
        seen.append(people(groups, truth))
    assert all(now == seen[0] for now in seen)
    assert association.count == 2


def test_a_subject_keeps_its_number_when_a_camera_begins_a_new_track():
    association = Association(CAMERAS, 0.25)
    places = np.array([[0.0, 0.0, 0.0]])
    first = association.update(sightings(places, tracks=[[0]] * 4)[0])
    second = association.update(sightings(places, tracks=[[0], [7], [0], [0]])[0])
    assert list(first) == list(second) == [0]


def test_a_camera_has_one_box_of_a_subject():
    association = Association(CAMERAS[:2], 0.25)
    box = box_of(CAMERAS[0], np.zeros(3))
    double = [Sighting(camera=0, index=i, track=i, kind="body", box=box + np.float32(2 * i)) for i in range(2)]
    other = Sighting(camera=1, index=0, track=0, kind="body", box=box_of(CAMERAS[1], np.zeros(3)))
    groups = association.update([*double, other])
    assert sorted(len(group) for group in groups.values()) == [1, 2]


def test_who_could_see_a_subject_is_told_by_where_it_stands():
    association = Association(CAMERAS, 0.25)
    found, _ = sightings(np.zeros((1, 3)), cameras=CAMERAS)
    (group,) = association.update(found[:2]).values()
    assert len(group) == 2
    assert association.could_see(group) == 4
    aside = np.array([[0.0, -1.6, 0.0]])  # beyond the upper edge of the pictures
    (group,) = Association(CAMERAS, 0.25).update(sightings(aside, cameras=CAMERAS)[0][:2]).values()
    assert association.could_see(group) == 2
    assert Association([None, None], 0.25).could_see(group) == 2


def test_a_left_hand_is_no_right_hand():
    association = Association(CAMERAS[:2], 0.25)
    hands = [
        Sighting(camera=i, index=0, track=0, kind=kind, box=box_of(CAMERAS[i], np.zeros(3)))
        for i, kind in ((0, "hand_left"), (1, "hand_right"))
    ]
    assert all(len(group) == 1 for group in association.update(hands).values())
    unknown = [hands[0], Sighting(camera=1, index=0, track=5, kind="hand", box=hands[1].box)]
    assert [len(group) for group in association.update(unknown).values()] == [2]


def test_without_calibration_time_is_all_there_is():
    association = Association([None, None, None], 0.25)
    alone = sightings(np.zeros((1, 3)), cameras=CAMERAS[:3])[0]
    groups = association.update(alone)
    assert [sorted(group) for group in groups.values()] == [[0, 1, 2]]
    assert association.crowded == 0


def test_without_calibration_a_crowded_camera_is_left_out():
    association = Association([None, None, CAMERAS[2]], 0.25)
    found, _ = sightings(np.array([[0.0, 0, 0], [0.8, 0, 0]]), cameras=CAMERAS[:3])
    groups = association.update([sighting for sighting in found if sighting.camera == 1 or sighting.track == 0])
    assert [sorted(group) for group in groups.values()] == [[0, 2]]
    assert association.crowded == 2


def test_without_calibration_left_and_right_hands_are_two_subjects():
    association = Association([None, None], 0.25)
    kinds = ["hand_left", "hand_right"]
    found, truth = sightings(np.array([[0.5, 0, 0], [-0.5, 0, 0]]), cameras=CAMERAS[:2], kinds=kinds)
    groups = association.update(found)
    assert people(groups, truth) == {0: {0}, 1: {1}}
