"""YOLO through the doors that everybody uses, and its tensor and its loss by hand."""

import pytest
import torch

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.nn.targets import batch_boxes
from roibench.registry import installed
from roibench.tasks.detection import DetectorContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestYOLO(DetectorContract):
    model = "yolo"


def untrained():
    torch.manual_seed(0)
    return build_model(installed().models["yolo"], INFO).eval()


def errors(model, tensor, target):
    batch = model.batch(DetectorContract.noise((128, 128)))
    return {
        name: loss.item() for name, loss in model._errors(model._split(tensor), batch_boxes(batch, [target])).items()
    }


def test_the_tensor_has_five_values_per_box_and_then_the_classes():
    model = untrained()
    assert model.head(torch.zeros(1, 128, 8, 8)).shape == (1, 5 * 2 + 3, 8, 8)
    output = model._split(torch.arange(13.0)[None, :, None, None].expand(1, 13, 8, 8))
    assert output.centres[0, 0, 0].tolist() == [[0, 1], [5, 6]]
    assert output.roots[0, 0, 0].tolist() == [[2, 3], [7, 8]]
    assert output.confidence[0, 0, 0].tolist() == [4, 9]
    assert output.classes[0, 0, 0].tolist() == [10, 11, 12]


def test_a_box_is_where_its_location_and_the_squares_of_its_roots_say():
    model, tensor = untrained(), torch.zeros(1, 13, 8, 8)
    tensor[0, 5:9, 2, 3] = torch.tensor([0.5, 0.25, 0.5, -0.25])
    boxes = model._boxes(model._split(tensor))
    assert boxes[0, 2, 3, 1].tolist() == [56 - 16, 36 - 4, 56 + 16, 36 + 4]


def test_the_loss_is_the_papers():
    """An object in location row 2, column 3, of 32 x 32 pixels; the second box overlaps it by a half."""
    model, tensor = untrained(), torch.zeros(1, 13, 8, 8)
    tensor[0, :5, 2, 3] = torch.tensor([0.5, 0.5, 0.1, 0.1, 0.3])
    tensor[0, 5:10, 2, 3] = torch.tensor([0.5, 0.5, 0.5, 0.125**0.5, 0.9])  # 32 x 16 pixels around the centre
    tensor[0, 10:, 2, 3] = torch.tensor([0.2, 0.7, 0.1])
    tensor[0, 4, 7, 7] = 0.4
    found = errors(model, tensor, DetectorContract.objects((40, 28, 72, 60, 1)))
    centre_y = 44 / 16 - 2  # of the object, in its location
    assert found["centre"] == pytest.approx(5 * (0.5 - centre_y) ** 2)
    # Moved up by 4 pixels, the box still lies inside the object.
    assert found["size"] == pytest.approx(5 * (0.125**0.5 - 0.5) ** 2)
    assert found["object"] == pytest.approx((0.9 - 0.5) ** 2, rel=1e-4)
    assert found["no_object"] == pytest.approx(0.5 * (0.3**2 + 0.4**2))
    assert found["class"] == pytest.approx(0.2**2 + 0.3**2 + 0.1**2)


def test_what_is_ignored_is_neither_an_object_nor_background():
    model, tensor = untrained(), torch.zeros(1, 13, 8, 8)
    tensor[0, 4, 2, 3] = 0.8
    assert errors(model, tensor, DetectorContract.objects())["no_object"] == pytest.approx(0.5 * 0.8**2)
    ignored = errors(model, tensor, DetectorContract.objects((50, 34, 60, 44, 1), ignored=True))
    assert set(ignored.values()) == {0}


def test_of_two_objects_in_a_location_the_first_is_learned():
    model = untrained()
    batch = model.batch(DetectorContract.noise((128, 128)))
    target = DetectorContract.objects((50, 34, 62, 46, 2), (48, 32, 62, 46, 1), (80, 80, 90, 90, 0))
    owned = model._owned(batch_boxes(batch, [target]), (8, 8))
    assert owned.labels.tolist() == [2, 0]


def test_its_targets_decode_to_the_ground_truth():
    model, target = (
        untrained(),
        DetectorContract.objects((10, 20, 43, 57, 1), (64, 70, 128, 128, 2), (3, 90, 14, 99, 0)),
    )
    batch = model.batch(DetectorContract.noise((128, 128)))
    owned = model._owned(batch_boxes(batch, [target]), (8, 8))
    tensor = torch.zeros(1, 8, 8, 13)
    place = tuple(owned.index)
    tensor[(*place, slice(4))] = torch.cat(model._encode(owned), 1)
    tensor[(*place, 4)] = torch.tensor([0.9, 0.8, 0.7])
    tensor[(*place, 10 + owned.labels)] = 1
    [found] = model._detect(model._split(tensor.permute(0, 3, 1, 2)), batch)
    assert torch.allclose(found.boxes, target.boxes, atol=1e-3)
    assert torch.equal(found.labels, target.labels)
