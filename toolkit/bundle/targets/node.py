"""An npm package with a typed API and a command, on ONNX Runtime for Node."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from toolkit.bundle.apps import write_app
from toolkit.bundle.examples import takes_plain_text, typed
from toolkit.bundle.javascript import javascript
from toolkit.bundle.job import BundleOptions, Job, Target
from toolkit.bundle.npm import described, installed_libraries, package_name, pins, program
from toolkit.bundle.report import Runtime, SelfTestReport
from toolkit.bundle.testing import run_self_test
from toolkit.errors import SetupError

COMMAND = "npm ci && node cli.mjs --self-test"
OLDEST_NODE = 20

KNOWN = {
    "onnxruntime-node": ("MIT", 301_068_136),
    "@huggingface/tokenizers": ("Apache-2.0", 360_962),
}
"""License and bytes when installed of each library, at the version that package.json pins.
onnxruntime-node brings five platforms, of which a machine loads one."""

_OTHERWISE = (
    "--runtime NODE_MODULES, a folder that npm ci made elsewhere; or --no-self-test, on your word"
)


def setup(options: BundleOptions) -> None:
    """Refuse a machine that could not test the app."""
    if options.self_test:
        _node()
        if options.runtime is None:
            program("npm", "npm")


def write(job: Job, folder: Path) -> Sequence[Runtime]:
    """Put the app and what it shares with the web beside `model/`; `npm ci` brings the rest."""
    name = package_name(job.package.manifest.package_name)
    write_app(
        "node",
        folder,
        {
            "model": job.model,
            "package_name": name,
            "is_text": takes_plain_text(job.model),
            "shell": typed(job.model),
            "source": javascript(job.model),
        },
    )
    write_app("javascript", folder / "lib", {})
    return [
        described(library, version, *KNOWN[library], included=False)
        for library, version in pins(folder).items()
    ]


def self_test(job: Job, folder: Path) -> SelfTestReport:
    """Run it with the libraries of the lock file, which do not stay in the bundle."""
    with installed_libraries(
        folder, job.options.runtime, progress=job.progress, otherwise=_OTHERWISE
    ) as libraries:
        link = folder / "node_modules"
        link.symlink_to(libraries, target_is_directory=True)
        try:
            return run_self_test(
                [_node(), "cli.mjs", "--self-test"],
                folder,
                shown=COMMAND,
                timeout_s=job.options.timeout_s,
            )
        finally:
            link.unlink()


def _node() -> str:
    node = program("node", "nodejs")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)", said)
    if version is None or int(version[1]) < OLDEST_NODE:
        raise SetupError(
            f"{node} is {said.strip() or 'no Node'}",
            expected=f"Node {OLDEST_NODE} or newer",
            fix="apt-get install nodejs, where the distribution's is new enough; or nodejs.org's",
        )
    return node


TARGET = Target(
    name="node",
    about="an npm package with a typed API and a command, on onnxruntime-node",
    write=write,
    self_test=self_test,
    command=COMMAND,
    reads=frozenset({"runtime"}),
    setup=setup,
)
