"""What does each step buy? A grid of arms, seeds and tasks, whose cells are kept.

    python benchmarks/evidence.py --documents FOLDER --model ENCODER --cells benchmarks/cells --work outputs/evidence
    python benchmarks/evidence.py --cells benchmarks/cells --table

A cell is a task with one arm and seed. All that decides on its figure is hashed, and the file CELLS/HASH.json keeps
it: a cell is run once, and an interrupted grid goes on. What runs need of each other (silver labels, learning orders,
encoders) lies in WORK under the hash of its own settings. The grid is a JSON file of the folder configs, by default
pretraining.json:

- `corpora`: the facts of a table, projected on documents; or documents with gold labels, a `wrong_share` of which is
  flipped. Facts about the entity pairs of `held_out` files are left out before, those of `exclude_file` by the scripts
  themselves. `denoise`: flags of stage 1, which makes a learning order of a corpus, with the cell's seed unless they
  name another. `pretrain`: flags of stage 2 that all arms share.
- `arms`: what is compared. `pretrain` are flags of stage 2 (none: the model as it is), with the learning order unless
  they say uniform; `order: "oracle"` is the order that knows which labels were flipped; `flags` are those of the task.
- `tasks`: scripts of this folder, their `flags` (`files` are flags that name a file of the corpora), and where the
  figure stands in the JSON that they end with. One that says `stage_1` is told the folder of a run of stage 1.
- `references`: arms that the others are compared with. `together`: tasks whose mean is a further row, of the arms and
  seeds that have a cell in each of them.

`--only` takes the cells of some tasks, corpora, arms or seeds, `--jobs` runs so many side by side. A cell that fails
keeps none of the others from running; the last words name it, and it is tried again at the next start. `--table` runs
nothing and prints what the kept cells say: mean and standard deviation over seeds, and of each arm the paired
difference to the references, with a 95 % interval and p of a paired t-test. `--write FILE` puts the table between the
lines `<!-- NAME.json -->` and `<!-- end -->` of a page, NAME.json being the grid's file; with `--wide`, a column is a
task and a line an arm, which leaves the differences away. `--chart FILE` draws the differences to the first
reference. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn


sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from scipy.stats import ttest_rel

from benchmarks.evidence_charts import draw_differences
from benchmarks.evidence_config import read_config
from benchmarks.noisy_corpora import knowledge_base
from benchmarks.running import count, run_benchmark
from finecl_hf import Document, LearningOrder, read_documents, write_documents
from finecl_hf.data.files import replacing
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.distant.knowledge_base import project
from finecl_hf.errors import FineCLError
from finecl_hf.synthetic.label_flips import flip_labels


ROOT = Path(__file__).resolve().parent.parent
Settings = dict[str, Any]


def main(argv=None):
    args = parse(argv)
    config = read_config(args.config, ROOT / "benchmarks")
    if args.write:
        check_marks(Path(args.write), Path(args.config).name)
    if args.chart and not config["references"]:
        raise SystemExit(f"--chart {args.chart}: {args.config} names no reference to draw differences to; add one.")
    cells = chosen(grid(config), args.only, args.config)
    if not args.table:
        Grid(args, config).run(cells)
    rows = table(cells, config, Path(args.cells))
    if not rows:
        raise SystemExit(f"--cells {args.cells}: holds no cell of this grid; run it, or name the folder of its cells.")
    text = wide_markdown(rows) if args.wide else markdown(rows, config["references"])
    print(text)
    if args.write:
        write_between(Path(args.write), Path(args.config).name, text)
    if args.chart:
        draw_differences(rows, config["references"][0], args.chart)
    print(json.dumps(rows))
    return rows


def parse(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=str(ROOT / "benchmarks" / "configs" / "pretraining.json"))
    parser.add_argument("--cells", required=True, help="folder of the figures")
    parser.add_argument("--work", help="folder of what runs need of each other")
    parser.add_argument("--documents", help="folder of the corpora")
    parser.add_argument("--model", help="encoder to start from")
    parser.add_argument("--only", nargs="+", help="names of tasks, corpora, arms or seeds")
    parser.add_argument("--jobs", type=count, default=1, help="cells side by side")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--write", help="page to put the table into")
    parser.add_argument("--wide", action="store_true", help="a column a task, without differences")
    parser.add_argument("--chart", help="SVG of the differences")
    args = parser.parse_args(argv)
    if not args.table and not (args.work and args.documents and args.model):
        parser.error("running cells takes --work, --documents and --model; --table prints those that are kept.")
    return args


def grid(config: Settings) -> list[Settings]:
    """All cells; a seed's arms follow each other, so that half a grid can be compared, too."""
    return [
        {"task": task, "corpus": corpus, "arm": arm, "seed": seed}
        for task in config["tasks"]
        for corpus in config["corpora"]
        for seed in config["seeds"]
        for arm in config["arms"]
    ]


