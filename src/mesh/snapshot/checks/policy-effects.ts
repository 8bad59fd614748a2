// Policies that are in order and mean something else than they say: ports of a Service where those of the workload count,
// identities that the workload never learns, and a mode that an older policy has settled. Istio says nothing of these.
import { formatOrigin, Severity } from "#base/issue.ts";
import type { AuthorizationPolicySpec } from "../../kinds/authorization-policy/spec.ts";
import type { PodSpec } from "../../kinds/pod/spec.ts";
import { isFor } from "../../objects/fields/policy-target.ts";
import { type Labels, selects } from "../../objects/fields/selector.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

type Pod = MeshObject<PodSpec>;
type Workload = { readonly namespace: string; readonly labels: Labels };

export function checkPolicyEffects(context: CheckContext): Finding[] {
  const { objects } = context;
  if (objects.all("Pod").length === 0) return [];
  return [...authorizationEffects(context), ...peerEffects(context)];
}

const workloadOf = (pod: Pod): Workload => ({ namespace: pod.namespace, labels: pod.metadata.labels ?? {} });

function authorizationEffects(context: CheckContext): Finding[] {
  const { objects, meshConfig } = context;
  const { rootNamespace } = meshConfig;
  return objects.all("AuthorizationPolicy").flatMap((policy) => {
    const fields = fieldsOf(policy.spec);
    if (fields.length === 0) return [];
    const pods = policy.namespace === rootNamespace ? objects.all("Pod") : objects.inNamespace("Pod", policy.namespace);
    const selected = pods.map(workloadOf).filter((workload) => isFor(policy, { ...workload, rootNamespace }));
    if (selected.length === 0) return [];
    return [...portFindings(policy, fields, selected, context), ...identityFindings(policy, fields, selected, context)];
  });
}

/** What a rule asks for: ports, who holds a token, or who has a certificate of the mesh. */
interface Field {
  readonly about: "port" | "token" | "peer";
  readonly path: string;
  readonly values: readonly string[];
}

const tokenFields = ["requestPrincipals", "notRequestPrincipals"] as const;
const peerFields = ["principals", "namespaces", "serviceAccounts", "trustDomains"] as const;
const peerKeys: ReadonlySet<string> = new Set([
  "source.principal",
  "source.namespace",
  "source.serviceAccount",
  "source.trustDomain",
]);

function fieldsOf({ rules }: AuthorizationPolicySpec): Field[] {
  const fields: Field[] = [];
  const add = (about: Field["about"], path: string, values: readonly string[]): void => {
    if (values.length > 0) fields.push({ about, path, values });
  };
  for (const [index, { from, to, when }] of rules.entries()) {
    const rule = `spec.rules[${index}]`;
    for (const [at, { source }] of from.entries()) {
      if (source === undefined) continue;
      for (const name of tokenFields) add("token", `${rule}.from[${at}].source.${name}`, source[name]);
      for (const name of peerFields) add("peer", `${rule}.from[${at}].source.${name}`, source[name]);
    }
    for (const [at, { operation }] of to.entries()) {
      if (operation === undefined) continue;
      for (const name of ["ports", "notPorts"] as const)
        add("port", `${rule}.to[${at}].operation.${name}`, operation[name]);
    }
    for (const [at, { key, values, notValues }] of when.entries()) {
      const path = `${rule}.when[${at}]`;
      if (key === "destination.port") {
        add("port", `${path}.values`, values);
        add("port", `${path}.notValues`, notValues);
      } else if (key.startsWith("request.auth.")) add("token", `${path}.key`, [...values, ...notValues]);
      else if (peerKeys.has(key)) add("peer", `${path}.key`, values);
    }
  }
  return fields;
}

function portFindings(
  policy: MeshObject<AuthorizationPolicySpec>,
  fields: readonly Field[],
  selected: readonly Workload[],
  context: CheckContext,
): Finding[] {
  return fields
    .filter(({ about }) => about === "port")
    .flatMap(({ path, values }) =>
      values.flatMap((value, index) =>
        servicePortFinding(policy, `${path}[${index}]`, Number(value), selected, context),
      ),
    );
}

