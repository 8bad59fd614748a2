// Which VirtualService speaks for which host in a sidecar's route configuration, by namespaces, age, wildcards and what a
// Sidecar imports: the cases that Istio's own tests have for it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileRoutes } from "../compile.ts";
import { mesh, sidecarOf } from "../testing/mesh.ts";

const known = "known.default.svc.cluster.local";
const other = "alt-known.default.svc.cluster.local";
const unknown = "foo.default.svc.cluster.local";

interface Written {
  readonly namespace: string;
  readonly hosts: readonly string[];
  readonly to: string;
  /** Later is younger. */
  readonly year?: number;
  readonly port?: number;
  readonly match?: number;
}

function services(): string {
  const all = [
    ["known", "default", "10.96.2.0"],
    ["alt-known", "default", "10.96.2.1"],
    ["not-default", "not-default", "10.96.2.2"],
  ];
  return all
    .map(
      ([name, namespace, ip]) => `apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {clusterIP: ${ip}, ports: [{port: 80, name: http}, {port: 8080, name: http-alt}]}
`,
    )
    .join("---\n");
}

function virtualService({ namespace, hosts, to, year = 2021, port, match }: Written, index: number): string {
  const destination = `{host: ${to}${port === undefined ? "" : `, port: {number: ${port}}`}}`;
  return `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs${index}, namespace: ${namespace}, creationTimestamp: "${year}-01-01T00:00:00Z"}
spec:
  hosts: ${JSON.stringify(hosts)}
  http: [{${match === undefined ? "" : `match: [{port: ${match}}], `}route: [{destination: ${destination}}]}]
`;
}

function sidecar(namespace: string, hosts: readonly string[]): string {
  return `---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: sidecar, namespace: ${namespace}}
spec: {egress: [{hosts: ${JSON.stringify(hosts)}}]}
`;
}

/** Host → cluster without `outbound|`; null where the host has no virtual host. */
type Expected = Readonly<Record<string, string | null>>;

interface Client {
  readonly namespace: string;
  readonly port?: number;
  readonly imports?: readonly string[];
}

function hostCase(name: string, written: readonly Written[], client: Client, expected: Expected): void {
  test(name, () => {
    const { namespace, port = 80, imports } = client;
    const yaml =
      services() + written.map(virtualService).join("") + (imports === undefined ? "" : sidecar(namespace, imports));
    const routes = compileRoutes(mesh([], yaml), sidecarOf("client", "10.244.9.9", { namespace }), [String(port)]);
    const found: Record<string, string> = {};
    for (const { domains, routes: list } of routes.get(String(port))?.virtualHosts ?? []) {
      const action = list[0]?.action;
      const specifier = action?.case === "route" ? action.value.clusterSpecifier : undefined;
      const cluster = specifier?.case === "cluster" ? specifier.value : "";
      for (const domain of domains) found[domain] = cluster.replace("outbound|", "");
    }
    assert.deepEqual(Object.fromEntries(Object.keys(expected).map((host) => [host, found[host] ?? null])), expected);
  });
}

const one = (namespace: string, host: string, to: string, year?: number): Written => ({
  namespace,
  hosts: [host],
  to,
  ...(year !== undefined && { year }),
});

for (const port of [80, 8080]) {
  for (const [owner, namespace] of [
    ["default", "default"],
    ["default", "not-default"],
    ["not-default", "not-default"],
    ["arbitrary", "not-default"],
  ] as const) {
    hostCase(
      `port ${port}: a VirtualService of ${owner}, a client of ${namespace}`,
      [one(owner, known, other)],
      { namespace, port },
      { [known]: `${port}||${other}` },
    );
  }
  hostCase(
    `port ${port}: the oldest of three`,
    [
      one("arbitrary", known, "arbitrary.example.com", 2020),
      one("default", known, "default.example.com", 2021),
      one("not-default", known, "not-default.example.com", 2022),
    ],
    { namespace: "not-default", port },
    { [known]: `${port}||arbitrary.example.com` },
  );
}

hostCase(
  "a host that is no service, on port 80",
  [one("default", unknown, unknown)],
  { namespace: "default" },
  {
    [unknown]: `80||${unknown}`,
  },
);
for (const extra of [{}, { match: 8080 }, { port: 8080 }]) {
  hostCase(
    `a host that is no service has nothing on port 8080 (${JSON.stringify(extra)})`,
    [{ ...one("default", unknown, unknown), ...extra }],
    { namespace: "default", port: 8080 },
    { [unknown]: null },
  );
}

