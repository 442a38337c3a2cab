// Compares files, preprocessing and answers with those of the machine that made the bundle.

import { json, numbers, stored } from "./model.js";

/**
 * @param read Reads a file of `model/`.
 * @param open Opens the model; called once the files are known to be whole.
 * @param runtime What the model runs on, for the report.
 * @returns What the last line of the self-test says, with `problems` for people.
 */
export async function selfTest({ read, open, runtime }) {
  const about = await json(read, "model.json");
  const { limit, cases, file } = about.self_test;
  const problems = [];
  for (const [name, digest] of Object.entries(about.files)) {
    if ((await sha256(await read(name))) !== digest) problems.push(`${name} was changed`);
  }
  const report = { passed: false, cases: cases.length, largest_difference: 0, limit, runtime };
  if (problems.length) return { ...report, problems };
  let largest = 0;
  try {
    const model = await open();
    const content = await read(file);
    for (const [index, one] of cases.entries()) {
      const feeds = tensors(model, one.inputs, content);
      if (one.item !== null && !same(model.encode(one.item), feeds)) {
        problems.push(`case ${index + 1}: preprocessing makes other inputs`);
      }
      if (one.result !== null && !agree(model.decode(tensors(model, one.outputs, content), feeds), one.result)) {
        problems.push(`case ${index + 1}: postprocessing makes another result`);
      }
      const outputs = await model.run(feeds);
      for (const expected of one.outputs) {
        largest = Math.max(largest, difference(outputs[expected.name], stored(expected, content)));
      }
    }
  } catch (error) {
    problems.push(error.message ?? String(error));
    return { ...report, problems, operator: missing(problems.at(-1)) };
  }
  if (largest > limit) problems.push(`the answers differ by ${largest}, more than ${limit}`);
  return { ...report, passed: !problems.length, largest_difference: largest, problems };
}

async function sha256(content) {
  if (!globalThis.crypto?.subtle) throw new Error("no crypto.subtle: open the page by https or localhost");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function tensors(model, specs, content) {
  return Object.fromEntries(
    specs.map((spec) => {
      const { values, shape } = stored(spec, content);
      return [spec.name, model.tensor(spec.dtype, values, shape)];
    }),
  );
}

function same(made, feeds) {
  return Object.entries(feeds).every(([name, { data, dims, type }]) => {
    const mine = made[name];
    const isLike = mine && mine.type === type && String(mine.dims) === String(dims);
    return isLike && mine.data.every((value, i) => value === data[i]);
  });
}

/** Whether two results are equal but for the last digits of float32. */
function agree(found, expected) {
  if (typeof expected === "number") {
    return Math.abs(found - expected) <= 1e-8 + 1e-4 * Math.abs(expected);
  }
  if (expected === null || typeof expected !== "object") return found === expected;
  const keys = Object.keys(expected);
  const isLike = found && Array.isArray(found) === Array.isArray(expected);
  return isLike && keys.length === Object.keys(found).length && keys.every((key) => agree(found[key], expected[key]));
}

/** The largest difference of two tensors; endless where the shapes differ or one is no number. */
function difference(tensor, { values, shape }) {
  if (!tensor || String(tensor.dims) !== String(shape)) return Number.MAX_VALUE;
  const [mine, expected] = [tensor.data, values].map((data) => numbers(data, tensor.type));
  let largest = 0;
  for (let i = 0; i < expected.length; i += 1) {
    const apart = Math.abs(mine[i] - expected[i]);
    largest = Math.max(largest, Number.isFinite(apart) ? apart : Number.MAX_VALUE);
  }
  return largest;
}

/** The operator that this build of ONNX Runtime does not have, if that is what an error says. */
function missing(message) {
  const found =
    /implementation for ([\w.]+)/.exec(message) ?? /([\w.:]+)(?:\(-?\d+\))? is not a registered/.exec(message);
  return found ? found[1] : null;
}
