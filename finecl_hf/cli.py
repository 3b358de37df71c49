"""The `finecl-hf` command: checks, converts, makes and scores the files that pass between the stages.

Each subcommand imports what it needs when it runs, so that `--help` is instant; only `doctor --model`,
`predict`, `demo`, `export` and `push` need torch.
"""

from __future__ import annotations

import json
import math
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from finecl_hf import __version__
from finecl_hf.errors import DocumentError, FineCLError, escape_what_consoles_cannot_show


OUTPUT = "ends in .json, .jsonl, .json.gz, .jsonl.gz or .parquet"
SOURCE = "a file in any supported format, a folder or a quoted pattern of shards, or a Hub dataset id"
RECOGNISER = (
    "what finds the entities of raw text: a token-classification model, a spaCy pipeline, or a file of names "
    "(name<TAB>type)"
)


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand. Returns the exit status: 1 if `validate` or `doctor` found a fault, 2 for a mistake."""
    for name in ("stdout", "stderr"):  # closed by a scheduler or by `>&-`
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))
    escape_what_consoles_cannot_show()
    args = make_parser().parse_args(argv)
    try:
        status = args.run(args) or 0
        sys.stdout.flush()  # a closed pipe shows here at the latest
        return status
    except FineCLError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:  # `finecl-hf validate FILE | head`
        _discard_output()
    except OSError as error:
        print(f"error: {_told(error)}", file=sys.stderr)
        _discard_output()
    return 2


def _told(error: OSError) -> str:
    """What the system refused, of which file."""
    reason = error.strerror or str(error) or type(error).__name__
    if isinstance(error, FileExistsError):  # of a folder that is to be made
        reason = "this is a file, where a folder is needed"
    return f"{'the output' if error.filename is None else error.filename}: {reason}."


def _discard_output() -> None:
    """What stdout still holds cannot be written; Python would try once more at its end, and tell a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _seed(text: str) -> int:
    """A seed, as the random numbers of all libraries take it."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 2**32):
        raise ArgumentTypeError(f'"{text[:40]}" is no seed; give a whole number from 0 to {2**32 - 1:,}')
    return int(text)


class _Parser(ArgumentParser):
    """Tells a mistake in one line, as every other one is told, instead of below the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; run `{self.prog} --help` for the usage.\n")


