"""Meshes of a hand or a body from a trunk's tokens: by a body model's parameters, or vertices and key points directly.

The head is ours. Tokens are averaged in a few cells of the picture, which keeps where things are, and two hidden layers
read all cells at once; few weights, so that it trains from some dozens of labelled pictures. All outputs are added to a
mean (`MeshNetwork.start_at`), so that a network begins at the mean pose. Rotations follow Bregier (3DV 2021, arXiv
2103.16317): free numbers, and a mapping to rotations that is trained through.

The camera: predictions lie in the axes of the crop's camera, whose principal point and focal length f, in pixels, come
with every crop of S pixels. The head gives (s, tx, ty). The root, which is the wrist or the middle of the hips, is seen
tx and ty half crops right of and below the crop's middle, and s half crops are a metre at its depth: z = 2 f / (S s).
So the head speaks of the picture alone, and the focal length turns that into metres.

A head of points also draws where each key point is seen, as a map of probabilities over the tokens. What the tokens say
there, and where it is, goes to the hidden layers with the cells: the pose of fingers and limbs follows from that more
easily than from cells alone. The idea of features taken at key points is that of Pose2Pose (Moon et al., arXiv
2011.11534); the form is ours.

Letters: B batch, N patches, S side of a picture, C width of the tokens, H width of the head, J joints, n numbers of a
rotation, P shape parameters, K key points, V vertices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanpt.body.model import BUILT, LICENSED, SHIPPED, BodyLayout, BodyModel, Subject
from humanpt.body.skeletons import ROOTS
from humanpt.errors import ConfigError
from humanpt.geometry.cameras import project, unproject
from humanpt.geometry.rotations import RotationKind, nearest_rotation, numbers_for, numbers_of, rotations_from
from humanpt.models.conv_trunk import ConvTrunk
from humanpt.models.layers import NORM_EPS, init_weights
from humanpt.models.trunk import Trunk

HAND_MODELS = ("anny-hand", "mano")
BODY_MODELS = tuple(name for name in (*SHIPPED, *BUILT, *LICENSED) if name not in HAND_MODELS)
UNIT: dict[Subject, float] = {"hand": 0.1, "body": 0.5}
"""Metres in which points are predicted and their errors weighed, so that these are numbers of about one."""
MEAN_SCALE: dict[Subject, float] = {"hand": 8.0, "body": 1.0}
"""Half crops that a metre takes, where no labels tell."""
SHARPNESS = 4.0
"""Factor of what a head of points says of a token, so that its maps sharpen soon."""
NEAREST = 0.1
"""Key points are projected as if at this share of the root's depth at least; nearer ones would leap about."""


@dataclass(frozen=True, kw_only=True)
class MeshModelConfig:
    """What a mesh network predicts, and how."""

    subject: Subject = "hand"
    """Whether hands or bodies."""
    model: str = "anny-hand"
    """The body model, by the name that `load_body_model` knows; without parameters it still gives the mesh's triangles
    and the names of the key points."""
    free: bool = False
    """Whether vertices and key points are predicted directly instead of the model's parameters."""
    views: Literal[1, 2] = 1
    """1 reads one picture by the encoder; 2 reads it against a second one by the decoder."""
    decoder: Literal["pretrained", "random"] = "pretrained"
    """Where the decoder's weights come from with two views; "random" for contrast."""
    rotation: RotationKind = "procrustes"
    """How free numbers become rotations."""
    cells: int = 4
    """Tokens are averaged in cells x cells parts of the picture."""
    cell_width: int = 64
    """Numbers that are kept of each cell."""
    width: int = 512
    """Width of the hidden layers."""
    head: Literal["cells", "points"] = "cells"
    """Whether the hidden layers read cells alone, or also the tokens where each key point is seen."""
    point_width: int = 32
    """Numbers that a head of points keeps of the tokens at a key point."""
    side: bool = False
    """Whether it also says which hand a crop shows; hands alone."""

    def __post_init__(self) -> None:
        known = HAND_MODELS if self.subject == "hand" else BODY_MODELS
        if self.model not in known:
            raise ConfigError(f"model is {self.model!r}; for a {self.subject} choose {', '.join(known)}")
        if self.views not in (1, 2):
            raise ConfigError(f"views is {self.views}; it must be 1 or 2")
        if self.decoder not in ("pretrained", "random"):
            raise ConfigError(f"decoder is {self.decoder!r}; choose pretrained or random")
        if self.rotation not in get_args(RotationKind):
            raise ConfigError(f"rotation is {self.rotation!r}; choose {', '.join(get_args(RotationKind))}")
        if self.head not in ("cells", "points"):
            raise ConfigError(f"head is {self.head!r}; choose cells or points")
        if self.side and self.subject != "hand":
            raise ConfigError("side is which hand a crop shows; leave it out for bodies")
        if min(self.cells, self.cell_width, self.width, self.point_width) < 1:
            raise ConfigError("cells, cell_width, width and point_width must be at least 1")


