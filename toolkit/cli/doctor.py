"""`toolkit doctor`."""

from typing import TYPE_CHECKING

from toolkit.cli import output
from toolkit.cli.options import JsonOption

if TYPE_CHECKING:
    from toolkit.doctor import DoctorReport


def doctor(json_output: JsonOption = False) -> None:
    """Say what this machine can run, and what is wrong with it."""
    from toolkit import doctor as step

    report = step.diagnose()
    if json_output:
        output.show_json(report.as_json())
    else:
        _show(report)
    step.require_usable(report)


def _show(report: "DoctorReport") -> None:
    output.show_text(report.machine.as_line())
    for state in report.providers:
        built_in = "built in" if state.built_in else "-"
        starts = "starts" if state.started else "DOES NOT START" if state.built_in else "-"
        reason = state.why or ("" if state.built_in else state.origin)
        placed = "placed" if state.placed else "-"
        output.show_text(
            f"{state.provider:>12}  {built_in:8}  {starts:6}  {placed:6}  {reason}".rstrip()
        )
    for problem in report.problems:
        output.show_text(f"{problem.severity}: {problem.problem}")
        output.show_text(f"  try: {problem.fix}")
    if not report.problems:
        output.show_text("no problems found")
