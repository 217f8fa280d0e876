"""The command line: it parses, calls and prints, and decides nothing."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from .errors import IsotoneError, MissingExtra

try:
    import typer
except ModuleNotFoundError:  # the only import that must not end in a traceback
    sys.exit(str(MissingExtra("typer", "cli")))

app = typer.Typer(
    help="Detectors that additions cannot evade: train, prove, attack, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[Path, typer.Argument(help="A model folder, made by `isotone train`.")]
Data = Annotated[Path, typer.Argument(help="CSV, TSV, Parquet, JSONL or SVMlight (also .gz).")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")]
# What `train` and `headroom` both ask of a table.
Adds = Annotated[list[str] | None, typer.Option(help="Features (names, globs) an attacker can add; default: all.")]
Removes = Annotated[list[str] | None, typer.Option(help="... can remove or lower.")]
Sets = Annotated[list[str] | None, typer.Option(help="... sets at will: no detector looks at them.")]
Trusted = Annotated[list[str] | None, typer.Option(help="... cannot touch; once given, every feature needs a role.")]
ThreatFile = Annotated[Path | None, typer.Option(help="These four from a file of TOML instead.")]
Positive = Annotated[str | None, typer.Option(help="Which label is the bad one.")]
Text = Annotated[str | None, typer.Option(help="A column of texts; its words (A-Z, 0-9, $, !, %) become features.")]
Names = Annotated[str | None, typer.Option(help="A column of lists of names; in CSV 'a b', 'a;b' or '[\"a\", \"b\"]'.")]
Columns = Annotated[list[str] | None, typer.Option(help="Columns of numbers (default: all others).")]
Ignored = Annotated[list[str] | None, typer.Option(help="Columns, or globs, to leave out.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the model and its report.")] = Path("isotone-demo"),
    quiet: Quiet = False,
) -> None:
    """The whole story on real programs, in minutes: train, attack, prove, report."""
    from . import workflow  # noqa: PLC0415 - heavy, and `--help` should not wait for it
    from .model_folder import writable  # noqa: PLC0415

    writable(out, replace=True)
    with _progress(quiet) as progress:
        folder = workflow.demo(progress)
    _finish(folder, folder.save(out, replace=True))


@app.command()
def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
    data: Annotated[
        Path | None, typer.Argument(help="CSV, TSV, Parquet, JSONL or SVMlight (also .gz).", show_default=False)
    ] = None,
    label: Annotated[str | None, typer.Option(help="The column of labels: 0 and 1, or two words.")] = None,
    raw: Annotated[
        Path | None, typer.Option("--bytes", help="A folder of raw files in place of DATA, with --labels.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="With --bytes: CSV with columns path, label (0 or 1) and, if known, group.")
    ] = None,
    adds: Adds = None,
    removes: Removes = None,
    sets: Sets = None,
    trusted: Trusted = None,
    threat: ThreatFile = None,
    positive: Positive = None,
    text: Text = None,
    names: Names = None,
    column: Columns = None,
    ignore: Ignored = None,
    group: Annotated[str | None, typer.Option(help="Rows with the same value stay on one side.")] = None,
    time: Annotated[str | None, typer.Option(help="Train on the oldest rows, test on the newest.")] = None,
    id_column: Annotated[list[str] | None, typer.Option("--id", help="Columns that name a row.")] = None,
    max_false_alarms: Annotated[float, typer.Option(help="Share of benign rows that may be alarms.")] = 0.01,
    min_rows: Annotated[int, typer.Option(help="A name in fewer training rows is no feature.")] = 5,
    guarded: Annotated[bool, typer.Option("--guarded", help="A free lane beside a monotone floor.")] = False,
    max_clean_loss: Annotated[
        float, typer.Option(help="With --guarded: most clean detection given up for the floor.")
    ] = 0.01,
    seeds: Annotated[int, typer.Option(help="Trainings; the figures show their spread.", min=1)] = 1,
    boosters: Annotated[bool, typer.Option(help="Put LightGBM beside it, monotone and not.")] = False,
    tune: Annotated[
        float | None, typer.Option(help="Minutes for a search of the networks' settings; it can be interrupted.")
    ] = None,
    replace: Annotated[bool, typer.Option(help="Replace an older model at --out.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a monotone detector and its unconstrained twin, attack both, prove the first; write a model folder."""
    from . import workflow  # noqa: PLC0415
    from .data import read_table  # noqa: PLC0415
    from .experiment import Question  # noqa: PLC0415
    from .model_folder import writable  # noqa: PLC0415
    from .tuning import Tuning  # noqa: PLC0415

    if raw is not None or labels is not None:
        _train_bytes(context, raw, labels, out, max_false_alarms, replace=replace, quiet=quiet)
        return
    if data is None or label is None:
        raise typer.BadParameter("Missing DATA with --label, or --bytes with --labels.")
    _refuse_both(context, guarded=guarded)
    place = writable(out, replace=replace)
    tuning = None if tune is None else Tuning(tune, place.with_name(f".{place.name}.tuning"))
    question = Question(
        label=label,
        positive=positive,
        text=text,
        names=names,
        columns=None if column is None else tuple(column),
        ignore=tuple(ignore or ()),
        group=group,
        threat=_threat(threat, adds, removes, sets, trusted),
        max_false_alarm_rate=max_false_alarms,
        min_rows=min_rows,
        identify=tuple(id_column or ()),
        time=time,
    )
    table = read_table(data)
    if guarded:
        from .guarding import train_guarded  # noqa: PLC0415

        with _progress(quiet) as progress:
            found = train_guarded(table, question, name=data.name, max_clean_loss=max_clean_loss, progress=progress)
        _finish(found, found.save(out, replace=replace))
        return
    with _progress(quiet) as progress:
        folder = workflow.train_folder(
            table,
            question,
            name=data.name,
            seeds=range(seeds),
            boosters=boosters,
            progress=progress,
            checkpoint=place.with_name(f".{place.name}.training"),
            tuning=tuning,
        )
    _finish(folder, folder.save(out, replace=replace))