def make_parser() -> ArgumentParser:
    parser = _Parser(prog="finecl-hf", description="Files of relation extraction from noisy labels.")
    parser.add_argument("--version", action="version", version=f"finecl_hf {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run, name, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = command(validate, "validate", "List every problem of a file of documents.")
    sub.add_argument("file", help=SOURCE)
    sub.add_argument("--format", help="format of the file, where its content does not tell")
    sub.add_argument("--split", help="split of a Hub dataset")
    _add_reading_options(sub)

    _add_doctor_options(command(doctor, "doctor", "Say what is wrong with the files, and the encoder, of a run."))

    sub = command(convert, "convert", "Convert documents from any supported format to DocRED's, or to another.")
    sub.add_argument("input", help=SOURCE)
    sub.add_argument("output", help=f"{OUTPUT}; with --to, what that format is kept in")
    sub.add_argument("--format", help="format of the input, where its content does not tell")
    sub.add_argument("--to", metavar="FORMAT", help="format of the output (default docred)")
    sub.add_argument("--split", help="split of a Hub dataset")
    sub.add_argument("--skip_invalid", action="store_true", help="leave out invalid documents, and those that "
                     "--to cannot hold")  # fmt: skip
    sub.add_argument("--report", metavar="FILE", help="where to write what was left out, with counts, as JSON")
    sub.add_argument("--both_ways", nargs="+", metavar="RELATION", help="add the reverse of each fact of relations "
                     "without a direction; all: of every relation")  # fmt: skip
    _add_reading_options(sub)

    _add_project_options(command(project, "project", "Label documents by a knowledge base (distant supervision)."))

    sub = command(flip, "flip", "Replace a share of the labels: noise of known truth, for measurements.")
    sub.add_argument("input", help="correctly labelled documents")
    sub.add_argument("output", help="where to write the noisy documents")
    sub.add_argument("--rate", type=float, required=True, help="share of the labels to flip, 0 to 1")
    sub.add_argument("--kind", choices=["uniform", "pair"], default="uniform", help="to any relation, or to the next")
    sub.add_argument("--seed", type=_seed, default=0, help="another seed flips other labels")
    sub.add_argument("--truth", help="where to write {instance id: whether the label is still right}")
    _add_reading_options(sub)

    sub = command(merge_orders, "merge-orders", "Merge the learning orders of a corpus's shards.")
    sub.add_argument("output", help="ends in .parquet, or in .json for the original's format")
    sub.add_argument("inputs", nargs="+", metavar="input", help="learning orders, parquet or JSON")
    sub.add_argument(
        "--on_conflict", choices=["raise", "min"], default="raise", help="an id in two: error, or the earlier epoch"
    )
    sub.add_argument(
        "--calibrate", action="store_true", help="put shards on one scale first: each model learned at its own pace"
    )

    sub = command(report, "report", "Show which labels stage 1 trusts, and the least trusted ones with their text.")
    _add_order_and_documents(sub)
    sub.add_argument("--output", default="report.html", help="ends in .html; the same as .md is written beside it")
    sub.add_argument("--rel_info", help="JSON of relation id -> readable name")
    sub.add_argument("--worst", type=int, default=50, help="how many of the least trusted labels to show")
    sub.add_argument("--missing", metavar="FILE", help="missing_labels.parquet of stage 1, whose best facts are to be "
                     "shown, too")  # fmt: skip

    sub = command(clean, "clean", "Write a corpus without its untrusted labels, in DocRED's JSON or parquet.")
    _add_order_and_documents(sub)
    sub.add_argument("output", help=f"where to write what is left: {OUTPUT}")
    amount = sub.add_mutually_exclusive_group(required=True)
    amount.add_argument("--threshold", type=float, help="keep labels of this trust (0 to 1) or more")
    amount.add_argument("--share", type=float, help="keep this share (0 to 1) of the labels, the most trusted")
    sub.add_argument("--drop_unknown", action="store_true", help="drop labels that the learning order does not know")
    sub.add_argument("--skip_invalid", action="store_true", help="leave invalid documents out")

    _add_review_commands(command(review, "review", "Have people judge labels, and take in what they say."))

    sub = command(synthesize, "synthesize", "Generate an example corpus whose label noise is known.")
    sub.add_argument("folder", help="where to write it")
    sub.add_argument("--num_documents", type=int, default=600, help="silver documents")
    sub.add_argument("--seed", type=_seed, default=0, help="another seed, another world")

    _add_predict_options(command(predict, "predict", "Find the triples of texts or documents with a relation model."))

    sub = command(demo, "demo", "Serve a page on this machine that shows the triples of a text.")
    sub.add_argument("model", help="output folder of run_finetune.py, or a Hub id")
    _add_base_model(sub)
    sub.add_argument("--recogniser", help=RECOGNISER)
    sub.add_argument("--device", help="where the model runs, such as cuda:0")
    sub.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines see it, too")
    sub.add_argument("--port", type=int, default=7860, help="where it is served (default 7860)")

    sub = command(export, "export", "Write an encoder or a relation model for onnxruntime.")
    sub.add_argument("model", help="folder or Hub id of an encoder, a relation model or an adapter")
    sub.add_argument("--output_dir", required=True, help="folder to write; an earlier export there is replaced")
    sub.add_argument(
        "--quantize", action="store_true", help="weights in int8: smaller and faster, a little less exact"
    )
    _add_base_model(sub)

    sub = command(card, "card", "Make the model card of an output folder again, from what its run noted there.")
    sub.add_argument("folder", help="output folder of a run_*.py script")
    sub.add_argument("--write", action="store_true", help="into the folder's README.md, in place of stdout")

    sub = command(push, "push", "Upload the output folder of a run to the Hub, as --push_to_hub does at its end.")
    sub.add_argument("folder", help="output folder of a run_*.py script that has ended")
    sub.add_argument("--hub_model_id", help="name on the Hub, such as organisation/name (default: the run's, or the "
                     "folder's, under your own)")  # fmt: skip
    sub.add_argument("--hub_private_repo", action="store_true", help="where it is new, only for those it is shared "
                     "with")  # fmt: skip
    sub.add_argument("--hub_revision", help="branch (default main)")
    sub.add_argument("--repo_type", choices=["model", "dataset"], help="of stage 1: the classifier, or the learning "
                     "order (default)")  # fmt: skip
    sub.add_argument("--push_report", action="store_true", help="also what quotes documents, of stage 1")

    sub = command(score, "score", "Score predictions in DocRED's submission format.")
    sub.add_argument("predictions", help="JSON list of {title, h_idx, t_idx, r}")
    sub.add_argument("gold", help="labelled documents")
    sub.add_argument("--train_file", help="training documents, whose facts Ign F1 ignores")
    return parser


def _add_review_commands(sub: ArgumentParser) -> None:
    commands = sub.add_subparsers(required=True, metavar="export|import")
    text = "Write labels as tasks for people: the least trusted ones, with others drawn at random among them."
    export = commands.add_parser("export", help=text, description=text)
    export.set_defaults(run=review_export)
    _add_order_and_documents(export)
    export.add_argument("tasks", help="file to write: .json (label-studio), .csv (csv) or .jsonl (argilla)")
    export.add_argument(
        "--tool", choices=["label-studio", "csv", "argilla"], required=True, help="who shows the tasks"
    )
    export.add_argument("--worst", type=int, default=200, help="how many of the least trusted labels (default 200)")
    export.add_argument("--random", type=int, default=50, help="how many of all others, at random (default 50)")
    export.add_argument("--strategy", choices=["trust", "diverse", "relation"], default="trust", help="the worst: by "
                        "trust alone; no two alike or of one document; or in turns over relations")  # fmt: skip
    export.add_argument("--missing", metavar="FILE", help="missing_labels.parquet of stage 1, whose best facts are to "
                        "be judged, too")  # fmt: skip
    export.add_argument("--candidates", type=int, default=100, help="how many of them (default 100)")
    export.add_argument("--rel_info", help="JSON of relation id -> readable name")
    export.add_argument("--seed", type=_seed, default=0, help="another seed draws other labels")
    text = "Read verdicts and write the corrected corpus; tells how many labels of the whole corpus are wrong."
    sub = commands.add_parser("import", help=text, description=text)
    sub.set_defaults(run=review_import)
    sub.add_argument("judged", help="filled-in CSV, export of Label Studio or Argilla, or verdicts.json of a report")
    sub.add_argument("documents", help=f"the documents whose labels were judged: {SOURCE}")
    sub.add_argument("output", help=f"where to write the corrected documents: {OUTPUT}")
    sub.add_argument("--verdicts", metavar="FILE", help="where to write the verdicts as parquet, for --verdicts of "
                     "run_denoise.py")  # fmt: skip
    sub.add_argument("--order", help="learning order that is to know the verdicts")
    sub.add_argument("--order_output", metavar="FILE", help="where to write it with them")
    sub.add_argument("--report", metavar="FILE", help="where to write all figures as JSON")
    sub.add_argument("--rel_info", help="JSON of relation id -> readable name")
    sub.add_argument("--format", help="format of the documents, where their content does not tell")
    sub.add_argument("--split", help="split of a Hub dataset")
    _add_reading_options(sub)
    sub.add_argument("--skip_unknown", action="store_true", help="pass over verdicts of labels that are not there")


def _add_order_and_documents(sub: ArgumentParser) -> None:
    sub.add_argument("order", help="learning order of stage 1, parquet or JSON")
    sub.add_argument("documents", help=f"the documents it was made from: {SOURCE}")
    sub.add_argument(
        "--score",
        default="evidence",
        help="score to trust labels by (default evidence; docs/denoising.md lists all)",
    )
    sub.add_argument("--format", help="format of the documents, where their content does not tell")
    sub.add_argument("--split", help="split of a Hub dataset")
    _add_reading_options(sub)


def _add_base_model(sub: ArgumentParser) -> None:
    sub.add_argument("--base_model", help="the encoder of an adapter, where it is no longer where the adapter says")


def _add_predict_options(sub: ArgumentParser) -> None:
    sub.add_argument("model", help="output folder of run_finetune.py, or a Hub id")
    sub.add_argument("input", help="texts: .txt, one a line, or JSON Lines; or documents in any supported format")
    sub.add_argument("output", help="ends in .jsonl, and is gone on with after a stop; - for stdout")
    _add_base_model(sub)
    sub.add_argument("--recogniser", help=RECOGNISER)
    sub.add_argument("--text_key", default="text", help="key of the text in JSON Lines (default text)")
    sub.add_argument("--whole", action="store_true", help="a .txt file is one text")
    sub.add_argument("--format", help="format of documents, where their content does not tell")
    sub.add_argument("--batch_size", type=int, default=8, help="documents a forward pass (default 8)")
    sub.add_argument("--threshold", type=float, help="on a relation's score, in place of the fitted one")
    sub.add_argument("--skip_invalid", action="store_true", help="write nothing of what cannot be read")
    sub.add_argument("--html", metavar="FILE", help="also a page that shows the first 200 texts with their triples")
    sub.add_argument("--device", help="where the model runs, such as cuda:0")
    _add_ray_options(sub, "predict", "one on each GPU, or each core")


def _add_ray_options(sub: ArgumentParser, verb: str, default: str) -> None:
    sub.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help=f"{verb} on a Ray cluster: at an "
                     "address, or that of this machine, or one that is started here")  # fmt: skip
    sub.add_argument("--ray_workers", type=int, help=f"workers on it at most (default: {default})")


