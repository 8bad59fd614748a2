// Answers one HTTP request: who asks, what for, may they, and then the verb. Every failure becomes a `Status`.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { describeError } from "#base/error.ts";
import { apiError, apiErrorCode } from "../store/errors.ts";
import { formatResource, pods, signingRequests } from "../store/resources.ts";
import { type Authenticator, anonymous } from "./authenticate.ts";
import { type ApiContext, named, type ResourceCall } from "./call.ts";
import { discoveryContentType, discoveryDocument, hasStatus, publicDocument } from "./discovery.ts";
import { type Exchange, readRecord, sendJson } from "./exchange.ts";
import { authorize } from "./rbac/authorize.ts";
import { answerReview } from "./rbac/reviews.ts";
import type { ServedResource } from "./registry.ts";
import { parseResourcePath, type ResourcePath } from "./request-path.ts";
import { failureStatus, type StatusDetails } from "./status-object.ts";
import { exec } from "./subresources/exec.ts";
import { podLog } from "./subresources/log.ts";
import { portForward } from "./subresources/port-forward.ts";
import { scale } from "./subresources/scale.ts";
import { requestToken } from "./subresources/token.ts";
import { remove, removeCollection } from "./verbs/delete.ts";
import { patch } from "./verbs/patch.ts";
import { get, list } from "./verbs/read.ts";
import { watch } from "./verbs/watch.ts";
import { create, update } from "./verbs/write.ts";

/** Answers; never throws. */
export async function handleRequest(
  context: ApiContext,
  authenticate: Authenticator,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let path: ResourcePath | undefined;
  try {
    const url = parseUrl(request);
    const isPublic = answerPublic(context, url, response);
    if (isPublic) return;
    const user = authenticate(request);
    path = parseResourcePath(url.pathname);
    const exchange: Exchange = { request, response, url, user };
    if (path === undefined) answerDiscovery(context, exchange);
    else await answerResource(context, exchange, path);
  } catch (error) {
    refuse(context, request, response, error, path);
  }
}

