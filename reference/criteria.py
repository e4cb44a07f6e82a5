"""The criteria in PyTorch (criterion_losses.py): golden files of the tests, and runs beside retort's.

    python reference/criteria.py check             against METHOD.md and the golden files, in f32 too
    python reference/criteria.py goldens [OUT]     OUT: Tests/DistillTests/Fixtures/criteria
    python reference/criteria.py run IN.h5 OUT.h5 --name NAME [--set SETTING=VALUE ...]
    python reference/criteria.py compare A.h5 B.h5 exit 1 where they differ by more than f32 explains
    python reference/criteria.py export DIR        every golden case as files for `criterion run`

Golden files: `world-WORLD.safetensors` holds inputs that many cases share, f32 and int64, under the
names of criterion_losses.py, and the texts of tokens as JSON in its metadata (`vocabulary`).
`cases.safetensors` holds `CASE/loss/NAME` f64 [1], `CASE/grad/INPUT` f32 and `CASE/info/NAME` (what
was decided on the way), all computed in float64, and as JSON in its metadata (`cases`) a list of
{"name", "world", "criterion", "settings"}. Settings are the words that `--set` takes, but for the heads'
soft caps, which are the models' own: IN.h5 holds them as settings/{student,teacher}_cap.
"""

import argparse
import json
import pathlib
import shlex
import sys

import criterion_cases as cases
import criterion_losses as losses
import criterion_signals as signals
import h5py
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "Tests/DistillTests/Fixtures/criteria"
LOSS_TOLERANCE = 1e-5  # relative
GRADIENT_TOLERANCE = 1e-4  # of the gradient's norm
SMALL = 1e-4


# Golden files ----------------------------------------------------------------------------------


def write_goldens(out):
    out.mkdir(parents=True, exist_ok=True)
    table, tensors = [], {}
    for world in cases.WORLDS:
        inputs, vocabulary, results = cases.draw_world(world)
        metadata = {"vocabulary": json.dumps(vocabulary)} if vocabulary else None
        save_file(copies(inputs), out / f"world-{world}.safetensors", metadata)
        for name, criterion, words, result in results:
            for key, value in result.items():
                is_wide = key.startswith("loss/") or not value.is_floating_point()
                tensors[f"{name}/{key}"] = value if is_wide else value.float()
            row = {"name": name, "world": world, "criterion": criterion, "settings": words}
            table.append(row)
        print(f"{world}: {len(results)} cases")
    # One key of metadata: safetensors writes several in random order.
    save_file(copies(tensors), out / "cases.safetensors", {"cases": json.dumps(table)})
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{len(table)} cases, {size / 1e6:.2f} MB in {out}")


def copies(tensors):
    return {key: value.detach().contiguous().clone() for key, value in tensors.items()}


