// For tests: an API server with its controllers on a Unix socket and over TLS, and a node that is only pretended.

import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { silentLogger } from "#base/log/log.ts";
import type { LogRequest, RunningApiServer } from "../apiserver/options.ts";
import { startApiServer } from "../apiserver/start.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../store/json.ts";
import { openStore } from "../store/open-store.ts";
import { pods } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";
import { startControllers } from "./start.ts";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** The body as JSON. */
  readonly body: JsonRecord;
}

interface CallOptions {
  readonly body?: unknown;
  readonly type?: string;
  readonly accept?: string;
  /** With a token the call goes over TLS. */
  readonly token?: string;
}

export interface LocalCluster {
  readonly store: ObjectStore;
  readonly api: RunningApiServer;
  readonly socketPath: string;
  readonly logRequests: LogRequest[];
  /** `call("GET", "/api/v1/namespaces")`, as the administrator unless a token is given. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** As `call`, and it must succeed. */
  must(method: string, path: string, options?: CallOptions): Promise<JsonRecord>;
  stop(): Promise<void>;
}

export interface LocalClusterOptions {
  readonly controllers?: boolean;
  /** Where a dial to a pod's port goes. */
  readonly dialPort?: number;
  /** Pods become ready by themselves, and end when they are deleted. */
  readonly kubelet?: boolean;
}

export async function startLocalCluster(options: LocalClusterOptions = {}): Promise<LocalCluster> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-api-"));
  const socketPath = join(folder, "api.sock");
  const store = openStore({ memory: true });
  const logRequests: LogRequest[] = [];
  const api = await startApiServer({
    store,
    socketPath,
    https: { host: "127.0.0.1", port: 0 },
    log: silentLogger,
    node: {
      logs: (request) => {
        logRequests.push(request);
        return Promise.resolve(Readable.from([`log of ${request.container}\n`]));
      },
      exec: () => Promise.reject(new Error("no commands run here")),
      dial: () => Promise.resolve(connect(options.dialPort ?? 1, "127.0.0.1")),
    },
  });
  const controllers =
    options.controllers === false
      ? undefined
      : startControllers({ store, admission: api.admission, caPem: api.caPem, log: silentLogger });
  if (options.kubelet === true) pretendKubelet(store);
  const call = (method: string, path: string, callOptions: CallOptions = {}): Promise<Answer> =>
    send(
      callOptions.token === undefined ? { socketPath } : { port: api.httpsPort, ca: api.caPem },
      method,
      path,
      callOptions,
    );
  return {
    store,
    api,
    socketPath,
    logRequests,
    call,
    must: async (method, path, callOptions) => {
      const answer = await call(method, path, callOptions);
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
      return answer.body;
    },
    stop: async () => {
      await controllers?.stop();
      await api.stop();
      store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Waits until the condition holds, looking again after each turn of the event loop. */
export async function until(what: string, condition: () => boolean, limitMs = 5_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`it did not happen within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

let nextAddress = 2;

/** Gives a pod an address and makes it ready or not. */
export function setReady(store: ObjectStore, namespace: string, name: string, isReady: boolean): void {
  const podIP = fieldAt(store.get(pods, namespace, name), "status", "podIP") ?? `10.244.0.${nextAddress++}`;
  const ready = { type: "Ready", status: isReady ? "True" : "False", lastTransitionTime: new Date().toISOString() };
  const conditions = asArray(fieldAt(store.get(pods, namespace, name), "status", "conditions"))
    .map(asRecord)
    .filter((condition) => condition["type"] !== "Ready");
  store.patch(
    pods,
    namespace,
    name,
    { status: { phase: "Running", podIP, conditions: [...conditions, ready] } },
    { status: true },
  );
}

function pretendKubelet(store: ObjectStore): void {
  store.watch(pods, {}, ({ type, object }) => {
    const { name, namespace = "" } = object.metadata;
    const pod = type === "BOOKMARK" ? undefined : store.get(pods, namespace, name);
    if (pod === undefined) return;
    if (pod.metadata.deletionTimestamp !== undefined) store.delete(pods, namespace, name, { gracePeriodSeconds: 0 });
    else if (fieldAt(pod, "spec", "nodeName") && !fieldAt(pod, "status", "podIP"))
      setReady(store, namespace, name, true);
  });
}

type Target = { readonly socketPath: string } | { readonly port: number; readonly ca: string };

function send(target: Target, method: string, path: string, options: CallOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { body } = options;
    const bytes = body === undefined ? undefined : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
    const headers = {
      connection: "close",
      ...(options.body === undefined
        ? {}
        : { "content-type": options.type ?? "application/json", "content-length": bytes?.length }),
      ...(options.accept === undefined ? {} : { accept: options.accept }),
      ...(options.token === undefined || options.token === "" ? {} : { authorization: `Bearer ${options.token}` }),
    };
    const outgoing =
      "port" in target
        ? httpsRequest({ ...target, host: "127.0.0.1", servername: "kubernetes.default.svc", method, path, headers })
        : httpRequest({ ...target, method, path, headers });
    outgoing.on("error", reject);
    outgoing.on("response", (incoming) => {
      let text = "";
      incoming.setEncoding("utf8");
      incoming.on("data", (chunk: string) => {
        text += chunk;
      });
      incoming.on("error", reject);
      incoming.on("end", () => {
        const isJson = incoming.headers["content-type"]?.startsWith("application/json") === true;
        const json = isJson ? asRecord(JSON.parse(text)) : {};
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text, body: json });
      });
    });
    outgoing.end(bytes);
  });
}
