/** Told what does not go as it should, as data and a lowercase sentence that holds none: a line for a logger. */
export type Warn = (fields: Readonly<Record<string, unknown>>, message: string) => void;

/** For who has nobody to tell. */
export const noWarn: Warn = () => {};
