// RFC 6902, on immutable values: each operation returns a new document that shares what it did not touch.

import { apiError } from "./errors.ts";
import { asRecord, define, isRecord, jsonEqual } from "./json.ts";

const maxOperations = 10_000;

/** Applies the operations in order; BAD_REQUEST names the first that cannot be. */
export function applyJsonPatch(document: unknown, operations: unknown): unknown {
  if (!Array.isArray(operations)) throw apiError("BAD_REQUEST", "a JSON patch is an array of operations");
  if (operations.length > maxOperations) throw apiError("TOO_LARGE", `more than ${maxOperations} patch operations`);
  let current = document;
  for (const [index, operation] of operations.entries()) {
    try {
      current = applyOperation(current, asRecord(operation));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw apiError("INVALID", `JSON patch operation ${index}: ${reason}`, error);
    }
  }
  return current;
}

function applyOperation(document: unknown, operation: Readonly<Record<string, unknown>>): unknown {
  const path = pointer(operation["path"]);
  switch (operation["op"]) {
    case "add":
      return add(document, path, operation["value"]);
    case "remove":
      return remove(document, path);
    case "replace":
      return path.length === 0 ? operation["value"] : add(remove(document, path), path, operation["value"]);
    case "test":
      if (jsonEqual(read(document, path), operation["value"])) return document;
      throw new Error(`the value at ${String(operation["path"])} is another`);
    case "copy":
      return add(document, path, read(document, pointer(operation["from"])));
    case "move": {
      const from = pointer(operation["from"]);
      return add(remove(document, from), path, read(document, from));
    }
    default:
      throw new Error(`unknown operation ${String(operation["op"])}`);
  }
}

function pointer(text: unknown): readonly string[] {
  if (text === "") return [];
  if (typeof text !== "string" || !text.startsWith("/")) throw new Error(`${String(text)} is not a JSON pointer`);
  return text
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function read(document: unknown, path: readonly string[]): unknown {
  let current = document;
  for (const part of path) {
    if (Array.isArray(current)) current = current[arrayIndex(part, current.length - 1)];
    else if (isRecord(current) && Object.hasOwn(current, part)) current = current[part];
    else throw new Error(`there is no value at /${path.join("/")}`);
  }
  return current;
}

function add(document: unknown, path: readonly string[], value: unknown): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return value;
  if (Array.isArray(document)) {
    if (rest.length === 0) {
      const index = part === "-" ? document.length : arrayIndex(part, document.length);
      return document.toSpliced(index, 0, value);
    }
    const index = arrayIndex(part, document.length - 1);
    return document.with(index, add(document[index], rest, value));
  }
  if (!isRecord(document)) throw new Error(`there is no object to add "${part}" to`);
  if (rest.length > 0 && !Object.hasOwn(document, part)) throw new Error(`there is no "${part}"`);
  return withField(document, part, rest.length === 0 ? value : add(document[part], rest, value));
}

function remove(document: unknown, path: readonly string[]): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return null;
  if (Array.isArray(document)) {
    const index = arrayIndex(part, document.length - 1);
    return rest.length === 0 ? document.toSpliced(index, 1) : document.with(index, remove(document[index], rest));
  }
  if (!isRecord(document) || !Object.hasOwn(document, part)) throw new Error(`there is no "${part}" to remove`);
  if (rest.length > 0) return withField(document, part, remove(document[part], rest));
  const { [part]: _, ...others } = document;
  return others;
}

function withField(record: Readonly<Record<string, unknown>>, key: string, value: unknown): unknown {
  const result = { ...record };
  define(result, key, value);
  return result;
}

function arrayIndex(part: string, last: number): number {
  const index = /^(0|[1-9]\d{0,6})$/.test(part) ? Number(part) : -1;
  if (index < 0 || index > last) throw new Error(`${part} is not an index of the list`);
  return index;
}
