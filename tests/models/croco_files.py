"""Tensors in naver/croco's layout, their names and shapes written out from the specification."""

import torch

TURNS = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
TURNS |= {f"cross_attn.{part}": (1, 1) for part in ("projq", "projk", "projv", "proj")}


def layout(config, *, tables):
    """Name to shape of every tensor that the original network has; `tables` for the cosine one."""
    enc, dec, patch = config.enc_dim, config.dec_dim, config.patch_size
    shapes = {
        "patch_embed.proj.weight": (enc, 3, patch, patch),
        "patch_embed.proj.bias": (enc,),
        "mask_token": (1, 1, dec),
    }
    shapes |= linear("decoder_embed", dec, enc) | linear("prediction_head", 3 * patch**2, dec)
    shapes |= norm("enc_norm", enc) | norm("dec_norm", dec)
    for block in range(config.enc_depth):
        for part in ("norm1", "norm2"):
            shapes |= norm(f"enc_blocks.{block}.{part}", enc)
        for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
            shapes |= linear(f"enc_blocks.{block}.{part}", TURNS[part][0] * enc, TURNS[part][1] * enc)
    for block in range(config.dec_depth):
        for part in ("norm1", "norm2", "norm3", "norm_y"):
            shapes |= norm(f"dec_blocks.{block}.{part}", dec)
        for part, (out, into) in TURNS.items():
            shapes |= linear(f"dec_blocks.{block}.{part}", out * dec, into * dec)
    if tables:
        shapes |= {"enc_pos_embed": (config.num_patches, enc), "dec_pos_embed": (config.num_patches, dec)}
    return shapes


def linear(name, out, into):
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def random_tensors(config, seed=0):
    """Random weights in that layout, without tables; the tables follow from the sizes."""
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in layout(config, tables=False).items()}
