"""Knobs that models of several families have."""

from roibench.specs import Knob

SHORT_SIDE = Knob("short_side", None, 32, 1024, "pixels that an image's shorter side is resized to; else its own")
NMS_IOU = Knob("nms_iou", 0.5, 0.0, 1.0, "of one class, a box is suppressed that overlaps a better one by more")
