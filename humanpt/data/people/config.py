"""How generated pairs of people and hands come about."""

from __future__ import annotations

from dataclasses import dataclass, field

from humanpt.data.pairs import PairConfig
from humanpt.data.people.viewpoints import ViewConfig
from humanpt.detect.detector import Subject
from humanpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CrowdConfig:
    """What else is in a scene besides the subject and the room."""

    others: float = 0.35
    """Mean number of other people around a body, at most three."""
    second_hand: float = 0.3
    """Share of hands that have the other hand of the same person near them."""
    props: float = 1.5
    """Mean number of things that stand about, which may hide a part of the subject; at most five."""
    held: float = 0.35
    """Share of hands that hold something."""

    def __post_init__(self) -> None:
        if min(self.others, self.props) < 0 or not 0 <= self.second_hand <= 1 or not 0 <= self.held <= 1:
            raise ConfigError("crowd: others and props must not be negative, second_hand and held are shares of 0 to 1")


@dataclass(frozen=True, kw_only=True)
class PeopleConfig:
    """What `humanpt mkpairs synthetic` makes."""

    subject: Subject = "body"
    """What the pairs show."""
    count: int = 1000
    """How many pairs."""
    seed: int = 0
    """Pair number i depends on this and on i alone."""
    model: str = ""
    """The body model; empty takes `anny-body` or `anny-hand`, the free ones."""
    cross_view: float = 0.5
    """Share of cross-view pairs, two cameras at one instant; the others are cross-pose, one subject at two moments."""
    pairs_per_scene: int = 1
    """Pairs of one subject in one room, each with cameras of its own; more are quicker, and less varied."""
    motion: float = 0.5
    """Share of cross-view bodies in a pose from motion capture; the others are drawn within the joints' limits."""
    min_seen: float = 0.4
    """Smallest share of the subject's key points that nothing else may hide, in each picture."""
    views: ViewConfig = field(default_factory=ViewConfig)
    """How the cameras are drawn."""
    crowd: CrowdConfig = field(default_factory=CrowdConfig)
    """What else is in a scene."""
    pairs: PairConfig = field(default_factory=PairConfig)
    """Gaps, changes, margin, size and quality, as for pairs from clips; the rules about tracks have no part here."""
    motions: str = ""
    """A folder of motion capture (BVH, DeepMimic text, AMASS); empty takes the clips that come with humanpt."""
    photographs: str = ""
    """A folder of free photographs to hang on the walls; empty leaves them to drawn pictures."""
    supersample: int = 2
    """Colours are drawn at so many points along each side of a pixel."""
    device: str = "cpu"
    """Where pictures are drawn: cpu or cuda. Equal bytes are promised on one kind of device."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"--count is {self.count}; it must be at least 1")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it must not be negative")
        if not 0 <= self.cross_view <= 1 or not 0 <= self.motion <= 1 or not 0 <= self.min_seen <= 1:
            raise ConfigError("cross_view, motion and min_seen are shares between 0 and 1")
        if self.pairs_per_scene < 1 or not 1 <= self.supersample <= 4:
            raise ConfigError("pairs_per_scene must be at least 1 and supersample 1 to 4")
        if self.views.max_fill * self.pairs.margin > 1:
            raise ConfigError(
                f"views.max_fill {self.views.max_fill} times pairs.margin {self.pairs.margin} is above 1: crops "
                f"would leave their frame; set views.max_fill to at most {1 / self.pairs.margin:.2f}"
            )
        if self.views.min_fill * self.views.frame_size < self.pairs.min_size:
            raise ConfigError(
                f"views.min_fill {self.views.min_fill} of frames of {self.views.frame_size} px is below pairs.min_size "
                f"{self.pairs.min_size:g} px; set views.min_fill to at least "
                f"{self.pairs.min_size / self.views.frame_size:.2f}"
            )

    @property
    def model_name(self) -> str:
        """The body model's name."""
        return self.model or f"anny-{self.subject}"
