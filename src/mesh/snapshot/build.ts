// Builds a snapshot. Reading is eager (every object, reusing what did not change), answers are computed when they are
// first asked for and kept for the life of the snapshot.
import type { Issue } from "#base/issue.ts";
import { gatewayDeployments } from "../gateway-api/deployments.ts";
import { defaultMeshConfig } from "../kinds/mesh-config/decode.ts";
import type { MeshConfig } from "../kinds/mesh-config/spec.ts";
import type { InboundMtls } from "../kinds/peer-authentication/resolve.ts";
import { type EffectiveMtlsMode, MtlsMode } from "../kinds/peer-authentication/spec.ts";
import { mergeDelegates } from "../kinds/virtual-service/delegation.ts";
import { selects } from "../objects/fields/selector.ts";
import type { KubernetesObject } from "../objects/kubernetes-object.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { checkAll } from "./checks/all.ts";
import { changesBetween, contentVersion, nextVersion, settingsVersion, sortIssues } from "./content.ts";
import { credentialAccess } from "./credential-access.ts";
import { findCredential } from "./credentials.ts";
import { type DestinationRuleIndex, indexDestinationRules } from "./destination-rule-index.ts";
import { discovery } from "./discovery.ts";
import { type EndpointIndex, indexEndpoints } from "./endpoint-index.ts";
import { indexEnvoyFilters } from "./envoy-filter-index.ts";
import {
  changesOfGenerated,
  gatewayApiChecks,
  gatewayApiObjectStatuses,
  type SnapshotGatewayApi,
  snapshotGatewayApi,
} from "./gateway-api.ts";
import { gatewayScope } from "./gateway-scopes.ts";
import { ingressFindings, ingressStatuses, type SnapshotIngress, snapshotIngress } from "./ingress.ts";
import { type KeyFetching, keyPlanner } from "./key-plan.ts";
import { type KeySets, keySetsVersion, keySources } from "./key-sets.ts";
import { type HostAddresses, indexNetworks } from "./networks.ts";
import { ObjectTable } from "./object-table.ts";
import { once } from "./once.ts";
import { indexPolicies } from "./policy-index.ts";
import type { ProxyNode } from "./proxy-node.ts";
import { placeOf } from "./proxy-place.ts";
import { type Entry, entryKey, readObject, type SourceObject } from "./read-object.ts";
import { resourceStates } from "./resource-states.ts";
import type { Service } from "./service.ts";
import { indexServices, type ServiceIndex } from "./service-index.ts";
import { serviceInstances } from "./service-instances.ts";
import { sidecarScopes } from "./sidecar-scopes.ts";
import type { GatewayScope, MeshSnapshot, ObjectChange, ServiceInstance, SidecarScope } from "./snapshot.ts";
import { indexWorkloadExtensions } from "./workload-extensions.ts";
import { indexWorkloadSettings } from "./workload-settings.ts";

export interface SnapshotOptions {
  readonly meshConfig?: MeshConfig;
  /** `cluster.local` by default. */
  readonly domain?: string;
  /** `Kubernetes` by default. */
  readonly clusterId?: string;
  /** Keys of token issuers; without them nobody fetches any. */
  readonly keySets?: KeySets;
  /** Of host names that gateways to other networks have; absent where nobody resolves names. */
  readonly hostAddresses?: HostAddresses;
  /** Variables of the control plane, as they are when it starts. Absent in commands. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** `istiod` by default. */
  readonly keyFetching?: KeyFetching;
  /** Gateways are for pods of their own namespace only. */
  readonly scopesGateways?: boolean;
  /** A workload may have CUSTOM policies of several providers. */
  readonly severalProviders?: boolean;
}

/** What the next snapshot may take over when nothing that it is made of has changed. */
interface SnapshotParts {
  /** Objects as the user wrote them, before the Gateway API adds its own. */
  readonly written: ObjectTable;
  readonly services: ServiceIndex;
  readonly destinationRules: DestinationRuleIndex;
  readonly scope: (proxy: ProxyNode) => SidecarScope;
}

export interface BuiltSnapshot extends MeshSnapshot {
  readonly parts: SnapshotParts;
  /** For the next `buildSnapshot` and for analyze. */
  readonly entries: ReadonlyMap<string, Entry>;
  /** What was read of an object, in this snapshot or an earlier one. */
  readonly bySource: WeakMap<KubernetesObject, Entry>;
  readonly table: ObjectTable;
  readonly gatewayApi: SnapshotGatewayApi;
  readonly ingress: SnapshotIngress;
}

