// The model in `model/`: items to feeds, feeds to outputs, outputs to results. The same in a browser
// and in Node; where they differ (files, ONNX Runtime's build) is handed in.

import { TextTokenizer } from "./tokenizer.js";

/** numpy's name of an element type, ONNX Runtime's, and the array that holds it. */
const TYPES = {
  float32: ["float32", Float32Array],
  float64: ["float64", Float64Array],
  float16: ["float16", globalThis.Float16Array ?? Uint16Array],
  int64: ["int64", BigInt64Array],
  uint64: ["uint64", BigUint64Array],
  int32: ["int32", Int32Array],
  uint32: ["uint32", Uint32Array],
  int16: ["int16", Int16Array],
  uint16: ["uint16", Uint16Array],
  int8: ["int8", Int8Array],
  uint8: ["uint8", Uint8Array],
  bool: ["bool", Uint8Array],
};

const NUMBERS = new Set(["number", "bigint", "boolean"]); // what `typeof` says of an element

const DECIDED = 0.5; // of several labels, those with this probability are the answer

export class Model {
  /** Use `Model.open`. */
  constructor(about, ort, session, tokenizer) {
    this.about = about;
    this.ort = ort;
    this.session = session;
    this.tokenizer = tokenizer;
    this.last = Promise.resolve();
  }

  /** Opens the model; see model.d.ts. */
  static async open({ about, ort, tokenizers, read, graph, options = {} }) {
    const settings = { ...options, extra: { ...about.session_options, ...options.extra } };
    const session = await ort.InferenceSession.create(graph, settings);
    const tokenizer = about.text
      ? new TextTokenizer(tokenizers, await json(read, about.text.tokenizer), about.text.max_length)
      : null;
    return new Model(about, ort, session, tokenizer);
  }

  /** The result of one item. */
  async answer(item) {
    const feeds = this.encode(item);
    return this.decode(await this.run(feeds), feeds);
  }

  /** Feeds for one item. */
  encode(item) {
    const { text, columns, image, inputs } = this.about;
    if (text) return this.#tokens(item);
    if (columns) return this.#row(item);
    if (image) return { [inputs[0].name]: this.#pixels(item) };
    return Object.fromEntries(
      inputs.map(({ name, dtype }) => {
        if (!(name in object(item))) throw new Error(`there is no ${name}; expected ${names(inputs)}`);
        const { shape, values } = flat(item[name], name);
        return [name, this.tensor(dtype, values, shape)];
      }),
    );
  }

  /** Outputs by name. Calls that overlap run one after another. */
  run(feeds) {
    const turn = this.last.then(() => this.session.run(feeds));
    this.last = turn.catch(() => undefined);
    return turn;
  }

  /** The result of one item's outputs; the feeds say how long a text was. */
  decode(outputs, feeds) {
    const { task } = this.about;
    if (task.name === "tensors") {
      const all = Object.entries(outputs).map(([name, tensor]) => [
        name,
        { dtype: tensor.type, shape: [...tensor.dims], data: nested(tensor) },
      ]);
      return { outputs: Object.fromEntries(all) };
    }
    if (task.name === "feature-extraction") {
      const [embedding] = nested(outputs[task.output]);
      const mask = task.output === "last_hidden_state" ? feeds.attention_mask : undefined;
      const real = mask && numbers(mask.data).reduce((a, b) => a + b, 0); // a vector a token
      return { embedding: mask ? embedding.slice(0, real) : embedding };
    }
    const answer = numbers(outputs[task.output].data, outputs[task.output].type);
    if (!task.labels.length) {
      return { value: task.value_transform === "exp" ? Math.exp(answer[0]) : answer[0] };
    }
    const shares = probabilities(answer, task);
    const score = Math.max(...shares);
    const result = {
      label: task.labels[shares.indexOf(score)],
      score,
      scores: Object.fromEntries(task.labels.map((label, i) => [label, shares[i]])),
    };
    if (task.multi_label) result.labels = task.labels.filter((_, i) => shares[i] >= DECIDED);
    return result;
  }

  /** A tensor of numbers: an array, or a typed array of the element type. */
  tensor(dtype, values, shape) {
    const [type, Values] = TYPES[dtype] ?? [];
    if (!Values) throw new Error(`tensors of ${dtype} are not supported`);
    if (values instanceof Values) return new this.ort.Tensor(type, values, shape);
    const isHalf = dtype === "float16" && Values === Uint16Array; // no Float16Array: the bits
    const convert = dtype.endsWith("int64") ? BigInt : isHalf ? halfBits : Number;
    return new this.ort.Tensor(type, Values.from(values, convert), shape);
  }

  #tokens(item) {
    const { text, inputs } = this.about;
    const [first, second] = typeof item === "string" ? [item] : texts(item);
    const found = this.tokenizer.encode(first, second ?? null);
    const size = Math.max(text.length || found.ids.length, 1);
    const padded = (values, filler) =>
      Array.from({ length: size }, (_, i) => (i < found.ids.length ? values[i] : filler));
    const fields = {
      ids: () => padded(found.ids, text.pad_id),
      attention_mask: () => padded(found.ids.map(() => 1), 0),
      type_ids: () => padded(found.typeIds, 0),
    };
    return Object.fromEntries(
      inputs.map(({ name, dtype }) => [
        name,
        this.tensor(dtype, fields[text.inputs[name]](), [1, size]),
      ]),
    );
  }