def _given(context: typer.Context) -> set[str]:
    """What stands on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def _refuse_both(context: typer.Context, *, guarded: bool) -> None:
    """What only one of the two ways to train knows of, and would be left out without a word."""
    others = {"tune", "seeds", "boosters"} if guarded else {"max_clean_loss"}
    if strange := sorted(others & _given(context)):
        option = "--" + strange[0].replace("_", "-")
        said = "is for networks alone; leave one of both out" if guarded else "is for --guarded; say it too"
        raise typer.BadParameter(f"{option} {said}.")


def _train_bytes(
    context: typer.Context,
    raw: Path | None,
    labels: Path | None,
    out: Path,
    rate: float,
    *,
    replace: bool,
    quiet: bool,
) -> None:
    from .byte_files import train_byte_detector  # noqa: PLC0415
    from .model_folder import ByteFolder, writable  # noqa: PLC0415

    known = {"raw", "labels", "out", "max_false_alarms", "replace", "quiet"}
    if raw is None or labels is None or (more := sorted(_given(context) - known)):
        said = f"{more[0]} came with them" if raw and labels else "one came without the other"
        raise typer.BadParameter(f"--bytes and --labels: {said}; both, with --out and --max-false-alarms, are right.")
    writable(out, replace=replace)
    with _progress(quiet) as progress:
        detector = train_byte_detector(raw, labels, max_false_alarm_rate=rate, progress=progress)
    folder = ByteFolder.proved(detector)
    place = folder.save(out, replace=replace)
    typer.echo(folder.told())
    typer.echo(f"model   {place}")


@app.command()
def score(
    model: Model,
    data: Annotated[
        Path,
        typer.Argument(
            help="CSV, TSV, Parquet, JSONL, SVMlight; - is JSONL on standard input. Raw files: a file or a folder."
        ),
    ],
    id_column: Annotated[str | None, typer.Option("--id", help="A column that names the rows.")] = None,
    reasons: Annotated[bool, typer.Option("--reasons", help="Why each alarm, and a few facts that suffice.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table instead of JSON lines.")] = False,
) -> None:
    """Scores of a file of any size, one JSON record a line. A row that cannot be read is an alarm, with its error.

    Exit code: 0 if every row could be read, 3 if not.
    """
    from .model_folder import holds_bytes, load  # noqa: PLC0415
    from .scoring import Tally, score_records  # noqa: PLC0415

    if holds_bytes(model):
        if as_csv or id_column is not None:
            raise typer.BadParameter("--csv and --id are for tables; a model of raw files gives JSON lines.")
        _score_files(model, data, reasons=reasons)
    folder = load(model)
    for change in folder.changes():
        typer.echo(f"the certificate is void, no alarm is called certified: {change}", err=True)
    if as_csv and reasons:
        raise typer.BadParameter("--reasons are in JSON lines; --csv is a table without them.")
    tally = Tally()
    if as_csv:
        _score_table(folder, data, id_column, tally)
    else:
        for lines in score_records(folder, data, id_column, reasons=reasons, tally=tally):
            sys.stdout.write(lines)
            if str(data) == "-":
                sys.stdout.flush()  # whoever waits at the other end of the pipe has asked for these rows
    typer.echo(str(tally), err=True)
    raise typer.Exit(3 if tally.failed else 0)


def _score_files(model: Path, place: Path, *, reasons: bool) -> None:
    from .model_folder import ByteFolder, FileTally, file_records  # noqa: PLC0415

    folder, tally = ByteFolder.load(model), FileTally()
    for change in folder.changes():
        typer.echo(f"the certificate is void, no alarm is called certified: {change}", err=True)
    for line in file_records(folder, place, reasons=reasons, tally=tally):
        sys.stdout.write(line)
    typer.echo(str(tally), err=True)
    raise typer.Exit(3 if tally.failed else 0)


def _score_table(folder: Any, data: Path, id_column: str | None, tally: Any) -> None:
    from .scoring import score_file  # noqa: PLC0415

    rows = score_file(folder, data, id_column)
    first = next(rows, None)  # the file's faults come before the header does
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["row", "id", "score", "logit", "threshold", "alarm", "unknown_names", "error"])
    while first is not None:
        # To the last digit: a row at the threshold would look like one on its other side.
        shown = ["" if value is None else repr(float(value)) for value in (first.score, first.logit)]
        writer.writerow(
            [first.row, first.id, *shown, repr(float(folder.threshold)), int(first.alarm), first.unknown, first.error]
        )
        if str(data) == "-":
            sys.stdout.flush()
        if first.error:
            typer.echo(f"row {first.row}: {first.error}; it counts as an alarm", err=True)
        tally.rows, tally.alarms, tally.failed = (
            tally.rows + 1,
            tally.alarms + first.alarm,
            tally.failed + bool(first.error),
        )
        first = next(rows, None)


@app.command()
def calibrate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="Fresh benign rows: CSV, TSV, Parquet, JSONL, SVMlight.")],
    rate: Annotated[float, typer.Option(help="Share of benign rows that may be alarms.")] = 0.01,
    out: Annotated[Path | None, typer.Option(help="A new folder (default: in place, with a backup).")] = None,
    replace: Annotated[bool, typer.Option(help="Replace an older model at --out.")] = False,
) -> None:
    """Set the threshold anew from benign rows, without retraining. The proof stays: it holds at every threshold."""
    from . import calibrating  # noqa: PLC0415
    from .model_folder import load, writable  # noqa: PLC0415
    from .report import write  # noqa: PLC0415

    folder = load(model)
    if out is not None:
        writable(out, replace=replace)
    done = calibrating.calibrate(folder, data, rate)
    place = model if out is None else out
    backup = calibrating.save_in_place(done.folder, model) if out is None else None
    if out is not None:
        done.folder.save(out, replace=replace)
    typer.echo(str(done))
    typer.echo(f"model         {place}")
    typer.echo(f"report        {write(done.folder.facts, place / 'report.html')}")
    if backup is not None:
        typer.echo(f"backup        {backup}")


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="The model folder in use.")],
    new: Annotated[Path, typer.Argument(help="The model folder that may replace it.")],
    data: Data,
    label: Annotated[str | None, typer.Option(help="The column of labels (default: the model's, if there).")] = None,
    time: Annotated[str | None, typer.Option(help="A column of times: figures by month.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="A column that names the rows.")] = None,
    most_negative_flips: Annotated[
        int | None, typer.Option(help="With more of them the exit code is 1.", min=0)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The comparison as JSON.")] = False,
) -> None:
    """What changes if one model replaces another: bad rows that are no longer caught, new false alarms, drift.

    Exit code: 0; 1 if there are more negative flips than allowed. Without labels every lost alarm counts as one.
    """
    from . import comparing  # noqa: PLC0415
    from .model_folder import load  # noqa: PLC0415

    found = comparing.compare(load(old), load(new), data, label=label, time=time, id_column=id_column)
    typer.echo(found.to_json() if as_json else str(found))
    many = most_negative_flips is not None and found.lost > most_negative_flips
    raise typer.Exit(1 if many else 0)


@app.command()
def attack(
    model: Model,
    data: Data,
    seed: Annotated[int, typer.Option(help="Of the attack that draws benign rows.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Attack the bad rows of a file, and the unconstrained twin beside it: what does the guarantee buy?"""
    from . import tables, workflow  # noqa: PLC0415
    from .data import read_table  # noqa: PLC0415
    from .model_folder import ModelFolder  # noqa: PLC0415

    folder = ModelFolder.load(model)
    table = read_table(data, [folder.question.label, *folder.encoder.needs])
    with _progress(quiet) as progress:
        attempts = workflow.attack_folder(folder, table, seed=seed, progress=progress)
    _print(tables.attempts_table(attempts))
    _print(tables.curve_table(attempts))


