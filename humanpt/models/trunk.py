"""What fine-tuning keeps of CroCo: the encoder, and for two views the decoder too, with nothing masked.

Source: Weinzaepfel et al., CroCo (arXiv 2210.10716), and its use on people, CroCo-Man (arXiv 2311.09104): tasks on one
picture read the encoder alone, tasks on two the decoder. Parameters have the names that they have in `CroCo`, so
weights fit by name.

Letters: B batch, N patches, S side of a picture, E encoder width, D decoder width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from humanpt.models.croco import CroCoConfig, Decoder, Siamese
from humanpt.models.layers import init_weights


class Trunk(Siamese):
    """Pictures to tokens, for the head of a task to read.

    Args:
        config: sizes, as the pre-trained network had them.
        views: 1 for the encoder alone, 2 for the decoder that reads one picture against another.

    Raises:
        ValueError: if two views are wanted without cross-attention.
    """

    def __init__(self, config: CroCoConfig, views: Literal[1, 2] = 1) -> None:
        super().__init__(config)
        self.views = views
        self.width = config.enc_dim if views == 1 else config.dec_dim
        self.grid = config.grid
        if views == 2:
            if not config.cross_attention:
                raise ValueError("two views need a decoder with cross-attention")
            self.to_decoder = nn.Linear(config.enc_dim, config.dec_dim)
            self.decoder = Decoder(config)
        self.apply(init_weights)

    def forward(self, image1: Tensor, image2: Tensor | None = None) -> Tensor:
        """Describe `image1`, with two views as the decoder sees it against `image2`.

        Args:
            image1: (B, 3, S, S) normalised RGB.
            image2: the same with two views, None with one.

        Returns:
            (B, N, width) tokens in row-major order; the width is E for one view and D for two.

        Raises:
            ValueError: if a shape does not fit, or there are more or fewer pictures than views.
        """
        if (image2 is None) != (self.views == 1):
            raise ValueError(f"this network takes {self.views} picture{'s' * (self.views - 1)} of each sample")
        tokens: Tensor = self.encoder(image1)
        if image2 is not None:
            tokens = self.decoder(self.to_decoder(tokens), self.to_decoder(self.encoder(image2)))
        return tokens

    def taps(self, image: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """Tokens after some of the encoder's blocks, counted from 0, for heads that read several depths.

        Args:
            image: (B, 3, S, S) normalised RGB.
            blocks: numbers of the blocks.

        Returns:
            (B, N, E) after each, in the order of `blocks`; after the last block of the encoder they are normed.

        Raises:
            ValueError: if the picture has another size, or there is no such block.
        """
        return self.encoder.taps(image, blocks)
