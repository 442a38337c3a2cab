// Opens the model in `model/` on ONNX Runtime for the web. Your own page imports this file.

import { Model, json } from "./lib/model.js";
import { selfTest } from "./lib/self_test.js";

const BASE = new URL("./", import.meta.url);
const MOST_THREADS = 4; // more than that made no graph faster that was tried

export async function read(name) {
  const response = await fetch(new URL(`model/${name}`, BASE));
  if (!response.ok) throw new Error(`model/${name}: the server says ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/**
 * Where the model would run.
 *
 * @param {{provider?: "wasm" | "webgpu", threads?: number}} options Threads count for WebAssembly;
 *   a page has one thread unless its server sends the headers of serve.py.
 * @returns The module of ONNX Runtime, its options, and a name for people.
 */
async function runtime({ provider = "wasm", threads = 0 } = {}) {
  if (provider !== "wasm" && provider !== "webgpu") {
    throw new Error(`there is no provider ${provider}; expected wasm or webgpu`);
  }
  const onGpu = provider === "webgpu";
  if (onGpu && !(await navigator.gpu?.requestAdapter())) {
    throw new Error("this browser offers no WebGPU; leave out provider=webgpu for WebAssembly");
  }
  const ort = await import(`./runtime/ort.${provider}.min.mjs`).catch((error) => {
    const hint = onGpu ? "this bundle has no WebGPU: an integer graph would run on the processor" : "";
    throw new Error(hint || error.message);
  });
  const most = Math.min(MOST_THREADS, navigator.hardwareConcurrency ?? 1);
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? threads || most : 1;
  ort.env.wasm.wasmPaths = new URL("runtime/", BASE).href;
  const count = ort.env.wasm.numThreads;
  const place = onGpu ? "WebGPU" : `WebAssembly, ${count} thread${count === 1 ? "" : "s"}`;
  const name = `onnxruntime-web ${ort.env.versions.web ?? ort.env.versions.common}, ${place}`;
  return { ort, options: { executionProviders: [provider] }, name };
}

/**
 * Opens the model.
 *
 * @param {{provider?: "wasm" | "webgpu", threads?: number}} options Where it runs.
 * @returns {Promise<{model: Model, runtime: string}>} The model, and on what it runs.
 */
export async function openModel(options) {
  const about = await json(read, "model.json");
  const { ort, options: settings, name } = await runtime(options);
  const tokenizers = about.text ? await import("./runtime/tokenizers.min.mjs") : undefined;
  const known = [about.graph, about.text?.tokenizer, about.self_test.file];
  const weights = Object.keys(about.files).filter((file) => !known.includes(file));
  const externalData = await Promise.all(
    weights.map(async (path) => ({ path, data: await read(path) })),
  );
  const graph = await read(about.graph);
  const model = await Model.open({
    ...{ about, ort, tokenizers, read, graph },
    options: { ...settings, ...(externalData.length ? { externalData } : {}) },
  });
  return { model, runtime: name };
}

/** Compares files, preprocessing and answers with those of the machine that made the bundle. */
export async function testModel(options) {
  const { name } = await runtime(options);
  const browser = /(?:Chrom\w*|Firefox|Version)\/[\d.]+/.exec(navigator.userAgent)?.[0] ?? "a browser";
  const open = async () => (await openModel(options)).model;
  return selfTest({ read, open, runtime: `${name}, ${browser}` });
}
