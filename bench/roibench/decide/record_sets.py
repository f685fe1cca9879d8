"""Where records come from: a run's folder, a folder of runs, a file, or a git commit that holds some."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import roibench
from roibench.decide.data import Data
from roibench.measure.journal import FILE
from roibench.measure.record import Ok, Record
from roibench.measure.record_files import parse_records

RUNS = "results/runs"  # where runs write: a commit that holds some published none of them


class Origin(Data):
    """What a person must know of where records come from: as typed, commits of RoIBench, days, machines."""

    name: str
    commits: tuple[str, ...]
    days: tuple[str, ...]

    def __str__(self) -> str:
        commits = ", ".join(self.commits) or "no commit"
        days = self.days[0] if len(self.days) == 1 else f"{self.days[0]} to {self.days[-1]}"
        return f"{self.name} (commit {commits}; {days})"


@dataclass(frozen=True)
class RecordSet:
    """Records by their file, relative to what was named. folder: where they lie; None where that is a git commit."""

    name: str
    files: dict[str, tuple[Record, ...]]
    folder: Path | None

    @property
    def records(self) -> list[Record]:
        return [record for records in self.files.values() for record in records]

    @property
    def runs(self) -> list[Path]:
        """The folders that its files lie in, where predictions may lie beside them; none of a git commit."""
        return [] if self.folder is None else [self.folder / Path(name).parent for name in self.files]

    @property
    def ran(self) -> list[Ok]:
        return [record for record in self.records if isinstance(record, Ok)]

    @property
    def origin(self) -> Origin:
        made = [record.provenance for record in self.ran]
        commits = dict.fromkeys(f"{(p.commit or 'unknown')[:10]}{', modified' if p.dirty else ''}" for p in made)
        days = sorted({record.started.date().isoformat() for record in self.ran})
        return Origin(name=self.name, commits=tuple(commits), days=tuple(days))


def read_record_set(typed: str) -> RecordSet:
    """What a person named: a folder of a run or one above several, a records.jsonl, or a git commit, whose records it
    then is, but for those of runs. COMMIT:FOLDER are those below a folder of it.

    Raises ValueError for what is none of these, for a file that isn't whole, and where no cell ran.
    """
    path = Path(typed)
    if path.exists():
        files = [path] if path.is_file() else [path / FILE] if (path / FILE).is_file() else sorted(path.rglob(FILE))
        folder = path.parent if path.is_file() else path
        texts = {str(file.relative_to(folder)): (str(file), _text(file)) for file in files}
    else:
        folder, texts = None, _committed(typed)
    found = {name: tuple(parse_records(text, where)) for name, (where, text) in texts.items()}
    source = RecordSet(typed, found, folder)
    if not source.ran:
        raise ValueError(f"{typed}: no record of a cell that ran; want a run's folder, a {FILE} or a git commit")
    return source


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except UnicodeDecodeError:
        raise ValueError(f"{file}: no text; want a {FILE}") from None


def _committed(typed: str) -> dict[str, tuple[str, str]]:
    """Of each file of records in a commit, what it is called and its text."""
    revision, _, below = typed.partition(":")
    root, commit = found_commit(revision) or (None, "")
    if root is None:
        raise ValueError(f"{typed}: no such file or folder, and no git commit")
    names = git(root, "ls-tree", "-r", "--name-only", "-z", commit, "--", *([below.rstrip("/")] if below else []))
    files = [name for name in names.split("\0") if Path(name).name == FILE and not name.startswith(f"{RUNS}/")]
    return {name: (f"{revision}:{name}", git(root, "show", f"{commit}:{name}")) for name in files}


def found_commit(revision: str) -> tuple[Path, str] | None:
    """The checkout that knows a git revision, and its commit's full hash: the checkout that we are in, or else the one
    that this package runs from. None where neither does.
    """
    if not revision or revision.startswith("-"):
        return None
    for folder in (Path.cwd(), Path(roibench.__file__).parent):
        try:
            root = git(folder, "rev-parse", "--show-toplevel").strip()
            return Path(root), git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
        except ValueError:
            continue
    return None


def git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises ValueError with its error."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True)
    except FileNotFoundError:
        raise ValueError("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise ValueError(f"git {arguments[0]}: {error.stderr.decode(errors='replace').strip()}") from None
    return done.stdout.decode(errors="replace")