class MeshPrediction(NamedTuple):
    """Meshes in the axes of the crop's camera, metres."""

    keypoints: Tensor
    """(B, K, 3), named by `MeshNetwork.keypoint_names`."""
    vertices: Tensor
    """(B, V, 3)."""
    pixels: Tensor
    """(B, K, 2) the key points in pixels of the crop."""
    camera: Tensor
    """(B, 3) s, tx and ty."""
    turn: Tensor
    """(B, 3, 3) rotation by which the whole is turned about the root: that of the hand or of the hips."""
    pose: Tensor | None
    """(B, J, 3, 3) rotations of the joints as the body model takes them; None without a model's parameters."""
    shape: Tensor | None
    """(B, P) shape parameters, None likewise."""
    transl: Tensor | None
    """(B, 3) shift with which the model gives these vertices, None likewise."""
    side: Tensor | None = None
    """(B,) logits of the crop showing a right hand as it is, for hands of even odds; None from a network that does
    not say."""
    heat: Tensor | None = None
    """(B, N, K) logarithms of the probability that a token is where a key point is seen; None without a head of
    points."""


class Means(NamedTuple):
    """What the labels of a data set are about; None where they do not tell."""

    camera: Tensor | None
    """(3,) s, tx and ty."""
    pose: Tensor | None
    """(J, 3, 3) mean of the rotations as matrices, not itself a rotation."""
    shape: Tensor | None
    """(P,)."""


def point_names(layout: BodyLayout) -> tuple[str, ...]:
    """Names of the points that a network predicts: the model's key points, then its joints if the field knows them.

    These are SMPL's, SMPL-X's and MANO's; benchmarks measure them.
    """
    joints = layout.joint_names if layout.name in LICENSED else ()
    return (*layout.keypoint_names, *(name for name in joints if name not in layout.keypoint_names))


