"""Every cell of the plan: measured in a process of its own, shown and compared by pytest-benchmark."""


def test_model(record, benchmark):
    benchmark.extra_info["cell"] = record.cell_id
    for task, score in record.scores.items():
        benchmark.extra_info |= {f"{task}: {name}": estimate.value for name, estimate in score.values.items()}
    benchmark.pedantic(lambda: None, rounds=len(record.latency.samples))
