// Texts to token ids, equal to Python's `tokenizers`.
//
// The library @huggingface/tokenizers does most of it. Steps in which it differs from the original
// (ASCII words in Whitespace, a final sigma, ideographs beyond U+FFFF, classes of a browser's newer
// Unicode) are replaced here, and what it only comes near to is refused.

import * as sets from "./unicode.js";

const SPACE = "\\p{White_Space}";

const every = (set) => new RegExp(`[${set}]`, "gu");
const control = every(sets.control);
const space = every(SPACE);
const ideograph = every(sets.ideograph);
const nonspacing = every(sets.nonspacing);
const combining = every(sets.combining);
const normalizable = new RegExp(`[${sets.normalizable}]+`, "gu");
const known = new RegExp(`^[${sets.normalizable}]$`, "u");

/** A letter at a time: Rust's has no rule for a sigma at the end of a word. */
function lowercase(text) {
  return Array.from(text, (letter) => letter.toLowerCase()).join("");
}

/** NFD or NFKD of the characters that `tokenizers` knows to have one. */
function decomposed(text, form) {
  return text.replace(normalizable, (run) => run.normalize(form));
}

/** Whether the browser's Unicode decomposes a character that `tokenizers` does not know. */
function isLater(character) {
  return character > "\u007f" && !known.test(character) && character.normalize("NFKD") !== character;
}

/** NFC or NFKC, without what the browser knows of later versions of Unicode. */
function composed(text, form) {
  const pieces = [""];
  for (const character of text) {
    if (isLater(character)) pieces.push(character, "");
    else pieces[pieces.length - 1] += character;
  }
  const undone = (made) => Array.from(made, (c) => (isLater(c) ? c.normalize("NFD") : c)).join("");
  return pieces.map((piece, i) => (i % 2 ? piece : undone(piece.normalize(form)))).join("");
}

function bertNormalizer(config) {
  const strips = config.strip_accents ?? config.lowercase;
  return (text) => {
    let made = text;
    if (config.clean_text) made = made.replace(control, "").replace(space, " ");
    if (config.handle_chinese_chars) made = made.replace(ideograph, " $& ");
    if (strips) made = decomposed(made, "NFD").replace(nonspacing, "");
    return config.lowercase ? lowercase(made) : made;
  };
}

function stripped({ strip_left: left, strip_right: right }) {
  const ends = [...(left ? [`^${SPACE}+`] : []), ...(right ? [`${SPACE}+$`] : [])];
  const pattern = new RegExp(ends.join("|") || "(?!)", "gu");
  return (text) => text.replace(pattern, "");
}

function normalizer(config, library) {
  if (!config) return (text) => text;
  switch (config.type) {
    case "Sequence": {
      const steps = config.normalizers.map((one) => normalizer(one, library));
      return (text) => steps.reduce((made, step) => step(made), text);
    }
    case "BertNormalizer":
      return bertNormalizer(config);
    case "NFD":
    case "NFKD":
      return (text) => decomposed(text, config.type);
    case "NFC":
    case "NFKC":
      return (text) => composed(text, config.type);
    case "StripAccents":
      return (text) => text.replace(combining, "");
    case "Lowercase":
      return lowercase;
    case "Strip":
      return stripped(config);
    case "Precompiled":
      throw new Error("the tokenizer's normalizer Precompiled has no exact equal in JavaScript");
    default:
      return new library.SequenceNormalizer({ normalizers: [config] });
  }
}

