"""The floors of the house: each module imports only from the floors before it."""

import ast
import subprocess
import sys
from pathlib import Path

import tinynet

ROOT = Path(tinynet.__file__).parent
FLOORS = """names new_block shapes jit threads memory plot diagrams backend changes like_an_array engine sparse
            graph neighbourhoods ops masks debugging drawing nn blocks models optim balancing whole_file npz train
            metrics data lesson cases check exercises bridges
            """.split()     # noqa: SIM905
CORE = {"numpy", "numba", "matplotlib", "tinynet"}


def floor_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """(module, at the top level?) for every import in the file."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "tinynet":
            yield from ((f"tinynet.{a.name}", top) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module, top
        elif isinstance(node, ast.Import):
            yield from ((a.name, top) for a in node.names)


def test_each_floor_imports_only_from_the_floors_before_it():
    for path in ROOT.rglob("*.py"):
        floor = floor_of(path)
        if floor in ("__init__", "__main__"):
            continue
        assert floor in FLOORS, f"{floor} is on no floor: add it to FLOORS and to CONTRIBUTING.md"
        for module, _ in imported(path):
            if module.startswith("tinynet."):
                below = module.split(".")[1]
                assert below in FLOORS[:FLOORS.index(floor) + 1], f"{path.name} imports {module}, a floor above it"


def test_the_core_needs_only_the_core_dependencies():
    for path in ROOT.rglob("*.py"):
        for module, top in imported(path):
            package = module.split(".")[0]
            assert not top or package in CORE or package in sys.stdlib_module_names, f"{path.name} imports {module}"


def test_importing_tinynet_imports_no_compiler_and_no_plots():
    slow = "sorted({'numba', 'matplotlib', 'sklearn', 'torch', 'tqdm'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", f"import sys, tinynet; print({slow})"], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
