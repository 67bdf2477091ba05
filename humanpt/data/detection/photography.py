"""What happens to a scene on its way into a file: light, lens, sensor and compression."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import decode_jpeg, encode_jpeg
from humanpt.errors import ConfigError

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class PhotographyConfig:
    """How often each thing happens to a picture; all are shares from 0 to 1."""

    shadow: float = 0.15
    """Hard or soft shadows fall across it."""
    blur: float = 0.25
    """It is out of focus."""
    motion: float = 0.1
    """It moved while the shutter was open."""
    coarse: float = 0.2
    """It was once smaller."""
    tone: float = 0.7
    """Exposure, contrast and gamma are off."""
    tint: float = 0.5
    """White is not white."""
    grey: float = 0.06
    """It has no colours."""
    noise: float = 0.3
    """The sensor is noisy."""
    jpeg: float = 0.4
    """It was compressed hard."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ConfigError(f"photography.{name} is {value}; it is a share, from 0 to 1")


def photograph(rgb: Rgb, config: PhotographyConfig, rng: np.random.Generator) -> Rgb:
    """Draw what happens to a square picture, and let it happen.

    Returns:
        A picture of the same size.
    """
    size = rgb.shape[0]
    picture: Any = rgb
    if rng.random() < config.shadow:
        picture = _shadows(picture, rng)
    if rng.random() < config.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.6) * size / 256)
    if rng.random() < config.motion:
        picture = _moved(picture, rng)
    if rng.random() < config.coarse:
        side = round(size * rng.uniform(0.35, 0.9))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        how = cv2.INTER_NEAREST if rng.random() < 0.1 else cv2.INTER_LINEAR
        picture = cv2.resize(small, (size, size), interpolation=how)
    if rng.random() < config.tone:
        picture = cv2.LUT(picture, _tone(rng))
    if rng.random() < config.grey:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    elif rng.random() < config.tint:
        grey = np.full((3, 3), 1 / 3)
        colours = grey + (np.eye(3) - grey) * np.clip(rng.normal(1, 0.25), 0, 2)
        picture = cv2.transform(picture, np.exp(rng.normal(0, 0.1, 3))[:, None] * colours)
    if rng.random() < config.noise:
        picture = _noisy(picture, rng)
    if rng.random() < config.jpeg:
        picture = decode_jpeg(encode_jpeg(np.ascontiguousarray(picture), int(rng.integers(20, 90))))
    return np.ascontiguousarray(picture, np.uint8)


def _tone(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A curve of 256 values: exposure and gamma, then contrast about the middle."""
    values = np.linspace(0, 1, 256) ** math.exp(rng.normal(0, 0.22))
    values = values * math.exp(rng.normal(0, 0.14))
    values = 0.5 + (values - 0.5) * math.exp(rng.normal(0, 0.15)) + rng.normal(0, 0.04)
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


def _shadows(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """One to three dark shapes, from hard to very soft, or bars as of a blind."""
    size = rgb.shape[0]
    light = np.full((64, 64), 255, np.uint8)
    dark = int(255 * rng.uniform(0.3, 0.8))
    if rng.random() < 0.25:
        wide = rng.uniform(3, 16)
        phase = np.add.outer(np.arange(64) * rng.normal(0, 1), np.arange(64) * rng.normal(0, 1)) / wide
        light[np.sin(phase * math.pi) > rng.uniform(-0.5, 0.7)] = dark
    else:
        for _ in range(int(rng.integers(1, 4))):
            corners = rng.uniform(-32, 96, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(light, [corners.astype(np.int32)], dark)
    soft = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 5))
    plane = cv2.resize(soft, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(rgb, cv2.merge([plane] * 3), scale=1 / 255), np.uint8)


def _moved(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Smeared along a line."""
    long = int(rng.integers(3, 10))
    kernel = np.zeros((long, long), np.float32)
    angle = rng.uniform(0, math.pi)
    step = np.array([math.cos(angle), math.sin(angle)]) * (long - 1) / 2
    middle = np.full(2, (long - 1) / 2)
    first, last = (np.round(middle + sign * step).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, first, last, 1.0)
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), np.uint8)


def _noisy(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Gaussian noise, in colour or in brightness alone."""
    strength = rng.uniform(1, 16)
    shape = rgb.shape if rng.random() < 0.6 else (*rgb.shape[:2], 1)
    # Sixteen levels of one long draw, shifted, look like noise and cost a tenth of drawing each pixel.
    drawn = rng.standard_normal(4099, np.float32) * strength
    noise = np.resize(drawn, int(np.prod(shape)) + 1)[1:].reshape(shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)
