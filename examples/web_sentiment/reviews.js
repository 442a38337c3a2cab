// Sorts reviews by what the model thinks of them, in the browser. The model is the bundle's.

import { openModel } from "./bundle/browser.js";

const SURE = 0.8; // below this nobody is told that a review is good or bad
const byId = (id) => document.getElementById(id);
const text = byId("text");
const counts = { good: 0, bad: 0, unsure: 0 };

const { model, runtime } = await openModel();
const [, second] = model.about.task.labels; // such as "positive"; the first is "negative"

async function kind(review) {
  const { label, score } = await model.answer(review);
  if (score < SURE) return ["unsure", score, label];
  return [label === second ? "good" : "bad", score, label];
}

const told = (score, label) => `${label}, ${(100 * score).toFixed(0)} %`;

text.addEventListener("input", async () => {
  const typed = text.value;
  if (!typed.trim()) return;
  const began = performance.now();
  const [, score, label] = await kind(typed);
  const took = performance.now() - began;
  if (typed === text.value) byId("live").textContent = `${told(score, label)} (${took.toFixed(1)} ms)`;
});

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const review = text.value.trim();
  if (!review) return;
  text.value = "";
  byId("live").textContent = "";
  const [mark, score, label] = await kind(review);
  counts[mark] += 1;
  const line = document.createElement("li");
  line.className = mark;
  line.textContent = review;
  const note = document.createElement("span");
  note.textContent = told(score, label);
  line.append(note);
  byId("reviews").prepend(line);
  byId("summary").textContent = `${counts.good} good, ${counts.bad} bad, ${counts.unsure} unsure`;
});

text.disabled = false;
byId("live").textContent = `ready, on ${runtime}`;
