"""Pictures, tensors and tables beside a record."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from roibench.files import file_hash
from roibench.measure.artefacts import save_artefacts


def saved(tmp_path, **artefacts):
    """What is read back of each file, by the artefact's name."""
    read = {
        ".png": lambda path: np.asarray(Image.open(path)),
        ".npy": np.load,
        ".json": lambda path: json.loads(path.read_text(), parse_constant=pytest.fail),
    }
    found = save_artefacts(artefacts, tmp_path / "artefacts" / "cell", tmp_path)
    files = {one.name: tmp_path / one.file for one in found}
    assert [one.sha256 for one in found] == [file_hash(file) for file in files.values()]
    return {name: read[file.suffix](file) for name, file in files.items()}


def test_pictures_tensors_and_tables_come_back(tmp_path):
    picture = torch.arange(3 * 4 * 6).reshape(3, 4, 6).to(torch.uint8)
    tensor = torch.rand(2, 5).bfloat16().requires_grad_()
    back = saved(tmp_path, picture=picture, tensor=tensor, table={"a": [0.5, float("nan")], 3: 1})
    assert (back["picture"] == picture.permute(1, 2, 0).numpy()).all()
    assert (back["tensor"] == tensor.detach().float().numpy()).all()
    assert back["table"] == {"a": [0.5, None], "3": 1}


def test_names_that_a_file_can_not_have_stay_apart(tmp_path):
    assert saved(tmp_path, **{"cat/1.jpg": [1], "cat 1.jpg": [2], "../..": [3]}) == {
        "cat/1.jpg": [1],
        "cat 1.jpg": [2],
        "../..": [3],
    }
    assert all(file.parent.name == "cell" for file in tmp_path.rglob("*.json"))


def test_what_is_no_picture_is_a_tensor(tmp_path):
    for value in (torch.zeros(3, 0, 4, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.uint8), torch.rand(3, 2, 2)):
        assert saved(tmp_path, value=value)["value"].shape == value.shape


def test_what_can_not_be_kept_is_named(tmp_path):
    with pytest.raises(TypeError, match="artefact 'thing': want a tensor or what JSON can hold"):
        save_artefacts({"thing": object()}, tmp_path, tmp_path)
