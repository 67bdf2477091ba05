import pytest
import torch
from torch.testing import assert_close

from humanpt.models.vit import PatchEmbed, denormalise, normalise


def test_patches_are_embedded_as_a_strided_convolution_would(image_pair):
    torch.manual_seed(0)
    embed = PatchEmbed(16, 8)
    assert_close(embed(image_pair[0]), embed.proj(image_pair[0]).flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_encoding_every_patch_by_mask_is_encoding_the_picture(tiny_croco, image_pair):
    encoder = tiny_croco.encoder
    keep = torch.ones(3, 16, dtype=torch.bool)
    assert_close(encoder(image_pair[0], keep), encoder(image_pair[0]))


def test_timm_computes_the_same_features_from_the_same_weights():
    from timm.models.vision_transformer import VisionTransformer

    from humanpt.models.vit import Encoder

    torch.manual_seed(0)
    ours = Encoder(image_size=64, patch_size=16, depth=2, embed_dim=64, num_heads=4, positions="cosine").eval()
    theirs = VisionTransformer(
        img_size=64, embed_dim=64, depth=2, num_heads=4, class_token=False, global_pool="", num_classes=0
    ).eval()
    theirs.load_state_dict({**ours.state_dict(), "pos_embed": ours.positions.added[None]})
    image = torch.randn(2, 3, 64, 64)
    assert_close(ours(image), theirs.forward_features(image), atol=1e-5, rtol=1e-5)


def test_a_picture_of_another_size_is_refused(tiny_croco):
    with pytest.raises(ValueError, match=r"\(3, 64, 64\), not \(3, 96, 64\)"):
        tiny_croco.encoder(torch.zeros(1, 3, 96, 64))


def test_normalising_is_undone_exactly():
    pictures = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(denormalise(normalise(pictures)), pictures)


def test_the_mean_colour_becomes_zero():
    picture = 255 * torch.tensor([0.485, 0.456, 0.406])[None, :, None, None]
    assert_close(normalise(picture), torch.zeros(1, 3, 1, 1))
