"""``surefoot demo``: the whole story on real data, from the U curve to a report."""

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surefoot._base.codec import dump_json
from surefoot._base.lazy import need
from surefoot._cli.output import JsonOption, console, say, show_facts
from surefoot._report import Section, Table, write_report
from surefoot.errors import InputError
from surefoot.plots import compare_runs, figure, learning_curves
from surefoot.records import Sensitivity

if TYPE_CHECKING:
    from surefoot._cli import demo_story as story

__all__ = ["command"]

ROLES = {"low": "low", "good": "good", "high": "high", "very high": "very_high"}


def command(
    to: Annotated[Path, typer.Option("--to", help="Folder for the runs and the report.")] = Path(
        "surefoot-demo"
    ),
    json: JsonOption = False,
) -> None:
    """Sweep, find, diagnose and schedule on handwritten digits; ends with a report."""
    need("torch", "to train")
    need("sklearn", "for the demo's data")
    need("plotly", "to draw figures")
    from surefoot._cli import demo_story as story

    started = time.perf_counter()
    progress = not json
    runs = _fresh(to) / "runs"
    _announce(json, "1  The U curve: 15 learning rates from 1e-6 to 10, three seeds each")
    curve = story.sensitivity(progress)
    _announce(json, "2  Find: a range test, then short trials")
    found = story.search(curve, progress)
    lr = found["thorough"].finding.lr
    _announce(json, "3  The classic picture: a low, a good, a high and a very high rate")
    four = story.classic(curve, lr, runs, progress)
    _announce(json, "4  Schedule: a fixed rate against warm-up and decay")
    plans = story.schedules(lr, runs, progress)
    report = write_report(
        to / "report.html",
        "Surefoot on handwritten digits",
        [
            _sweep_section(curve),
            _find_section(curve, found),
            _classic_section(four),
            _schedule_section(plans),
        ],
        summary=_summary_text(curve, found),
    )
    (to / "sensitivity.json").write_text(curve.to_json(), encoding="utf-8")
    (to / "finding.json").write_text(found["thorough"].finding.to_json(), encoding="utf-8")
    seconds = time.perf_counter() - started
    if json:
        typer.echo(_document(curve, found, four, plans, report, seconds))
        return
    _summarise(curve, found, four, plans)
    say(f"Took {seconds:.0f} s. The report is {report}; open it in a browser.")


def _fresh(folder: Path) -> Path:
    """Empty a folder that an earlier demo made; refuse any other that is not empty."""
    mark = folder / ".surefoot-demo"
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not mark.exists())):
        raise InputError(
            f"--to must be a new folder, or one that an earlier demo made; {folder} is neither."
        )
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    mark.touch()
    return folder


def _announce(quiet: bool, text: str) -> None:
    if not quiet:
        console().print(f"[bold]{text}[/]")


def _percent(share: float) -> str:
    return f"{100 * share:+.0f} %".replace("-0 %", "0 %").replace("+0 %", "0 %").replace("-", "−")


def _summary_text(curve: Sensitivity, found: "dict[str, story.Search]") -> str:
    quick, thorough = found["quick"], found["thorough"]
    return (
        f"A grid of {len(curve.points)} rates cost {curve.cost.trainings:.0f} trainings and names "
        f"lr {curve.best.lr:.3g}. The quick search cost {quick.finding.cost.trainings:.2f} of one "
        f"training and is {_percent(quick.regret)} in validation loss; the thorough one cost "
        f"{thorough.finding.cost.trainings:.1f} trainings and is {_percent(thorough.regret)}."
    )


def _sweep_section(curve: Sensitivity) -> Section:
    return Section("The U curve", curve.reason, figure(curve))


def _find_section(curve: Sensitivity, found: "dict[str, story.Search]") -> Section:
    rows = [_search_row(effort, each) for effort, each in found.items()]
    best, trainings = curve.best, f"{curve.cost.trainings:.0f} trainings"
    rows.append(("sweep, best of the grid", f"{best.lr:.3g}", f"{best.loss:.4f}", "0 %", trainings))
    return Section(
        "Find",
        found["thorough"].finding.reason
        + " Regret is measured on three seeds that find never saw; the grid chose on them.",
        figure(found["thorough"].finding),
        table=Table(("", "lr", "validation loss", "regret", "cost"), tuple(rows)),
    )


