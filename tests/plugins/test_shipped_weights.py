"""Whatever is shipped came from its own recipe and its own start, and is small."""

import dataclasses
import json

import pytest

from roibench.datasets.reference import open_dataset
from roibench.files import file_hash
from roibench.registry import installed
from roibench.weights import read_header, shipped_weights

SHIPPED = [(name, dataset) for name, spec in installed().models.items() for dataset in spec.weights]


@pytest.mark.parametrize(("name", "dataset"), SHIPPED)
def test_shipped_weights_are_small_and_say_where_they_come_from(name, dataset):
    registry = installed()
    spec = registry.models[name]
    path = shipped_weights(spec, dataset, registry)
    assert path.stat().st_size <= 3 * 2**20
    header = read_header(path)
    train = open_dataset(dataset, registry, split="train")
    assert header.data_hash == train.hash, "the weights were trained on other data than the dataset now makes"
    assert header.recipe == json.loads(json.dumps(dataclasses.asdict(spec.recipe))), "trained by another recipe"
    assert header.config == json.loads(json.dumps(dict(spec.config)))
    start = spec.warm_start and shipped_weights(
        registry.models[spec.warm_start.model], spec.warm_start.dataset, registry
    )
    assert header.warm_start == (start and file_hash(start)), "training began with other weights than are shipped now"
    teacher = spec.teacher and shipped_weights(registry.models[spec.teacher], dataset, registry)
    assert header.teacher == (teacher and file_hash(teacher)), "taught by other weights than are shipped now"