def chosen(cells: list[Settings], only: list[str] | None, config: str) -> list[Settings]:
    """The cells that have one of the names; all without names.

    Raises:
        SystemExit: a name is that of no task, corpus, arm or seed.
    """
    names = {name for cell in cells for name in map(str, cell.values())}
    if unknown := [name for name in only or () if name not in names]:
        raise SystemExit(f"--only {unknown[0]}: {config} has no such task, corpus, arm or seed.")
    return [cell for cell in cells if not only or {*only} & set(map(str, cell.values()))]


def settings_of(cell: Settings, config: Settings) -> Settings:
    """All that decides on a cell's figure: the task, and how the encoder is made (None: it is the model itself)."""
    arm, seed, corpus = config["arms"][cell["arm"]], cell["seed"], config["corpora"][cell["corpus"]]
    encoder = None
    if "pretrain" in arm:
        encoder = {"corpus": corpus, "seed": seed, "pretrain": config["pretrain"] | arm["pretrain"]}
        if arm.get("order") == "oracle":
            encoder["order"] = "oracle"
        elif arm["pretrain"].get("weight_scheme") != "uniform":
            encoder["denoise"] = config["denoise"]
    task = config["tasks"][cell["task"]]
    if "flags" in arm:
        task = {**task, "flags": task["flags"] | arm["flags"]}
    settings = {"task": task, "model": config["model"], "encoder": encoder}
    if task.get("stage_1"):
        settings["stage_1"] = {"corpus": corpus, "seed": seed, "denoise": config["denoise"]}
    if task["script"] != "few_shot.py":  # its episodes are the same for all encoders
        settings["seed"] = seed
    return settings


def name_of(settings: Settings) -> str:
    return blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