def _search_row(effort: str, each: "story.Search") -> tuple[str, ...]:
    cost = f"{each.finding.cost.trainings:.2f} trainings"
    lr, loss = f"{each.finding.lr:.3g}", f"{each.loss:.4f}"
    return (f"find, {effort}", lr, loss, _percent(each.regret), cost)


def _classic_section(four: "list[story.Classic]") -> Section:
    runs = {f"{run.label}: {run.lr:.2g}": (run.log, ROLES[run.label]) for run in four}
    rows = [(run.label, f"{run.lr:.3g}", run.diagnosis.label, run.diagnosis.reason) for run in four]
    return Section(
        "Low, good, high, very high",
        "The same model at four rates, and what the diagnosis says of each from its record alone.",
        learning_curves(runs, title="Loss over updates at four learning rates"),
        table=Table(("", "lr", "diagnosis", "why"), tuple(rows)),
    )


def _schedule_section(plans: "list[story.Plan]") -> Section:
    fixed, decayed = plans
    change = decayed.loss / fixed.loss - 1
    sentence = (
        f"Validation loss over three seeds: {fixed.loss:.4f} at a fixed rate "
        f"({fixed.low:.4f} … {fixed.high:.4f}), {decayed.loss:.4f} with warm-up and cosine decay "
        f"({decayed.low:.4f} … {decayed.high:.4f}): {_percent(change)}."
    )
    return Section(
        "Fixed rate against warm-up and decay",
        sentence,
        compare_runs({plan.label: plan.log for plan in plans}, title="Loss, and the rate under it"),
    )


def _summarise(
    curve: Sensitivity,
    found: "dict[str, story.Search]",
    four: "list[story.Classic]",
    plans: "list[story.Plan]",
) -> None:
    best, basin, edge = curve.best, curve.basin, curve.diverges_at
    facts = [
        ("U curve", f"best lr {best.lr:.3g}, loss {best.loss:.4f}"),
        ("", f"basin {basin.low:.2g} … {basin.high:.2g}"),
        ("", "never fails" if edge is None else f"training fails from lr {edge:.2g}"),
    ]
    for effort, each in found.items():
        words = f"lr {each.finding.lr:.3g}, regret {_percent(each.regret)}"
        facts.append((f"find, {effort}", f"{words}, {each.finding.cost.trainings:.2f} trainings"))
    facts += [(f"diagnose: {run.label}", f"lr {run.lr:.2g}: {run.diagnosis.label}") for run in four]
    facts += [
        (f"schedule: {plan.label}", f"loss {plan.loss:.4f} ({plan.low:.4f} … {plan.high:.4f})")
        for plan in plans
    ]
    show_facts("Surefoot on handwritten digits", facts)


def _document(
    curve: Sensitivity,
    found: "dict[str, story.Search]",
    four: "list[story.Classic]",
    plans: "list[story.Plan]",
    report: Path,
    seconds: float,
) -> str:
    document = {
        "report": str(report),
        "seconds": seconds,
        "sweep": {
            "best_lr": curve.best.lr,
            "best_loss": curve.best.loss,
            "basin_low": curve.basin.low,
            "basin_high": curve.basin.high,
            "diverges_at": curve.diverges_at,
            "trainings": curve.cost.trainings,
        },
        "find": {
            effort: {
                "lr": each.finding.lr,
                "source": each.finding.source,
                "reason": each.finding.reason,
                "loss": each.loss,
                "regret": each.regret,
                "trainings": each.finding.cost.trainings,
            }
            for effort, each in found.items()
        },
        "diagnose": [{"label": run.label, "lr": run.lr, **run.diagnosis.to_dict()} for run in four],
        "schedule": [
            {"label": plan.label, "loss": plan.loss, "low": plan.low, "high": plan.high}
            for plan in plans
        ],
    }
    return dump_json(document, indent=2)
