"""A bundle in Chromium and in Node beside Python: the same graph, the same texts, by turns.

    python -m benchmarks.web WEB_BUNDLE NODE_BUNDLE      (the latter after `npm ci` in it)

Latency is the median of single runs after three seconds of warm-up; CPU time, which other work on
the machine changes less, is that of the whole process (of the browser: all its processes) for each
run on one thread.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from toolkit.bundle.chromium import Page, page
from toolkit.bundle.sizes import parts_of
from toolkit.bundle.targets.web import served
from toolkit.tensors import Array

WARM_UP_S = 3.0
ROUNDS, RUNS = 8, 10
TEXTS = ("a gorgeous, witty film", " ".join(["a warm film about love and loss"] * 9))
PID_FIELDS = (13, 14, 15, 16)  # of /proc/PID/stat: own time, and that of children that ended
_OPEN = """(async () => {{
  const {{ openModel }} = await import("./browser.js");
  const {{ model, runtime }} = await openModel({{ threads: {threads} }});
  window.model = model;
  return runtime;
}})()"""
_RUN = """(async () => {{
  const feeds = model.encode({text});
  const times = [];
  for (let i = 0; i < {runs}; i += 1) {{
    const start = performance.now();
    await model.run(feeds);
    times.push(performance.now() - start);
  }}
  return times;
}})()"""
_NODE = """
import {{ openModel }} from "./index.js";
const model = await openModel({{ threads: {threads} }});
const feeds = model.encode({text});
const began = Date.now();
while (Date.now() - began < {warm_up}) await model.run(feeds);
const [times, cpu] = [[], process.cpuUsage()];
for (let i = 0; i < {runs}; i += 1) {{
  const start = performance.now();
  await model.run(feeds);
  times.push(performance.now() - start);
}}
const {{ user, system }} = process.cpuUsage(cpu);
const [name] = Object.keys(await model.run(feeds));
const answer = Array.from((await model.run(feeds))[name].data);
console.log(JSON.stringify({{ times, cpu: (user + system) / 1e3 / {runs}, answer }}));
"""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Milliseconds of runs, and of CPU time a run."""

    times: Sequence[float]
    cpu: float

    def __str__(self) -> str:
        """Median, smallest, and CPU time."""
        middle = statistics.median(self.times)
        return f"p50 {middle:8.2f}  min {min(self.times):8.2f}  cpu {self.cpu:8.2f}"


def cpu_ms(root: int) -> float:
    """CPU time of a process and all that descend from it."""
    stats = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has ended
        stats[int(folder.name)] = text.rpartition(")")[2].split()
    family = {root}
    while more := {pid for pid, stat in stats.items() if int(stat[1]) in family} - family:
        family |= more
    ticks = sum(int(stats[pid][field - 2]) for pid in family & set(stats) for field in PID_FIELDS)
    return 1e3 * ticks / os.sysconf("SC_CLK_TCK")


def python_session(
    model: Path, about: dict[str, Any], text: str, threads: int
) -> tuple[Callable[[], Array], int]:
    """A call of the graph, and the count of tokens."""
    found = Tokenizer.from_file(str(model / "tokenizer.json")).encode(text)
    fields = about["text"]["inputs"]
    feeds = {name: np.array([getattr(found, field)], np.int64) for name, field in fields.items()}
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(model / about["graph"]), options)
    return lambda: np.asarray(session.run(None, feeds)[0]), len(found)


def beside_chromium(tab: Page, call: Callable[[], Array], text: str) -> tuple[Timed, Timed]:
    """Python and the page by turns."""
    asked = json.dumps(text)
    began = time.monotonic()
    while time.monotonic() - began < WARM_UP_S:
        tab.evaluate(_RUN.format(text=asked, runs=RUNS))
    mine: list[float] = []
    theirs: list[float] = []
    cpu = theirs_cpu = 0.0
    for _ in range(ROUNDS):
        for _ in range(RUNS):
            start, used = time.perf_counter(), time.process_time()
            call()
            mine.append(1e3 * (time.perf_counter() - start))
            cpu += 1e3 * (time.process_time() - used)
        before = cpu_ms(tab.process)
        theirs += tab.evaluate(_RUN.format(text=asked, runs=RUNS))
        theirs_cpu += cpu_ms(tab.process) - before
    count = ROUNDS * RUNS
    return Timed(times=mine, cpu=cpu / count), Timed(times=theirs, cpu=theirs_cpu / count)


def in_node(folder: Path, text: str, threads: int) -> tuple[Timed, list[float]]:
    """Node's times and answer."""
    code = _NODE.format(
        threads=threads, text=json.dumps(text), runs=ROUNDS * RUNS, warm_up=int(1e3 * WARM_UP_S)
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout)
    return Timed(times=said["times"], cpu=said["cpu"]), said["answer"]


def main(web: Path, node: Path) -> None:
    """Print the table."""
    about = json.loads((web / "model" / "model.json").read_text(encoding="utf-8"))
    parts = parts_of(web, over_the_wire=True)
    size, wire = sum(p.size_bytes for p in parts), sum(p.wire_bytes or 0 for p in parts)
    print(f"{about['name']} {about['variant']}: {size / 1e6:.1f} MB, gzip {wire / 1e6:.1f} MB")
    print(f"onnxruntime {ort.__version__}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for threads in (1, 2):
        with served(web) as address, page(timeout_s=600) as tab:
            tab.open(address)
            tab.wait_for("document.body?.dataset.state === 'ready'")
            print(f"\n{threads} threads; {tab.evaluate(_OPEN.format(threads=threads))}")
            for text in TEXTS:
                call, tokens = python_session(web / "model", about, text, threads)
                python, chromium = beside_chromium(tab, call, text)
                there, answer = in_node(node, text, threads)
                is_equal = answer == call().reshape(-1).tolist()
                print(f"{tokens:4} tokens  Python    {python}")
                print(f"             Chromium  {chromium}")
                print(f"             Node      {there}  {'bit-equal' if is_equal else 'differs'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
