"""Bases, built from commits of a small project of the same shape."""

import subprocess
import sys
from pathlib import Path

import pytest

from roibench.decide.environment import BuildError, environment

SETUP = """
from setuptools import Extension, setup
setup(name="roibench", version="9.9", packages=["roibench", "roibench.measure"],
      ext_modules=[Extension("roibench._part", ["csrc/part.c"])])
"""
PART = """
#include <Python.h>
static struct PyModuleDef part = {PyModuleDef_HEAD_INIT, "_part", 0, -1, 0};
PyMODINIT_FUNC PyInit__part(void) { return PyModule_Create(&part); }
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """commit(files): adds a commit that changes these files; its hash."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("ROIBENCH_CACHE", str(tmp_path / "cache"))

    def git(*words):
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout.strip()

    def commit(**files):
        for name, text in files.items():
            path = root / name.replace("__", "/").replace("--", "__")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        git("add", ".")
        git("commit", "-qm", "x")
        return git("rev-parse", "HEAD")

    git("init", "-q")
    empty = ("roibench/--init--.py", "roibench/ops.py", "roibench/measure/--init--.py", "roibench/measure/cell.py")
    commit(**{"setup.py": SETUP, "csrc/part.c": PART} | dict.fromkeys(empty, "import roibench._part\n"))
    (root / "roibench/__init__.py").write_text("")
    git("add", ".")
    git("commit", "-qm", "x")
    return commit


def test_a_commit_is_built_once_and_its_extension_is_shared(project, tmp_path):
    told: list[str] = []
    first = environment("HEAD", told.append)
    assert first.version == subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    assert environment(first.version[:10], told.append).folder == first.folder and len(told) == 1
    code = "import roibench._part as part; import importlib.metadata as m; print(part.__file__, m.version('roibench'))"
    said = subprocess.check_output([sys.executable, "-P", "-c", code], env={"PYTHONPATH": str(first.folder)}, text=True)
    assert said.startswith(str(first.folder)) and said.strip().endswith("9.9")
    project(**{"roibench/ops.py": "import roibench._part\nCHANGED = 1\n"})
    second = environment("HEAD", told.append)
    assert second.folder != first.folder and "CHANGED" in (second.folder / "roibench/ops.py").read_text()
    assert len(list(Path(tmp_path / "cache/gate").glob("extension-*"))) == 1


@pytest.mark.parametrize(
    "files",
    [{"csrc/part.c": "no C"}, {"setup.py": "raise SystemExit('nothing to build')"}, {"roibench/ops.py": "1 / 0"}],
    ids=["extension", "setup", "import"],
)
def test_a_commit_that_does_not_build_is_one_line_and_is_tried_again(project, files):
    commit = project(**files)
    for _ in range(2):
        with pytest.raises(BuildError, match=f"{commit[:12]} doesn't build: .*all of it: .*build.log") as error:
            environment("HEAD", lambda _: None)
        assert "\n" not in str(error.value)


def test_what_is_no_base_is_told(project):
    with pytest.raises(ValueError, match="nothing: no git commit here, and no released version"):
        environment("nothing", lambda _: None)