/** Reads all objects. `previous` saves work and keeps last good versions of objects whose new version is wrong. */
export function buildSnapshot(
  objects: Iterable<SourceObject>,
  options: SnapshotOptions = {},
  previous?: BuiltSnapshot,
): BuiltSnapshot {
  const meshConfig = options.meshConfig ?? defaultMeshConfig;
  const domain = options.domain ?? "cluster.local";
  const entries = new Map<string, Entry>();
  const duplicates: Issue[] = [];
  const reusable = previous?.domain === domain ? previous : undefined;
  const bySource = reusable?.bySource ?? new WeakMap<KubernetesObject, Entry>();
  for (const source of objects) {
    let entry = bySource.get(source.object);
    if (entry === undefined || reusable?.entries.get(entry.key) !== entry) {
      entry = readObject(source, domain, reusable?.entries.get(entryKey(source.object)));
      if (entry === undefined) continue;
      bySource.set(source.object, entry);
    }
    const earlier = entries.get(entry.key);
    if (earlier === undefined) entries.set(entry.key, entry);
    else if (earlier.source !== entry.source) duplicates.push(duplicateIssue(entry, earlier), ...entry.issues);
  }
  const { clusterId = "Kubernetes", keySets, keyFetching = "istiod", hostAddresses, environment = {} } = options;
  const { scopesGateways = false, severalProviders = false } = options;
  const flags = { scopesGateways, severalProviders };
  const settings = { meshConfig, domain, clusterId, keySets, keyFetching, hostAddresses, environment, ...flags };
  return assemble({ entries, bySource, duplicates, ...settings }, previous);
}

interface Content {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly bySource: WeakMap<KubernetesObject, Entry>;
  readonly duplicates: readonly Issue[];
  readonly meshConfig: MeshConfig;
  readonly domain: string;
  readonly clusterId: string;
  readonly keySets: KeySets | undefined;
  readonly hostAddresses: HostAddresses | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly keyFetching: KeyFetching;
  readonly scopesGateways: boolean;
  readonly severalProviders: boolean;
}

