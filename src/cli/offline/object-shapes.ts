// What has to be true of Kubernetes' own objects before they can be completed: no API server has looked at those of files.
import { type Issue, Severity } from "#base/issue.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { joinPath, type PathSegment } from "#mesh/objects/path.ts";

type Shape =
  | "text"
  | "number"
  | "flag"
  | "texts by name"
  | "port"
  | { readonly list: Shape }
  | { readonly fields: Readonly<Record<string, Shape>> };

const list = (item: Shape): Shape => ({ list: item });
const fields = (known: Readonly<Record<string, Shape>>): Shape => ({ fields: known });

const handler = fields({
  httpGet: fields({
    path: "text",
    port: "port",
    host: "text",
    scheme: "text",
    httpHeaders: list(fields({ name: "text", value: "text" })),
  }),
  tcpSocket: fields({ port: "port", host: "text" }),
  grpc: fields({ port: "number", service: "text" }),
  exec: fields({}),
});
const containers = list(
  fields({
    name: "text",
    image: "text",
    command: list("text"),
    args: list("text"),
    restartPolicy: "text",
    env: list(fields({ name: "text", value: "text" })),
    ports: list(fields({ name: "text", containerPort: "number", protocol: "text" })),
    volumeMounts: list(fields({ name: "text", mountPath: "text" })),
    resources: fields({ limits: fields({}), requests: fields({}) }),
    securityContext: fields({}),
    livenessProbe: handler,
    readinessProbe: handler,
    startupProbe: handler,
    lifecycle: fields({ preStop: handler, postStart: handler }),
  }),
);
const metadata = fields({
  labels: "texts by name",
  annotations: "texts by name",
  ownerReferences: list(fields({ kind: "text", name: "text", controller: "flag" })),
});
const podSpec = fields({
  serviceAccountName: "text",
  nodeName: "text",
  hostname: "text",
  subdomain: "text",
  hostNetwork: "flag",
  containers,
  initContainers: containers,
  volumes: list(fields({ name: "text" })),
  imagePullSecrets: list(fields({ name: "text" })),
  securityContext: fields({}),
});
const expressions = list(fields({ key: "text", operator: "text", values: list("text") }));
const workload = fields({
  metadata,
  spec: fields({
    replicas: "number",
    serviceName: "text",
    template: fields({ metadata, spec: podSpec }),
  }),
});
const selecting = fields({
  metadata,
  spec: fields({ selector: fields({ matchLabels: "texts by name", matchExpressions: expressions }) }),
});

const shapes: Readonly<Record<string, readonly Shape[]>> = {
  Pod: [
    fields({
      metadata,
      spec: podSpec,
      status: fields({
        phase: "text",
        podIP: "text",
        podIPs: list(fields({ ip: "text" })),
        conditions: list(fields({ type: "text", status: "text" })),
      }),
    }),
  ],
  Deployment: [workload, selecting],
  StatefulSet: [workload, selecting],
  DaemonSet: [workload, selecting],
  ReplicaSet: [workload, selecting],
  Job: [workload, selecting],
  ReplicationController: [workload, fields({ spec: fields({ selector: "texts by name" }) })],
  Service: [
    fields({
      metadata,
      spec: fields({
        type: "text",
        clusterIP: "text",
        clusterIPs: list("text"),
        selector: "texts by name",
        ports: list(
          fields({ name: "text", port: "number", protocol: "text", targetPort: "port", appProtocol: "text" }),
        ),
      }),
    }),
  ],
  Endpoints: [
    fields({
      metadata,
      subsets: list(
        fields({
          addresses: list(fields({ ip: "text" })),
          notReadyAddresses: list(fields({ ip: "text" })),
          ports: list(fields({ name: "text", port: "number" })),
        }),
      ),
    }),
  ],
  EndpointSlice: [fields({ metadata })],
  Namespace: [fields({ metadata })],
};

/** The first field that is not what it has to be; undefined for an object that can be completed. */
export function wrongShape(object: KubernetesObject): Issue | undefined {
  for (const shape of shapes[object.kind] ?? []) {
    const wrong = find(object, shape, []);
    if (wrong === undefined) continue;
    const { kind, metadata: meta } = object;
    return {
      code: "IST0106",
      severity: Severity.Error,
      message: `expected ${wrong.expected}`,
      path: joinPath(wrong.path),
      object: { kind, namespace: meta.namespace ?? "", name: meta.name },
    };
  }
  return undefined;
}

interface Wrong {
  readonly path: readonly PathSegment[];
  readonly expected: string;
}

/** Null is absence, as in Kubernetes, but not within a list. */
function find(value: unknown, shape: Shape, path: readonly PathSegment[]): Wrong | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof shape === "object" && "list" in shape) {
    if (!Array.isArray(value)) return { path, expected: "a list" };
    return firstOf(value.entries(), (item, index) => {
      const isAbsent = item === null || item === undefined;
      return isAbsent ? { path: [...path, index], expected: "a value" } : find(item, shape.list, [...path, index]);
    });
  }
  if (typeof shape === "object" || shape === "texts by name") {
    if (typeof value !== "object" || Array.isArray(value)) return { path, expected: "an object" };
    const below = Object.entries(value);
    if (shape === "texts by name") {
      return firstOf(below, (item, name) =>
        typeof item === "string" ? undefined : { path: [...path, name], expected: "text" },
      );
    }
    return firstOf(below, (item, name) => {
      const known = Object.hasOwn(shape.fields, name) ? shape.fields[name] : undefined;
      return known === undefined ? undefined : find(item, known, [...path, name]);
    });
  }
  return isScalar(value, shape) ? undefined : { path, expected: words[shape] };
}

function firstOf<Key>(
  entries: Iterable<readonly [Key, unknown]>,
  check: (item: unknown, key: Key) => Wrong | undefined,
): Wrong | undefined {
  for (const [key, item] of entries) {
    const wrong = check(item, key);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

const words = { text: "text", number: "a number", flag: "true or false", port: "a number or a name" } as const;

function isScalar(value: unknown, shape: keyof typeof words): boolean {
  switch (shape) {
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "number";
    case "flag":
      return typeof value === "boolean";
    default:
      return typeof value === "number" || typeof value === "string";
  }
}
