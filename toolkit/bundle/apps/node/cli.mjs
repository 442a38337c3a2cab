#!/usr/bin/env node
// Answers for texts or JSON items: arguments, or lines of stdin. One JSON result a line.

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
  let line = 0;
  for await (const given of positionals.length ? positionals : lines(process.stdin)) {
    line += 1;
    try {
      const text = typeof given === "string" ? given : UTF8.decode(given);
      console.log(JSON.stringify(await model.answer(isText ? text : JSON.parse(text, finite)), finite));
    } catch (error) {
      const isUnread = error.code === "ERR_ENCODING_INVALID_ENCODED_DATA";
      console.error(`line ${line}: ${isUnread ? "the text is not UTF-8" : error.message}`);
      return 3;
    }
  }
  return 0;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** Lines of a stream as bytes, so that wrong ones are noticed. */
async function* lines(stream) {
  let rest = [];
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      yield whole([...rest, chunk.subarray(start, end)]);
      [rest, start] = [[], end + 1];
    }
    if (start < chunk.length) rest.push(chunk.subarray(start));
  }
  if (rest.length) yield whole(rest);
}

function whole(parts) {
  const line = Buffer.concat(parts);
  return line.at(-1) === 13 ? line.subarray(0, -1) : line; // Windows ends lines with \r\n
}

/** JSON has no infinity: 1e999 would be one when read, and null when written. */
function finite(_, value) {
  if (typeof value !== "number" || Number.isFinite(value)) return value;
  throw new Error("a number is not finite");
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
