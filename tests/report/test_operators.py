from roibench.measure.duel import Duel
from roibench.report import operators

DUEL = Duel("nms", "5 boxes", 2, "torchvision", None, {"ours": (0.001, 0.002, 0.004), "peer": (0.01, 0.04, 0.04)})


def test_the_table_names_peer_machine_and_ratio(record):
    text = operators.markdown([DUEL], record("any").provenance)
    assert "| nms | 5 boxes | 2 | 2.00 | 40.0 | 10.0x | - | torchvision | - |" in text
    assert "SIMD level v4" in text and "torch 2.14.1" in text
