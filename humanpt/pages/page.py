"""One self-contained HTML file from a template of this folder and what goes into it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from humanpt import __version__
from humanpt.data.image import encode_jpeg
from humanpt.files import write_whole


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill a template and write the page, whole or not at all.

    Args:
        path: the HTML file.
        template: file name in this folder.
        values: what the template speaks of; text is escaped, `Markup` is not.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["picture"] = picture
    write_whole(path, environment.get_template(template).render(version=__version__, **values))


def picture(rgb: NDArray[np.uint8], label: str = "", quality: int = 85) -> Markup:
    """An (H, W, 3) RGB picture as an `img` element that carries its own bytes."""
    data = base64.b64encode(encode_jpeg(rgb, quality)).decode()
    return Markup('<img alt="{}" width="{}" height="{}" src="data:image/jpeg;base64,{}">').format(
        label, rgb.shape[1], rgb.shape[0], data
    )
