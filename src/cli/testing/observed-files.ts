// For tests: a small mesh as files, and traffic that its sidecars could have seen, as files too.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InboundCaller } from "#proxy/stats/inbound-traffic.ts";

const pod = (name: string, ip: string, account: string, sidecar = true): string => `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  labels: {app: ${name}${sidecar ? ", security.istio.io/tlsMode: istio" : ""}}
spec:
  serviceAccountName: ${account}
  containers: [{name: app, image: x}${sidecar ? ", {name: istio-proxy, image: x, args: [proxy, sidecar]}" : ""}]
status: {podIP: ${ip}}
---
`;

/** Clients `shop` (with a sidecar) and `batch` (without); `api` serves HTTP on 8080 and bytes on 9000. */
export const smallMesh: string = `${pod("api", "10.244.0.1", "api")}${pod("shop", "10.244.0.2", "shop")}${pod("batch", "10.244.0.3", "batch", false)}apiVersion: v1
kind: Service
metadata: {name: api}
spec:
  clusterIP: 10.96.0.1
  selector: {app: api}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]
`;

export const shopId = "spiffe://cluster.local/ns/default/sa/shop";

const seen = (rest: Partial<InboundCaller>): InboundCaller => ({
  port: 8080,
  protection: "mutual_tls",
  principal: shopId,
  address: "10.244.0.2",
  connections: 1,
  refused: 0,
  requests: [],
  ...rest,
});

/** What `shop` and `batch` asked of `api`. */
export const smallTraffic: readonly InboundCaller[] = [
  seen({
    connections: 3,
    requests: [
      { method: "GET", path: "/users/{*}", forwarded: 40, refused: 0 },
      { method: "HEAD", path: "/users/{*}", forwarded: 2, refused: 0 },
      { method: "POST", path: "/orders", forwarded: 5, refused: 1 },
    ],
  }),
  seen({ port: 9000, connections: 7 }),
  seen({
    protection: "plaintext",
    principal: "",
    address: "10.244.0.3",
    connections: 4,
    requests: [{ method: "GET", path: "/metrics", forwarded: 12, refused: 0 }],
  }),
];

export interface ObservedFiles {
  /** Writes a file and returns its path. */
  write(name: string, text: string): string;
  /** The path of observed traffic of `api`. */
  observed(callers?: readonly InboundCaller[], workload?: string): string;
  remove(): void;
}

export function observedFiles(): ObservedFiles {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-observed-"));
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  return {
    write,
    observed: (callers = smallTraffic, workload = "api.default") => {
      const at = { since: "2026-01-01T00:00:00.000Z", until: "2026-01-02T00:00:00.000Z" };
      return write("observed.json", JSON.stringify({ observed: [{ workload, ...at, callers }] }));
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
