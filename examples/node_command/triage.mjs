// Counts reviews by label, and tells of those that are surely bad. node triage.mjs < reviews.txt

import { createInterface } from "node:readline";
import { openModel } from "./bundle/index.js";

const SURE = 0.8; // below this a person shall look

const model = await openModel({ threads: 1 });
const [bad] = model.about.task.labels; // the first label, such as "negative"
const counts = new Map();

for await (const line of createInterface({ input: process.stdin })) {
  const review = line.trim();
  if (!review) continue;
  const { label, score } = await model.answer(review);
  const kind = score >= SURE ? label : "unsure";
  counts.set(kind, (counts.get(kind) ?? 0) + 1);
  if (kind === bad) console.error(`${bad}: ${review}`);
}
for (const [kind, count] of [...counts].sort()) console.log(`${kind} ${count}`);
