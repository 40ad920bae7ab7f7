"""The project guards its own surface: floors, names, sizes, start-up, one writer of rates."""

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from statistics import median

import pytest

import surefoot

SOURCE = Path(surefoot.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

FLOORS = {
    "errors": 0, "_base": 0,
    "schedules": 1, "_curves": 1,
    "records": 2,
    "_engine": 3, "rules": 3, "quantities": 3,
    "_find": 4, "_sweep": 4, "_watch": 4, "_diagnose": 4,
    "_fix": 5,
    "plots": 6,
    "_report": 7, "_web": 7,
    "_cli": 8, "integrations": 8,
}  # fmt: skip


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def package(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the dotted names of all modules that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names.add(node.module or "")
            if node.module == "surefoot":
                names |= {f"surefoot.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_from_its_package_and_from_lower_floors(path):
    home = package(path)
    if home in ("__init__", "__main__"):
        return
    for name in imported(path):
        if not name.startswith("surefoot."):
            continue
        other = name.split(".")[1]
        if other in (home, "errors"):
            continue
        assert FLOORS[other] < FLOORS[home], f"{home} (floor {FLOORS[home]}) imports {name}"


ALLOWED = {
    0: {"rich"},
    1: {"numpy"},
    2: {"numpy", "rich"},
    6: {"numpy", "rich", "plotly", "matplotlib"},
}
"""What each floor may load besides the standard library; rich only to show on a terminal."""


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if FLOORS.get(package(path)) in ALLOWED or package(path) == "rules"],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_lower_floors_and_plots_load_no_framework(path):
    allowed = ALLOWED.get(FLOORS[package(path)], {"numpy"})
    for name in imported(path):
        root = name.split(".")[0]
        if root in ("surefoot", "__future__") or root in sys.stdlib_module_names:
            continue
        assert root in allowed, f"{path} imports {name}"


def test_only_groups_writes_a_learning_rate():
    writer = SOURCE / "_engine" / "groups.py"
    pattern = re.compile(
        r"""\[\s*["']lr["']\s*\]\s*(=(?!=)|\+=|\*=|-=|/=)|setdefault\(["']lr["']"""
    )
    guilty = [path for path in FILES if pattern.search(path.read_text(encoding="utf-8"))]
    assert guilty == [writer]


def test_nothing_prints_but_the_command():
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path}:{node.lineno}"


def test_no_input_is_checked_by_assert():
    for path in FILES:
        assert not [n for n in ast.walk(tree(path)) if isinstance(n, ast.Assert)], path


def _functions():
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield path, node


def test_files_and_functions_stay_small():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    files = [count for path, count in lines.items() if path.name != "__init__.py"]
    assert max(files) <= 500
    assert median(files) <= 150
    lengths = sorted(_body_length(node) for _, node in _functions())
    assert lengths[-1] <= 80
    assert lengths[int(0.9 * len(lengths))] <= 35


def _body_length(node) -> int:
    """Return the lines of a function without its docstring."""
    length = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        length -= first.end_lineno - first.lineno + 1
    return length


def test_base_classes_have_one_public_abstract_method():
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                abstract = [
                    item.name
                    for item in node.body
                    if isinstance(item, ast.FunctionDef)
                    and not item.name.startswith("_")
                    and any(getattr(d, "id", "") == "abstractmethod" for d in item.decorator_list)
                ]
                assert len(abstract) <= 1, f"{path}: {node.name} has {abstract}"


def test_the_public_names_are_these_and_all_load():
    assert sorted(surefoot.__all__) == sorted([
        "Cost", "Curve", "Diagnosis", "Finding", "InputError", "Interaction", "Interrupted",
        "RunLog", "RunWriter", "Schedule", "Scheduler", "Sensitivity", "Snapshot", "SurefootError",
        "Trial", "Verdict", "Watch", "__version__", "diagnose", "discriminative", "errors", "find",
        "grid", "integrations", "layer_decay", "plot", "plots", "quantities", "read", "records",
        "report", "rules", "schedule", "schedules", "sweep", "watch",
    ])  # fmt: skip
    for name in surefoot.__all__:
        assert getattr(surefoot, name) is not None
    assert set(surefoot.__all__) <= set(dir(surefoot))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = surefoot.nothing


def test_every_module_says_what_it_offers():
    for path in FILES:
        if path.parent.name == "_cli" and path.name == "__init__.py":
            continue
        exports = [
            node
            for node in tree(path).body
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and "__all__" in ast.unparse(node)[:8]
        ]
        public = [
            node.name
            for node in tree(path).body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        ]
        assert exports or not public, f"{path} has no __all__"


def _offered(path: Path) -> set[str] | None:
    """Return what a module's ``__all__`` lists, None where it is made by other means."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            try:
                return set(ast.literal_eval(node.value))
            except ValueError:
                return None
    return set()


def test_what_others_import_from_a_module_is_in_its_list():
    for path in FILES:
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(
                "surefoot."
            ):
                continue
            file = SOURCE.joinpath(*node.module.split(".")[1:])
            module = file.with_suffix(".py") if file.with_suffix(".py").exists() else None
            offered = _offered(module) if module else None
            for name in [alias.name for alias in node.names if offered is not None]:
                assert name in offered, f"{path.name} imports {name} from {node.module}"


def _in_new_process(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_import_is_quick_and_loads_no_framework():
    code = (
        "import sys, time; start = time.perf_counter(); import surefoot;"
        "print(time.perf_counter() - start);"
        "heavy = ('torch', 'matplotlib', 'plotly', 'rich', 'pandas', 'jax', 'keras', 'optax');"
        "print([name for name in heavy if name in sys.modules])"
    )
    runs = [_in_new_process(code).splitlines() for _ in range(3)]
    assert all(loaded == "[]" for _, loaded in runs)
    assert min(float(seconds) for seconds, _ in runs) < 0.150


def test_curves_of_other_libraries_load_when_first_needed():
    code = (
        "import sys, surefoot.schedules as s; name = 'surefoot.schedules.conventions';"
        "print(name in sys.modules); s.from_torch; print(name in sys.modules)"
    )
    assert _in_new_process(code).split() == ["False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'from_nowhere'"):
        _ = surefoot.schedules.from_nowhere


def test_reading_and_diagnosing_a_log_loads_no_torch(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,loss\n" + "".join(f"{t},{2 * 0.9**t}\n" for t in range(100)))
    code = (
        f"import sys, surefoot as sf; d = sf.diagnose({str(log)!r}); sf.plots.figure(d);"
        "print(d.healthy, 'torch' in sys.modules)"
    )
    assert _in_new_process(code).split() == ["True", "False"]


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import surefoot as sf
from surefoot._cli.main import run
for name in ("find", "sweep", "watch", "Trial", "Scheduler", "quantities"):
    try:
        getattr(sf, name)
    except sf.errors.MissingExtraError as error:
        assert "pip install 'surefoot[torch]'" in str(error) and name in str(error)
    else:
        raise AssertionError(name)
for words in (["schedule", "cosine", "--total", "9"], ["diagnose", LOG], ["find", "task.py:x"]):
    try:
        run(words)
    except SystemExit as end:
        print("exit", end.code or 0)
"""


def test_without_torch_all_else_works_and_the_rest_says_what_to_install(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,loss\n" + "".join(f"{t},{2 * 0.9**t}\n" for t in range(100)))
    out = _in_new_process(f"LOG = {str(log)!r}\n{WITHOUT_TORCH}")
    assert re.findall(r"^exit (\d)", out, re.MULTILINE) == ["0", "0", "2"]


def test_the_command_has_these_options_and_no_others():
    from typer.main import get_command

    from surefoot._cli.main import app

    group = get_command(app)
    surface = {
        name: sorted(option for p in command.params for option in [*p.opts, *p.secondary_opts])
        for name, command in group.commands.items()
    }
    assert surface == {
        "demo": ["--json", "--to"],
        "find": ["--apply", "--effort", "--json", "--out", "--schedule", "-o", "task"],
        "sweep": [
            "--backend", "--exact", "--json", "--keep", "--lrs", "--no-exact", "--out", "--over",
            "--randomness", "--refine", "--seeds", "--tolerance", "--workers", "-o", "task",
        ],
        "show": ["--json", "--map", "--out", "-o", "path"],
        "diagnose": ["--json", "--map", "path"],
        "schedule": [
            "--allow-functions", "--beta2", "--compare", "--json", "--lr", "--out",
            "--samples-per-update", "--tokens-per-update", "--total",
            "--updates-per-epoch", "-o", "words",
        ],
        "report": ["--json", "--out", "-o", "path"],
    }  # fmt: skip
    for command in group.commands.values():
        assert command.help


def test_changelog_and_version_agree():
    changelog = (SOURCE.parent.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, *released = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert newest in ("Unreleased", surefoot.__version__)
    assert released == [] or surefoot.__version__ in (newest, released[0])


def test_diagnosis_json_has_the_documented_fields():
    from surefoot.records import Curve, RunLog

    falling = RunLog("slow", {"loss": Curve(range(100), [2 - 0.005 * t for t in range(100)])})
    document = json.loads(surefoot.diagnose(falling).to_json())
    assert set(document) >= {
        "run", "healthy", "verdicts", "lr_over_best_log10", "lr_over_best_log10_low",
        "lr_over_best_log10_high",
    }  # fmt: skip
    assert set(document["verdicts"][0]) == {
        "code", "title", "severity", "is_lr_fault", "direction", "factor", "factor_low",
        "factor_high", "since", "confidence", "evidence", "remedy",
    }  # fmt: skip