def _add_reading_options(sub: ArgumentParser) -> None:
    sub.add_argument("--columns", nargs="+", metavar="ROLE=NAME", help="columns of a table by name: sentence=Satz "
                     "head=Kopf tail=Ende")  # fmt: skip
    sub.add_argument("--label_map", metavar="FILE", help="relations of free relation names, as JSON, CSV or TSV; "
                     "other labels are left out")  # fmt: skip


def _reading_options(args: Namespace) -> dict[str, Any]:
    """Keyword arguments of the readers."""
    from finecl_hf.data.column_names import parse_columns

    told = {name: getattr(args, name) for name in ("format", "split") if hasattr(args, name)}
    return {**told, "columns": parse_columns(args.columns, "--columns"), "label_map": args.label_map}


def _add_doctor_options(sub: ArgumentParser) -> None:
    sub.add_argument("train", help=f"training documents: {SOURCE}")
    sub.add_argument("dev", nargs="?", help="validation documents")
    sub.add_argument("test", nargs="?", help="test documents, labelled or not")
    sub.add_argument("--model", "--model_name_or_path", help="the encoder: a folder or Hub id; without it, only the "
                     "files are looked at")  # fmt: skip
    sub.add_argument("--task", choices=["document", "sentence"], help="by default what the training documents are")
    sub.add_argument("--rel_info", help="JSON of relation id -> readable name: the label set")
    sub.add_argument("--max_seq_length", type=int, help="tokens that the encoder is to read at a time")
    sub.add_argument("--no_overfit", action="store_true", help="do not learn a few documents by heart")
    sub.add_argument("--overfit_seconds", type=_number_of("seconds"), default=60.0,
                     help="most seconds for it (default 60)")  # fmt: skip
    sub.add_argument("--seed", type=_seed, default=0, help="of the model that does it")
    sub.add_argument("--json", metavar="FILE", help="where to write the findings, with all figures")
    _add_reading_options(sub)