  #row(item) {
    const numeric = [];
    const categorical = [];
    for (const column of this.about.columns) {
      if (!(column.name in object(item))) throw new Error(`the row has no ${column.name}`);
      const cell = item[column.name];
      if (column.type === "numeric") numeric.push(number(column, cell));
      else categorical.push(level(column, cell));
    }
    const rows = { numeric, categorical };
    return Object.fromEntries(
      this.about.inputs.map(({ name, dtype }) => [
        name,
        this.tensor(dtype, rows[name], [1, rows[name].length]),
      ]),
    );
  }

  /** Pixels [height, width], [height, width, channels] or flat, 0 to 255, to [1, channels, height, width]. */
  #pixels(pixels) {
    const { height, width, mode, scale, mean, std } = this.about.image;
    const channels = mode === "L" ? 1 : 3;
    const given = ArrayBuffer.isView(pixels) ? pixels : flat(pixels, "the picture").values;
    const size = height * width;
    const step = given.length === size ? 1 : channels; // gray pixels fill every channel
    if (!size || given.length !== size * step) {
      throw new Error(`${given.length} pixel values; expected ${height} x ${width} x ${channels}`);
    }
    const values = new Float32Array(size * channels);
    const factor = Math.fround(scale); // numpy, too, rounds to float32 after each step
    for (let c = 0; c < channels; c += 1) {
      for (let i = 0; i < size; i += 1) {
        let value = Math.fround(given[i * step + (step === 1 ? 0 : c)] * factor);
        if (mean.length) value = Math.fround(value - Math.fround(mean[c] ?? mean[0]));
        if (std.length) value = Math.fround(value / Math.fround(std[c] ?? std[0]));
        values[c * size + i] = value;
      }
    }
    return this.tensor(this.about.inputs[0].dtype, values, [1, channels, height, width]);
  }
}

/** A JSON file beside the graph. */
export async function json(read, name) {
  return JSON.parse(new TextDecoder().decode(await read(name)));
}

/** Plain numbers of a tensor's data; where float16 has no array of its own, of its bits. */
export function numbers(data, type) {
  return Array.from(data, type === "float16" && data instanceof Uint16Array ? half : Number);
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >> 10) & 31, (bits & 1023) / 1024];
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

/** The bits of the float16 nearest to a number; of two that are as near, the even one. */
export function halfBits(value) {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00; // infinity
  const exponent = Math.max(Math.floor(Math.log2(size)), -14);
  const steps = size / 2 ** (exponent - 10);
  const down = Math.floor(steps);
  const rest = steps - down;
  const nearest = rest > 0.5 || (rest === 0.5 && down % 2) ? down + 1 : down;
  return sign | (((exponent + 14) << 10) + nearest); // 1024 steps are the next exponent
}

/** Values of a stored tensor, whose bytes are little-endian like every machine that has a browser. */
export function stored({ dtype, shape, offset, bytes }, content) {
  const [, Values] = TYPES[dtype];
  const start = content.byteOffset + offset;
  return { values: new Values(content.buffer.slice(start, start + bytes)), shape };
}

/** A pair of texts, as an array or by name. */
function texts(item) {
  const both = Array.isArray(item) ? item : [item?.text, item?.text_pair];
  const isPair = both.length <= 2 && typeof both[0] === "string" && typeof (both[1] ?? "") === "string";
  if (!isPair) throw new Error(`the item is ${JSON.stringify(item)}; expected a text or two`);
  return both;
}

function probabilities(logits, { activation, labels, multi_label: several }) {
  if (activation === "softmax") {
    const largest = Math.max(...logits);
    const powers = logits.map((logit) => Math.exp(logit - largest));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  }
  if (activation !== "sigmoid") return logits;
  const yes = logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  return several || labels.length !== 2 || yes.length !== 1 ? yes : [1 / (1 + Math.exp(logits[0])), yes[0]];
}

function number(column, cell) {
  const isEmpty = cell === null || cell === "";
  if (isEmpty && column.fill !== null) return column.fill;
  const value = isEmpty || typeof cell === "object" ? Number.NaN : Number(cell);
  if (!Number.isFinite(value)) {
    throw new Error(`${column.name} is ${JSON.stringify(cell)}; expected a finite number`);
  }
  return value;
}

/** Levels are texts: JSON has no other spelling of a number or truth value that all languages share. */
function level(column, cell) {
  if (typeof cell !== "string" && !Number.isFinite(cell)) {
    throw new Error(`${column.name} is ${JSON.stringify(cell)}; expected a text`);
  }
  const found = column.levels.indexOf(String(cell));
  if (found >= 0) return found;
  if (column.unknown === "other") return column.levels.length;
  throw new Error(`${column.name} is ${cell}; expected one of ${column.levels.join(", ")}`);
}

function names(specs) {
  return specs.map(({ name }) => name).join(", ");
}

/** An item that names its parts. */
function object(item) {
  if (item !== null && typeof item === "object") return item;
  throw new Error(`the item is ${JSON.stringify(item)}; expected an object with a value for each name`);
}

/** Numbers of a nested array in order, and its shape. */
function flat(nestedValues, name) {
  const shape = [];
  for (let level_ = nestedValues; Array.isArray(level_); [level_] = level_) shape.push(level_.length);
  const values = Array.isArray(nestedValues) ? nestedValues.flat(Infinity) : [nestedValues];
  const expected = shape.reduce((a, b) => a * b, 1);
  if (values.length !== expected) throw new Error(`the array is ragged; expected [${shape}]`);
  const other = values.find((value) => !NUMBERS.has(typeof value));
  if (other !== undefined || values.includes(undefined)) {
    throw new Error(`${name} has ${JSON.stringify(other)}; expected numbers`);
  }
  return { shape, values };
}

/** A tensor's values as a nested array of numbers. */
export function nested(tensor) {
  let values = numbers(tensor.data, tensor.type);
  for (const size of tensor.dims.slice(1).reverse()) {
    const rows = size ? values.length / size : 0;
    values = Array.from({ length: rows }, (_, i) => values.slice(i * size, (i + 1) * size));
  }
  return tensor.dims.length ? values : values[0];
}
