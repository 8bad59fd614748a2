// A real cluster in a real sandbox for tests, with the few verbs that they need: create, read, wait, logs, remove.

import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "#base/log/log.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { DialerOptions } from "../../egress/dialer.ts";
import { readImageFiles } from "../../images.ts";
import { checkPrerequisites } from "../prerequisites.ts";
import { removeStateDirectory } from "../remove-state.ts";
import { type HostPort, type Sandbox, startSandbox } from "../sandbox.ts";

/** Why tests with a sandbox cannot run here; false when they can. Fits `{ skip }`. */
export function skipReason(): string | false {
  const issue = checkPrerequisites()[0];
  return issue === undefined ? false : `${issue.message}; ${issue.fix ?? ""}`;
}

export interface ClusterUnderTestOptions {
  /** Files beside images.yaml, by name. */
  readonly files: Readonly<Record<string, string>>;
  readonly images: string;
  readonly ports?: readonly HostPort[];
  readonly egress?: DialerOptions;
}

export class ClusterUnderTest {
  readonly sandbox: Sandbox;
  readonly folder: string;
  readonly output: string[];
  /** Why connections to the outside were not made. */
  readonly egressProblems: string[];

  private constructor(sandbox: Sandbox, folder: string, output: string[], egressProblems: string[]) {
    this.sandbox = sandbox;
    this.folder = folder;
    this.output = output;
    this.egressProblems = egressProblems;
  }

  static async start(options: ClusterUnderTestOptions): Promise<ClusterUnderTest> {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-cluster-"));
    const imageFolder = join(folder, "images");
    mkdirSync(imageFolder);
    for (const [name, content] of Object.entries(options.files)) writeFileSync(join(imageFolder, name), content);
    writeFileSync(join(imageFolder, "images.yaml"), options.images);
    const { catalog, directories } = readImageFiles([join(imageFolder, "images.yaml")]);
    const stateDirectory = join(folder, "state");
    const packageRoot = join(import.meta.dirname, "../../../..");
    const output: string[] = [];
    const problems: string[] = [];
    const ready = Promise.withResolvers<void>();
    const sandbox = await startSandbox({
      entry: [process.execPath, join(import.meta.dirname, "cluster-entry.ts")],
      options: { stateDirectory, packageRoot, images: catalog, directories, egress: options.egress !== undefined },
      stateDirectory,
      packageRoot,
      directories,
      ports: options.ports ?? [],
      ...(options.egress !== undefined && { egress: options.egress }),
      log: silentLogger,
      onOutput: (text) => output.push(text),
      onEvent: (event) => {
        const { egressProblem } = event as { readonly egressProblem?: string };
        if (egressProblem === undefined) ready.resolve();
        else problems.push(egressProblem);
      },
    });
    await Promise.race([
      ready.promise,
      sandbox.exited.then((exit) => Promise.reject(new Error(`the sandbox ended: ${exit.output}`))),
    ]);
    return new ClusterUnderTest(sandbox, folder, output, problems);
  }

  async stop(): Promise<void> {
    await this.sandbox.stop(15_000);
    await removeStateDirectory(this.folder);
  }

  create(path: string, object: unknown): Promise<KubernetesObject> {
    return this.#json("POST", path, object);
  }

  get(path: string): Promise<KubernetesObject> {
    return this.#json("GET", path);
  }

  remove(path: string): Promise<KubernetesObject> {
    return this.#json("DELETE", path);
  }

  async log(pod: string, container: string, query = ""): Promise<string> {
    const answer = await this.call("GET", `/api/v1/namespaces/default/pods/${pod}/log?container=${container}${query}`);
    return answer.body;
  }

  /** Sends the bytes to a port of the pod and returns what came back until the end. */
  throughPort(pod: string, port: number, bytes: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const outgoing = request({
        socketPath: join(this.folder, "state/api.sock"),
        path: `/api/v1/namespaces/default/pods/${pod}/portforward?ports=${port}`,
        headers: { connection: "Upgrade", upgrade: "tcp" },
      });
      outgoing.on("upgrade", (_response, socket, head) => {
        let text = String(head);
        socket.on("data", (chunk: Buffer) => {
          text += String(chunk);
        });
        socket.on("close", () => resolve(text));
        socket.on("error", reject);
        socket.write(bytes);
      });
      outgoing.on("response", (response) => {
        response.setEncoding("utf8");
        void response.toArray().then((chunks) => reject(new Error(chunks.join(""))));
      });
      outgoing.on("error", reject);
      outgoing.end();
    });
  }

  async #json(method: string, path: string, body?: unknown): Promise<KubernetesObject> {
    const answer = await this.call(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body) as KubernetesObject;
  }

  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: join(this.folder, "state/api.sock"),
          method,
          path,
          headers: body === undefined ? {} : { "content-type": "application/json" },
        },
        (response) => {
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => {
            text += chunk;
          });
          response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
        },
      );
      outgoing.on("error", reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

/** Asks until the answer is there. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  withinMs = 10_000,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
