"""What there is to look at beside a record: pictures, tensors and tables that a model or a metric hands over.

They lie in artefacts/CELL of the run's folder; the record names them, with their hashes.
"""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic_core import PydanticSerializationError, to_json
from torch import Tensor

from roibench.files import file_hash, write_atomically
from roibench.measure.record import Artefact


def save_artefacts(artefacts: Mapping[str, Any], folder: Path, run: Path) -> list[Artefact]:
    """Writes each into `folder`, somewhere in the run's folder `run`.

    A uint8 tensor [3, H, W] is a picture and becomes a .png, any other tensor a .npy, anything else a .json, its NaN
    null. Raises TypeError, naming it, for what is none of these.
    """
    saved = []
    for number, (name, value) in enumerate(artefacts.items(), 1):
        kind, content = _encoded(name, value)
        # Numbered, because names that differ in other characters alone would be one file.
        path = folder / f"{number:02}-{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.{kind}"
        write_atomically(path, content)
        saved.append(Artefact(name=name, file=str(path.relative_to(run)), sha256=file_hash(path)))
    return saved


def _encoded(name: str, value: object) -> tuple[str, bytes]:
    """A file's ending and its content."""
    if not isinstance(value, Tensor):
        try:
            return "json", to_json(value, indent=1, inf_nan_mode="null")
        except PydanticSerializationError as error:
            raise TypeError(f"artefact {name!r}: want a tensor or what JSON can hold ({error})") from error
    value = value.detach().cpu()
    array = (value.float() if value.dtype == torch.bfloat16 else value).numpy()  # which numpy doesn't know
    buffer = io.BytesIO()
    if array.dtype == np.uint8 and array.ndim == 3 and len(array) == 3 and array.size:
        Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0))).save(buffer, "png")
        return "png", buffer.getvalue()
    np.save(buffer, array, allow_pickle=False)
    return "npy", buffer.getvalue()