const wild = (namespace: string, year: number): Written => one(namespace, "*.cluster.local", "wild.example.com", year);
const explicit = (year: number): Written => one("default", known, "explicit.example.com", year);

hostCase(
  "a wildcard that no service fits stands as it is",
  [one("default", "*.unknown.example.com", "arbitrary.example.com")],
  { namespace: "default" },
  { [other]: `80||${other}`, [known]: `80||${known}`, "*.unknown.example.com": "80||arbitrary.example.com" },
);
hostCase(
  "a wildcard is for the services that it fits",
  [one("default", "*.cluster.local", "arbitrary.example.com")],
  { namespace: "default", imports: ["*/*.cluster.local"] },
  { [other]: "80||arbitrary.example.com", [known]: "80||arbitrary.example.com", "*.cluster.local": null },
);
for (const [first, second] of [
  [2020, 2022],
  [2022, 2020],
] as const) {
  hostCase(
    `an exact host comes before a wildcard, whichever is older (${first}, ${second})`,
    [wild("default", first), explicit(second)],
    { namespace: "default" },
    { [other]: "80||wild.example.com", [known]: "80||explicit.example.com", "*.cluster.local": null },
  );
}
hostCase(
  "a wildcard is imported with one service that it fits",
  [wild("default", 2020), explicit(2022)],
  { namespace: "default", imports: [`default/${known}`, `default/${other}`] },
  { [other]: "80||wild.example.com", [known]: "80||explicit.example.com", "*.cluster.local": null },
);
hostCase(
  "a wildcard of a namespace that is not imported has no effect",
  [wild("not-default", 2020), explicit(2022)],
  { namespace: "default", imports: [`default/${known}`, `default/${other}`] },
  { [other]: `80||${other}`, [known]: "80||explicit.example.com", "*.cluster.local": null },
);
hostCase(
  "a wildcard of another namespace",
  [wild("not-default", 2020), explicit(2022)],
  { namespace: "default" },
  { [other]: "80||wild.example.com", [known]: "80||explicit.example.com", "*.cluster.local": null },
);
hostCase(
  "two that fit no service both stand",
  [one("default", "*.tld", "wild.example.com", 2020), one("default", "example.tld", "explicit.example.com", 2022)],
  { namespace: "default" },
  { [known]: `80||${known}`, "*.tld": "80||wild.example.com", "example.tld": "80||explicit.example.com" },
);
hostCase(
  "an exact host that a wildcard imports",
  [one("default", "arbitrary.svc.cluster.local", "arbitrary.svc.cluster.local")],
  { namespace: "default", imports: ["*/*.cluster.local"] },
  { "arbitrary.svc.cluster.local": "80||arbitrary.svc.cluster.local" },
);
hostCase(
  "a wildcard of which one service is imported",
  [one("default", "*.cluster.local", "arbitrary.example.com")],
  { namespace: "default", imports: [`*/${known}`] },
  { [known]: "80||arbitrary.example.com", "*.cluster.local": null },
);
hostCase(
  "a wildcard of which a host is imported that is no service",
  [one("default", "*.example.org", "arbitrary.example.com")],
  { namespace: "default", imports: ["*/explicit.example.org", `*/${other}`] },
  { [known]: null, [other]: `80||${other}`, "*.example.org": "80||arbitrary.example.com" },
);
hostCase(
  "what a Sidecar leaves out",
  [one("not-default", "*.default.svc.cluster.local", "arbitrary.example.com"), one("default", unknown, unknown)],
  {
    namespace: "not-default",
    imports: ["not-default/*.default.svc.cluster.local", "not-default/not-default.not-default.svc.cluster.local"],
  },
  {
    "*.default.svc.cluster.local": "80||arbitrary.example.com",
    [unknown]: null,
    "not-default.not-default.svc.cluster.local": "80||not-default.not-default.svc.cluster.local",
  },
);
hostCase(
  "of one namespace the older",
  [one("default", known, "old.example.com", 2020), one("default", known, "new.example.com", 2022)],
  { namespace: "default" },
  { [known]: "80||old.example.com" },
);
hostCase(
  "of two namespaces the older",
  [one("not-default", known, "producer.example.com", 2020), one("default", known, "consumer.example.com", 2022)],
  { namespace: "default" },
  { [known]: "80||producer.example.com" },
);
hostCase(
  "a VirtualService of two hosts is imported whole",
  [{ namespace: "default", hosts: [known, other], to: "example.com" }],
  { namespace: "default", imports: [`*/${known}`] },
  { [known]: "80||example.com", [other]: "80||example.com" },
);
