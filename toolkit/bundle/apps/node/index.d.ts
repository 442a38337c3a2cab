import type { Model, SelfTest } from "./lib/model.js";

/**
 * Opens the model that lies in this package.
 *
 * @param options.threads Threads of one run; all cores by default.
 */
export declare function openModel(options?: { threads?: number }): Promise<Model>;

/** Compares files, preprocessing and answers with those of the machine that made the package. */
export declare function testModel(): Promise<SelfTest>;

export { Model } from "./lib/model.js";
export type * from "./lib/model.js";