class Grid:
    """Runs cells, and what they stand on."""

    def __init__(self, args: argparse.Namespace, config: Settings):
        self.args, self.config = args, config
        self.cells, self.work = Path(args.cells), Path(args.work)
        self._locks: dict[str, Lock] = defaultdict(Lock)
        self._failed: dict[str, Exception] = {}
        self._running: set[subprocess.Popen] = set()

    def run(self, cells: list[Settings]) -> None:
        """Raises SystemExit where a cell failed, once the others are done."""
        todo: dict[str, Settings] = {}
        for cell in cells:
            todo.setdefault(name_of(settings_of(cell, self.config)), cell)
        todo = {name: cell for name, cell in todo.items() if not (self.cells / f"{name}.json").is_file()}
        print(f"{len(todo)} cells to run.", flush=True)
        with stopping(self.stop), ThreadPoolExecutor(self.args.jobs) as pool:
            failures = [failure for failure in pool.map(self._attempt, todo.values()) if failure]
        if failures:
            raise SystemExit("\n".join([f"{len(failures)} of {len(todo)} cells failed:", *failures]))

    def _attempt(self, cell: Settings) -> str:
        """What went wrong with a cell, in a line; whatever it is, the others go on."""
        try:
            self.task(settings_of(cell, self.config))
        except subprocess.CalledProcessError as error:
            script = Path(error.cmd[1]).name
            return f"{_named(cell)}: {script} ended with status {error.returncode}; its message stands above."
        except Exception as error:
            return f"{_named(cell)}: {type(error).__name__}: {' '.join(str(error).split())}"
        return ""

    def task(self, settings: Settings) -> None:
        task, start = settings["task"], time.perf_counter()
        model = self.encoder(settings["encoder"]) if settings["encoder"] else self.args.model
        flags = {"documents": Path(self.args.documents, task["documents"]), "model": model, **task["flags"]}
        flags |= {flag: Path(self.args.documents, name) for flag, name in task.get("files", {}).items()}
        flags |= {"seeds": settings["seed"]} if "seed" in settings else {}
        flags |= {"stage_1": self.order(settings["stage_1"])} if "stage_1" in settings else {}
        flags |= {"device": self.args.device} if task["script"] == "few_shot.py" else self._device()
        printed = self._python(ROOT / "benchmarks" / task["script"], flags)
        figure = figure_of(printed, task)
        cell = {**settings, "figure": figure, "seconds": round(time.perf_counter() - start)}
        self.cells.mkdir(parents=True, exist_ok=True)
        with replacing(self.cells / f"{name_of(settings)}.json") as file:  # half a cell would never be run again
            file.write((json.dumps(cell, indent=1) + "\n").encode())
        print(f"{name_of(settings)}  {task['script']}  {figure:.4f}  {cell['seconds']} s", flush=True)

    def encoder(self, settings: Settings) -> Path:
        """The folder of an encoder of stage 2."""

        def make(folder: Path) -> None:
            flags = {"model_name_or_path": self.args.model, "seed": settings["seed"], **settings["pretrain"]}
            if "denoise" in settings:
                flags["learning_order"] = self.order(settings) / "learning_order.parquet"
            elif "order" in settings:
                flags["learning_order"] = self.silver(settings["corpus"]).with_name("oracle.parquet")
            if flags.get("missing_labels") is True:
                flags["missing_labels"] = self.order(settings) / "missing_labels.parquet"
            self._python(ROOT / "run_pretrain.py", {**flags, **self._silver_flags(settings), "output_dir": folder})

        return self._made({"stage": 2, "model": self.config["model"], **settings}, make)

    def order(self, settings: Settings) -> Path:
        """The folder of stage 1."""

        def make(folder: Path) -> None:
            flags = {"model_name_or_path": self.args.model, "seed": settings["seed"], **settings["denoise"]}
            self._python(ROOT / "run_denoise.py", {**flags, **self._silver_flags(settings), "output_dir": folder})

        own = {name: settings[name] for name in ("corpus", "seed", "denoise")}
        own["seed"] = settings["denoise"].get("seed", settings["seed"])
        return self._made({"stage": 1, "model": self.config["model"], **own}, make)

    def silver(self, corpus: Settings) -> Path:
        """The file of a corpus: documents with noisy labels, each title once; those without labels are left out."""

        def make(folder: Path) -> None:
            files = (Path(self.args.documents, name) for name in corpus["documents"])
            documents = {document.title: document for file in files for document in read_documents(file)}
            tested = (Path(self.args.documents, name) for name in corpus.get("held_out", ()))
            held_out = HeldOutPairs(document for file in tested for document in read_documents(file))
            kept = [found for document in documents.values() if (found := held_out.strip(document)[0])]
            if "wrong_share" in corpus:
                silver, is_right = flip_labels(kept, corpus["wrong_share"])
                oracle(silver, is_right).write(folder / "oracle.parquet")
            else:
                facts = knowledge_base(Path(self.args.documents, corpus["facts"]))
                silver = project(kept, facts)
            write_documents([document for document in silver if document.relations], folder / "silver.json")

        return self._made({"stage": 0, **corpus}, make) / "silver.json"

    def _silver_flags(self, settings: Settings) -> Settings:
        corpus, folder = settings["corpus"], Path(self.args.documents)
        files = {flag: folder / corpus[flag] for flag in ("exclude_file", "rel_info") if flag in corpus}
        return {"train_file": self.silver(corpus), **files, "disable_tqdm": True, **self._device()}

    def _device(self) -> Settings:
        return {"use_cpu": self.args.device == "cpu"}

    def _made(self, settings: Settings, make: Callable[[Path], None]) -> Path:
        """A folder that is there whole or not at all; one that was begun is gone on with."""
        folder = self.work / name_of(settings)
        with self._locks[folder.name]:
            if folder.name in self._failed:  # hours, perhaps, and nothing has changed since
                raise self._failed[folder.name]
            if not folder.is_dir():
                begun = folder.with_suffix(".begun")
                begun.mkdir(parents=True, exist_ok=True)
                try:
                    make(begun)
                except Exception as error:
                    self._failed[folder.name] = error
                    raise
                begun.rename(folder)
        return folder

    def _python(self, script: Path, flags: Settings) -> str:
        """Runs a script; its progress goes where ours goes."""
        words = [word for name, value in flags.items() for word in _words(name, value)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(script), *words]
        options = {"stdout": subprocess.PIPE, "text": True, "env": environment, "start_new_session": True}
        with subprocess.Popen(command, **options) as child:
            self._running.add(child)
            printed, _ = child.communicate()
            self._running.discard(child)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, command)
        return printed

    def stop(self, *signal_and_frame: Any) -> NoReturn:
        """Ends what runs, with what that has started, and this process: a script left alone would go on for hours, and
        keep its folder from the one that is started in its place."""
        running = tuple(self._running)
        for child in running:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        for child in running:  # which may write a checkpoint first
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=60)
        os._exit(1)  # the threads that wait for them would begin the next cells


