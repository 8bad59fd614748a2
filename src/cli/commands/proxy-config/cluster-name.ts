// Takes Istio's cluster names apart: `outbound|9080|v1|reviews.default.svc.cluster.local`.

export interface ClusterName {
  readonly direction: string;
  readonly port: string;
  readonly subset: string;
  readonly host: string;
}

export function parseClusterName(name: string): ClusterName {
  const [direction, port, subset, host] = name.split("|");
  if (direction === undefined || port === undefined || subset === undefined || host === undefined) {
    return { direction: "-", port: "-", subset: "-", host: name };
  }
  return { direction, port, subset: subset === "" ? "-" : subset, host };
}
