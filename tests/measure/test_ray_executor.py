"""A run on the machines of a cluster: the same records, and none is lost with a machine. Times aren't judged: here all
machines are this one.
"""

import pytest

from roibench.measure.executors import executor
from roibench.measure.plan import Options, make_plan
from roibench.measure.record import Ok
from roibench.measure.run import Run

pytest.importorskip("ray", reason="the extra [cluster] isn't installed")


@pytest.fixture
def cluster(third_party):
    """Two machines, and a head that measures nothing. Their processes have the plugin on their path."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_lost_machines_cells_run_again_and_records_are_those_of_one_machine(cluster, third_party, tmp_path):
    options = Options(models=("works", "raises"), datasets=("squares@train", "squares@val"), threads=(1,), budget_s=1)
    plan = make_plan(options, third_party)
    told, machines = [], list(cluster.worker_nodes)

    def tell(line):
        told.append(line)
        if len(told) == 2:  # each has a group
            cluster.remove_node(machines[0], allow_graceful=False)

    run = Run(plan, tmp_path / "many", third_party, executor=executor("ray", cluster.address))
    found = {record.cell_id: record for record in run.measure(plan.cells, tell)}
    run.finish()
    assert run.journal.finished
    assert any("was lost" in line and line.endswith("run again") for line in told)
    alone = Run(plan, tmp_path / "one", third_party)
    for record in alone.measure(plan.cells, lambda _: None):
        other = found[record.cell_id]
        assert other.status == record.status and other.cell == record.cell
        if isinstance(record, Ok):
            assert other.scores == record.scores and other.images == record.images
            assert other.predictions_sha256 == record.predictions_sha256
            for name in (other.predictions, other.per_image):
                assert (run.folder / name).is_file()
        else:
            assert other.error == record.error
    alone.finish()
    assert {record.status for record in found.values()} == {"ok", "failed"}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere"])
def test_where_no_cluster_answers_it_is_said(address):
    with pytest.raises(ValueError, match=f"--address {address}: no Ray cluster answers: "):
        executor("ray", address)


def test_an_address_without_a_cluster_is_a_mistake():
    with pytest.raises(ValueError, match="--address here: want --executor ray, too"):
        executor("local", "here")