@contextmanager
def stopping(stop: Callable[..., Any]) -> Iterator[None]:
    """Has Ctrl-C and SIGTERM call a function, for so long."""
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _named(cell: Settings) -> str:
    return f"{cell['task']}, {cell['corpus']}, {cell['arm']}, seed {cell['seed']}"


def figure_of(printed: str, task: Settings) -> float:
    """The figure in the JSON that a script has ended with.

    Raises:
        FineCLError: there is none, or it is no finite number; a cell that held it would never be run again.
    """
    place = " > ".join(map(str, task["figure"]))
    try:
        figure = json.loads((printed.splitlines() or [""])[-1])
        for step in task["figure"]:
            figure = figure[step]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise FineCLError(f"the last line of {task['script']} is no JSON with {place}; correct `figure`.") from error
    if isinstance(figure, bool) or not isinstance(figure, (int, float)) or not np.isfinite(figure):
        raise FineCLError(f"{task['script']} gives {place} = {figure!r:.40}, which is no figure.")
    return figure


def oracle(documents: list[Document], is_right: dict[str, bool]) -> LearningOrder:
    """The order of a stage 1 that makes no mistake: right labels are learned at once, wrong ones never."""
    order = LearningOrder.for_documents(documents)
    order.first_epoch[:] = [0 if is_right[instance] else -1 for instance in order.instance_id.to_pylist()]
    return order


def _words(name: str, value: Any) -> list[str]:
    if value is True and name == "center":  # a flag of few_shot.py; the other scripts take a value
        return [f"--{name}"]
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}"]


def table(cells: list[Settings], config: Settings, folder: Path) -> list[Settings]:
    """A row for each task, corpus and arm that has a cell."""
    figures: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for cell in cells:
        path = folder / f"{name_of(settings_of(cell, config))}.json"
        if path.is_file():
            of_task = figures.setdefault((cell["task"], cell["corpus"]), {})
            of_task.setdefault(cell["arm"], {})[cell["seed"]] = _figure_in(path)
    for corpus in config["corpora"]:
        parts = [figures.get((task, corpus), {}) for task in config["together"]]
        if means := mean_of(parts):
            figures[f"mean of {len(parts)} tasks", corpus] = means
    rows = []
    for (task, corpus), of_task in figures.items():
        for arm, by_seed in of_task.items():
            values = list(by_seed.values())
            row = {"task": task, "corpus": corpus, "arm": arm, "seeds": sorted(by_seed)}
            row |= {"mean": round(float(np.mean(values)), 4), "sd": _sd(values)}
            row["by_seed"] = {str(seed): round(by_seed[seed], 4) for seed in sorted(by_seed)}
            for reference in config["references"]:
                if reference != arm and reference in of_task:
                    row[f"to {reference}"] = paired(by_seed, of_task[reference])
            rows.append(row)
    return rows


def mean_of(tasks: list[dict[str, dict[int, float]]]) -> dict[str, dict[int, float]]:
    """Figures by arm and seed, each the mean over all tasks; what one of them lacks is left out."""
    means = {}
    for arm in tasks[0] if tasks else ():
        parts = [task.get(arm, {}) for task in tasks]
        seeds = sorted(set.intersection(*(set(part) for part in parts)))
        if seeds:
            means[arm] = {seed: float(np.mean([part[seed] for part in parts])) for seed in seeds}
    return means