def read_safetensors(path):
    with safe_open(path, "pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}


def read_goldens(folder=FIXTURES):
    """(worlds by name: (inputs, vocabulary), [(row of the table, results)])."""
    worlds = {}
    for path in sorted(folder.glob("world-*.safetensors")):
        tensors, metadata = read_safetensors(path)
        vocabulary = json.loads(metadata.get("vocabulary", "null"))
        worlds[path.stem.removeprefix("world-")] = tensors, vocabulary
    tensors, metadata = read_safetensors(folder / "cases.safetensors")
    found = []
    for row in json.loads(metadata["cases"]):
        prefix = f"{row['name']}/"
        of_case = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        found.append((row, of_case))
    return worlds, found


# HDF5 files, as `retort criterion run` reads and writes them -----------------------------------


def write_inputs(path, tensors, vocabulary, caps):
    with h5py.File(path, "w") as file:
        for key, value in tensors.items():
            file[key] = value.numpy()
        for key, value in (vocabulary or {}).items():
            text = h5py.string_dtype()
            is_text = isinstance(value, list)
            file.create_dataset(
                f"vocabulary/{key}", data=value if is_text else [value], dtype=text if is_text else "i8"
            )
        for key, value in caps.items():
            file[f"settings/{key}"] = [float(value)]


def read_inputs(path):
    """(tensors, vocabulary or None, caps as words)."""
    tensors, vocabulary, caps = {}, {}, {}
    with h5py.File(path) as file:
        for key in names_of(file):
            group, _, name = key.partition("/")
            data = file[key]
            if h5py.check_string_dtype(data.dtype):
                vocabulary[name] = data.asstr()[()].tolist()
            elif group == "vocabulary":
                vocabulary[name] = int(data[()].reshape(-1)[0])
            elif group == "settings":
                caps[name] = str(float(data[()].reshape(-1)[0]))
            else:
                tensors[key] = torch.from_numpy(np.atleast_1d(data[()]))
    return tensors, vocabulary or None, caps


def names_of(file):
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def write_outputs(path, results):
    with h5py.File(path, "w") as file:
        for key, value in results.items():
            if key.startswith("loss/"):
                file[key] = value.double().numpy()
            elif key.startswith("grad/"):
                file[key] = value.float().numpy()


def setting(word):
    name, equals, value = word.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{word} is not SETTING=VALUE")
    return name, value


def run(arguments):
    tensors, vocabulary, caps = read_inputs(arguments.input)
    words = dict(arguments.set)
    results = losses.evaluate(arguments.name, tensors, signals.Settings.of(caps | words), vocabulary)
    write_outputs(arguments.output, results)
    for key, value in results.items():
        if key.startswith("loss/"):
            print(f"{key.removeprefix('loss/')} {value.item():.9g}")


def export(folder):
    """DIR/WORLD[-caps].h5, DIR/want/CASE.h5 and DIR/cases.txt: a case a line, split at blanks as

    while read -r name input criterion settings; do
      retort criterion run DIR/$input got/$name.h5 --name $criterion $settings
    done < DIR/cases.txt
    """
    (folder / "want").mkdir(parents=True, exist_ok=True)
    worlds, golden = read_goldens()
    lines, written = [], set()
    for row, results in golden:
        words = dict(row["settings"])
        caps = {key: words.pop(key) for key in list(words) if key.endswith("_cap")}
        name = "-".join([row["world"], *caps.values()]) + ".h5"
        if name not in written:
            write_inputs(folder / name, *worlds[row["world"]], caps)
            written.add(name)
        write_outputs(folder / "want" / f"{row['name']}.h5", results)
        settings = [f"--set {shlex.quote(f'{key}={value}')}" for key, value in words.items()]
        lines.append(" ".join([row["name"], name, row["criterion"], *settings]))
    (folder / "cases.txt").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} cases in {folder / 'cases.txt'}, {len(written)} inputs, results in want/")


# Comparison ------------------------------------------------------------------------------------


def difference(got, want):
    """Of a loss relative to it, of a gradient relative to its norm; nothing counts as less than SMALL."""
    got, want = got.double(), want.double()
    if got.shape != want.shape:
        return float("inf")
    size, gap = want.norm().item(), (got - want).norm().item()
    return gap / max(size, SMALL)


def tolerance(key):
    return LOSS_TOLERANCE if key.startswith("loss/") else GRADIENT_TOLERANCE


def differences(got, want):
    """{key: difference} of all losses and gradients; infinite where one side lacks it."""
    keys = sorted(k for k in got.keys() | want.keys() if k.startswith(("loss/", "grad/")))
    there = {k: k in got and k in want for k in keys}
    return {k: difference(got[k], want[k]) if there[k] else float("inf") for k in keys}


def compare(a, b):
    sides = [read_inputs(path)[0] for path in (a, b)]
    found = differences(*sides)
    if not found:
        sys.exit(f"{a} and {b} hold neither loss/ nor grad/")
    failed = [key for key, value in found.items() if not value <= tolerance(key)]
    for key, value in found.items():
        lacking = [path for path, side in zip((a, b), sides) if key not in side]
        what = f"not in {lacking[0]}" if lacking else f"{value:.1e}"
        print(f"{key:32} {what}{'  <-- too much' if key in failed else ''}")
    sys.exit(1 if failed else 0)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check")
    commands.add_parser("goldens").add_argument("out", nargs="?", default=FIXTURES)
    runner = commands.add_parser("run")
    runner.add_argument("input")
    runner.add_argument("output")
    runner.add_argument("--name", required=True, choices=losses.CRITERIA)
    runner.add_argument("--set", action="append", default=[], type=setting, metavar="SETTING=VALUE")
    comparer = commands.add_parser("compare")
    comparer.add_argument("a")
    comparer.add_argument("b")
    commands.add_parser("export").add_argument("folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.command == "check":
        import criterion_checks

        criterion_checks.check()
    elif arguments.command == "goldens":
        write_goldens(pathlib.Path(arguments.out))
    elif arguments.command == "run":
        try:
            run(arguments)
        except KeyError as missing:
            sys.exit(f"{arguments.input} does not hold {missing}, which {arguments.name} needs")
        except (ValueError, OSError) as error:
            sys.exit(f"{arguments.input}: {error}")
    elif arguments.command == "compare":
        compare(arguments.a, arguments.b)
    else:
        export(pathlib.Path(arguments.folder))


if __name__ == "__main__":
    main()
