// JSON as tokens may hold it: one object, valid UTF-8, no name twice (RFC 7519 4), and nested so little that nobody who
// walks it later runs out of stack. Two readers of the same bytes then see the same claims.

export type JsonObject = Readonly<Record<string, unknown>>;

const maxDepth = 64;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Null: it is none of that. */
export function parseStrictObject(bytes: Uint8Array): JsonObject | null {
  let value: unknown;
  let text: string;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  return isUnambiguous(text) ? (value as JsonObject) : null;
}

/** Walks text that is known to be JSON. */
function isUnambiguous(text: string): boolean {
  /** Names of each open object; null for an array. */
  const open: (Set<string> | null)[] = [];
  let isName = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '"') {
      const end = endOfString(text, i);
      if (isName) {
        const name: unknown = JSON.parse(text.slice(i, end + 1));
        const names = open.at(-1);
        if (typeof name !== "string" || !names || names.has(name)) return false;
        names.add(name);
        isName = false;
      }
      i = end;
    } else if (char === "{" || char === "[") {
      if (open.length === maxDepth) return false;
      open.push(char === "{" ? new Set() : null);
      isName = char === "{";
    } else if (char === "}" || char === "]") {
      open.pop();
      isName = false;
    } else if (char === ",") {
      isName = open.at(-1) !== null;
    }
  }
  return true;
}

function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i;
}
