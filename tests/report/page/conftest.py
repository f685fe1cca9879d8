"""Records of every kind that a page must bear."""

from datetime import timedelta

import pytest
from claimed import turns
from made_records import MACHINE, THEN
from paged import EVIL, timed

from roibench.measure.record import FromOutside


@pytest.fixture(scope="module")
def several(record, scored, failed):
    """Two machines, a knob's curve, values that order the models differently, a name that is an attack, a model that
    nobody trained, and one that failed."""
    gpu = MACHINE.model_copy(update={"gpu": "A GPU"})
    elsewhere = {"provenance": gpu, "started": THEN + timedelta(days=1)}
    knob = [timed(scored("rcnn", 0.2 + 0.1 * k, knobs={"proposals": 10**k}), 60 + k) for k in (1, 2)]
    random = FromOutside(source="onnx:x.onnx", random_weights=True)
    return [
        timed(scored("yolo", 0.4, turns=turns(20, "one"), others={"coco_ap/AP50": 0.7}), 20),
        timed(scored("ssd", 0.6, turns=turns(40, "one"), others={"coco_ap/AP50": 0.5}), 40),
        timed(scored("ssd", 0.6, turns=turns(2, "two"), device="cuda").model_copy(update=elsewhere), 2),
        timed(scored(EVIL, 0.1, turns=turns(90, "one")), 90),
        *knob,
        record("onnx:x.onnx", None, outside=random),
        failed("retinanet", "a <b> & 50 %"),
    ]