/** Answers a request to upgrade: port-forward and exec. */
export async function handleUpgrade(
  context: ApiContext,
  authenticate: Authenticator,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    const url = parseUrl(request);
    const user = authenticate(request);
    const path = parseResourcePath(url.pathname);
    if (
      path === undefined ||
      path.resource.group !== "" ||
      path.resource.plural !== "pods" ||
      (path.subresource !== "portforward" && path.subresource !== "exec")
    ) {
      throw apiError("NOT_FOUND", "only pods/portforward and pods/exec can be upgraded");
    }
    authorize(context.store, user, "create", path, path.name);
    const pod = context.store.get(pods, path.namespace, path.name);
    if (pod === undefined) throw apiError("NOT_FOUND", `pods "${path.name}" not found`);
    const upgrade = { protocol: request.headers.upgrade ?? "", query: url.searchParams, socket, head };
    if (path.subresource === "exec") await exec(context.node, pod, upgrade);
    else await portForward(context.node, pod, upgrade);
  } catch (error) {
    const { code, body } = failureStatus(error);
    if (apiErrorCode(error) === undefined) context.log.error(describeError(error), { path: request.url });
    const text = JSON.stringify(body);
    const lines = `HTTP/1.1 ${code} Refused\r\nContent-Type: application/json\r\nConnection: close\r\n`;
    socket.end(`${lines}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }
}

function parseUrl(request: IncomingMessage): URL {
  const target = request.url ?? "/";
  if (!target.startsWith("/") || !URL.canParse(target, "http://api"))
    throw apiError("BAD_REQUEST", "the URL is malformed");
  // An absolute base keeps `//host` at the beginning of a path from being taken for a host.
  return new URL(`http://api${target}`);
}

/** Health, version and keys need no credentials. */
function answerPublic(context: ApiContext, url: URL, response: ServerResponse): boolean {
  if (url.pathname === "/healthz" || url.pathname === "/readyz" || url.pathname === "/livez") {
    response.writeHead(200, { "content-type": "text/plain" }).end("ok");
    return true;
  }
  const document = publicDocument(url.pathname, context.tokens);
  if (document !== undefined) sendJson(response, 200, document);
  return document !== undefined;
}

function answerDiscovery(context: ApiContext, exchange: Exchange): void {
  const { url, request, response, user } = exchange;
  if (user === anonymous) throw apiError("UNAUTHORIZED", "Unauthorized");
  if (request.method !== "GET") throw apiError("METHOD_NOT_ALLOWED", `${request.method} is not allowed here`);
  // kubectl asks for schemas before it sends anything: there are none, and it then leaves validation to the server.
  if (url.pathname === "/openapi/v3") return sendJson(response, 200, { paths: {} });
  const document = discoveryDocument(context.registry, url.pathname, request.headers.accept ?? "");
  if (document === undefined) throw apiError("NOT_FOUND", "the server could not find the requested resource");
  const body = JSON.stringify(document);
  response.writeHead(200, { "content-type": discoveryContentType(document), vary: "Accept" }).end(body);
}

async function answerResource(context: ApiContext, exchange: Exchange, path: ResourcePath): Promise<void> {
  const served = context.registry.find(path.resource);
  const { method = "GET" } = exchange.request;
  if (served === undefined || !served.entry.versions.includes(path.version)) {
    throw apiError("NOT_FOUND", "the server could not find the requested resource");
  }
  const verb = verbOf(method, path, exchange.url);
  authorize(context.store, exchange.user, verb, path, path.name || selectedName(exchange.url));
  const call: ResourceCall = { context, exchange, path, entry: served.entry };
  if (served.type === "review") return review(call, verb);
  checkScope(served, verb, path);
  if (isApproval(path)) return runVerb(call, verb);
  if (path.subresource !== "" && path.subresource !== "status") return subresource(call, method);
  if (path.subresource === "status" && !(hasStatus(served.entry.plural) && ["get", "update", "patch"].includes(verb))) {
    throw apiError("NOT_FOUND", "the server could not find the requested resource");
  }
  return runVerb(call, verb);
}

/** Read and written as a status is. */
function isApproval({ resource, subresource }: ResourcePath): boolean {
  return subresource === "approval" && formatResource(resource) === formatResource(signingRequests);
}

function runVerb(call: ResourceCall, verb: string): void | Promise<void> {
  switch (verb) {
    case "get":
      return get(call);
    case "list":
      return list(call);
    case "watch":
      return watch(call);
    case "create":
      return create(call);
    case "update":
      return update(call);
    case "patch":
      return patch(call);
    case "delete":
      return remove(call);
    default:
      return removeCollection(call);
  }
}

async function review(call: ResourceCall, verb: string): Promise<void> {
  if (verb !== "create") throw apiError("METHOD_NOT_ALLOWED", "reviews can only be created");
  const { context, exchange, entry } = call;
  const body = await readRecord(exchange.request);
  const answer = answerReview({ store: context.store, tokens: context.tokens, user: exchange.user }, entry.kind, body);
  sendJson(exchange.response, 201, answer);
}

async function subresource(call: ResourceCall, method: string): Promise<void> {
  const { group, plural } = call.path.resource;
  const name = `${group === "" ? plural : `${plural}.${group}`}/${call.path.subresource}`;
  switch (`${method} ${name}`) {
    case "GET pods/log":
      return podLog(call);
    case "POST pods/eviction":
      return evict(call);
    case "POST serviceaccounts/token":
      return requestToken(call);
    case "GET pods/portforward":
    case "POST pods/portforward":
      throw apiError("BAD_REQUEST", "Upgrade request required");
    default:
      break;
  }
  const isScale = /^(deployments|replicasets|statefulsets)\.apps\/scale$/.test(name);
  if (isScale && ["GET", "PUT", "PATCH"].includes(method)) return scale(call);
  throw apiError("NOT_FOUND", "the server could not find the requested resource");
}

async function evict(call: ResourceCall): Promise<void> {
  const { context, exchange, entry, path } = call;
  await readRecord(exchange.request);
  named(call);
  await context.admission.delete(entry, path.namespace, path.name, {}, { user: exchange.user });
  sendJson(exchange.response, 201, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" });
}

function verbOf(method: string, path: ResourcePath, url: URL): string {
  const isWatch = ["true", "1"].includes(url.searchParams.get("watch") ?? "");
  switch (method) {
    case "GET":
      if (isWatch && path.subresource === "") return "watch";
      return path.name === "" ? "list" : "get";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return path.name === "" ? "deletecollection" : "delete";
    default:
      throw apiError("METHOD_NOT_ALLOWED", `${method} is not allowed`);
  }
}

/** The name that a list or watch is confined to: a role for this one object then allows it. */
function selectedName(url: URL): string {
  const terms = (url.searchParams.get("fieldSelector") ?? "").split(",");
  const term = terms.find((candidate) => candidate.startsWith("metadata.name="));
  return term?.slice("metadata.name=".length) ?? "";
}

function checkScope({ entry }: ServedResource, verb: string, path: ResourcePath): void {
  const isInNamespace = path.namespace !== "";
  const needsNamespace = entry.namespaced && !["list", "watch"].includes(verb);
  if (isInNamespace !== entry.namespaced && (isInNamespace || needsNamespace)) {
    throw apiError("NOT_FOUND", "the server could not find the requested resource");
  }
  const needsName = !["list", "watch", "create", "deletecollection"].includes(verb);
  if (needsName && path.name === "") throw apiError("METHOD_NOT_ALLOWED", `${verb} needs a name`);
  if (verb === "create" && path.name !== "" && path.subresource === "") {
    throw apiError("METHOD_NOT_ALLOWED", "create works on the collection");
  }
}

function refuse(
  context: ApiContext,
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
  path: ResourcePath | undefined,
): void {
  if (apiErrorCode(error) === undefined) {
    context.log.error(`request failed: ${describeError(error)}`, { method: request.method, path: request.url });
  }
  const details: StatusDetails =
    path === undefined ? {} : { name: path.name, group: path.resource.group, kind: path.resource.plural };
  const { code, body } = failureStatus(error, details);
  // Whatever of the body was not read is of no use any more.
  if (!request.readableEnded) response.setHeader("connection", "close");
  if (response.headersSent) response.destroy();
  else sendJson(response, code, body);
}
