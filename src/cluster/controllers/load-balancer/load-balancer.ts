// The load balancer of a cluster without any: a Service of type LoadBalancer is reached at its own cluster address, and
// its status says so.

import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, jsonEqual } from "../../store/json.ts";
import { services } from "../../store/resources.ts";
import { keyOf, runController, splitKey } from "../controller.ts";
import type { ControllerContext } from "../options.ts";

export function startLoadBalancer(context: ControllerContext): Running {
  const { store } = context;
  return runController(context, {
    name: "load-balancer",
    triggers: [{ resource: services, keys: (service) => [keyOf(service)] }],
    reconcile: (key) => {
      const service = store.get(services, ...splitKey(key));
      if (service === undefined) return;
      const wanted = ingressOf(service);
      const present = asArray(fieldAt(service, "status", "loadBalancer", "ingress"));
      if (jsonEqual(present, wanted)) return;
      const status = { ...asRecord(service["status"]), loadBalancer: wanted.length === 0 ? {} : { ingress: wanted } };
      store.updateStatus(services, { ...service, status });
    },
  });
}

function ingressOf(service: KubernetesObject): { ip: string }[] {
  const spec = asRecord(service["spec"]);
  if (spec["type"] !== "LoadBalancer") return [];
  return asArray(spec["clusterIPs"])
    .map(String)
    .filter((ip) => ip !== "None")
    .map((ip) => ({ ip }));
}