@app.command()
def certify(
    target: Annotated[str, typer.Argument(help="A model folder, or a factory: package.module:function.")] = "",
    inputs: Annotated[
        Path | None, typer.Option(help="safetensors: an example, one tensor per input; or a stored witness.")
    ] = None,
    directions: Annotated[
        list[str] | None, typer.Option(help="Per input: +1, -1, 0, or a list such as 1,-1,0; once for all.")
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="Per input: low,high (0, is from 0 upwards) or none.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the certificate, as JSON.")] = None,
    witness: Annotated[Path | None, typer.Option(help="Write the pair that refutes, as safetensors.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="A certificate: compare its hashes, and run its proof again.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Calls of the model that the search may make.", min=0)] = None,
    seconds: Annotated[
        float | None, typer.Option(help="For branch and bound over a bounded domain (default: 10).", min=0.0)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The certificate as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Prove that a model is monotone, refute it with a pair of inputs, or say where the proof stopped.

    Exit code: 0 proved, 1 refuted, 2 unknown; 3 proved, but the folder's encoder, network, threat or threshold is not
    what its certificate covers; with --check 0 if the certificate holds, else 1; with a stored witness 1 if the score
    still falls, else 0.
    """
    from . import certifying  # noqa: PLC0415 - heavy, and `--help` should not wait for it

    if inputs is not None and certifying.is_witness(inputs):
        again = certifying.replay_file(inputs, target)
        typer.echo(str(again))
        raise typer.Exit(1 if again.falls else 0)
    if (proof := certifying.proved_bytes(target) or certifying.proved_floor(target)) is not None:
        if check is not None:
            said, holds = certifying.check_folder(check, target, proof)
            typer.echo(said)
            raise typer.Exit(0 if holds else 1)
        if out is not None:
            certifying.write_certificate(out, proof, target)
        _say_proof(proof, certifying.EXIT[proof.verdict], certifying.changes(target), as_json)
    found = certifying.named(target, inputs, directions or (), domain or ())
    changed = () if check is not None else certifying.changes(target)
    if check is not None:
        checked = certifying.check_again(check, found, max(seconds or 0.0, 60.0))
        typer.echo(str(checked))
        raise typer.Exit(0 if checked.holds else 1)
    with _progress(quiet) as progress:
        certificate = certifying.spending(found, budget, seconds).certificate(certifying.proof_bar(progress))
    if out is not None:
        certifying.write_certificate(out, certificate, target)
    if witness is not None and certificate.witness is not None:
        certifying.keep_witness(witness, certificate, found, target)
    _say_proof(certificate, certificate.exit_code, changed, as_json)


def _say_proof(proof: Any, code: int, changed: tuple[str, ...], as_json: bool) -> None:
    typer.echo(json.dumps(proof.to_dict(), indent=1) if as_json else str(proof))
    for change in changed:
        typer.echo(f"CHANGED since its certificate was made: {change}", err=as_json)
    raise typer.Exit(code or (3 if changed else 0))


@app.command()
def audit(
    predict: Annotated[str, typer.Argument(help="file.py:name or package.module:name, or an .onnx file.")],
    data: Data,
    increasing: Annotated[list[str] | None, typer.Option(help="Features (names, globs) that may only raise.")] = None,
    decreasing: Annotated[list[str] | None, typer.Option(help="... that may only lower the score.")] = None,
    output: Annotated[str | None, typer.Option(help="Which column of several is the score: number or name.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Columns of the file that the model does not take.")] = None,
    missing: Annotated[str, typer.Option(help="A missing value is: auto, outside, lowest, highest.")] = "auto",
    budget: Annotated[float, typer.Option(help="Seconds for the search.", min=0.0)] = 30.0,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    fail_on: Annotated[str, typer.Option(help="refuted: an unknown verdict ends with 0.")] = "unknown",
    html: Annotated[Path | None, typer.Option(help="A page to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The audit as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Is this fitted model monotone? Look for two rows that show it is not; a proof for ensembles of trees.

    Exit code: 0 proved, 1 refuted, 2 unknown, and 2 where nothing could be asked.
    """
    from .auditing import audit as audited  # noqa: PLC0415
    from .auditing import directions, load, read_rows  # noqa: PLC0415

    ways = directions(increasing or (), decreasing or ())
    with _progress(quiet) as progress:
        found = audited(
            load(predict),
            read_rows(data, ignore or ()),
            ways,
            output=output,
            missing=missing,
            budget_seconds=budget,
            seed=seed,
            progress=progress,
        )
    code = found.exit_code_for(fail_on)
    typer.echo(found.to_json() if as_json else str(found))
    if html is not None:
        typer.echo(f"page  {found.to_html(html)}", err=True)
    raise typer.Exit(code)


@app.command()
def headroom(
    data: Data,
    label: Annotated[str, typer.Option(help="The column of labels: 0 and 1, or two words.")],
    adds: Adds = None,
    removes: Removes = None,
    sets: Sets = None,
    trusted: Trusted = None,
    threat: ThreatFile = None,
    rate: Annotated[list[float] | None, typer.Option(help="Shares of benign rows alarmed (0.01, 0.001).")] = None,
    against: Annotated[Path | None, typer.Option(help="A file whose benign rows stand in for those of DATA.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Rows that repeat count once.")] = False,
    positive: Positive = None,
    text: Text = None,
    names: Names = None,
    column: Columns = None,
    ignore: Ignored = None,
    min_rows: Annotated[int, typer.Option(help="A name in fewer rows is no feature.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="The bounds as JSON.")] = False,
) -> None:
    """Before any training: how much detection that no attacker can undo do these features support?"""
    from . import workflow  # noqa: PLC0415
    from .data import read_table  # noqa: PLC0415
    from .experiment import Question  # noqa: PLC0415

    question = Question(
        label=label,
        positive=positive,
        text=text,
        names=names,
        columns=None if column is None else tuple(column),
        ignore=tuple(ignore or ()),
        threat=_threat(threat, adds, removes, sets, trusted),
        min_rows=min_rows,
    )
    others = None if against is None else read_table(against)
    found = workflow.headroom_of(read_table(data), question, rate or (0.01, 0.001), against=others, once=once)
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.told())


@app.command()
def report(
    model: Model,
    out: Annotated[Path | None, typer.Option(help="The page to write (default: report.html in the folder).")] = None,
) -> None:
    """Write the HTML report of a model folder."""
    from .model_folder import load  # noqa: PLC0415
    from .report import write  # noqa: PLC0415

    typer.echo(write(load(model).facts, out or model / "report.html"))


def _threat(
    file: Path | None,
    adds: list[str] | None,
    removes: list[str] | None,
    sets: list[str] | None,
    trusted: list[str] | None,
) -> Any:
    """The threat of a file, or of the four options."""
    from .errors import BadInput  # noqa: PLC0415
    from .threat import Threat  # noqa: PLC0415

    if file is None:
        return Threat(adds or ("*",), removes or (), sets or (), trusted)
    if adds or removes or sets or trusted:
        raise BadInput("--threat", "it came with --adds, --removes, --sets or --trusted", "a file or options are right")
    return Threat.load(file)


def _finish(folder: Any, place: Path) -> None:
    from . import tables  # noqa: PLC0415
    from .report import write  # noqa: PLC0415

    page = write(folder.facts, place / "report.html")
    _print(tables.detectors_table(folder.facts))
    if sum(one["role"] == "unconstrained" for one in folder.facts["detectors"]) > 1:
        typer.echo("* the best unconstrained detector, chosen by clean detection on validation rows\n")
    typer.echo(f"{folder.facts['certificate']['verdict'].upper()}: {folder.facts['certificate']['reason']}")
    typer.echo(f"model   {place}")
    typer.echo(f"report  {page}")


def _progress(quiet: bool) -> Any:
    from .progress import Progress  # noqa: PLC0415

    return Progress(shown=not quiet)


def _print(table: Any) -> None:
    from rich.console import Console  # noqa: PLC0415

    Console().print(table)


def main() -> None:
    """The entry point: a mistake of the user's ends in one sentence, not in a traceback."""
    code: Any = 0
    try:
        try:
            app()
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()  # here, where a full disk or a closed pipe can still be answered
    except IsotoneError as fault:
        typer.echo(f"isotone: {fault}", err=True)
        code = 2
    except OSError as fault:
        # What is left in the buffer would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(fault, BrokenPipeError):  # `isotone score ... | head` wants no more, and that is all
            typer.echo(f"isotone: {fault.filename or 'standard output'}: {fault.strerror or fault}.", err=True)
            code = 2
    sys.exit(code)


if __name__ == "__main__":
    main()
