"""What follows from records: `roibench choose`, `compare`, `verify`, `gate`, `rank`, `claims`."""

from pathlib import Path
from typing import Annotated

import typer

from roibench.cli.app import app
from roibench.cli.run import takes_run_options
from roibench.cli.show import show_failed, show_ranking

DEFAULT_LIMITS = "accuracy:-1,latency:+10%"
ROUNDS = "4"  # of a gate: a tenth is more than the noise of so many turns on a machine that does little else

AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="print Markdown, as for a pull request")]


@app.command()
def choose(
    runs: Annotated[list[str], typer.Argument(help="runs' folders, folders above them, records.jsonl, git commits")],
    max_ms: Annotated[float | None, typer.Option(help="the most milliseconds per image, of the median")] = None,
    least: Annotated[
        list[str] | None, typer.Option("--min", metavar="VALUE=NUMBER", help="the least of a value, such as AP=40")
    ] = None,
    max_mib: Annotated[float | None, typer.Option(help="the most memory, in MiB")] = None,
    dataset: Annotated[str | None, typer.Option(help="where the records are of several")] = None,
    task: Annotated[str | None, typer.Option(help="where the records are of several: detection, ...")] = None,
    as_json: AsJson = False,
) -> None:
    """Pick the most accurate model that keeps limits beyond doubt; say what it and the runner-up give up.

    A limit is kept where the whole 95 % interval keeps it. Exit code 1: no model does.
    """
    from roibench.console import console
    from roibench.decide.choose import Limits, parse_least
    from roibench.decide.choose import choose as chosen
    from roibench.decide.record_sets import read_record_set
    from roibench.report.choice import render

    records = [record for run in runs for record in read_record_set(run).ran]
    found = chosen(records, Limits(max_ms=max_ms, max_mib=max_mib, least=parse_least(least or [])), dataset, task)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        console().print(render(found), crop=False)
    if found.pick is None:
        raise typer.Exit(1)


@app.command()
def compare(
    old: Annotated[str, typer.Argument(help="a run's folder or one above several, a records.jsonl, or a git commit")],
    new: Annotated[str, typer.Argument(help="likewise; COMMIT:FOLDER is a folder of a commit")],
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="compare times of different machines all the same")
    ] = False,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Say what changed from old records to new ones, in accuracy and time, and whether it is more than chance."""
    from roibench.console import console
    from roibench.decide.changes import changes
    from roibench.decide.record_sets import read_record_set
    from roibench.report import changes as report

    found = changes(read_record_set(old), read_record_set(new), across_machines)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    elif as_markdown:
        typer.echo(report.markdown(found), nl=False)
    else:
        console().print(report.render(found), crop=False)


@app.command()
def verify(
    record: Annotated[str, typer.Argument(help="a records.jsonl, the folder of one, or a git commit")],
    cell: Annotated[str | None, typer.Option(help="a cell's id or its model, where there are several")] = None,
    out: Annotated[Path, typer.Option(help="where the run here gets its folder")] = Path("results/runs"),
    as_json: AsJson = False,
) -> None:
    """Measure a published cell again, here: is it reproduced within its interval, and what differs?

    Exit code 1: it is not reproduced.
    """
    from roibench.console import console
    from roibench.decide.record_sets import read_record_set
    from roibench.decide.verify import Outcome, selected
    from roibench.decide.verify import verify as verified
    from roibench.registry import installed
    from roibench.report.verification import render

    source = read_record_set(record)
    found = verified(selected(source, cell), source, out, installed(), lambda line: typer.echo(line, err=True))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        console().print(render(found), crop=False)
    if found.outcome is Outcome.DIFFERS:
        raise typer.Exit(1)


@app.command()
@takes_run_options
def gate(
    bases: Annotated[list[str], typer.Argument(help="git commits, or released versions such as 0.1.0")],
    *,
    fail_if: Annotated[str, typer.Option("--fail-if", help="how much worse is not allowed")] = DEFAULT_LIMITS,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    **typed: str | list[str] | None,
) -> None:
    """Measure what is here and a base in turns; fail where it is worse beyond the limits and the noise.

    A base is built once, into the cache. --rounds is 4 unless given. Exit code 0: fine; 1: worse; 2: it can't be told,
    or a mistake.
    """
    from roibench.console import console
    from roibench.decide.environment import environment
    from roibench.decide.gate import gate as gated
    from roibench.decide.gate import parse_limits
    from roibench.files import write_atomically
    from roibench.options import OPTIONS, Options
    from roibench.report import gated as report

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    limits = parse_limits(fail_if)
    options = {option.flag: typed[option.field] for option in OPTIONS if typed[option.field] is not None}
    out = Path(options.pop("--out", Options().out))
    environments = [environment(base, tell) for base in bases]
    found = gated(environments, limits, {"--rounds": ROUNDS} | options, out, tell)
    files = {"table.md": report.markdown(found), "gate.json": found.model_dump_json(indent=2)}
    for name, text in files.items():
        write_atomically(Path(found.folder) / name, text.encode())
    if as_json:
        typer.echo(files["gate.json"])
    elif as_markdown:
        typer.echo(files["table.md"], nl=False)
    else:
        console().print(report.render(found), crop=False)
    raise typer.Exit(found.exit_code)


@app.command()
def rank(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs, such as results/runs/20260101-120000")],
) -> None:
    """Say how far each model is behind the best one on the same images, and whether that is more than chance."""
    from roibench.measure.rank import rank_runs
    from roibench.registry import installed

    show_ranking(rank_runs(runs, installed()))
    for run in runs:
        show_failed(run)


@app.command()
def claims(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs, such as results/runs/20260101-120000")],
) -> None:
    """Say which of the plugins' claims the runs' records bear out, with figures."""
    from roibench.claim import judge
    from roibench.console import console
    from roibench.measure.recorded import recorded_cells
    from roibench.registry import installed
    from roibench.report.terminal import render_claims

    records = [record for run in runs for record in recorded_cells(run)]
    console().print(render_claims(judge(installed().claims.values(), records)), crop=False)
