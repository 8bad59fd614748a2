// Header lines with names as `Content-Type`: Envoy's proper_case_words, for clients that compare names by case.
import type { Headers } from "../http/headers.ts";

/** As `headers.serialize()`, with the first letter of every word of a name in upper case and the others in lower. */
export function serializeProperCase(headers: Headers): string {
  let text = "";
  for (let i = 0; i < headers.length; i++) {
    if (!headers.isRemoved(i)) text += `${properCase(headers.nameAt(i))}: ${headers.valueAt(i)}\r\n`;
  }
  return text;
}

export function properCase(name: string): string {
  return name.toLowerCase().replaceAll(/(^|[^a-z0-9])([a-z])/g, (_match, before: string, letter: string) => {
    return before + letter.toUpperCase();
  });
}
