"""What makes `pytest bench --benchmark-only` a benchmark run: options, one test per cell, replayed timings, the report.

The checkout's pyproject.toml loads it; `roibench run` loads it anywhere else. Nothing heavy is imported before a
benchmark is asked for.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from roibench.console import console, write_any_text
from roibench.files import UnwritableError
from roibench.options import GROUP, OPTIONS, Options

if TYPE_CHECKING:
    from rich.console import RenderableType

    from roibench.measure.cell import PlannedCell
    from roibench.measure.paired import PairedBenchmark
    from roibench.measure.record import Record
    from roibench.measure.run import Run
    from roibench.registry import Registry

RUN: "pytest.StashKey[Run]" = pytest.StashKey()
PAIRED_BENCHMARKS: "pytest.StashKey[dict[tuple[str, str, int | str], PairedBenchmark]]" = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("roibench", f"RoIBench: {GROUP[0].lower()}{GROUP[1:]}")
    for option in OPTIONS:
        shown = {"help": option.help_with_default, "metavar": option.type}
        group.addoption(option.flag, default=option.default, action="append" if option.repeats else "store", **shown)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("benchmark_only", default=False):
        return
    write_any_text()
    from roibench.measure.executors import executor
    from roibench.measure.plan import make_plan
    from roibench.measure.run import Run
    from roibench.registry import installed

    registry = installed()
    try:
        options = _options(config, registry)
        where = executor(options.executor, options.address)
        debug = config.option.fulltrace
        config.stash[RUN] = Run(make_plan(options, registry), options.out, registry, debug, where)
    except (ValueError, LookupError, OSError) as error:
        if config.option.fulltrace:
            raise
        raise pytest.UsageError(str(error)) from error


def pytest_report_header(config: pytest.Config) -> list[str]:
    run = config.stash.get(RUN, None)
    if run is None:
        return []
    lines = [f"roibench: {len(run.plan.cells)} cells, {len(run.records)} already measured, run folder {run.folder}"]
    return lines + [f"roibench: {title.lower()}: {note}" for title, notes in run.notes.items() for note in notes]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" in metafunc.fixturenames:
        run = metafunc.config.stash.get(RUN, None)
        cells = run.plan.cells if run else []
        metafunc.parametrize("cell", cells, ids=[cell.id for cell in cells])


@pytest.fixture(scope="session")
def measured(request: pytest.FixtureRequest) -> None:
    """All cells whose tests were collected are measured, in turns, before the first of them replays its own."""
    run, config = request.config.stash[RUN], request.config
    cells = {cell.id: cell for item in request.session.items if (cell := _cell(item)) is not None}
    for remark in run.plan.remarks:  # what makes figures worthless is told before they are waited for
        _tell(config, remark)
    for cell_id in run.taken_over:
        if cell_id in cells:
            _tell(config, f"{_place(run, cell_id)}: taken over, {outcome(run.journal.records[cell_id])}")
    try:
        for record in run.measure(list(cells.values()), lambda line: _tell(config, line)):
            _tell(config, f"{_place(run, record.cell_id)}: {outcome(record)}")
    except UnwritableError as error:
        pytest.exit(f"{error}; what was finished is safe, and the same command goes on", returncode=1)


@pytest.fixture
def record(measured: None, cell: "PlannedCell", request: pytest.FixtureRequest) -> "Record":
    """The cell's record. It must come before `benchmark` in a test's signature: it hands that fixture its clock."""
    run = request.config.stash[RUN]
    if reason := run.too_slow.get(cell.id):
        pytest.skip(reason)
    record = run.journal.records[cell.id]
    if record.status == "failed":
        pytest.fail(f"{record.cell_id}: {record.error}", pytrace=False)
    durations = [milliseconds / 1000 for milliseconds in record.latency.samples]
    request.node.add_marker(pytest.mark.benchmark(group=cell.spec.dataset, timer=Replay(durations)))
    return record


def _cell(item: pytest.Item) -> "PlannedCell | None":
    """The cell that a test replays, if it does."""
    return getattr(item, "callspec", None) and item.callspec.params.get("cell")


def _place(run: "Run", cell_id: str) -> str:
    number = next(i for i, cell in enumerate(run.plan.cells, 1) if cell.id == cell_id)
    return f"cell {number} of {len(run.plan.cells)}, {cell_id}"


def outcome(record: "Record") -> str:
    """A record in a line: whether the cell ran, and what came out."""
    from roibench.report.numbers import short
    from roibench.report.rows import DOUBTFUL
    from roibench.report.terminal import ranked

    if record.status == "failed":
        return f"failed: {' '.join(record.error.split())}"
    scores = [record.unscored] if record.unscored else map(ranked, record.scores.values())
    doubtful = f" {DOUBTFUL}" if any(score.warnings for score in record.scores.values()) else ""
    return f"{', '.join(scores)}, {short(record.latency.p50.value)} ms{doubtful}"


def _tell(config: pytest.Config, line: str) -> None:
    """Prints a line now, also into a log, though pytest captures what tests print."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        if reporter._tw.width_of_current_line:  # after a test's dot
            reporter._tw.line()
        reporter.write_line(line)
        reporter.flush()


