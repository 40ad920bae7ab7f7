"""The wheel and the source archive build, hold what they must, and install."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def test_the_wheel_holds_every_source_file_and_its_licence(archives):
    with zipfile.ZipFile(archives[0]) as archive:
        names = archive.namelist()
    sources = (ROOT / "src").rglob("*")
    wanted = {str(p.relative_to(ROOT / "src")) for p in sources if p.is_file()}
    wanted = {name for name in wanted if "__pycache__" not in name}
    assert wanted <= set(names)
    assert {"surefoot/py.typed", "surefoot/_report/_page.css"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_archive_can_be_tested(archives):
    with tarfile.open(archives[1]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    for name in ("tests/conftest.py", "examples/digits.py", "Makefile", "README.md", "LICENSE"):
        assert name in names


def test_the_wheel_installs_and_runs_from_there(archives, tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*pip, str(tmp_path), str(archives[0])], check=True, capture_output=True)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import surefoot;"
        "from surefoot._cli.main import run; print(surefoot.__file__);"
        "run(['schedule', 'warmup(5) >> cosine', '--total', '50', '--json'])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith(str(tmp_path))
    assert '"schedule": "warmup(5) >> cosine()"' in done.stdout