function assemble(content: Content, previous: BuiltSnapshot | undefined): BuiltSnapshot {
  const { entries, meshConfig, domain, keySets, keyFetching, scopesGateways, severalProviders, hostAddresses } =
    content;
  const { rootNamespace } = meshConfig;
  const settings = settingsVersion([
    domain,
    meshConfig,
    keySetsVersion(keySets),
    keyFetching,
    scopesGateways,
    severalProviders,
    [...(hostAddresses ?? [])],
  ]);
  const entryChanges = changesBetween(previous?.entries, entries);
  const changesOfWritten = entryChanges.changes;
  const isSettled = previous?.settings === settings && previous.domain === domain;
  const reused = isSettled ? previous.parts : undefined;
  const isRead = discovery(entries, meshConfig);
  const changedKinds = new Set(changesOfWritten.map(({ kind }) => kind));
  // Namespaces decide which others are read.
  const written =
    reused === undefined || changedKinds.has("Namespace")
      ? new ObjectTable(objectsOf(entries.values(), isRead))
      : reused.written.replaced(objectsOf(entryChanges.before, isRead), objectsOf(entryChanges.after, isRead));
  const services =
    reused !== undefined && areAll(changesOfWritten, besideServices)
      ? reused.services
      : indexServices(written, domain, meshConfig);
  const gatewayApi = snapshotGatewayApi(written, services, { domain, rootNamespace }, previous?.gatewayApi);
  const ingress = snapshotIngress(written, services, meshConfig, domain, previous?.ingress);
  const table = written.with([...gatewayApi.api.objects, ...ingress.made.objects]);
  const changes = [
    ...changesOfWritten,
    ...changesOfGenerated(previous?.gatewayApi.api.objects, gatewayApi.api.objects),
    ...changesOfGenerated(previous?.ingress.made.objects, ingress.made.objects),
  ];
  const scopes = reused !== undefined && areAll(changes, besideScopes) ? reused : undefined;
  const destinationRules =
    reused !== undefined && !changes.some(({ kind }) => ofDestinationRules.has(kind))
      ? reused.destinationRules
      : indexDestinationRules(table, rootNamespace, meshConfig.defaultDestinationRuleExportTo);
  const policies = indexPolicies(table, rootNamespace);
  const keyPlan = keyPlanner(services, keyFetching);
  const ofWorkloads = indexWorkloadSettings(table, rootNamespace);
  const envoyFilters = indexEnvoyFilters(table, rootNamespace);
  const networks = indexNetworks({ objects: table, meshConfig, clusterId: content.clusterId, domain, hostAddresses });
  const endpoints = indexEndpoints(
    { objects: table, trustDomain: meshConfig.trustDomain, clusterId: content.clusterId, networks },
    (workload, port) => portMode(policies.inboundMtls(workload), port) === MtlsMode.Disable,
  );
  const instances = (proxy: ProxyNode): readonly ServiceInstance[] =>
    serviceInstances(proxy, table, services, endpoints);
  const merged = once(() =>
    mergeDelegates(
      table.all("VirtualService"),
      (namespace, name) => table.find("VirtualService", namespace, name),
      meshConfig.defaultVirtualServiceExportTo,
    ),
  );
  const virtualServices = () => merged().routing;
  const scope =
    scopes?.scope ?? sidecarScopes({ objects: table, services, destinationRules, virtualServices, meshConfig });
  const gatewaysOf = onceByKey<ProxyNode, GatewayScope>(
    (proxy) => JSON.stringify([proxy.namespace, proxy.name, proxy.ipAddresses, proxy.labels]),
    (proxy) =>
      gatewayScope(proxy, {
        objects: table,
        services,
        destinationRules,
        virtualServices,
        meshConfig,
        instances,
        scopesGateways,
      }),
  );
  // Users hear about what they wrote.
  const findings = once(() => [
    ...checkAll({
      objects: written,
      services,
      destinationRules,
      delegations: merged().delegations,
      endpoints,
      meshConfig,
      domain,
      keySets,
      keyPlan,
      scopesGateways,
      severalProviders,
      inboundMtls: policies.inboundMtls,
      authorization: policies.authorization,
      jwtRules: policies.jwtRules,
    }),
    ...gatewayApiChecks(gatewayApi, entries),
    ...ingressFindings(ingress, written, rootNamespace),
  ]);
  const issues = once(() =>
    sortIssues([
      ...content.duplicates,
      ...[...entries.values()].flatMap((entry) => entry.issues),
      ...findings().map((item) => item.issue),
      ...networks.issues,
    ]),
  );
  const states = once(() => resourceStates(entries.values(), findings()));
  const identities = new Map<Service, readonly string[]>();
  return {
    entries,
    table,
    gatewayApi,
    ingress,
    parts: { written, services, destinationRules, scope },
    bySource: content.bySource,
    version: isSettled ? nextVersion(previous.version, entryChanges) : contentVersion(entries, settings),
    settings,
    meshConfig,
    domain,
    networks,
    clusterId: content.clusterId,
    get issues() {
      return issues();
    },
    changes,
    changedFrom: previous?.version,
    services: services.all,
    servicesIn: (namespace) => services.byNamespace.get(namespace) ?? [],
    objects: (kind) => table.ofKind(kind),
    object: (kind, namespace, name) => table.findOfKind(kind, namespace, name),
    scope,
    gateways: gatewaysOf,
    serviceInstances: instances,
    placeOf: (proxy) => placeOf(proxy, table, endpoints),
    endpoints(service, portNumber, subsetLabels) {
      const all = endpoints.of(service, portNumber);
      return subsetLabels === undefined
        ? all
        : all.filter((endpoint) => selects(subsetLabels, endpoint.workload.labels));
    },
    serviceAccountsOf(service) {
      let accounts = identities.get(service);
      if (accounts === undefined) {
        accounts = accountsOf(service, endpoints);
        identities.set(service, accounts);
      }
      return accounts;
    },
    inboundMtlsMode(proxy, targetPort) {
      const all = policies.inboundMtls(proxy);
      return (
        (targetPort === undefined ? undefined : all.ports.get(targetPort)) ?? { mode: all.mode, policy: all.policy }
      );
    },
    inboundMtlsPorts: (proxy) => policies.inboundMtls(proxy).ports,
    serviceMtlsMode(service, portNumber) {
      const modes = endpoints
        .of(service, portNumber)
        .map((endpoint) => portMode(policies.inboundMtls(endpoint.workload), endpoint.port));
      const [first] = modes;
      if (first === undefined)
        return policies.inboundMtls({ namespace: service.namespace, labels: service.selector }).mode;
      return modes.every((mode) => mode === first) ? first : MtlsMode.Permissive;
    },
    telemetry: ofWorkloads.telemetry,
    proxyConfig: ofWorkloads.proxyConfig,
    authorizationPolicies: (proxy) => policies.authorization(proxy),
    severalProviders,
    extensions: indexWorkloadExtensions(table, rootNamespace),
    envoyFilters: envoyFilters.filters,
    envoyFilterPatches: envoyFilters.patches,
    credential: (name) => findCredential(table, name),
    environment: (name) => (Object.hasOwn(content.environment, name) ? content.environment[name] : undefined),
    pullSecret: (namespace, name) => table.find("Secret", namespace, name)?.spec.dockerConfig,
    mayLeadTo: credentialAccess(table),
    jwtRules: (proxy) => policies.jwtRules(proxy),
    keyPlan,
    keySources: () => keySources(table, keyPlan),
    keySets,
    resourceStates: states,
    gatewayDeployments: () => gatewayDeployments(gatewayApi.api),
    gatewayApiStatuses: () => [
      ...gatewayApiObjectStatuses(gatewayApi, entries),
      ...ingressStatuses(ingress, meshConfig, entries),
    ],
  };
}