class Replay:
    """A clock that shows, call by call, the durations that were measured in the cell's own process."""

    def __init__(self, durations: Sequence[float]) -> None:
        self._times = self._ticks(durations)

    def __call__(self) -> float:
        return next(self._times)

    @staticmethod
    def _ticks(durations: Sequence[float]) -> Iterator[float]:
        now = 0.0
        for duration in durations:
            yield now
            now += duration
            yield now


def pytest_sessionfinish(session: pytest.Session) -> None:
    run = session.config.stash.get(RUN, None)
    if run is None:
        return
    try:
        run.finish()
    except UnwritableError as error:
        pytest.exit(str(error), returncode=1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    run = config.stash.get(RUN, None)
    if run is None:
        return
    if exitstatus == pytest.ExitCode.INTERRUPTED:
        done, cells = len(run.records), len(run.plan.cells)
        terminalreporter.write_line(
            f"roibench: {done} of {cells} cells are measured; the same command goes on from there"
        )
    benchmarks = list(config.stash.get(PAIRED_BENCHMARKS, {}).values())
    try:
        if benchmarks:
            _report_operators(terminalreporter, benchmarks, run)
        if run.records:
            _report_models(terminalreporter, run)
    except UnwritableError as error:
        pytest.exit(str(error), returncode=1)


def _report_operators(
    terminalreporter: pytest.TerminalReporter, benchmarks: "Sequence[PairedBenchmark]", run: "Run"
) -> None:
    from roibench.measure.provenance import provenance
    from roibench.report import operators
    from roibench.report.write import write_operators

    _print(terminalreporter, "RoIBench: operators", operators.terminal(benchmarks))
    terminalreporter.write_line(f"wrote {write_operators(benchmarks, provenance(run.registry), run.folder)}")


def _report_models(terminalreporter: pytest.TerminalReporter, run: "Run") -> None:
    from roibench.report.terminal import render
    from roibench.report.write import write_report

    _print(terminalreporter, "RoIBench", render(run.records, run.notes))
    for path in write_report(run.records, run.folder, run.notes):
        terminalreporter.write_line(f"wrote {path}")


def _print(terminalreporter: pytest.TerminalReporter, title: str, content: "RenderableType") -> None:
    terminalreporter.section(title)
    printer = console(max(100, terminalreporter._tw.fullwidth), markup=terminalreporter.hasmarkup)
    with printer.capture() as capture:
        printer.print(content, crop=False)
    terminalreporter.write(capture.get())


def _options(config: pytest.Config, registry: "Registry") -> Options:
    from roibench.datasets.reference import split_list

    typed = {option.flag: config.getoption(option.flag) for option in OPTIONS}
    given = {flag: text for flag, text in typed.items() if text is not None}
    return Options(**given | {"--dataset": split_list(typed["--dataset"], registry.datasets)})