def _number_of(unit: str) -> Callable[[str], float]:
    """The type of an option that takes some number of a unit, up to a million."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value <= 1e6:
            raise ArgumentTypeError(f"{text} is no number of {unit} above 0 and up to a million")
        return value

    return parse


def _add_project_options(sub: ArgumentParser) -> None:
    sub.add_argument("--documents", required=True, help="documents to label; labels in them are ignored")
    sub.add_argument("--knowledge_base", required=True, nargs="+", help="labelled documents, or a table of triples: "
                     "TSV, CSV, parquet or JSON Lines, in one or several files")  # fmt: skip
    sub.add_argument("--output", required=True, help="where to write the silver documents")
    sub.add_argument("--report", help="where to write coverage, counts and ambiguous names as JSON")
    sub.add_argument("--rel_info", help="JSON object of readable relation names, for the report")
    sub.add_argument("--relations", nargs="+", help="project only these: ids, or one file of them")
    sub.add_argument("--exclude_file", nargs="+", action="extend", default=[], help="test documents, whose entity "
                     "pairs get no label; may be given several times")  # fmt: skip
    sub.add_argument("--drop_unlabelled", action="store_true", help="leave out documents without any label")
    sub.add_argument("--skip_invalid", action="store_true", help="go on without invalid documents and rows")
    _add_ray_options(sub, "label documents", "one on each core")
    table = sub.add_argument_group("triple tables")
    table.add_argument("--knowledge_base_format", choices=["documents", "tsv", "csv", "parquet", "jsonl"],
                       help="where the content does not tell")  # fmt: skip
    table.add_argument("--columns", nargs=3, metavar=("HEAD", "RELATION", "TAIL"), help="names of the columns")
    table.add_argument("--match", choices=["name", "id", "auto"], default="auto", help="entities by name or by kb_id")
    table.add_argument("--aliases", help="lines of id<TAB>alias: ids for entities that have only names")
    table.add_argument("--ambiguous", choices=["keep", "drop"], default="keep", help="aliases of several ids")
    table.add_argument("--memory_gb", type=_number_of("gigabytes"), default=4.0,
                       help="memory that the join may take (default 4)")  # fmt: skip
    table.add_argument("--temp_dir", help="folder for what does not fit into it (default: the output's)")


def validate(args: Namespace) -> int:
    from finecl_hf.data.notes import Notes, counted
    from finecl_hf.data.problems import kind_of_problem
    from finecl_hf.data.readers import iter_documents

    valid = entities = mentions = 0
    relations: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    notes = Notes()
    items = iter_documents(args.file, notes=notes, **_reading_options(args))
    for item in _with_last_words(items):
        if isinstance(item, DocumentError):
            print(item)
            kinds[kind_of_problem(item)] += 1
            continue
        valid += 1
        entities += len(item.entities)
        mentions += sum(map(len, item.entities))
        relations.update(fact.relation for fact in item.relations)
    print(
        f"{args.file}: {counted(valid, 'valid document')} with {counted(entities, 'entity', 'entities')}, "
        f"{counted(mentions, 'mention')} and {counted(relations.total(), 'fact')} of "
        f"{counted(len(relations), 'relation')}; {counted(kinds.total(), 'problem')}."
    )
    if valid and not relations:
        print(
            "No document says a relation; to train or score, it has to (key `labels`; of a table, column `relation`)."
        )
    for kind, count in kinds.most_common():
        print(f"{count:>8,} x {kind}")
    _tell_left_out(notes)
    return 1 if kinds else 0


def doctor(args: Namespace) -> int:
    from finecl_hf.data.files import refuse_overwriting, replacing
    from finecl_hf.data.health import WRONG, as_json, data_findings, report
    from finecl_hf.data.readers import local_files
    from finecl_hf.data.relation_names import read_relation_names
    from finecl_hf.data.tally import Tally

    files = [(role, path) for role in ("train", "dev", "test") if (path := getattr(args, role)) is not None]
    if "" in dict(files).values():  # of a variable of a script that is not set
        raise FineCLError("the name of a file is empty; give the training, validation and test documents in order.")
    names = read_relation_names(args.rel_info)
    if args.json:
        refuse_overwriting(
            args.json, [args.rel_info, args.label_map, *(file for _, path in files for file in local_files(path))]
        )
    reading, tallies = _reading_options(args), []
    for role, path in files:
        _tell(f"Reading {path} ...")
        tallies.append(Tally.of_file(role, path, **reading))
        reading["label_map"] = None  # as in training, which maps the labels of the training documents
    task = args.task or ("sentence" if tallies[0].all_sentences else "document")
    findings = data_findings(tallies, task, names)
    if args.model:
        from finecl_hf.encoding.encoders import keep_bars_out_of_logs
        from finecl_hf.extraction.doctor import encoder_findings

        keep_bars_out_of_logs()
        seconds = 0.0 if args.no_overfit else args.overfit_seconds
        findings += encoder_findings(tallies, args.model, task, args.max_seq_length, seconds, args.seed, _tell)
    print(report(findings))
    if args.json:
        with replacing(Path(args.json)) as file:
            file.write(json.dumps(as_json(findings), ensure_ascii=False, indent=1).encode())
    return 1 if any(finding.mark == WRONG for finding in findings) else 0


def _tell(text: str) -> None:
    """What goes on, beside the data on stdout."""
    print(text, file=sys.stderr)


def convert(args: Namespace) -> None:
    from finecl_hf.data.converting import convert_file
    from finecl_hf.data.files import refuse_overwriting, refuse_overwriting_further, replacing
    from finecl_hf.data.notes import counted
    from finecl_hf.data.readers import local_files

    inputs = [*local_files(args.input), args.label_map]
    refuse_overwriting(args.output, inputs)
    refuse_overwriting_further("--report", args.report, inputs, args.output)
    options = {"symmetric": args.both_ways or (), "skip_invalid": args.skip_invalid, **_reading_options(args)}
    found = convert_file(args.input, args.output, args.to, **options)
    without = ", without the invalid ones" if args.skip_invalid else ""
    print(f"Wrote {counted(found.documents, 'document')} to {args.output}{without}.")
    _tell_left_out(found.notes)
    if args.report:
        with replacing(Path(args.report)) as file:
            file.write(json.dumps(found.to_dict(), ensure_ascii=False, indent=1).encode(errors="backslashreplace"))
        print(f"Wrote {args.report}")


def _tell_left_out(notes) -> None:
    if said := str(notes):
        _tell(f"Left out or chosen: {said}.")


def project(args: Namespace) -> None:
    from finecl_hf.data.files import refuse_overwriting, refuse_overwriting_further
    from finecl_hf.data.notes import counted
    from finecl_hf.data.readers import local_files
    from finecl_hf.data.relation_names import read_relation_choice, read_relation_names
    from finecl_hf.distant.projection import ProjectionOptions, project_files

    _check_ray(args)
    names = read_relation_names(args.rel_info)
    inputs = [*local_files(args.documents), *args.knowledge_base, *args.exclude_file, args.aliases, args.rel_info]
    refuse_overwriting(args.output, inputs)
    refuse_overwriting_further("--report", args.report, inputs, args.output)
    options = ProjectionOptions(
        args.knowledge_base_format, args.columns, args.match, args.aliases, args.ambiguous,
        read_relation_choice(args.relations), args.exclude_file, args.drop_unlabelled, args.skip_invalid,
        args.memory_gb, args.temp_dir,
    )  # fmt: skip
    with _projection_on_ray(args) as spread:
        report = project_files(args.documents, args.knowledge_base, args.output, options, spread)
    print(
        f"Wrote {counted(report.written_documents, 'document')}, {report.labelled_documents:,} of them with labels, "
        f"to {args.output}: {counted(report.labels.total(), 'label')} of {counted(len(report.labels), 'relation')}."
    )
    print(report.to_text(names))
    if args.report:
        report.write(Path(args.report), names)
        print(f"Wrote {args.report}")


@contextmanager
def _projection_on_ray(args: Namespace):
    """What labels the documents of `project`: a Ray cluster, or, for None, this process."""
    if args.ray is None:
        yield None
        return
    from finecl_hf.data.ray_cluster import ray_cluster
    from finecl_hf.distant.ray_projection import RayProjection

    with ray_cluster(args.ray):
        yield RayProjection(args.ray_workers)


def flip(args: Namespace) -> None:
    from finecl_hf.data.files import refuse_overwriting, refuse_overwriting_further, replacing
    from finecl_hf.data.notes import counted
    from finecl_hf.data.readers import local_files, read_documents, write_documents
    from finecl_hf.synthetic.label_flips import flip_labels

    inputs = [*local_files(args.input), args.label_map]
    refuse_overwriting(args.output, inputs)
    refuse_overwriting_further("--truth", args.truth, inputs, args.output)
    documents = read_documents(args.input, **_reading_options(args))
    if not any(document.relations for document in documents):
        raise FineCLError(f"{args.input}: the documents have no labels to flip; name a labelled file.")
    noisy, is_clean = flip_labels(documents, args.rate, args.kind, args.seed)
    write_documents(noisy, args.output)
    if args.truth:
        with replacing(Path(args.truth)) as file:
            file.write(json.dumps(is_clean, ensure_ascii=False).encode())
    flipped = len(is_clean) - sum(is_clean.values())
    of_all, documents = counted(len(is_clean), "label"), counted(len(noisy), "document")
    print(f"Flipped {flipped:,} of {of_all}; wrote {documents} to {args.output}.")


def merge_orders(args: Namespace) -> None:
    from finecl_hf.data.files import refuse_overwriting
    from finecl_hf.learning_order.table import LearningOrder

    refuse_overwriting(args.output, args.inputs)
    if not args.output.endswith((".parquet", ".json")):
        raise FineCLError(f"{args.output}: the name must end in .parquet or .json.")
    tables = (LearningOrder.read(path) for path in args.inputs)
    merged = LearningOrder.merge(tables, args.on_conflict, args.calibrate)
    merged.write(args.output)
    print(merged.summary())
    print(f"Wrote {args.output}")


def report(args: Namespace) -> None:
    from finecl_hf.denoising.report import report_files

    options = {name: getattr(args, name) for name in ("score", "rel_info", "worst", "missing")}
    coverage = report_files(args.order, args.documents, args.output, **options, **_reading_options(args))
    print(f"Wrote {args.output} and {Path(args.output).with_suffix('.md')}; {coverage}.")
    if coverage.share < 0.5:
        print("warning: was the learning order made from these documents?", file=sys.stderr)


def clean(args: Namespace) -> None:
    from finecl_hf.denoising.cleaning import clean_files

    names = ("threshold", "share", "drop_unknown", "skip_invalid")
    options = {name: getattr(args, name) for name in names} | _reading_options(args)
    counts = clean_files(args.order, args.documents, args.output, args.score, **options)
    print(f"Wrote {args.output}: {counts}")


def review(args: Namespace) -> None:
    """Never called: one of the two below takes its place."""


def review_export(args: Namespace) -> None:
    from finecl_hf.review.exporting import export_files

    names = ("worst", "random", "strategy", "score", "rel_info", "seed", "missing", "candidates")
    options = {name: getattr(args, name) for name in names} | _reading_options(args)
    print(export_files(args.order, args.documents, args.tasks, args.tool, **options))


def review_import(args: Namespace) -> None:
    from finecl_hf.review.importing import import_files

    names = ("verdicts", "order", "order_output", "report", "rel_info", "skip_unknown")
    options = {name: getattr(args, name) for name in names} | _reading_options(args)
    found, counts = import_files(args.judged, args.documents, args.output, **options)
    print(found)
    print(f"Wrote {args.output}: {counts}")
    for path in filter(None, (args.verdicts, args.order_output, args.report)):
        print(f"Wrote {path}")


def synthesize(args: Namespace) -> None:
    from finecl_hf.synthetic.corpus import generate_corpus, write_corpus

    if args.num_documents < 1:
        raise FineCLError(f"--num_documents {args.num_documents} is out of range; ask for at least 1.")
    corpus = generate_corpus(num_documents=args.num_documents, seed=args.seed)
    write_corpus(corpus, args.folder)
    for name, value in corpus.statistics().items():
        print(f"{name.replace('_', ' '):<24}{value:>8,.5g}")
    print(f"Wrote {args.folder}")


def predict(args: Namespace) -> int:
    from finecl_hf.data.files import refuse_overwriting
    from finecl_hf.data.notes import counted
    from finecl_hf.data.readers import local_files

    if args.batch_size < 1:
        raise FineCLError(f"--batch_size {args.batch_size} is out of range; give at least 1.")
    if args.threshold is not None and math.isnan(args.threshold):
        raise FineCLError("--threshold nan is no number; leave it away for the fitted one.")
    if args.html:
        if args.output == "-":
            raise FineCLError("--html is made from the output's file; name one in place of -.")
        if not args.html.endswith((".html", ".htm")) or Path(args.html).is_dir():
            raise FineCLError(f"--html {args.html}: name a file that ends in .html.")
        refuse_overwriting(args.html, [*local_files(args.input), args.recogniser])
    elif args.output != "-":
        refuse_overwriting(args.output, local_files(args.input))
    local_files(args.input)
    _check_ray(args)
    from finecl_hf.encoding.encoders import keep_bars_out_of_logs
    from finecl_hf.extraction.prediction_files import PredictOptions, predict_file
    from finecl_hf.extraction.relation_page import write_page

    keep_bars_out_of_logs()
    extract = _pipeline(args, args.device if args.ray is None else "cpu")  # where it only tells which model it is
    options = PredictOptions(
        args.text_key, args.batch_size, args.threshold, args.format, args.whole, args.skip_invalid
    )
    try:
        with _lines_of(args, extract) as lines:
            written, invalid = predict_file(extract, args.input, args.output, options, args.recogniser, lines)
    except KeyboardInterrupt:
        _tell("Stopped; the same command goes on where this one stopped.")
        return 130
    why = f" (their `error` in {args.output} says why)" if invalid else ""
    _tell(f"Wrote {counted(written, 'line')} to {args.output}; {counted(invalid, 'input')} could not be read{why}.")
    if args.html:
        _tell(f"Wrote {args.html}: {write_page(args.output, args.html)}")
    return 1 if invalid and not args.skip_invalid else 0


def _check_ray(args: Namespace) -> None:
    if args.ray_workers is None:
        return
    if args.ray is None:
        raise FineCLError("--ray_workers is about a Ray cluster; give --ray, too.")
    if args.ray_workers < 1:
        raise FineCLError(f"--ray_workers {args.ray_workers} is out of range; give at least 1.")


@contextmanager
def _lines_of(args: Namespace, extract):
    """What makes the lines of `predict`: a Ray cluster, or, for None, this process."""
    if args.ray is None:
        yield None
        return
    from finecl_hf.data.ray_cluster import ray_cluster
    from finecl_hf.extraction.ray_prediction import RayPrediction

    with ray_cluster(args.ray):
        yield RayPrediction(
            extract, args.model, args.recogniser, args.device, args.ray_workers, base_model=args.base_model
        )


def _pipeline(args: Namespace, device: str | None):
    """What extracts triples, by the options that `predict` and `demo` share."""
    from finecl_hf.extraction.pipeline import RelationExtractionPipeline

    reading = {"recogniser": args.recogniser, "base_model": args.base_model}
    return RelationExtractionPipeline.from_pretrained(args.model, device=device, **reading)


def demo(args: Namespace) -> None:
    if not 0 < args.port < 1 << 16:
        raise FineCLError(f"--port {args.port} is out of range; give one from 1 to 65535.")
    from finecl_hf.encoding.encoders import keep_bars_out_of_logs
    from finecl_hf.extraction.demo import serve

    keep_bars_out_of_logs()
    serve(_pipeline(args, args.device), Path(args.model).name, args.host, args.port)


def export(args: Namespace) -> None:
    from finecl_hf.encoding.encoders import keep_bars_out_of_logs
    from finecl_hf.extraction.onnx_export import export_onnx

    keep_bars_out_of_logs()
    made = export_onnx(args.model, args.output_dir, args.quantize, base_model=args.base_model)
    print(
        f"Wrote {made.folder} ({'int8' if args.quantize else 'float32'}, {made.megabytes:,.1f} MB); its hidden states "
        f"differ from torch's by {made.deviation:.2%}, in root mean square."
    )


def card(args: Namespace) -> None:
    from finecl_hf.cards.card_file import CARD, read_card
    from finecl_hf.cards.model_card import render_model_card

    made = render_model_card(read_card(args.folder))
    if args.write:
        path = Path(args.folder, CARD)
        made.save(path)
        print(f"Wrote {path}")
    else:
        sys.stdout.write(str(made))


def push(args: Namespace) -> None:
    from finecl_hf.cards.pushing import Destination, read_arguments
    from finecl_hf.denoising.uploading import push_folder
    from finecl_hf.encoding.encoders import keep_bars_out_of_logs

    keep_bars_out_of_logs()
    folder = Path(args.folder)
    run = read_arguments(folder)
    destination = Destination(
        args.hub_model_id or run.get("hub_model_id") or folder.resolve().name,
        args.repo_type or "",
        args.hub_private_repo or run.get("hub_private_repo"),
        args.hub_revision or run.get("hub_revision"),
    )
    print(f"Uploaded {args.folder} to {push_folder(folder, destination, args.push_report)}")


def score(args: Namespace) -> None:
    from finecl_hf.data.json_stream import read_json
    from finecl_hf.data.readers import read_documents
    from finecl_hf.metrics import docred_scores, predicted_titles

    predictions = read_json(args.predictions)
    if not isinstance(predictions, list):
        raise FineCLError(f"{args.predictions}: expected a list of {{title, h_idx, t_idx, r}}.")
    gold = read_documents(args.gold)
    if not any(document.labelled for document in gold):
        raise FineCLError(f"{args.gold}: the documents have no labels to score against; name a labelled file.")
    train = read_documents(args.train_file) if args.train_file else None
    scores = docred_scores(predictions, gold, train)
    if not any(fact.get("evidence") for fact in predictions):
        del scores["evidence_f1"]  # zero would look like a result
    print(json.dumps(scores, indent=2))
    titles = predicted_titles(predictions)
    if unknown := titles - {document.title for document in gold}:
        print(
            f"warning: {len(unknown):,} of {len(titles):,} predicted titles are unknown to {args.gold}, such as "
            f'"{min(unknown)[:60]}"; their predictions count as wrong.', file=sys.stderr,
        )  # fmt: skip


def _with_last_words(items: Iterator) -> Iterator:
    """The items; an error that stops the reader after some of them, such as a file cut off, is one more item."""
    started = False
    try:
        for item in items:
            started = True
            yield item
    except DocumentError as error:
        if not started:
            raise
        yield error


if __name__ == "__main__":
    sys.exit(main())
