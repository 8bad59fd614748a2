// What the controllers need from those who start them.

import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { Admission } from "../admission/admission.ts";
import type { ObjectStore } from "../store/store.ts";

export interface ControllerOptions {
  readonly store: ObjectStore;
  /** Of the API server: pods are created through it, so that webhooks see them. */
  readonly admission: Admission;
  /** For `kube-root-ca.crt` in every namespace. */
  readonly caPem: string;
  readonly log: Logger;
  readonly clock?: Clock;
  /** The node on which every pod runs; default `outrigger-node`. */
  readonly nodeName?: string;
  /** Where the API server listens for pods: the endpoint of the Service `kubernetes`. */
  readonly apiServer?: { readonly host: string; readonly port: number };
  /** Where the cluster's DNS listens: the endpoint of the Service `kube-dns`. */
  readonly dns?: { readonly host: string; readonly port: number };
}

/** What each controller is given. */
export interface ControllerContext {
  readonly store: ObjectStore;
  readonly admission: Admission;
  readonly log: Logger;
  readonly clock: Clock;
}