const words = new RegExp(`[${sets.word}]+|[^${sets.word}${SPACE}]+`, "gu");
const notSpace = new RegExp(`[^${SPACE}]+`, "gu");
const bertWords = new RegExp(`[${sets.punctuation}]|[^${sets.punctuation}${SPACE}]+`, "gu");
const punctuated = new RegExp(`[${sets.punctuation}]|[^${sets.punctuation}]+`, "gu");
const digits = new RegExp(`[${sets.digit}]+|[^${sets.digit}]+`, "gu");
const oneDigit = new RegExp(`[${sets.digit}]|[^${sets.digit}]+`, "gu");
const byteWords = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?[${sets.letter}]+| ?[${sets.number}]+` +
    `| ?[^${SPACE}${sets.letter}${sets.number}]+|${SPACE}+(?!${SPACE.replace("p", "P")})|${SPACE}+`,
  "gu",
);

const matching = (pattern) => (text) => text.match(pattern) ?? [];

function preTokenizer(config, library) {
  if (!config) return (text) => [text];
  const isolates = (config.behavior ?? "Isolated").toLowerCase() === "isolated";
  switch (config.type) {
    case "Sequence": {
      const steps = config.pretokenizers.map((one) => preTokenizer(one, library));
      return (text, options) =>
        steps.reduce((pieces, step) => pieces.flatMap((piece) => step(piece, options)), [text]);
    }
    case "Whitespace":
      return matching(words);
    case "WhitespaceSplit":
      return matching(notSpace);
    case "BertPreTokenizer":
      return matching(bertWords);
    case "Digits":
      return matching(config.individual_digits ? oneDigit : digits);
    case "Punctuation":
      if (isolates) return matching(punctuated);
      break;
    case "Split":
      if (isolates || config.behavior.toLowerCase() === "removed") {
        return new library.SplitPreTokenizer(config);
      }
      break;
    case "ByteLevel": {
      const step = new library.ByteLevelPreTokenizer(config);
      step.pattern = byteWords;
      return step;
    }
    default:
      return new library.SequencePreTokenizer({ pretokenizers: [config] });
  }
  throw new Error(`the pre-tokenizer ${config.type} with ${config.behavior} is not supported`);
}

export class TextTokenizer {
  /**
   * @param library The module @huggingface/tokenizers.
   * @param content The parsed tokenizer.json.
   * @param maxLength Tokens kept of a text, special tokens included.
   */
  constructor(library, content, maxLength) {
    const unknown = content.model.unk_token ?? null;
    this.tokenizer = new library.Tokenizer(content, { unk_token: unknown });
    this.maxLength = maxLength;
    this.tokenizer.normalizer = normalizer(content.normalizer, library);
    this.tokenizer.pre_tokenizer = preTokenizer(content.pre_tokenizer, library);
    this.unknown = unknown === null ? undefined : this.tokenizer.token_to_id(unknown);
    this.added = new Map();
    for (const [id, token] of this.tokenizer.get_added_tokens_decoder()) {
      this.added.set(token.normalized ? this.tokenizer.normalizer(token.content) : token.content, id);
    }
  }

  /**
   * The tokens of a text, or of a pair of texts, cut to the length.
   *
   * @returns {{ids: number[], typeIds: number[]}} Token ids and token types.
   */
  encode(text, pair = null) {
    let first = this.#tokens(text);
    let second = pair === null ? null : this.#tokens(pair);
    const room = Math.max(0, this.maxLength - this.#finished([], second && []).tokens.length);
    const [one, other] = kept(first.length, second?.length ?? null, room);
    first = first.slice(0, one);
    second = second && second.slice(0, other);
    const { tokens, types } = this.#finished(first, second);
    const ids = tokens.map((token) => this.#id(token));
    const isKnown = (_, i) => ids[i] !== undefined; // byte-pair encoding without an unknown token
    return { ids: ids.filter(isKnown), typeIds: types.filter(isKnown) };
  }

  /** Without special tokens. Half a surrogate pair, which is no text, counts as U+FFFD. */
  #tokens(text) {
    const whole = text.replace(/\p{Surrogate}/gu, "\ufffd");
    return this.tokenizer.tokenize(whole, { add_special_tokens: false });
  }

  #finished(first, second) {
    const made = this.tokenizer.post_processor?.(first, second, true);
    const tokens = made?.tokens ?? [...first, ...(second ?? [])];
    const plain = tokens.map((_, i) => (second !== null && i >= first.length ? 1 : 0));
    return { tokens, types: made?.token_type_ids ?? (made ? tokens.map(() => 0) : plain) };
  }

  #id(token) {
    return this.added.get(token) ?? this.tokenizer.token_to_id(token) ?? this.unknown;
  }
}

/**
 * How many tokens of one or two texts stay: the longer text loses first, as with "longest_first".
 *
 * Source: tokenizers 0.23, `truncate_encodings`.
 */
function kept(first, second, room) {
  if (second === null) return [Math.min(first, room), 0];
  if (first + second <= room) return [first, second];
  const [short, long] = first <= second ? [first, second] : [second, first];
  let less = short;
  let more = short > room ? short : Math.max(short, room - short);
  if (less + more > room) {
    less = Math.floor(room / 2);
    more = less + (room % 2);
  }
  return long === second && first <= second ? [less, more] : [more, less];
}