def _figure_in(path: Path) -> float:
    """Raises SystemExit where the cell holds none."""
    try:
        figure = json.loads(path.read_bytes())["figure"]
        if isinstance(figure, bool) or not np.isfinite(figure):
            raise ValueError
    except (ValueError, TypeError, KeyError) as error:
        raise SystemExit(f"{path}: this cell holds no figure; remove the file, and the cell is run again.") from error
    return figure


def paired(one: dict[int, float], other: dict[int, float]) -> Settings:
    """The mean difference over the seeds that both have, a 95 % interval, and p; None where there are too few."""
    seeds = sorted(one.keys() & other.keys())
    differences = np.array([one[seed] - other[seed] for seed in seeds])
    row = {"seeds": len(seeds), "difference": round(float(differences.mean()), 4) if len(seeds) else None}
    if len(seeds) < 3 or np.ptp(differences) == 0:
        return {**row, "interval": None, "p": None}
    test = ttest_rel([one[seed] for seed in seeds], [other[seed] for seed in seeds])
    interval = test.confidence_interval(0.95)
    return {**row, "interval": [round(interval.low, 4), round(interval.high, 4)], "p": round(float(test.pvalue), 4)}


def _sd(values: list[float]) -> float | None:
    return round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else None


def markdown(rows: list[Settings], references: list[str]) -> str:
    """The table; the corpus is named where there are several."""
    corpora = ["corpus"] if len({row["corpus"] for row in rows}) > 1 else []
    heads = ["task", *corpora, "arm", "seeds", "figure", *(f"to {reference}" for reference in references)]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        places = [row[name] for name in ("task", *corpora, "arm")]
        differences = [_difference(row.get(f"to {reference}")) for reference in references]
        lines.append([*places, str(len(row["seeds"])), _figure(row), *differences])
    return _lines(lines)


def wide_markdown(rows: list[Settings]) -> str:
    """A line for each arm and a column for each task (and corpus, of several), best figures bold.

    Figures that have fewer seeds than others say so.
    """
    most = max(len(row["seeds"]) for row in rows)
    several = len({row["corpus"] for row in rows}) > 1
    cells = {(f"{row['task']}, {row['corpus']}" if several else row["task"], row["arm"]): row for row in rows}
    tasks, arms = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    best = {task: max(_percent(cells[task, arm]) for arm in arms if (task, arm) in cells) for task in tasks}

    def told(task: str, row: Settings | None) -> str:
        if row is None:
            return ""
        mark = "**" if _percent(row) == best[task] else ""
        few = f" (n = {len(row['seeds'])})" if len(row["seeds"]) < most else ""
        return f"{mark}{_figure(row)}{mark}{few}"

    lines = [[arm, *(told(task, cells.get((task, arm))) for task in tasks)] for arm in arms]
    return _lines([["", *tasks], ["---"] * (1 + len(tasks)), *lines])


def _lines(cells: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _figure(row: Settings) -> str:
    return f"{_percent(row)}" + (f" ± {100 * row['sd']:.1f}" if row["sd"] is not None else "")


def _percent(row: Settings) -> float:
    return round(100 * row["mean"], 1)


def check_marks(page: Path, name: str) -> tuple[str, str]:
    """What stands before the table of a name and after it, the marks with them.

    Raises:
        SystemExit: the page is missing, or has no such marks.
    """
    if not page.is_file():
        raise SystemExit(f"--write {page}: there is no such page; name one that has the marks of the table.")
    before, mark, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not mark or not end:
        raise SystemExit(
            f"{page}: has no lines <!-- {name} --> and <!-- end -->; put them where the table shall stand."
        )
    return before + mark, end + after


def write_between(page: Path, name: str, text: str) -> None:
    """Replaces what stands between the marks of a name. Raises SystemExit as [`check_marks`]."""
    before, after = check_marks(page, name)
    with replacing(page) as file:
        file.write(f"{before}\n{text}\n\n{after}".encode())


def _difference(row: Settings | None) -> str:
    if row is None or row["difference"] is None:
        return ""
    told = f"{100 * row['difference']:+.1f}"
    if row["p"] is None:
        return told
    low, high = row["interval"]
    chance = "p < 0.001" if row["p"] < 0.001 else f"p = {row['p']:.3f}"
    return f"{told} ({100 * low:+.1f} to {100 * high:+.1f}, {chance})"


if __name__ == "__main__":
    run_benchmark(main)