class ModelPoints(nn.Module):
    """A body model whose root lies at the origin, with the points that a network predicts."""

    def __init__(self, body: BodyModel, subject: Subject) -> None:
        super().__init__()
        self.body = body
        self.names = point_names(body.layout)
        added = self.names[len(body.layout.keypoint_names) :]
        self.joints = [body.layout.joint_names.index(name) for name in added]
        self.root = [self.names.index(name) for name in ROOTS[subject]]
        wrists = [at for at, name in enumerate(body.layout.joint_names) if name.startswith("wrist")]
        self.turning = wrists[0] if subject == "hand" else 0  # some hands hang on a piece of forearm

    def forward(self, shape: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give people a shape and a pose.

        Args:
            shape: (B, P).
            pose: (B, J, 3, 3).

        Returns:
            (B, K, 3) key points, (B, V, 3) vertices and the shift (B, 3) that brought the root to the origin; metres.
        """
        mesh = self.body(shape, pose, shape.new_zeros(1, 3))
        keypoints = torch.cat((mesh.keypoints, mesh.joints[:, self.joints]), dim=1)
        shift = -self.root_of(keypoints)
        return keypoints + shift, mesh.vertices + shift, shift[:, 0]

    def turn_of(self, pose: Tensor) -> Tensor:
        """(B, J, 3, 3) a pose to the rotation (B, 3, 3) by which hand or hips are turned."""
        return self.body.orientation(pose, self.turning)

    def root_of(self, keypoints: Tensor) -> Tensor:
        """(B, K, 3) key points to the root (B, 1, 3)."""
        return keypoints[:, self.root].mean(dim=1, keepdim=True)


class MeshHead(nn.Module):
    """Tokens to numbers, by way of cells.

    Args:
        grid: rows and columns of the tokens.
        token_width: C.
        config: sizes.
        outputs: numbers wanted.
        extra: numbers that the hidden layers read besides the cells.
    """

    def __init__(
        self, grid: tuple[int, int], token_width: int, config: MeshModelConfig, outputs: int, extra: int = 0
    ) -> None:
        super().__init__()
        self.grid = grid
        self.cells = min(config.cells, *grid)
        self.pool: nn.Module = nn.AdaptiveAvgPool2d(self.cells)
        self.norm = nn.LayerNorm(token_width, eps=NORM_EPS)
        self.narrow = nn.Linear(token_width, config.cell_width)
        self.hidden1 = nn.Linear(config.cell_width * self.cells**2 + extra, config.width)
        self.hidden2 = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, outputs)
        self.apply(init_weights)
        nn.init.zeros_(self.out.weight)  # so that predictions begin at the mean

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, N, C) tokens, row-major, to (B, outputs) numbers and, from a head of points, its (B, N, K) heat."""
        tokens = self.norm(tokens)
        return self._numbers(self._cells(tokens)), None

    def _cells(self, tokens: Tensor) -> Tensor:
        """(B, N, C) normed tokens to (B, cells * cells * cell_width)."""
        planes = self.narrow(tokens).mT.reshape(tokens.shape[0], -1, *self.grid)  # (B, cell_width, rows, columns)
        cells: Tensor = self.pool(planes)
        return cells.flatten(1)

    def _numbers(self, read: Tensor) -> Tensor:
        hidden = functional.gelu(self.hidden1(read))
        hidden = hidden + functional.gelu(self.hidden2(hidden))
        out: Tensor = self.out(hidden)
        return out


class PointHead(MeshHead):
    """Tokens to numbers, by way of cells and of where key points are seen.

    Args:
        points: K; other arguments as for `MeshHead`.
    """

    places: Tensor

    def __init__(
        self, grid: tuple[int, int], token_width: int, config: MeshModelConfig, outputs: int, points: int
    ) -> None:
        super().__init__(grid, token_width, config, outputs, extra=points * (2 + config.point_width))
        self.look = nn.Linear(token_width, points)
        self.keep = nn.Linear(token_width, config.point_width)
        for layer in (self.look, self.keep):
            init_weights(layer)
        self.register_buffer("places", token_places(grid), persistent=False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As in `MeshHead`, with the heat."""
        tokens = self.norm(tokens)
        heat = (SHARPNESS * self.look(tokens).float()).log_softmax(dim=1)
        shares = heat.exp().mT  # (B, K, N)
        where = (shares @ self.places).flatten(1)
        there = (shares @ self.keep(tokens).float()).flatten(1)
        return self._numbers(torch.cat((self._cells(tokens).float(), 2 * where, there), dim=1)), heat


def token_places(grid: tuple[int, int]) -> Tensor:
    """(N, 2) middles x, y of the tokens of a grid (rows, columns), row-major, in half crops from the crop's middle."""
    rows, columns = ((2 * torch.arange(count) + 1) / count - 1 for count in grid)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).flatten(0, 1)


class MeshNetwork(nn.Module):
    """A trunk and a head, one hand or body in every crop; hands are right hands.

    Args:
        trunk: of as many views as the config.
        config: what is predicted.
        body: the model that the config names; a right hand.

    Raises:
        ValueError: if the trunk or the body model is of another config.
    """

    mean_camera: Tensor
    mean_numbers: Tensor
    mean_shape: Tensor
    mean_turn: Tensor
    mean_points: Tensor
    nearest: Callable[[Tensor], Tensor]

    def __init__(self, trunk: Trunk | ConvTrunk, config: MeshModelConfig, body: BodyModel) -> None:
        super().__init__()
        if trunk.views != config.views or body.layout.name != config.model or body.layout.side == "left":
            given = f"a trunk of {trunk.views} views and {body.layout.side} {body.layout.name}"
            raise ValueError(f"{given} for {config.views} views and {config.model}")
        self.config = config
        self.trunk = trunk
        self.points = ModelPoints(body, config.subject)
        self.keypoint_names = self.points.names
        self.nearest = nearest_rotation  # another form where nothing is trained through: see `models.mesh_inference`
        joints, shapes = len(body.layout.joint_names), len(body.layout.shape_names)
        free = 3 * (len(self.keypoint_names) + len(body.canonical))
        turn = numbers_of(config.rotation)
        self.sizes = [3, turn, free] if config.free else [3, joints * turn, shapes]
        self.sizes += [1] if config.side else []
        sizes = (trunk.grid, trunk.width, config, sum(self.sizes))
        self.head = PointHead(*sizes, len(self.keypoint_names)) if config.head == "points" else MeshHead(*sizes)
        self.register_buffer("mean_camera", body.canonical.new_tensor([MEAN_SCALE[config.subject], 0, 0]))
        self.register_buffer("mean_numbers", numbers_for(config.rotation, body.identity_pose()[0]))
        self.register_buffer("mean_shape", body.mean_shape()[0].clone())
        if config.free:
            for name, mean in zip(("mean_turn", "mean_points"), self._free_means(), strict=True):
                self.register_buffer(name, mean)

    @property
    def body(self) -> BodyModel:
        """The body model."""
        return self.points.body

    @torch.no_grad()
    def start_at(self, means: Means) -> None:
        """Let predictions begin at what labels are about; before any training step, as outputs are added to it."""
        if means.camera is not None:
            self.mean_camera.copy_(means.camera)
        if means.pose is not None:
            self.mean_numbers.copy_(numbers_for(self.config.rotation, nearest_rotation(means.pose)))
        if means.shape is not None:
            self.mean_shape.copy_(means.shape)
        if self.config.free:
            for mean, value in zip((self.mean_turn, self.mean_points), self._free_means(), strict=True):
                mean.copy_(value)

    def forward(self, image1: Tensor, image2: Tensor | None = None, *, intrinsics: Tensor) -> MeshPrediction:
        """Predict the mesh in `image1`.

        Args:
            image1: (B, 3, S, S) normalised RGB.
            image2: the same with two views, None with one.
            intrinsics: (B, 3, 3) of the crops, pixels.

        Raises:
            ValueError: if a shape does not fit, or there are more or fewer pictures than views.
        """
        tokens = self.trunk(image1, image2)
        numbers, heat = self.head(tokens)
        with torch.autocast(numbers.device.type, enabled=False):  # half a float is a millimetre or more
            camera, *rest = numbers.float().split(self.sizes, dim=1)
            camera = self._camera(camera)
            place = root_place(camera, intrinsics, image1.shape[-1])[:, None]
            pose = shape = transl = None
            if self.config.free:
                turn = rotations_from(self.config.rotation, self.mean_turn + rest[0], self.nearest)
                keypoints, vertices = self._free(rest[1], turn)
            else:
                pose, shape = self._pose(rest[0]), self._shape(rest[1])
                turn = self.points.turn_of(pose)
                keypoints, vertices, shift = self.points(shape, pose)
                transl = shift + place[:, 0]
            pixels = seen_at(keypoints, place, intrinsics)
            side = rest[2][:, 0] if self.config.side else None
        return MeshPrediction(
            keypoints + place, vertices + place, pixels, camera, turn, pose, shape, transl, side, heat
        )

    def parameters_seen(
        self, image1: Tensor, image2: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Predict what `forward` gives the body model, of a network of its parameters; that model is not asked.

        Args:
            image1, image2: as for `forward`.

        Returns:
            `camera`, `pose`, `shape` and `side` of `MeshPrediction`.
        """
        camera, pose, shape, *side = self.head(self.trunk(image1, image2))[0].float().split(self.sizes, dim=1)
        return self._camera(camera), self._pose(pose), self._shape(shape), side[0][:, 0] if side else None

    def _camera(self, numbers: Tensor) -> Tensor:
        """(B, 3) s, tx, ty; s stays within e^-2 to e^2 of its mean."""
        scale = self.mean_camera[:1] * (2 * torch.tanh(numbers[:, :1] / 2)).exp()
        return torch.cat((scale, self.mean_camera[1:] + numbers[:, 1:]), dim=1)

    def _pose(self, numbers: Tensor) -> Tensor:
        """(B, J n) numbers to (B, J, 3, 3) rotations."""
        numbers = self.mean_numbers + numbers.reshape(-1, *self.mean_numbers.shape)
        return rotations_from(self.config.rotation, numbers, self.nearest)

    def _shape(self, numbers: Tensor) -> Tensor:
        """(B, P): Anny's parameters lie from 0 to 1, beyond which nothing changes; others are free."""
        if self.config.model in LICENSED:
            return self.mean_shape + numbers
        return torch.sigmoid(torch.logit(self.mean_shape, eps=0.05) + numbers)

    def _free(self, numbers: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3 (K + V)) numbers to key points and vertices relative to the root, all turned by (B, 3, 3)."""
        points = self.mean_points + UNIT[self.config.subject] * numbers.reshape(numbers.shape[0], -1, 3)
        points = (points - self.points.root_of(points)) @ turn.mT
        count = len(self.keypoint_names)
        return points[:, :count], points[:, count:]

    @torch.no_grad()
    def _free_means(self) -> tuple[Tensor, Tensor]:
        """Of the mean pose and shape, numbers of its turn and (K + V, 3) points relative to the root, not turned."""
        pose = rotations_from(self.config.rotation, self.mean_numbers)[None]
        turn = self.points.turn_of(pose)
        points = torch.cat(self.points(self.mean_shape[None], pose)[:2], dim=1)
        return numbers_for(self.config.rotation, turn[0]), (points @ turn)[0]


def root_place(camera: Tensor, intrinsics: Tensor, size: int) -> Tensor:
    """Where the root lies in the axes of the crop's camera.

    Args:
        camera: (B, 3) s, tx, ty.
        intrinsics: (B, 3, 3) of the crop, pixels.
        size: side of the crop in pixels.

    Returns:
        (B, 3) metres.
    """
    depth = 2 * intrinsics[:, 0, 0] / (size * camera[:, 0])
    pixel = (size - 1) / 2 + size / 2 * camera[:, 1:]
    return unproject(pixel[:, None], depth[:, None], intrinsics)[:, 0]


def seen_at(points: Tensor, place: Tensor, intrinsics: Tensor) -> Tensor:
    """Where the crop shows points.

    Args:
        points: (B, K, 3) relative to the root, metres.
        place: (B, 1, 3) the root in the axes of the crop's camera, metres.
        intrinsics: (B, 3, 3) of the crop, pixels.

    Returns:
        (B, K, 2) pixels; points that are much nearer than the root are drawn as if at a share `NEAREST` of its depth.
    """
    points = points + place
    depth = torch.maximum(points[..., 2:], NEAREST * place[..., 2:])
    return project(torch.cat((points[..., :2], depth), dim=-1), intrinsics)


def camera_of(place: Tensor, intrinsics: Tensor, size: int) -> Tensor:
    """(B, 3) s, tx, ty of roots at (B, 3): what `root_place` does, undone."""
    scale = 2 * intrinsics[:, 0, 0] / (size * place[:, 2])
    pixel = project(place[:, None], intrinsics)[:, 0]
    return torch.cat((scale[:, None], (pixel - (size - 1) / 2) / (size / 2)), dim=1)
