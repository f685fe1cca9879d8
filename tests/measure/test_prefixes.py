"""Numbers of first images that cells of different speeds have in common, and what a record keeps over them."""

from planned_cells import planned_cell

from roibench.measure import prefixes
from roibench.measure.cell import Measurement, prepare
from roibench.measure.record import Score


def test_the_series():
    assert prefixes.series(0) == [] and prefixes.series(999) == [1, 2, 5, 10, 20, 50, 100, 200, 500]
    assert prefixes.prefixes(50) == [] and prefixes.prefixes(500) == [50, 100, 200]


def test_a_record_keeps_what_ranks_over_the_prefixes(third_party, tmp_path, monkeypatch):
    monkeypatch.setattr(prefixes, "LEAST", 5)  # of the dozen images that there are
    measurement = Measurement(planned_cell("works"), tmp_path, third_party, lambda _: None)
    measurement.prepared, _ = prepare(measurement.cell, third_party, lambda _: None)
    for turn in range(measurement.warm_up().turns):
        measurement.take_turn(turn)
    score = measurement._score().scores["detection"]
    assert {images: len(first.resampled) for images, first in score.prefixes.items()} == {5: 1000, 10: 1000}
    assert Score.model_validate_json(score.model_dump_json()) == score
