// Token ids of the items in a JSON file, by the apps' tokenizer and by its library alone.
// node tokens.mjs TOKENIZER_JS LIBRARY FILE
import { readFileSync } from "node:fs";

const [apps, library, file] = process.argv.slice(2);
const { TextTokenizer } = await import(apps);
const tokenizers = await import(library);
const { content, length, items } = JSON.parse(readFileSync(file, "utf-8"));
const ours = new TextTokenizer(tokenizers, structuredClone(content), length);
const theirs = new tokenizers.Tokenizer(content, { unk_token: content.model.unk_token });
const answers = items.map((item) => {
  const [first, second] = typeof item === "string" ? [item, null] : item;
  const { ids, typeIds } = ours.encode(first, second);
  return [ids, typeIds, theirs.encode(first, { text_pair: second }).ids];
});
console.log(JSON.stringify(answers));
