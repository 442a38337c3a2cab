// Opens the model in `model/` on ONNX Runtime for Node. Change it into your app.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Model, json } from "./lib/model.js";
import { selfTest } from "./lib/self_test.js";

const FOLDER = new URL("model/", import.meta.url);

const read = (name) => readFile(new URL(name, FOLDER));

// ONNX Runtime reads this once, when it is loaded; so it is loaded below, and not at the top.
process.env.ORT_DISABLE_TELEMETRY ??= "1";

/** See index.d.ts. */
export async function openModel({ threads = 0 } = {}) {
  const about = await json(read, "model.json");
  const { default: ort } = await import("onnxruntime-node");
  const tokenizers = about.text ? await import("@huggingface/tokenizers") : undefined;
  const graph = fileURLToPath(new URL(about.graph, FOLDER));
  const options = { executionProviders: ["cpu"], intraOpNumThreads: threads };
  return Model.open({ about, ort, tokenizers, read, graph, options });
}

/** See index.d.ts. */
export async function testModel() {
  const { default: ort } = await import("onnxruntime-node");
  const runtime = `onnxruntime-node ${ort.env.versions.node} on Node ${process.versions.node}`;
  return selfTest({ read, open: openModel, runtime });
}

export { Model };
