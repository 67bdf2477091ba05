"""A view drawn with its panels: small pictures with their titles in a strip below it.

The strip has one size whoever is in view, so that nothing jumps and films keep their size. In a mirror the panels are
turned as the picture is, and their order is not.

Letters: H, W height and width of the picture, S side of a panel.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from humanpt.data.image import Rgb
from humanpt.live.draw import Drawer, larger_by, write_line
from humanpt.live.shot import View
from humanpt.render.overlay import colour_of

GAP, LINE = 6, 15  # pixels between panels, and of a line of text, which grows with wide pictures
HIGHEST = 0.45  # of a panel's side, as a share of the picture's height
SMALLEST = 60  # pixels of a panel's side, to be worth looking at and as wide as its title
_GROUND, _EMPTY = (24, 24, 24), (44, 44, 44)


class PanelDrawer(Drawer):
    """Draws one view after the other, with the panels of the first who have any.

    Args:
        titles: of the panels of one person, in their order.
        groups: of how many people there are panels at most; fewer where the picture is narrow.
        caption: a line below the panels.
        mirrored, bars: as for `Drawer`.
    """

    def __init__(
        self, titles: Sequence[str], *, groups: int = 1, caption: str = "", mirrored: bool = False, bars: bool = True
    ) -> None:
        super().__init__({}, mirrored=mirrored, bars=bars)
        self._titles, self._groups, self._caption = tuple(titles), groups, caption

    def __call__(self, view: View) -> Rgb:
        """Draw a view.

        Returns:
            (H + strip, W, 3) uint8 RGB, a new picture.
        """
        mirrored, drawn = self.mirrored, super().__call__(view)
        height, width = drawn.shape[:2]
        count = len(self._titles)
        larger = larger_by(width)
        line = round(LINE * larger)
        groups = max(1, min(self._groups, (width - GAP) // (count * (SMALLEST + GAP))))
        side = max(1, min(((width - GAP) // groups - GAP * count) // count, round(HIGHEST * height)))
        strip = np.full((side + 2 * line + GAP, width, 3), _GROUND, np.uint8)
        shown = list(view.panels.items())
        for group, place in np.ndindex(groups, count):
            left, title = GAP + (group * count + place) * (side + GAP), self._titles[place]
            strip[line : line + side, left : left + side] = _EMPTY
            write_line(strip, title, (left, line - 4), larger)
            identity, panels = shown[group] if group < len(shown) else (0, {})
            if title in panels:
                picture = panels[title][:, ::-1] if mirrored else panels[title]
                strip[line : line + side, left : left + side] = _resized(picture, side)
                cv2.rectangle(strip, (left - 1, line - 1), (left + side, line + side), colour_of(identity), 1)
        write_line(strip, self._caption, (GAP, 2 * line + side - 2), larger)
        return np.vstack((drawn, strip))


def _resized(picture: Rgb, side: int) -> Rgb:
    """(S, S, 3) to (side, side, 3); what grows keeps its pixels, so that nobody takes a blur for detail."""
    how = cv2.INTER_AREA if len(picture) > side else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), (side, side), interpolation=how), np.uint8)
