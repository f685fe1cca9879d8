"""Whatever is shipped for Scenes came from its own recipe, and is small."""

import dataclasses
import json

import pytest

from roibench.datasets.reference import open_dataset
from roibench.registry import installed
from roibench.weights import read_header, shipped_weights

SHIPPED = [name for name, spec in installed().models.items() if "scenes" in spec.weights]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_small_and_say_where_they_come_from(name):
    registry = installed()
    spec = registry.models[name]
    path = shipped_weights(spec, "scenes", registry)
    assert path.stat().st_size <= 3 * 2**20
    header = read_header(path)
    train = open_dataset("scenes", registry, split="train")
    assert header.data_hash == train.hash, "the weights were trained on other data than the dataset now makes"
    assert header.recipe == json.loads(json.dumps(dataclasses.asdict(spec.recipe))), "trained by another recipe"
    assert header.config == json.loads(json.dumps(dict(spec.config)))