/** Kinds that no service is made of. */
const besideServices: ReadonlySet<string> = new Set([
  "Secret",
  "ConfigMap",
  "EndpointSlice",
  "Pod",
  "VirtualService",
  "DestinationRule",
  "Sidecar",
  "Gateway",
  "PeerAuthentication",
  "AuthorizationPolicy",
  "RequestAuthentication",
  "Telemetry",
  "EnvoyFilter",
  "ProxyConfig",
  "WorkloadEntry",
  "WorkloadGroup",
  "Node",
]);
/** Kinds that decide which rules there are: what they are, and which namespaces are read. */
const ofDestinationRules: ReadonlySet<string> = new Set(["DestinationRule", "Namespace"]);
/** Kinds that decide nothing of what a sidecar sees. */
const besideScopes: ReadonlySet<string> = new Set([
  "EndpointSlice",
  "Pod",
  "Secret",
  "ConfigMap",
  "Gateway",
  "PeerAuthentication",
  "AuthorizationPolicy",
  "RequestAuthentication",
  "Telemetry",
  "EnvoyFilter",
  "ProxyConfig",
  "WorkloadEntry",
  "WorkloadGroup",
  "Node",
]);

function objectsOf(entries: Iterable<Entry>, isRead: (entry: Entry) => boolean): MeshObject<unknown>[] {
  const objects: MeshObject<unknown>[] = [];
  for (const entry of entries) if (entry.object !== undefined && isRead(entry)) objects.push(entry.object);
  return objects;
}

function areAll(changes: readonly ObjectChange[], kinds: ReadonlySet<string>): boolean {
  return changes.every(({ kind }) => kinds.has(kind));
}

function portMode(mtls: InboundMtls, port: number): EffectiveMtlsMode {
  return mtls.ports.get(port)?.mode ?? mtls.mode;
}

function accountsOf(service: Service, endpoints: EndpointIndex): string[] {
  const found = new Set(service.subjectAltNames);
  for (const port of service.ports) {
    for (const { workload } of endpoints.of(service, port.number)) {
      if (workload.identity !== "") found.add(workload.identity);
    }
  }
  return [...found].sort();
}

function onceByKey<A, T>(key: (argument: A) => string, compute: (argument: A) => T): (argument: A) => T {
  const answers = new Map<string, T>();
  return (argument) => {
    const name = key(argument);
    let answer = answers.get(name);
    if (answer === undefined) {
      answer = compute(argument);
      answers.set(name, answer);
    }
    return answer;
  };
}

function duplicateIssue(entry: Entry, earlier: Entry): Issue {
  const position =
    entry.origin.file === undefined ? undefined : { file: entry.origin.file, line: entry.origin.line ?? 1, column: 1 };
  const first =
    earlier.origin.file === undefined ? "" : `, first in ${earlier.origin.file}:${earlier.origin.line ?? 1}`;
  return {
    code: "OUT0005",
    severity: "error",
    message: `${entry.origin.kind} ${entry.origin.name} is written twice${first}; this one is not read`,
    object: { kind: entry.origin.kind, namespace: entry.origin.namespace, name: entry.origin.name },
    ...(position !== undefined && { position }),
  };
}
