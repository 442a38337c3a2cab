#!/usr/bin/env node
// Answers for texts or JSON items: arguments, or lines of stdin. One JSON result a line.

import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { openModel, testModel } from "./index.js";

const USAGE = `usage: node cli.mjs [--threads N] [ITEM...]    items from stdin, one a line, if none is given
       node cli.mjs --self-test`;

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  "self-test": { type: "boolean" },
  threads: { type: "string", default: "0" },
};

async function main({ values, positionals }) {
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  if (values["self-test"]) {
    const { problems, ...verdict } = await testModel();
    console.error(`largest difference ${verdict.largest_difference} (limit ${verdict.limit})`);
    for (const problem of problems) console.error(problem);
    console.log(JSON.stringify({ ...verdict, problems }));
    return verdict.passed ? 0 : 1;
  }
  const threads = Number(values.threads);
  if (!Number.isInteger(threads) || threads < 0) throw new Error("--threads takes a count; 0 for all cores");
  const model = await openModel({ threads });
  const { text, self_test: test } = model.about;
  const isText = Boolean(text) && !Array.isArray(test.cases[0].item); // an array is a pair; else JSON
  const items = positionals.length ? positionals : createInterface({ input: process.stdin });
  for await (const item of items) {
    console.log(JSON.stringify(await model.answer(isText ? item : JSON.parse(item))));
  }
  return 0;
}

function given() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch (error) {
    console.error(`${error.message}\n${USAGE}`);
    process.exit(2);
  }
}

try {
  process.exitCode = await main(given());
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
