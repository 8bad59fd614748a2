// What an authorization service said, whichever way it was asked.
import type { FilterMetadata } from "../../../config/http.ts";

export type ChangeOperation =
  | "set"
  | "add"
  /** Behind the value that is there; nothing when there is none. */
  | "append_if_there"
  | "add_if_absent"
  | "set_if_there"
  | "remove";

export interface HeaderChange {
  /** Lower case. */
  readonly name: string;
  /** One character per byte. */
  readonly value: string;
  readonly operation: ChangeOperation;
}

export interface Allowed {
  readonly type: "allowed";
  readonly request: readonly HeaderChange[];
  readonly response: readonly HeaderChange[];
  readonly setParameters: readonly { readonly key: string; readonly value: string }[];
  readonly removedParameters: readonly string[];
  readonly metadata: FilterMetadata["values"] | null;
}

export interface Denied {
  readonly type: "denied";
  readonly status: number;
  readonly body: Buffer;
  readonly response: readonly HeaderChange[];
  readonly metadata: FilterMetadata["values"] | null;
}

/** There is no answer, or none that means anything. */
interface Failed {
  readonly type: "failed";
  readonly words: string;
  readonly isTimeout: boolean;
}

export type Outcome = Allowed | Denied | Failed;

export const metadataNamespace = "envoy.filters.http.ext_authz";

/** What says where a message ends, or concerns a connection, is not for others to say. */
const framing: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const pseudo: ReadonlySet<string> = new Set([":authority", ":method", ":path"]);

/** Whether the message stays whole with the change (RFC 9110 5.1, 5.5). */
export function isValidChange({ name, value }: HeaderChange, isRequest: boolean): boolean {
  if (!isFieldValue(value) || framing.has(name)) return false;
  if (isRequest && pseudo.has(name)) return true;
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) && (isRequest || name !== "host");
}

/** No control bytes but tabs. */
function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return false;
  }
  return true;
}
