"""OpenCV's people detector: HOG and a linear SVM (Dalal and Triggs 2005), with the weights that OpenCV ships.

`pip install "opencv-python-headless<5"`, then `roibench run --model python:docs/examples/opencv_hog.py:detector ...`
"""

import cv2
import numpy as np

import roibench

hog = cv2.HOGDescriptor()
hog.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
WINDOW = (64, 128)  # pixels, width and height


def detect(images):
    return [_detect(image) for image in images]


def _detect(image):
    if image.shape[1] < WINDOW[0] or image.shape[0] < WINDOW[1]:
        return np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)
    found, margins = hog.detectMultiScale(image[..., ::-1], winStride=(8, 8), scale=1.05)
    boxes = np.array(found, float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    # The SVM's distances are no probabilities; the logistic function keeps their order.
    return boxes, 1 / (1 + np.exp(-np.array(margins, float).reshape(-1))), np.zeros(len(boxes), int)


detector = roibench.wrap(detect, classes=["person"])
