// Asking a service that speaks HTTP: the head of the request goes to it, and its status is the answer. 200 allows, an error
// of its own (5xx) is none, and anything else is the refusal that the client gets.
import { Headers } from "#wire/http/headers.ts";
import type { HttpCall, HttpCallResponse } from "../../../upstream/http-call.ts";
import type { Stream } from "../../stream.ts";
import type { HeaderChange, Outcome } from "./outcome.ts";
import type { ExtAuthzSettings, HttpServiceSettings, NameTest } from "./settings.ts";

/** The body that is sent, as far as the request had one and the service may see it. */
export interface CheckBody {
  readonly bytes: Buffer;
  readonly isPartial: boolean;
}

/** A refusal is a page, not a file. */
const maxResponseBytes = 1_048_576;

export function httpCheck(
  stream: Stream,
  settings: ExtAuthzSettings,
  service: HttpServiceSettings,
  body: CheckBody | null,
): HttpCall {
  return {
    cluster: service.cluster,
    method: stream.method,
    scheme: stream.scheme,
    authority: stream.authority,
    // CONNECT has no path (CVE-2026-73547).
    path: `${service.pathPrefix}${stream.path}` || "/",
    headers: checkHeaders(stream, settings, service, body),
    body: body?.bytes ?? Buffer.alloc(0),
    timeoutMs: service.timeoutMs,
    maxResponseBytes,
  };
}

function checkHeaders(
  { headers: of }: Stream,
  { sendsRawHeaders, sentHeaders, withheldHeaders }: ExtAuthzSettings,
  { headersToAdd }: HttpServiceSettings,
  body: CheckBody | null,
): Headers {
  const headers = new Headers();
  of.forEach((name, value) => {
    if (name !== "authorization" && sentHeaders?.(name) !== true) return;
    if (withheldHeaders?.(name) === true) return;
    // Every value of a header that is repeated (CVE-2021-32777), as one line or as it came.
    if (sendsRawHeaders) headers.add(name, value);
    else if (!headers.has(name)) headers.add(name, of.get(name) ?? value);
  });
  for (const { name, value } of headersToAdd) headers.set(name, value);
  if (body !== null) headers.set("x-envoy-auth-partial-body", String(body.isPartial));
  return headers;
}

export function httpOutcome(service: HttpServiceSettings, { status, headers, body }: HttpCallResponse): Outcome {
  if (status >= 500) return { type: "failed", words: `it answered ${status}`, isTimeout: false };
  if (status !== 200) {
    return {
      type: "denied",
      status,
      body,
      response: changes(headers, refusalHeader(service.client), "add"),
      metadata: null,
    };
  }
  return {
    type: "allowed",
    request: [
      ...removals(headers),
      ...changes(headers, service.upstream, "set"),
      ...changes(headers, service.upstreamAppended, "append_if_there"),
    ],
    response: changes(headers, service.clientOnSuccess, "add"),
    setParameters: [],
    removedParameters: [],
    metadata: metadataOf(headers, service.metadata),
  };
}

/** These are part of every refusal, whatever the list says. */
const alwaysInRefusals: ReadonlySet<string> = new Set(["www-authenticate", "location"]);

function refusalHeader(listed: NameTest | null): NameTest {
  return listed === null ? () => true : (name) => alwaysInRefusals.has(name) || listed(name);
}

function changes(headers: Headers, test: NameTest | null, operation: HeaderChange["operation"]): HeaderChange[] {
  const result: HeaderChange[] = [];
  if (test === null) return result;
  headers.forEach((name, value) => {
    if (!test(name)) return;
    // The second line of a header that is set goes behind the first.
    const isRepeated = operation === "set" && result.some((it) => it.name === name);
    result.push({ name, value, operation: isRepeated ? "add" : operation });
  });
  return result;
}

const removalHeader = "x-envoy-auth-headers-to-remove";

function removals(headers: Headers): HeaderChange[] {
  return (headers.get(removalHeader) ?? "")
    .split(",", 64)
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "" && name !== "host" && !name.startsWith(":"))
    .map((name) => ({ name, value: "", operation: "remove" }));
}

function metadataOf(headers: Headers, test: NameTest | null): Readonly<Record<string, unknown>> | null {
  if (test === null) return null;
  const values: Record<string, unknown> = Object.create(null);
  headers.forEach((name) => {
    if (test(name)) values[name] = headers.get(name);
  });
  return values;
}