/** A port that is a Service's alone; its workloads listen on another. */
function servicePortFinding(
  policy: MeshObject<unknown>,
  path: string,
  port: number,
  selected: readonly Workload[],
  { services }: CheckContext,
): Finding[] {
  const found = new Set<string>();
  const targets = new Set<number>();
  for (const namespace of new Set(selected.map((workload) => workload.namespace))) {
    for (const service of services.byNamespace.get(namespace) ?? []) {
      if (service.source !== "kubernetes" || Object.keys(service.selector).length === 0) continue;
      const isBefore = selected.some((it) => it.namespace === namespace && selects(service.selector, it.labels));
      if (!isBefore) continue;
      for (const { number, targetPort } of service.ports) {
        if (targetPort === port) return [];
        if (number !== port) continue;
        // Which port of the container has the name differs from workload to workload.
        if (typeof targetPort === "string") return [];
        found.add(`${namespace}/${service.name}`);
        targets.add(targetPort);
      }
    }
  }
  const [service] = found;
  if (service === undefined) return [];
  const [target = 0] = targets;
  const message = `${port} is the port of Service ${service}, which leads to ${[...targets].join(", ")} of its workloads; here the workload's port counts`;
  const fix = targets.size === 1 ? String(target) : undefined;
  const problem = { code: "OUT0012", severity: Severity.Warning, path, message, ...(fix !== undefined && { fix }) };
  return [finding(policy, problem)];
}

function identityFindings(
  policy: MeshObject<AuthorizationPolicySpec>,
  fields: readonly Field[],
  selected: readonly Workload[],
  context: CheckContext,
): Finding[] {
  const token = fields.find(({ about }) => about === "token");
  const peer = fields.find(({ about }) => about === "peer");
  const warn = (path: string, message: string, fix: string): Finding =>
    finding(policy, { code: "OUT0013", severity: Severity.Warning, path, message, fix });
  const found: Finding[] = [];
  const blind = token === undefined ? undefined : selected.find((it) => context.jwtRules(it).length === 0);
  if (token !== undefined && blind !== undefined) {
    const message = `no RequestAuthentication is for ${describe(blind)}: no request there has a token that counts`;
    found.push(warn(token.path, message, "a RequestAuthentication for the same workloads"));
  }
  const open =
    peer === undefined ? undefined : selected.find((it) => !isGateway(it, context) && isWithoutMutualTls(it, context));
  if (peer !== undefined && open !== undefined) {
    const message = `mutual TLS is off for ${describe(open)} (PeerAuthentication DISABLE): nobody there has an identity`;
    found.push(warn(peer.path, message, "PERMISSIVE or STRICT"));
  }
  return found;
}

function describe({ namespace, labels }: Workload): string {
  const [name, value] = Object.entries(labels)[0] ?? [];
  return name === undefined ? `workloads of namespace ${namespace}` : `${name}=${value} in namespace ${namespace}`;
}

/** Gateways learn their clients' identities by their own settings of TLS. */
function isGateway({ labels }: Workload, { objects }: CheckContext): boolean {
  if (labels["gateway.networking.k8s.io/gateway-name"] !== undefined) return true;
  return objects
    .all("Gateway")
    .some(({ spec }) => Object.keys(spec.selector).length > 0 && selects(spec.selector, labels));
}

function isWithoutMutualTls(workload: Workload, { inboundMtls }: CheckContext): boolean {
  const { mode, ports } = inboundMtls(workload);
  return mode === "DISABLE" && [...ports.values()].every((port) => port.mode === "DISABLE");
}

function peerEffects(context: CheckContext): Finding[] {
  const { objects, meshConfig } = context;
  return objects.all("PeerAuthentication").flatMap((policy) => {
    const labels = policy.spec.selector?.matchLabels ?? {};
    if (policy.namespace === meshConfig.rootNamespace || Object.keys(labels).length === 0) return [];
    const selected = objects
      .inNamespace("Pod", policy.namespace)
      .map(workloadOf)
      .filter((workload) => selects(labels, workload.labels));
    if (selected.length === 0) return [];
    const ports = Object.keys(policy.spec.portLevelMtls).flatMap((port) =>
      servicePortFinding(policy, `spec.portLevelMtls["${port}"]`, Number(port), selected, context),
    );
    return [...settledBefore(policy, selected, context), ...ports];
  });
}

/** Of several policies for a workload the oldest counts, as a whole. */
function settledBefore(
  policy: MeshObject<{ readonly selector?: { readonly matchLabels: Labels } }>,
  selected: readonly Workload[],
  { objects }: CheckContext,
): Finding[] {
  const all = objects
    .inNamespace("PeerAuthentication", policy.namespace)
    .filter(({ spec }) => Object.keys(spec.selector?.matchLabels ?? {}).length > 0);
  const deciders = selected.map(({ labels }) =>
    all.find(({ spec }) => selects(spec.selector?.matchLabels ?? {}, labels)),
  );
  const [first] = deciders;
  if (first === undefined || deciders.some((decider) => decider === undefined || decider.name === policy.name))
    return [];
  const message = `${formatOrigin(first.origin)} is for the same workloads and older; this one has no effect`;
  return [
    finding(
      policy,
      { code: "OUT0006", severity: Severity.Warning, path: "spec.selector", message, fix: "keep one of them" },
      "shadowed",
    ),
  ];
}
