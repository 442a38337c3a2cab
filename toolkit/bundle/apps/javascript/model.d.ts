import type { InferenceSession, Tensor } from "onnxruntime-common";

/**
 * A text, a pair of texts, a row by column, pixels, or arrays by input, as the model takes it.
 *
 * A level of a row's categorical column is a text, as "1.0": JavaScript writes the number 1.0 as
 * "1", which is another level.
 */
export type Item =
  | string
  | readonly [string, string]
  | Readonly<Record<string, unknown>>
  | Uint8Array
  | readonly unknown[];

/** A label with its probability; `labels` where an item can have several. */
export interface Classification {
  label: string;
  score: number;
  scores: Record<string, number>;
  labels?: string[];
}
/** A vector, or a vector a token. */
export interface Embedding {
  embedding: number[] | number[][];
}
export interface Value {
  value: number;
}
export interface Tensors {
  outputs: Record<string, { dtype: string; shape: number[]; data: unknown }>;
}
export type Result = Classification | Embedding | Value | Tensors;

export interface TensorSpec {
  name: string;
  dtype: string;
  /** A number, or the name of a size that may vary. */
  shape: (number | string)[];
}

/** What `model/model.json` says. */
export interface About {
  name: string;
  version: string;
  variant: string;
  precision: string;
  target: string;
  graph: string;
  files: Record<string, string>;
  task: { name: string; labels: string[]; output: string; activation: string; multi_label: boolean };
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  text: { tokenizer: string; max_length: number; length: number; pad_id: number } | null;
  columns: { name: string; type: "numeric" | "categorical" }[] | null;
  image: { height: number; width: number; mode: "L" | "RGB" } | null;
}

export type Feeds = Record<string, Tensor>;
export type Outputs = Record<string, Tensor>;

/** What `selfTest` found. */
export interface SelfTest {
  passed: boolean;
  cases: number;
  largest_difference: number;
  limit: number;
  runtime: string;
  problems: string[];
}

/** Reads a file of `model/`. */
export type Read = (name: string) => Promise<Uint8Array>;

export declare class Model {
  /**
   * @param parts.about The parsed `model.json`.
   * @param parts.ort A build of ONNX Runtime: onnxruntime-node or onnxruntime-web.
   * @param parts.tokenizers The module @huggingface/tokenizers; for texts only.
   * @param parts.graph The graph, or where it lies.
   */
  static open(parts: {
    about: About;
    ort: unknown;
    tokenizers?: unknown;
    read: Read;
    graph: string | Uint8Array;
    options?: InferenceSession.SessionOptions;
  }): Promise<Model>;
  readonly about: About;
  /** The result of one item. */
  answer(item: Item): Promise<Result>;
  encode(item: Item): Feeds;
  run(feeds: Feeds): Promise<Outputs>;
  /** What the outputs for one item mean; `feeds` are those of the item. */
  decode(outputs: Outputs, feeds: Feeds): Result;
}
