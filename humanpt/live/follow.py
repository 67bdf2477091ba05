"""Who is followed from picture to picture, and when the detector has to look again.

Between detections, the mesh itself says where its subject is: the box around it, moved on by its velocity, is the next
crop. A network that is shown an empty crop sees somebody all the same, so only detections keep a subject alive. Our
detectors miss many hands and people in single pictures, so a miss ends nothing: they look again soon, a weak answer
near somebody followed is enough, and only who was not confirmed for a while has gone.

`detect/tracking.Tracker` gives identities to detections of neighbouring pictures. Here detections are rare and meshes
say more than boxes, so identities belong to what is followed, and detections are given to that.

Letters: N boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from humanpt.data.crops import share_inside
from humanpt.detect.detector import BoxKind, Detections
from humanpt.detect.matching import overlaps
from humanpt.errors import ConfigError
from humanpt.live.sides import SideVotes

Floats = NDArray[np.float32]

NEVER = 1e6  # a cost that no allowed pair reaches


@dataclass(frozen=True, kw_only=True)
class FollowConfig:
    """When the detector looks, and who is followed how long."""

    every: float = 0.5
    """Time between detections when all is well, in seconds; they confirm who is followed and find newcomers."""
    retry: float = 0.12
    """Time to the next detection after one that missed somebody, or when a follow is doubtful, in seconds."""
    start_score: float = 0.3
    """Least score of a detection that begins to follow somebody."""
    sure_score: float = 0.5
    """Score from which one detection is enough; others need a second one in the next picture."""
    max_people: int = 4
    """Most hands or bodies followed at once, those with the best scores."""
    lost_after: float = 2.0
    """Somebody whom no detection confirmed for so long has gone, in seconds."""
    doubtful_after: float = 0.6
    """The same for newcomers, and for those whose mesh jumped or left its crop."""
    min_misses: int = 4
    """And so many detections must have missed them: a slow machine looks seldom."""
    confirm_iou: float = 0.2
    """Overlap (IoU) of a detection that confirms somebody."""
    trusted: bool = False
    """Whether detections are the truth, such as boxes from a file: they alone say who is where, in every picture."""

    def __post_init__(self) -> None:
        if min(self.every, self.retry, self.lost_after, self.doubtful_after) < 0:
            raise ConfigError("follow.every, retry, lost_after and doubtful_after are times and must not be negative")
        if not 0 <= self.start_score <= self.sure_score:
            raise ConfigError("follow.start_score must lie from 0 to follow.sure_score")
        if self.max_people < 1 or self.min_misses < 1:
            raise ConfigError("follow.max_people and follow.min_misses must be at least 1")
        if not 0 < self.confirm_iou < 1:
            raise ConfigError(f"follow.confirm_iou is {self.confirm_iou}; it must lie between 0 and 1")


SHORTEST = 1e-3  # seconds between pictures, at least
USUAL = 1 / 15  # seconds between pictures, where there is but one yet
LONGEST_STEP = 0.25  # seconds over which a velocity is believed
FARTHEST = 0.75  # box sizes that a box is moved on at most
ALPHA, BETA = 0.6, 0.2  # what a mesh beside its box says of the place and the velocity of that box
STEADY = 0.15  # seconds over which the sides of a box are evened out: a trembling crop makes the network tremble
JUMP = 0.45  # box sizes from the middle of the box to that of its mesh, from which the follow is doubtful
RESIZE = 1.6  # ratio of the sides of box and mesh, likewise
STRAYED = 1.5  # box sizes gone since the last detection, likewise
LOOK_AFTER = 0.5  # box sizes gone since the last detection from which the detector looks soon
BLEND = 0.5  # what a detection says of the box, beside what was expected
REPLACED = 0.5  # overlap with a detection below which it alone is the box from now on
AGREE = 0.3  # what the overlap with one detection counts in the mean
BAD, GOOD = 0.4, 0.7  # mean overlaps at which the detector looks as often, and as seldom, as it may
LEARN = 0.2  # what one detection says of how much larger than meshes detections are
MOST_LARGER = 0.4  # and how far that is believed, as a logarithm
WEAK_FOR = 3.0  # seconds for which weak detections alone confirm somebody
OUT = 0.25  # of a box inside the picture; with less, the follow is doubtful
GONE = 0.05  # with less, it ends
NEAR = 0.6  # box sizes from box to detection that still may be one, where they do not overlap
DOUBLE = 0.6  # overlap of two boxes from which they may be one subject
DOUBLE_POINTS = 0.15  # mean distance of their key points, in box sizes, below which they are
DOUBLE_AFTER = 0.25  # seconds, after which one of them ends
CANDIDATE = 0.4  # seconds for which a first detection waits for a second one
INSIDE = 0.75  # of a detection inside the box of somebody; it is a part of them


class Followed:
    """Somebody who is followed.

    Attributes:
        identity: the same through time, never given twice.
        box: (4,) where the next crop is taken, pixels.
        score: how sure it is that somebody is there, 0 to 1.
        sides: which hand it is.
        doubtful: whether the last mesh looked wrong.
        ended: whether they are let go with the next picture.
        misses: detections in a row that did not see them.
        hits: detections that did.
        moved: how far the box has gone since the last one, in box sizes.
        agreement: mean overlap of detections with where the box was expected.
    """

    def __init__(self, identity: int, box: Floats, kind: BoxKind, score: float, timestamp: float) -> None:
        self.identity = identity
        self.box = box.astype(np.float32)
        self.score = score
        self.sides = SideVotes(kind)
        self.sides.vote_kind(kind)
        self.given: int | None = None  # id that a file of boxes gave
        self.doubtful = False
        self.ended = False
        self.misses = 0
        self.hits = 1
        self.confirmed = self.strongly = timestamp
        self.timestamp = timestamp  # of the box
        self.double_since: float | None = None
        self.moved = 0.0
        self.agreement = GOOD
        self._velocity = np.zeros(2)  # pixels a second
        self._elapsed = USUAL
        self._larger = 0.0  # logarithm of the ratio of boxes of detections and of meshes
        self._detected: Floats | None = None  # box of a detection in this picture

    def move_on(self, timestamp: float) -> None:
        """Move the box to where it should be now."""
        self._elapsed = max(timestamp - self.timestamp, SHORTEST)
        step = self._velocity * min(self._elapsed, LONGEST_STEP)
        length, most = float(np.linalg.norm(step)), FARTHEST * size_of(self.box)
        self.box = (self.box + np.tile(step * min(1.0, most / max(length, 1e-6)), 2)).astype(np.float32)
        self.timestamp = timestamp

    def confirm(self, timestamp: float, box: Floats, kind: BoxKind, score: float, *, trusted: bool) -> None:
        """A detection saw them.

        Args:
            timestamp: seconds.
            box: (4,) of the detection.
            kind: likewise.
            score: likewise.
            trusted: whether it says for certain where they are.
        """
        self.confirmed = self.strongly = timestamp
        self.misses, self.hits, self.moved = 0, self.hits + 1, 0.0
        self.score += 0.5 * (score - self.score)
        self.sides.vote_kind(kind)
        overlap = float(overlaps(self.box[None], box[None])[0, 0])
        self.agreement += AGREE * (overlap - self.agreement)
        if trusted or overlap < REPLACED or self.doubtful:
            self.box, self._velocity = box.astype(np.float32), np.zeros(2)
        else:
            self.box = (self.box + BLEND * (box - self.box)).astype(np.float32)
        self.doubtful = False
        self._detected = box

    def confirm_weakly(self, timestamp: float, score: float) -> None:
        """Something like them was seen where they are, too uncertain to say more."""
        self.confirmed, self.misses = min(timestamp, self.strongly + WEAK_FOR), 0
        self.score += 0.5 * (score - self.score)

    def miss(self) -> None:
        """A detection did not see them."""
        self.misses += 1
        self.score *= 0.85

    def see(self, box: Floats) -> None:
        """Take in the box around the mesh that the crop at `self.box` gave."""
        if self._detected is not None:
            self._larger += LEARN * (np.log(longer_side(self._detected) / longer_side(box)) - self._larger)
            self._detected = None
        off = middle_of(box) - middle_of(self.box)
        if np.linalg.norm(off) > JUMP * size_of(self.box):
            self.doubtful = True  # and the box stays
            return
        middle, half = middle_of(self.box) + ALPHA * off, (self.box[2:] - self.box[:2]) / 2
        self._velocity += BETA * off / self._elapsed
        wanted = (box[2:] - box[:2]) / 2 * np.exp(np.clip(self._larger, -MOST_LARGER, MOST_LARGER))
        ratio = longer_side(box) * np.exp(self._larger) / longer_side(self.box)
        self.doubtful |= not 1 / RESIZE < ratio < RESIZE
        half = half * (np.maximum(wanted, 1) / half) ** (self._elapsed / (self._elapsed + STEADY))
        self.moved += float(np.linalg.norm(self._velocity)) * self._elapsed / size_of(self.box)
        self.doubtful |= self.moved > STRAYED
        self.box = np.concatenate([middle - half, middle + half]).astype(np.float32)


class Follower:
    """Follows the hands or bodies of one clip.

    Attributes:
        people: who is followed, by identity.
        left_out: the most who were seen and not followed at once, as `max_people` were followed already.
    """

    def __init__(self, config: FollowConfig) -> None:
        self.config = config
        self.people: list[Followed] = []
        self.left_out = 0
        self._identities = 0
        self._detected = -np.inf
        self._candidates: list[tuple[float, Floats]] = []

    def forget(self) -> None:
        """A cut: nobody is followed any more. Identities are not given again."""
        self.people, self._candidates, self._detected = [], [], -np.inf

    def move_on(self, timestamp: float, width: int, height: int) -> None:
        """Come to the next picture: boxes move on, and who has gone is let go.

        Args:
            timestamp: seconds.
            width: of the picture, pixels.
            height: likewise.
        """
        for person in self.people:
            person.move_on(timestamp)
            inside = share_inside(person.box, width, height)
            person.doubtful |= inside < OUT
            person.ended |= inside < GONE
        self.people = [person for person in self.people if not self._gone(person, timestamp)]

    def wants_detection(self, timestamp: float) -> bool:
        """Whether the detector should look at this picture."""
        if self.config.trusted or not self.people or self._candidates:
            return True
        if any(p.doubtful or p.misses or p.hits < 2 or p.moved > LOOK_AFTER for p in self.people):
            wait = self.config.retry
        else:
            good = min((person.agreement - BAD) / (GOOD - BAD) for person in self.people)
            wait = self.config.retry + min(max(good, 0.0), 1.0) * (self.config.every - self.config.retry)
        return timestamp - self._detected >= wait - SHORTEST

    def meet(self, timestamp: float, found: Detections) -> None:
        """Take in what the detector found: who is confirmed, who was missed, who is new."""
        self._detected = timestamp
        pairs = self._pairs(found)
        for row, column in pairs:
            person, box = self.people[row], found.boxes[column]
            score = float(found.scores[column])
            if score >= self.config.start_score:
                person.confirm(timestamp, box, found.kinds[column], score, trusted=self.config.trusted)
            else:
                person.confirm_weakly(timestamp, score)
        seen = {row for row, _ in pairs}
        for row, person in enumerate(self.people):
            if row not in seen:
                person.miss()
        if self.config.trusted:  # nobody is where the file has no box
            self.people = [person for row, person in enumerate(self.people) if row in seen]
        self._begin(timestamp, found, {column for _, column in pairs})

    def see(self, boxes: Floats, keypoints: Floats) -> None:
        """Take in the meshes of all who are followed, in their order.

        Args:
            boxes: (N, 4) around the meshes, pixels.
            keypoints: (N, K, 2) pixels.
        """
        if not self.config.trusted:
            for person, box in zip(self.people, boxes, strict=True):
                person.see(box)
            self._part(boxes, keypoints)

    def _gone(self, person: Followed, timestamp: float) -> bool:
        patience = self.config.lost_after if person.hits > 1 and not person.doubtful else self.config.doubtful_after
        unseen = person.misses >= self.config.min_misses and timestamp - person.confirmed > patience
        return person.ended or unseen or timestamp - person.strongly > WEAK_FOR + patience

    def _pairs(self, found: Detections) -> list[tuple[int, int]]:
        """Who is followed and the detections of them."""
        boxes = np.array([person.box for person in self.people], np.float32).reshape(-1, 4)
        overlap = overlaps(boxes, found.boxes)
        cost = np.full(overlap.shape, NEVER)
        for row, person in enumerate(self.people):
            for column, kind in enumerate(found.kinds):
                given = found.ids[column]
                if given is not None or person.given is not None:
                    cost[row, column] = 0 if given == person.given else NEVER
                    continue
                far = np.linalg.norm(middle_of(found.boxes[column]) - middle_of(person.box)) / size_of(person.box)
                ratio = size_of(found.boxes[column]) / size_of(person.box)
                if overlap[row, column] >= self.config.confirm_iou:
                    cost[row, column] = 1 - overlap[row, column]
                elif far < NEAR and 0.5 < ratio < 2:
                    cost[row, column] = 1 + far
                cost[row, column] += 0.3 * person.sides.contradicts(kind)
        rows, columns = linear_sum_assignment(cost)
        return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if cost[r, c] < NEVER]

    def _begin(self, timestamp: float, found: Detections, taken: set[int]) -> None:
        """Follow newcomers, the best first; those of whom one is not sure wait for a second detection."""
        waiting = [box for seen, box in self._candidates if timestamp - seen <= CANDIDATE]
        self._candidates = []
        left_out = 0
        for column in np.argsort(-found.scores, kind="stable").tolist():
            box, score = found.boxes[column], float(found.scores[column])
            if column in taken or self._is_part(box):
                continue
            if len(self.people) >= self.config.max_people:
                left_out += score >= self.config.sure_score
                continue
            again = any(overlaps(box[None], other[None])[0, 0] >= self.config.confirm_iou for other in waiting)
            if self.config.trusted or again or score >= self.config.sure_score:
                person = Followed(self._identities, box, found.kinds[column], score, timestamp)
                person.given = found.ids[column]
                self.people.append(person)
                self._identities += 1
            elif score >= self.config.start_score:
                self._candidates.append((timestamp, box))
        self.left_out = max(self.left_out, left_out)

    def _is_part(self, box: Floats) -> bool:
        """Whether a box shows somebody who is followed already, or a part of them."""
        if self.config.trusted:
            return False
        for person in self.people:
            low, high = np.maximum(box[:2], person.box[:2]), np.minimum(box[2:], person.box[2:])
            shared = float(np.maximum(high - low, 0).prod())
            if shared > INSIDE * size_of(box) ** 2 or overlaps(box[None], person.box[None])[0, 0] > 0.4:
                return True
        return False

    def _part(self, boxes: Floats, keypoints: Floats) -> None:
        """Where two meshes show the same subject for a while, let the one go that detections spoke less for."""
        overlap, doubles = overlaps(boxes, boxes), set()
        for row, person in enumerate(self.people):
            for other, rival in enumerate(self.people[:row]):
                size = max(size_of(boxes[row]), size_of(boxes[other]))
                apart = np.linalg.norm(keypoints[row] - keypoints[other], axis=-1).mean()
                if apart < DOUBLE_POINTS * size and overlap[row, other] > DOUBLE:
                    doubles.add(row if (person.misses, -person.hits) >= (rival.misses, -rival.hits) else other)
        for row, person in enumerate(self.people):
            if row not in doubles:
                person.double_since = None
            elif person.double_since is None:
                person.double_since = person.timestamp
            else:
                person.ended |= person.timestamp - person.double_since >= DOUBLE_AFTER


def middle_of(box: Floats) -> NDArray[np.float64]:
    """(4,) edges to the middle (2,)."""
    return (box[:2].astype(np.float64) + box[2:]) / 2


def size_of(box: Floats) -> float:
    """Root of a box's area, in pixels."""
    return float(np.sqrt(max(1e-6, (float(box[2]) - float(box[0])) * (float(box[3]) - float(box[1])))))


def longer_side(box: Floats) -> float:
    """The longer side of a box, in pixels."""
    return max(1e-3, float((box[2:] - box[:2]).max()))


def box_around(pixels: Floats) -> Floats:
    """(M, 2) pixels to the edges (4,) around them."""
    columns = np.ascontiguousarray(pixels.T)  # along which numbers are compared many at once
    return np.concatenate([columns.min(axis=1), columns.max(axis=1)]).astype(np.float32)
