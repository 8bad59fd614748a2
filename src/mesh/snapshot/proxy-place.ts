// Where a proxy's workload runs.
import type { EndpointIndex } from "./endpoint-index.ts";
import type { ObjectTable } from "./object-table.ts";
import type { ProxyNode } from "./proxy-node.ts";
import { podOf } from "./service-instances.ts";
import type { ProxyPlace } from "./snapshot.ts";
import { labeledLocality } from "./workloads.ts";

export function placeOf(proxy: ProxyNode, objects: ObjectTable, endpoints: EndpointIndex): ProxyPlace {
  const pod = podOf(proxy, objects, endpoints);
  const workload = pod && endpoints.workloadOfPod(pod);
  const said = proxy.locality.region === "" ? labeledLocality(proxy.labels) : proxy.locality;
  return {
    locality: said ?? workload?.locality ?? proxy.locality,
    nodeName: proxy.nodeName || (workload?.nodeName ?? ""),
  };
}
