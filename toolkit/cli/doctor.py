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
    output.show_table(
        report.machine.as_line(),
        ["provider", "built in", "starts", "comes with, or why not"],
        [
            [
                state.provider,
                "yes" if state.built_in else "-",
                "yes" if state.started else "NO" if state.built_in else "-",
                state.why or ("" if state.started else state.origin),
            ]
            for state in report.providers
        ],
    )
    for problem in report.problems:
        output.show_text(f"{problem.severity}: {problem.problem}")
        output.show_text(f"  try: {problem.fix}")
    if not report.problems:
        output.show_text("no problems found")
