// Where a webhook's Service can be reached: the address of one of its ready endpoints, because the API server is not a
// pod and asks the pods directly.

import { randomInt } from "node:crypto";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../../store/errors.ts";
import { asArray, asRecord, fieldAt } from "../../store/json.ts";
import { endpointSlices, services } from "../../store/resources.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { WebhookService } from "./webhook.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Picks a ready endpoint at random; UNAVAILABLE with the reason when there is none. */
export function endpointOf(store: ObjectStore, wanted: WebhookService): Address {
  const service = store.get(services, wanted.namespace, wanted.name);
  if (service === undefined) throw apiError("UNAVAILABLE", `service "${wanted.name}" not found`);
  const port = asArray(fieldAt(service, "spec", "ports"))
    .map(asRecord)
    .find((candidate) => candidate["port"] === wanted.port);
  if (port === undefined) throw apiError("UNAVAILABLE", `service "${wanted.name}" has no port ${wanted.port}`);
  const labelSelector = `kubernetes.io/service-name=${wanted.name}`;
  const slices = store.list(endpointSlices, { namespace: wanted.namespace, labelSelector }).items;
  const addresses = slices.flatMap((slice) => readyAddresses(slice, String(port["name"] ?? "")));
  const address = addresses[addresses.length > 1 ? randomInt(addresses.length) : 0];
  if (address === undefined) throw apiError("UNAVAILABLE", `no endpoints available for service "${wanted.name}"`);
  return address;
}

function readyAddresses(slice: KubernetesObject, portName: string): Address[] {
  const port = asArray(slice["ports"])
    .map(asRecord)
    .find((candidate) => String(candidate["name"] ?? "") === portName)?.["port"];
  if (typeof port !== "number") return [];
  return asArray(slice["endpoints"])
    .filter((endpoint) => fieldAt(endpoint, "conditions", "ready") !== false)
    .map((endpoint) => ({ host: String(asArray(asRecord(endpoint)["addresses"])[0]), port }));
}
