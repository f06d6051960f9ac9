/**
 * Text with its control characters as escapes, tabs and line feeds apart. Data can hold any text; printed raw, it could
 * move the cursor or retitle the window of whoever looks at it.
 */
export function visible(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{Cc}/gu, escaped);
}

/** A value as one line of JSON without any control character. */
export function jsonLine(value: unknown): string {
  return (JSON.stringify(value) ?? "null").replaceAll(/\p{Cc}/gu, escapedInJson);
}

function escaped(control: string): string {
  return `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

/** JSON escapes those below U+0020 itself and leaves U+007F to U+009F as they are. */
function escapedInJson(control: string): string {
  return `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** A text as one word of a shell. */
export function shellWord(text: string): string {
  return /^[\w.:@%+=/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
