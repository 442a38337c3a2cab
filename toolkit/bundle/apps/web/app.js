// The page: what is typed is answered, with the time that it took.

import { openModel, read, testModel } from "./browser.js";
import { nested, stored } from "./lib/model.js";

const asked = new URLSearchParams(location.search);
const where = { provider: asked.get("provider") ?? "wasm", threads: Number(asked.get("threads")) || 0 };
const byId = (id) => document.getElementById(id);

const RUNS = 20; // of one answer, for the median
const PATIENCE_MS = 400; // but no longer than this
const WARM_UP_MS = 3000; // after which a browser has compiled the graph's kernels for good
const TYPING_MS = 200;
const MOST_VALUES = 4096; // of an example that is written out

/** A turn for the browser, which draws and takes what is typed between two runs. */
const pause = () => new Promise((resolve) => setTimeout(resolve));

function show(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = !text;
}

function fail(error) {
  show("status", "");
  show("error", error.message ?? String(error));
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function bar(label, share, isBest) {
  const row = document.createElement("div");
  row.className = isBest ? "bar best" : "bar";
  const meter = document.createElement("progress");
  [meter.max, meter.value] = [1, share];
  for (const part of [label, meter, percent(share)]) {
    const cell = part === meter ? meter : document.createElement("span");
    if (part !== meter) cell.textContent = part;
    row.append(cell);
  }
  return row;
}

function display(result) {
  const scores = Object.entries(result.scores ?? {}).sort(([, a], [, b]) => b - a);
  byId("bars").replaceChildren(...scores.slice(0, 8).map(([name, share], i) => bar(name, share, !i)));
  show("label", result.labels?.join(", ") ?? result.label ?? "");
  if ("value" in result) show("label", result.value.toPrecision(6));
  const rest = result.embedding ?? result.outputs;
  show("raw", rest ? shortened(JSON.stringify(rest)) : "");
}

const shortened = (text) => (text.length > 2000 ? `${text.slice(0, 2000)} …` : text);

/** Milliseconds of one run: the median of several. */
async function median(model, feeds) {
  const times = [];
  const began = performance.now();
  while (times.length < RUNS && performance.now() - began < PATIENCE_MS) {
    const start = performance.now();
    await model.run(feeds);
    times.push(performance.now() - start);
    await pause();
  }
  times.sort((a, b) => a - b);
  return { middle: times[Math.floor((times.length - 1) / 2)], runs: times.length };
}

/** An item for the text fields: the first reference case, or its tensors. */
async function example(about) {
  const [one] = about.self_test.cases;
  if (one.item !== null) return one.item;
  const size = one.inputs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  if (size > MOST_VALUES) return null;
  const content = await read(about.self_test.file);
  const tensors = one.inputs.map((spec) => [spec, stored(spec, content)]);
  if (about.image) return pixels(about.image, tensors[0][1].values);
  const arrays = tensors.map(([{ name, dtype }, { values, shape }]) => [
    name,
    nested({ type: dtype, data: values, dims: shape }),
  ]);
  return Object.fromEntries(arrays);
}

/** Pixels [height, width, channels] of which an image tensor was made. */
function pixels({ height, width, mode, scale, mean, std }, values) {
  const channels = mode === "L" ? 1 : 3;
  const pixel = (c, i) =>
    Math.round((values[c * height * width + i] * (std[c] ?? 1) + (mean[c] ?? 0)) / scale);
  const rows = Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) =>
      Array.from({ length: channels }, (_, c) => pixel(c, y * width + x)),
    ),
  );
  return rows;
}

function given(about) {
  const text = byId("item").value;
  if (!about.text) return JSON.parse(text);
  return byId("second").hidden ? text : [text, byId("second").value];
}

async function start() {
  const { model, runtime } = await openModel(where);
  const { about } = model;
  document.title = about.name;
  show("name", about.name.replace(/\.ortpackage$/, ""));
  show("task", `${about.task.name}, ${about.variant} (${about.precision})`);
  show("runtime", `Runs here, on ${runtime}. What you type does not leave this page.`);

  const first = await example(about);
  const isPair = Boolean(about.text) && Array.isArray(first);
  byId("second").hidden = !isPair;
  if (about.text) [byId("item").value, byId("second").value] = isPair ? first : [first, ""];
  else byId("item").value = first === null ? "" : JSON.stringify(first);
  show("hint", about.text ? "" : "JSON, as the model takes it");
  byId("inputs").disabled = false;

  let latest = 0;
  async function answer() {
    const turn = (latest += 1);
    show("error", "");
    try {
      const feeds = model.encode(given(about));
      const result = model.decode(await model.run(feeds), feeds);
      if (turn !== latest) return;
      display(result);
      const { middle, runs } = await median(model, feeds);
      if (turn === latest) show("latency", `${middle.toFixed(1)} ms, median of ${runs} runs`);
    } catch (error) {
      fail(error);
    }
  }

  let timer = 0;
  byId("inputs").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(answer, TYPING_MS);
  });
  if (byId("item").value) {
    const feeds = model.encode(given(about));
    display(model.decode(await model.run(feeds), feeds));
    show("status", "warming up");
    const began = performance.now();
    while (performance.now() - began < WARM_UP_MS) {
      await model.run(feeds);
      await pause();
    }
    await answer();
  }
  show("status", "");
  document.body.dataset.state = "ready";
}

async function test() {
  show("status", "self-test");
  const verdict = await testModel(where);
  show("status", "");
  show("label", verdict.passed ? "The self-test passed" : "The self-test failed");
  const { largest_difference: largest, limit, cases, problems } = verdict;
  show("raw", [`${cases} cases, largest difference ${largest}, limit ${limit}`, ...problems].join("\n"));
  show("runtime", verdict.runtime);
  show("verdict", JSON.stringify(verdict));
  document.body.dataset.state = "ready";
}

(asked.has("self-test") ? test() : start()).catch((error) => {
  fail(error);
  document.body.dataset.state = "failed";
});
