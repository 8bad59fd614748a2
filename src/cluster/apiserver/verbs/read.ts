// get and list.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../../store/errors.ts";
import type { ListOptions } from "../../store/store.ts";
import { apiVersionOf, named, type ResourceCall, shown } from "../call.ts";
import { sendJson } from "../exchange.ts";
import { tableOf, wantsTable } from "../table/table.ts";

export function get(call: ResourceCall): void {
  const object = named(call);
  const { exchange, context, entry } = call;
  const body = wantsTable(exchange) ? tableOf(entry, [object], {}, context.clock.now()) : shown(call, object);
  sendJson(exchange.response, 200, body);
}

export function list(call: ResourceCall): void {
  const { context, exchange, entry, path } = call;
  const found = context.store.list(entry, listOptions(call));
  const page = pageOf(found.items, exchange.url.searchParams, found.resourceVersion);
  const metadata = {
    resourceVersion: page.resourceVersion,
    ...(page.continue === "" ? {} : { continue: page.continue, remainingItemCount: page.remaining }),
  };
  if (wantsTable(exchange)) {
    sendJson(exchange.response, 200, tableOf(entry, page.items, metadata, context.clock.now()));
    return;
  }
  const apiVersion = apiVersionOf(entry, path.version);
  const items = page.items.map((object) => shown(call, object));
  sendJson(exchange.response, 200, { kind: `${entry.kind}List`, apiVersion, metadata, items });
}

/** What the path and the query select. */
export function listOptions(call: ResourceCall): ListOptions {
  const query = call.exchange.url.searchParams;
  const { namespace, name } = call.path;
  const fieldSelector = [query.get("fieldSelector") ?? "", name === "" ? "" : `metadata.name=${name}`]
    .filter((selector) => selector !== "")
    .join(",");
  return { namespace, labelSelector: query.get("labelSelector") ?? "", fieldSelector };
}

interface Page {
  readonly items: readonly KubernetesObject[];
  readonly resourceVersion: string;
  readonly continue: string;
  readonly remaining: number;
}

/**
 * Cuts a page. Later pages show later states, but carry the version of the first: who watches from it sees again what
 * changed in between, and misses nothing.
 */
function pageOf(items: readonly KubernetesObject[], query: URLSearchParams, resourceVersion: string): Page {
  const limit = Number(query.get("limit") ?? 0);
  const from = readContinue(query.get("continue") ?? "");
  const rest = from === undefined ? items : items.filter((object) => keyOf(object) > from.after);
  const version = from?.version ?? resourceVersion;
  const isCut = Number.isSafeInteger(limit) && limit > 0 && rest.length > limit;
  const page = isCut ? rest.slice(0, limit) : rest;
  const last = page.at(-1);
  const token = isCut && last !== undefined ? writeContinue(version, keyOf(last)) : "";
  return { items: page, resourceVersion: version, continue: token, remaining: rest.length - page.length };
}

function keyOf(object: KubernetesObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

function writeContinue(version: string, after: string): string {
  return Buffer.from(`${version} ${after}`).toString("base64url");
}

function readContinue(token: string): { version: string; after: string } | undefined {
  if (token === "") return undefined;
  const match = /^(\d+) (\S+)$/.exec(Buffer.from(token, "base64url").toString("utf8"));
  if (match === null) throw apiError("BAD_REQUEST", "continue key is not valid");
  return { version: match[1] ?? "", after: match[2] ?? "" };
}
