"""What is set about the training of hand and body meshes; weights and augmentation are ours."""

from __future__ import annotations

from dataclasses import dataclass, fields

from humanpt.errors import ConfigError
from humanpt.models.mesh_heads import MeshModelConfig


@dataclass(frozen=True, kw_only=True)
class MeshConfig(MeshModelConfig):
    """Hand or body mesh recovery but for the trunk's sizes and the length of training."""

    vertices_weight: float = 1.0
    """Weight of the L1 error of vertices, relative to the root, in units of 0.1 m for hands and 0.5 m for bodies. It
    teaches how the whole is turned, as that of key points does; see `tasks.mesh_recovery.only_turned`."""
    keypoints_weight: float = 1.0
    """Weight of the L1 error of key points, relative to the root, in the same units."""
    aligned_weight: float = 1.0
    """Weight of the L1 error after the similarity fit that PA figures make, the mean of that of key points and that of
    vertices, in the same units. The fit is not trained through: this teaches the pose of a hand whatever its turn."""
    pixels_weight: float = 1.0
    """Weight of the L1 error of projected key points, in half crops."""
    camera_weight: float = 1.0
    """Weight of the L1 error of the camera: of the logarithm of s, of tx and of ty, added up. Projected key points
    alone teach a network that is unsure how a hand is turned to make it small."""
    size_weight: float = 1.0
    """Weight of the absolute error of the logarithm of the size, the root mean square distance of key points from the
    root; errors after the similarity fit know no size."""
    turn_weight: float = 0.1
    """Weight of the squared error of the rotation matrix by which hand or hips are turned, summed over it."""
    pose_weight: float = 1.0
    """Weight of the squared error of the other rotation matrices, summed over a matrix and averaged over the joints."""
    shape_weight: float = 0.5
    """Weight of the squared error of shape parameters."""
    places_weight: float = 1.0
    """Weight of the L1 error of where a head of points sees the key points, in half crops."""
    heat_weight: float = 0.5
    """Weight of the cross-entropy of its maps against where the key points are."""
    side_weight: float = 0.5
    """Weight of the cross-entropy of which hand a crop shows, where the network says so."""
    margin: float = 0.9
    """Side of a crop over the side of the square that the labels give, which has room around the subject."""
    scale: float = 0.2
    """In training the side is multiplied by up to 1 + scale or divided by as much."""
    shift: float = 0.1
    """In training the crop is shifted by up to this share of its side in each direction."""
    turn: float = 30.0
    """In training the crop camera is rolled by up to this many degrees to either side."""
    jitter: float = 0.4
    """Strength of the changes of brightness, contrast and saturation in training, from 0 to 1; as in pre-training."""
    wear: float = 0.0
    """In training, how often and how strongly crops are blurred, made noisy and grey, compressed and partly covered, as
    real cameras and hands before things do; from 0 to 1."""
    heldout_batch: int = 32
    """Held-out pictures measured at once; without effect on the figures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = [getattr(self, field.name) for field in fields(self) if field.name.endswith("_weight")]
        if min(weights) < 0 or max(weights) == 0:
            raise ConfigError("the weights of the loss must not be negative, and not all 0")
        if self.margin <= 0:
            raise ConfigError(f"margin is {self.margin}; it is a factor of the crop's side and must be positive")
        if self.scale < 0 or not 0 <= self.shift <= 0.5 or not 0 <= self.turn <= 180 or not 0 <= self.jitter <= 1:
            raise ConfigError(
                "scale must be at least 0, shift lie from 0 to 0.5, turn from 0 to 180 degrees and jitter from 0 to 1"
            )
        if not 0 <= self.wear <= 1:
            raise ConfigError(f"wear is {self.wear}; it must lie from 0 (crops as they are) to 1")
        if self.heldout_batch < 1:
            raise ConfigError(f"heldout_batch is {self.heldout_batch}; it must be at least 1")
