from dataclasses import replace

from roibench.measure.paired import PairedBenchmark
from roibench.report import operators

PAIRED = PairedBenchmark(
    "nms", "5 boxes", 2, "torchvision", None, {"ours": (0.001, 0.002, 0.004), "baseline": (0.01, 0.04, 0.04)}
)


def test_the_table_names_baseline_machine_and_ratio(record):
    text = operators.markdown([PAIRED], record("any").provenance)
    assert "| nms | 5 boxes | 2 | 2.00 | 40.0 | 10.0x | - | torchvision | - |" in text
    assert "SIMD level v4" in text and "torch 2.14.1" in text


def test_a_gpu_is_named_and_has_no_threads(record):
    machine = record("any").provenance.model_copy(update={"gpu": "A GPU", "driver": "580.1", "cuda": "13.0"})
    text = operators.markdown([replace(PAIRED, threads=None)], machine)
    assert "| nms | 5 boxes | GPU | 2.00 |" in text
    assert "; A GPU, driver 580.1, CUDA 13.0; torch" in text
