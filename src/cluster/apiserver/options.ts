// What the API server needs from those who start it, and what it hands back.

import type { Duplex, Readable, Writable } from "node:stream";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { Admission } from "../admission/admission.ts";
import type { ObjectStore } from "../store/store.ts";
import type { TokenAuthority } from "../tokens/token-authority.ts";

export interface LogRequest {
  readonly pod: KubernetesObject;
  readonly container: string;
  /** Stay open and send what is written later; the reader destroys the stream when it has gone. */
  readonly follow: boolean;
  /** The container's run before the present one. */
  readonly previous: boolean;
  /** Prefix each line with its RFC 3339 time. */
  readonly timestamps: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  readonly limitBytes?: number;
}

interface ExecRequest {
  readonly pod: KubernetesObject;
  /** Empty: the pod's first. */
  readonly container: string;
  readonly command: readonly string[];
}

/** A command that runs in a container, with its rights. */
export interface ExecSession {
  readonly input: Writable;
  readonly output: Readable;
  readonly errors: Readable;
  /** 128 + n after signal n. Resolves when all output has been read. */
  readonly exited: Promise<number>;
  kill(): void;
}

/** What only the node can do. All throw an `apiError` (NOT_FOUND, UNAVAILABLE) when they cannot. */
export interface NodeServices {
  logs(request: LogRequest): Promise<Readable>;
  /** Connects to a port inside the pod's network namespace, 127.0.0.1 included. */
  dial(pod: KubernetesObject, port: number): Promise<Duplex>;
  exec(request: ExecRequest): Promise<ExecSession>;
}

export interface ApiServerOptions {
  readonly store: ObjectStore;
  /** Unix socket, mode 0600, made anew; whoever can open it is admin. */
  readonly socketPath?: string;
  /** TLS with service-account tokens. Port 0 picks one. */
  readonly https?: { readonly host: string; readonly port: number };
  readonly node: NodeServices;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface RunningApiServer extends Running {
  /** The cluster's CA: content of `ca.crt` and of the ConfigMap `kube-root-ca.crt`. */
  readonly caPem: string;
  /** The port that the HTTPS listener got; 0 without one. */
  readonly httpsPort: number;
  readonly tokens: TokenAuthority;
  readonly admission: Admission;
}
