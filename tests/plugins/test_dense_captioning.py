from roibench.tasks.dense_captioning import DenseCaptionerContract


class TestDenseCaptioning(DenseCaptionerContract):
    model = "dense_captioning"
