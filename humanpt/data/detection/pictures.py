"""Pictures to train a detector on: cut-out people and hands pasted over backgrounds, with exact boxes and masks.

Nothing about a picture should tell pasted people from pasted things: things come before and behind people, cut from
photographs or drawn, blended in the same way; and light, blur, noise and compression are applied to the finished
picture. Boxes hold what can be seen. Mirroring a cut-out swaps its hands.

Every picture is a pure function of a seed and its number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.data.detection.backdrops import PLACES, Backdrops, clutter, crop, patch_thing, shape
from humanpt.data.detection.cutouts import LEFT, PERSON, RIGHT, CutOut, CutOuts, Framing
from humanpt.data.detection.photography import PhotographyConfig, photograph
from humanpt.data.order import sample_rng
from humanpt.errors import ConfigError

Rgb = NDArray[np.uint8]
MOST = 250  # subjects of a picture, numbered in a byte
LEAST_SEEN = 0.2  # share of a hand that must be seen for a view of it to count as one
BAR = 114  # grey of what lies beside a picture that is not square, as in detect/heatmap.py


@dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """How detection pictures are composed."""

    subject: Literal["body", "hand"] = "body"
    """Whose boxes are wanted."""
    size: int = 256
    """Side of a picture, in pixels; a multiple of 32."""
    figures: tuple[float, float] = (0.11, 1.4)
    """Least and greatest height of a whole person, as a share of the side; the logarithm is drawn evenly."""
    near: tuple[float, float] = (0.45, 1.6)
    """Least and greatest longer side of a part of a person or of the surroundings of a hand, as a share of the side."""
    shares: tuple[float, float, float] = (0.72, 0.28, 0.0)
    """How often a picture is about whole persons, parts of them, and hands from near; at least one above 0."""
    empty: float = 0.12
    """Share of pictures with nobody in them."""
    crowd: float = 0.38
    """Chance of one more person after each, up to 7; of small figures there are a few more."""
    things: float = 2.0
    """Mean number of pasted things behind people; in front there are a third as many."""
    rooms: float = 0.25
    """Share of backgrounds that are generated rooms, where there are any."""
    clutter: float = 0.1
    """Share of backgrounds that are plain clutter; all, where there are neither photographs nor rooms."""
    bars: float = 0.15
    """Share of pictures with grey bars at two sides, as letterboxed frames have them."""
    min_pixels: float = 12.0
    """A subject whose longer side is shorter, in pixels, is neither learned nor counted against the network."""
    min_visible: float = 0.3
    """Nor is one of which a smaller share is visible."""
    photography: PhotographyConfig = field(default_factory=PhotographyConfig)
    """Light, lens and compression."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32:
            raise ConfigError(f"pictures.size is {self.size}; it must be a multiple of 32")
        for name in ("figures", "near"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ConfigError(f"pictures.{name} is {low}, {high}; it must be two positive numbers in order")
        if min(self.shares) < 0 or not sum(self.shares):
            raise ConfigError(f"pictures.shares are {self.shares}; they must not be negative, and not all 0")
        for name in ("empty", "crowd", "rooms", "clutter", "bars", "min_visible"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"pictures.{name} is {getattr(self, name)}; it is a share, from 0 to 1")


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionPicture:
    """A picture and what is to be found in it."""

    rgb: Rgb
    """(S, S, 3) picture."""
    boxes: NDArray[np.float32]
    """(N, 4) edges x1, y1, x2, y2 of what is visible, in pixels."""
    kinds: NDArray[np.int64]
    """(N,) 0 for a body or a left hand, 1 for a right hand."""
    doubtful: NDArray[np.bool_]
    """(N,) too small or too hidden to be asked for."""
    mask: NDArray[np.bool_]
    """(S, S) where a subject is seen."""


class Composer:
    """Makes pictures of a set of cut-outs.

    Args:
        cutouts: people and hands to paste.
        chosen: the numbers of those that may be used, such as all but the held-out ones.
        backdrops: photographs and things.
        places: of photographs and things, those of the places from the first to below the second number are used; see
            `Backdrops`.
        config: how.

    Raises:
        ValueError: if no cut-out of a framing with a share is among the chosen ones.
    """

    def __init__(
        self,
        cutouts: CutOuts,
        chosen: NDArray[np.int64],
        backdrops: Backdrops,
        config: PictureConfig,
        places: tuple[int, int] = (0, PLACES),
    ) -> None:
        self.cutouts, self.chosen, self.backdrops, self.places = cutouts, chosen, backdrops, places
        self.config = config
        framing = cutouts.framing[chosen]
        # Many views of a hand from near show none, as something is before it; a quarter of those is enough.
        seen = cutouts.seen[chosen].max(axis=1, initial=0)
        framing = np.where((framing == Framing.HAND) & (seen < LEAST_SEEN) & (chosen % 4 > 0), 255, framing)
        self._by_framing = {kind: chosen[framing == kind] for kind in Framing}
        self._pictures = _of_places(backdrops.pictures, backdrops.picture_places, places)
        self._things = _of_places(backdrops.things, backdrops.thing_places, places)
        wanted = [
            kind
            for kind, share in zip((Framing.FIGURE, Framing.PART, Framing.HAND), config.shares, strict=True)
            if share
        ]
        if not any(len(self._by_framing[kind]) for kind in wanted):
            raise ValueError(f"none of the {len(chosen)} chosen cut-outs is of a kind that pictures are about")

    def picture(self, seed: int, number: int) -> DetectionPicture:
        """The picture of that number."""
        rng = sample_rng(seed, number)
        canvas = _Canvas(self._background(rng), self.config)
        for _ in range(min(10, rng.poisson(self.config.things))):
            canvas.paste_thing(self._thing(rng), rng)
        if rng.random() >= self.config.empty:
            self._people(canvas, rng)
        for _ in range(min(5, rng.poisson(self.config.things / 3))):
            canvas.paste_thing(self._thing(rng), rng, largest=0.45)
        if rng.random() < self.config.bars:
            canvas.add_bars(rng)
        canvas.rgb = photograph(canvas.rgb, self.config.photography, rng)
        canvas.grey_bars()
        return canvas.finish()

    def _background(self, rng: np.random.Generator) -> Rgb:
        size, draw = self.config.size, rng.random()
        rooms = self._by_framing[Framing.ROOM]
        if len(rooms) and (draw < self.config.rooms or not self._pictures):
            room = self.cutouts[int(rng.choice(rooms))]
            return crop(room.rgba[..., :3], size, rng)
        if self._pictures and draw < 1 - self.config.clutter:
            return crop(self._pictures[rng.integers(len(self._pictures))], size, rng)
        return clutter(size, rng)

    def _thing(self, rng: np.random.Generator) -> Rgb:
        """Something to paste that is nobody."""
        if self._things and rng.random() < 0.5:
            return self._things[rng.integers(len(self._things))]
        if self._pictures and rng.random() < 0.75:
            return patch_thing(self._pictures[rng.integers(len(self._pictures))], rng)
        if rng.random() < 0.5:
            return patch_thing(clutter(64, rng), rng)
        drawn = np.zeros((96, 96, 3), np.uint8)
        shape(drawn, rng)
        return np.dstack([drawn, np.where(drawn.any(axis=2), 255, 0).astype(np.uint8)])

    def _people(self, canvas: _Canvas, rng: np.random.Generator) -> None:
        """Paste somebody, and maybe others beside."""
        framings = (Framing.FIGURE, Framing.PART, Framing.HAND)
        shares = dict(zip(framings, self.config.shares, strict=True))
        choice = [kind for kind in framings if len(self._by_framing[kind]) and shares[kind]]
        odds = np.array([shares[kind] for kind in choice])
        first = choice[int(rng.choice(len(choice), p=odds / odds.sum()))]
        common = math.exp(rng.uniform(*np.log(self.config.figures)))  # people of one picture are of similar size
        for place in range(7):
            framing = first if place == 0 else Framing.FIGURE if first != Framing.HAND else Framing.HAND
            if not len(self._by_framing[framing]):
                return
            cutout = self.cutouts[int(rng.choice(self._by_framing[framing]))]
            if framing == Framing.FIGURE:
                reach = common * math.exp(rng.normal(0, 0.25)) * (2.0 if self.config.subject == "hand" else 1.0)
            else:
                low, high = self.config.near
                reach = math.exp(rng.uniform(math.log(low), math.log(high if place == 0 else low * 1.5)))
            canvas.paste_person(cutout, reach, rng)
            more = self.config.crowd * (0.35 if framing == Framing.HAND else 1.0)
            if rng.random() >= more + (0.1 if reach < 0.25 else 0.0):
                return


class _Canvas:
    """A picture in the making: colours, and which subject each pixel shows."""

    def __init__(self, rgb: Rgb, config: PictureConfig) -> None:
        self.rgb, self.config, self.size = np.ascontiguousarray(rgb), config, config.size
        self._owner = np.zeros((self.size, self.size), np.uint8)  # a subject's number from 1, 0 nobody's
        self._whole: list[float] = []  # pixels of each subject, had it all been in view
        self._kinds: list[int] = []
        self._inside = (0, 0, self.size, self.size)  # x1, y1, x2, y2 of the picture between the bars

    def paste_thing(self, thing: Rgb, rng: np.random.Generator, largest: float = 0.8) -> None:
        """Paste something that is nobody, anywhere."""
        scale = self.size * math.exp(rng.uniform(math.log(0.05), math.log(largest))) / max(thing.shape[:2])
        angle = rng.normal(0, 20) if rng.random() < 0.7 else rng.uniform(-180, 180)
        turn = _turn(thing, scale, angle, rng.random() < 0.5, rng.uniform(0, self.size, 2))
        self._blend(thing, turn, _colours(rng), rng)

    def paste_person(self, cutout: CutOut, reach: float, rng: np.random.Generator) -> None:
        """Paste a person so that its longer side is `reach` of the picture's, cut edges at or beyond the border."""
        height, width = cutout.label.shape
        cut_x, cut_y = cutout.cut[0] and cutout.cut[2], cutout.cut[1] and cutout.cut[3]
        scale = self.size * reach / (height if cutout.framing == Framing.FIGURE else max(height, width))
        scale = max(scale, cut_x * self.size / width * 1.02, cut_y * self.size / height * 1.02)
        mirror = bool(rng.random() < 0.5)
        cuts = any(cutout.cut)
        angle = rng.normal(0, 2) if cuts else rng.normal(0, 7) if rng.random() < 0.93 else rng.uniform(-100, 100)
        sides = cutout.cut if not mirror else (cutout.cut[2], cutout.cut[1], cutout.cut[0], cutout.cut[3])
        middle = np.array(
            [
                self._place(width * scale, sides[0], sides[2], rng),
                self._place(height * scale, sides[1], sides[3], rng),
            ]
        )
        turn = _turn(cutout.rgba, scale, angle, mirror, middle)
        if not cuts and rng.random() < 0.4:
            self._shade(cutout.rgba[..., 3], turn, scale * height, rng)
        window = self._blend(cutout.rgba, turn, _colours(rng), rng, lit=True)
        if window is None:
            return
        x1, y1, covered, local = window
        label = np.asarray(cv2.warpAffine(cutout.label, local, covered.shape[::-1], flags=cv2.INTER_NEAREST), np.uint8)
        view = self._owner[y1 : y1 + covered.shape[0], x1 : x1 + covered.shape[1]]
        view[covered] = 0
        parts: list[tuple[int, NDArray[np.bool_], int, float]]
        if self.config.subject == "body":
            parts = [(0, label >= PERSON, int((cutout.label >= PERSON).sum()), 1.0)]
        else:
            parts = [
                (_kind(side, mirror), label == side, int((cutout.label == side).sum()), seen)
                for side, seen in zip((LEFT, RIGHT), cutout.seen, strict=True)
            ]
        for kind, pixels, count, seen in parts:
            if len(self._kinds) < MOST and (pixels & covered).any():
                self._kinds.append(kind)
                self._whole.append(count * scale**2 / max(seen, 0.05))
                view[pixels & covered] = len(self._kinds)

    def add_bars(self, rng: np.random.Generator) -> None:
        """Let two opposite sides become bars; what is there is lost."""
        wide = int(self.size * rng.uniform(0.5, 0.95))
        before = int(rng.integers(0, self.size - wide + 1)) if rng.random() < 0.3 else (self.size - wide) // 2
        self._inside = (before, 0, before + wide, self.size)
        if rng.random() < 0.7:
            self._inside = (0, before, self.size, before + wide)

    def grey_bars(self) -> None:
        """Paint the bars."""
        x1, y1, x2, y2 = self._inside
        for rows, columns in (
            (slice(0, y1), slice(None)),
            (slice(y2, None), slice(None)),
            (slice(None), slice(0, x1)),
            (slice(None), slice(x2, None)),
        ):
            self.rgb[rows, columns] = BAR
            self._owner[rows, columns] = 0

    def finish(self) -> DetectionPicture:
        """Boxes, kinds and mask of what is visible."""
        boxes, kinds, doubtful = [], [], []
        for number, (kind, whole) in enumerate(zip(self._kinds, self._whole, strict=True), 1):
            pixels = (self._owner == number).view(np.uint8)
            x, y, w, h = cv2.boundingRect(pixels)
            visible = cv2.countNonZero(pixels) / max(1.0, whole)
            if w == 0 or visible < 0.03:
                continue
            boxes.append([x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5])
            kinds.append(kind)
            doubtful.append(max(w, h) < self.config.min_pixels or visible < self.config.min_visible)
        return DetectionPicture(
            rgb=self.rgb,
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            kinds=np.array(kinds, np.int64),
            doubtful=np.array(doubtful, np.bool_),
            mask=self._owner > 0,
        )

    def _place(self, extent: float, low: bool, high: bool, rng: np.random.Generator) -> float:
        """Where the middle goes along one axis: cut edges beyond the border, else anywhere, mostly in view."""
        slack = 0.02 * extent + 1
        if low and high:
            reach = max(0.0, (extent - self.size) / 2 - slack)
            return self.size / 2 + rng.uniform(-reach, reach)
        if low or high:
            beyond = rng.uniform(0, 0.25) * extent + slack
            return extent / 2 - beyond if low else self.size - extent / 2 + beyond
        spare = abs(self.size - extent) / 2
        return self.size / 2 + rng.uniform(-1, 1) * (spare + 0.2 * min(extent, self.size))

    def _blend(
        self,
        rgba: Rgb,
        turn: NDArray[np.float64],
        colours: NDArray[np.float64],
        rng: np.random.Generator,
        lit: bool = False,
    ) -> tuple[int, int, NDArray[np.bool_], NDArray[np.float64]] | None:
        """Paste colours; returns the window's corner, its covered pixels and the map into it, None when out of view."""
        height, width = rgba.shape[:2]
        corners = turn @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]], np.float64)
        x1, y1 = (int(max(0, math.floor(value))) for value in corners.min(axis=1) - 1)
        x2, y2 = (int(min(self.size, math.ceil(value))) for value in corners.max(axis=1) + 1)
        if x2 - x1 < 2 or y2 - y1 < 2:
            return None
        local = turn.copy()
        local[:, 2] -= (x1, y1)
        scale = math.sqrt(abs(np.linalg.det(turn[:, :2])))
        source, drawn = rgba, local
        if scale < 0.7:  # averaged first: sampling alone would leave out pixels
            size = max(1, round(width * scale)), max(1, round(height * scale))
            source = np.asarray(cv2.resize(rgba, size, interpolation=cv2.INTER_AREA), np.uint8)
            grow = np.diag([width / size[0], height / size[1], 1.0])
            grow[:2, 2] = (np.diag(grow)[:2] - 1) / 2
            drawn = local @ grow
        patch: Any = cv2.warpAffine(source, drawn, (x2 - x1, y2 - y1), flags=cv2.INTER_LINEAR)
        patch = cv2.transform(patch, colours)
        if lit and rng.random() < 0.3:
            patch[..., :3] = _ramp(patch[..., :3], rng)
        if rng.random() < 0.3:
            patch = cv2.GaussianBlur(patch, (3, 3), 0)
        red, green, blue, alpha = cv2.split(patch)
        view = self.rgb[y1:y2, x1:x2]
        rest = cv2.multiply(view, cv2.merge([cv2.bitwise_not(alpha)] * 3), scale=1 / 255)
        view[:] = cv2.add(rest, cv2.min(cv2.merge([red, green, blue]), cv2.merge([alpha] * 3)))
        covered = alpha > 127
        if not lit:
            self._owner[y1:y2, x1:x2][covered] = 0
        return x1, y1, covered, local

    def _shade(
        self, alpha: NDArray[np.uint8], turn: NDArray[np.float64], tall: float, rng: np.random.Generator
    ) -> None:
        """Darken the background beside a person as a cast shadow would."""
        shadow = turn.copy()
        lean = np.array([[1, rng.normal(0, 0.5)], [0, rng.uniform(0.15, 1.0)]])
        foot = turn @ np.array([alpha.shape[1] / 2, alpha.shape[0], 1.0])
        shadow[:, :2] = lean @ turn[:, :2]
        shadow[:, 2] = lean @ (turn[:, 2] - foot) + foot + rng.normal(0, 0.03 * tall, 2)
        dark: Any = cv2.warpAffine(alpha, shadow, (self.size, self.size), flags=cv2.INTER_AREA)
        dark = cv2.blur(dark, (int(3 + tall * rng.uniform(0.01, 0.12)),) * 2)
        strength = rng.uniform(0.15, 0.6)
        table = (255 - np.arange(256) * strength).astype(np.uint8)
        light = cv2.LUT(dark, table)
        self.rgb = np.asarray(cv2.multiply(self.rgb, cv2.merge([light] * 3), scale=1 / 255), np.uint8)


