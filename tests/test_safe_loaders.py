"""Files are data: nothing in the project loads one in a way that can run code."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("kvwire", "codec", "fuser", "calibration", "sharer_service", "receiver_service", "loadtest", "experiments")
PACKAGES = (*PACKAGES, "bench", "deploy", "serving")

# Reads what a pickle names without running it, and hands the rest to torch's loader of plain weights.
READS_PICKLES = {"fuser/official/weights.py"}
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUNS = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "numpy.load", "np.load", "os.system"}


def name(node):
    """A called thing as it is written: ``torch.load``."""
    return ast.unparse(node.func)


def keywords(node):
    return {each.arg: ast.unparse(each.value) for each in node.keywords}


def faults(path, text):
    tree = ast.parse(text)
    imported = {alias.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    imported |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    found = [] if path in READS_PICKLES else [f"imports {each}" for each in imported & UNPICKLERS]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        said = keywords(call)
        if name(call) in RUNS:
            found.append(f"calls {name(call)}")
        if name(call) == "torch.load" and said.get("weights_only") != "True":
            found.append("calls torch.load without weights_only")
        if said.get("trust_remote_code", "False") != "False" or said.get("shell", "False") != "False":
            found.append(f"lets {name(call)} run code")
    return found


def test_nothing_is_loaded_in_a_way_that_can_run_code():
    """No pickle, no eval, no shell, no model's own code."""
    files = {str(file.relative_to(ROOT)): file.read_text() for each in PACKAGES for file in (ROOT / each).rglob("*.py")}
    assert len(files) > 300
    assert set(files) >= READS_PICKLES
    found = {path: wrong for path, text in files.items() if (wrong := faults(path, text))}
    assert found == {}


def test_the_check_sees_what_it_looks_for():
    """Each way once."""
    for text in (
        "import pickle",
        "from joblib import load",
        "import yaml\nyaml.load(x)",
        "import torch\ntorch.load(x)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
        "subprocess.run(x, shell=True)",
        "eval(x)",
    ):
        assert faults("somewhere.py", text), text
    assert not faults("somewhere.py", "torch.load(x, weights_only=True)\nyaml.safe_load(x)")