def _of_places(pictures: list[Rgb], numbers: list[int], places: tuple[int, int]) -> list[Rgb]:
    return [picture for picture, number in zip(pictures, numbers, strict=True) if places[0] <= number < places[1]]


def _kind(side: int, mirror: bool) -> int:
    """0 for a hand that looks like a left one, 1 for a right one; a mirror swaps them."""
    return int((side == RIGHT) != mirror)


def _turn(rgba: Rgb, scale: float, angle: float, mirror: bool, middle: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 2 x 3 map from a cut-out's pixels to the picture's: mirrored, scaled, turned, its middle at `middle`."""
    height, width = rgba.shape[:2]
    turn = np.asarray(cv2.getRotationMatrix2D((0, 0), angle, scale), np.float64)
    if mirror:
        turn[:, 0] *= -1
    turn[:, 2] = middle - 0.5 - turn[:, :2] @ np.array([(width - 1) / 2, (height - 1) / 2])
    return turn


def _colours(rng: np.random.Generator) -> NDArray[np.float64]:
    """A 4 x 4 change of colours multiplied by alpha: saturation, tint, brightness, and haze or depth of black."""
    grey = np.full((3, 3), 1 / 3)
    mixed = grey + (np.eye(3) - grey) * np.clip(rng.normal(0.95, 0.2), 0.1, 1.5)
    gain = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.06, 3))
    matrix = np.eye(4)
    matrix[:3, :3] = gain[:, None] * mixed
    matrix[:3, 3] = rng.normal(0, 0.06)
    return matrix


def _ramp(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Light that falls off from one side to the other."""
    height, width = rgb.shape[:2]
    angle, span = rng.uniform(0, 2 * math.pi), rng.uniform(0.2, 0.8)
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * math.cos(angle)
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * math.sin(angle)
    light = np.clip(1 + span * (across + down) * rng.uniform(0.5, 3), 1 - span, 1 + span * 0.6)
    return np.clip(rgb * light[..., None], 0, 255).astype(np.uint8)
