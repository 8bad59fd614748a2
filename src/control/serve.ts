// Opens what proxies and API servers connect to: xDS with certificates over gRPC, and the admission webhooks. In a file
// of its own because gRPC is heavy to load, and is loaded while the sources are read.
import { describeError } from "#base/error.ts";
import type { InjectionContext } from "#mesh/inject/injection.ts";
import type { MeshConfig } from "#mesh/kinds/mesh-config/spec.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { ReloadableServerCredentials, type ServerTlsMaterial } from "#wire/grpc/server-tls.ts";
import { mergeCertificates } from "#wire/x509/pem.ts";
import type { AuthenticatorOptions } from "./ca/authenticate.ts";
import { type CertificateAuthority, defaultAuthorityLimits } from "./ca/authority.ts";
import { certificateAudit } from "./ca/certificate-audit.ts";
import { type CertificateServiceOptions, createCertificateHandlers } from "./ca/certificate-service.ts";
import { KubernetesSigner } from "./ca/kubernetes-signer.ts";
import { RateLimit } from "./ca/rate-limit.ts";
import type { RevocationLists } from "./ca/revocation-lists.ts";
import { ServingCertificateKeeper, servingNames } from "./ca/serving-certificate.ts";
import type { ControlPlaneContext } from "./context.ts";
import { nodePods } from "./node-pods.ts";
import type { Pusher } from "./push/pusher.ts";
import { createInjectHandler } from "./webhooks/inject.ts";
import { InjectionSettings } from "./webhooks/injection-settings.ts";
import { createValidateHandler } from "./webhooks/validate.ts";
import { WebhookServer } from "./webhooks/webhook-server.ts";
import { createAdsHandlers } from "./xds/ads-server.ts";
import type { DebugTypes } from "./xds/debug-requests.ts";
import { GrpcServer } from "./xds/grpc-server.ts";
import { SendBudget } from "./xds/send-budget.ts";
import { StreamAdmission } from "./xds/stream-admission.ts";
import type { WorkloadLifecycle } from "./xds/workload-lifecycle.ts";

export interface ServedParts {
  readonly pusher: Pusher;
  readonly authority: CertificateAuthority;
  readonly revocations: RevocationLists | undefined;
  /** MeshConfig as it is now. */
  readonly snapshot: () => MeshSnapshot | undefined;
  /** What operators ask by xDS. */
  readonly debug: DebugTypes;
  /** Absent without an API server. */
  readonly workloads?: WorkloadLifecycle | undefined;
}

export async function startServers(context: ControlPlaneContext, parts: ServedParts): Promise<void> {
  const { options, lifecycle, clock, namespace, revision } = context;
  const serving = lifecycle.add(
    new ServingCertificateKeeper({
      authority: parts.authority,
      clock,
      dnsNames: servingNames(namespace, revision, options.servingNames),
    }),
  );
  // What starts last ends first: the webhooks answer while streams are handed over.
  if (options.ports.webhook !== undefined) await startWebhooks(context, parts, serving, options.ports.webhook);
  await startGrpcServers(context, parts, serving);
}

async function startGrpcServers(
  context: ControlPlaneContext,
  { pusher, authority, revocations, snapshot, debug, workloads }: ServedParts,
  serving: ServingCertificateKeeper,
): Promise<void> {
  const { options, host, addresses, tokens, clock, log, metrics, pushMetrics, lifecycle, connections } = context;
  const authentication = createAuthentication(context, () => snapshot()?.meshConfig, revocations);
  const certificates = createCertificateHandlers({
    sign: workloadSigner(context, authority, snapshot),
    authentication,
    rateLimit: new RateLimit(options.certificateRate ?? { burst: 500, perSecond: 50 }, clock),
    failureLimit: new RateLimit({ burst: 100, perSecond: 10 }, clock),
    ...(options.trustedNodeAccounts !== undefined && {
      nodeAuthorization: { trustedAccounts: new Set(options.trustedNodeAccounts), pods: nodePods(options.sources) },
    }),
    audit: certificateAudit(log.scope("ca")),
    metrics,
  });
  const admission = new StreamAdmission(clock, options.newStreamsPerSecond ?? 500);
  const budget = new SendBudget(clock);
  const ads = (authenticated: boolean): ReturnType<typeof createAdsHandlers> =>
    createAdsHandlers(connections, {
      pusher,
      metrics: pushMetrics,
      log: log.scope("ads"),
      clock,
      authentication: authenticated ? authentication : undefined,
      maxStreams: options.maxStreams ?? 10_000,
      admission,
      budget,
      workloads,
      debug,
    });
  const age = options.maxConnectionAgeMs;
  const settings = { host, certificates, ...(age !== undefined && { maxConnectionAgeMs: age }) };
  const { tls, plaintext } = options.ports;
  const servers: GrpcServer[] = [];
  if (tls !== undefined) {
    const material = (): ServerTlsMaterial => ({ ...serving.current, clientRoots: authority.rootCertificates });
    const credentials = new ReloadableServerCredentials(material());
    serving.onChange(() => credentials.update(material()));
    const server = lifecycle.add(new GrpcServer({ ...settings, port: tls, credentials, ads: ads(true) }));
    servers.push(server);
    addresses.tls = await server.listen();
  }
  if (plaintext !== undefined) {
    const isAuthenticated = options.authenticatePlaintext ?? tokens !== undefined;
    const server = lifecycle.add(new GrpcServer({ ...settings, port: plaintext, ads: ads(isAuthenticated) }));
    servers.push(server);
    addresses.plaintext = await server.listen();
    if (!isAuthenticated) {
      const { host: at, port } = addresses.plaintext;
      log.scope("ads").warn("xDS without TLS serves everybody who connects", { address: `${at}:${port}` });
    }
  }
  lifecycle.onStop(() => handOver(context, servers));
}

/** The CA itself, or a signer of the Kubernetes CSR API where one is named. */
function workloadSigner(
  { options, clock, log }: ControlPlaneContext,
  authority: CertificateAuthority,
  snapshot: ServedParts["snapshot"],
): CertificateServiceOptions["sign"] {
  const { client, kubernetesSigner } = options;
  if (client === undefined || kubernetesSigner === undefined) {
    return (csr, spiffeId, ttlMs) => authority.signWorkload(csr, spiffeId, ttlMs);
  }
  const signer = new KubernetesSigner({
    ...(options.authorityLimits ?? defaultAuthorityLimits),
    ...kubernetesSigner,
    client,
    clock,
    log: log.scope("ca"),
    rootsOf: (name) =>
      mergeCertificates(
        (snapshot()?.meshConfig.caCertificates ?? [])
          .filter(({ certSigners }) => certSigners.length === 0 || certSigners.includes(name))
          .map(({ pem }) => pem),
      ),
  });
  return (...request) => signer.sign(...request);
}

/** Streams end one by one, so that the other replicas are not flooded; a few end at once. */
async function handOver(
  { options, connections, clock, log }: ControlPlaneContext,
  servers: GrpcServer[],
): Promise<void> {
  if (options.drainMs === undefined || connections.size === 0) return;
  const durationMs = Math.min(options.drainMs, connections.size * mostMsPerStream);
  log.scope("ads").info("streams are handed over", { proxies: connections.size, durationMs });
  const ended = Promise.all(servers.map((server) => server.retire()));
  await connections.closeAll(durationMs, clock);
  await Promise.race([ended, new Promise<void>((resolve) => clock.after(lastWordMs, resolve))]);
}

const mostMsPerStream = 20;
/** For the ends of streams to reach their clients. */
const lastWordMs = 1000;

function createAuthentication(
  context: ControlPlaneContext,
  mesh: () => MeshConfig | undefined,
  revocations: RevocationLists | undefined,
): AuthenticatorOptions {
  const { options, tokens } = context;
  return {
    tokens,
    now: () => context.clock.now(),
    ...(revocations !== undefined && { isRevoked: (certificate) => revocations.isRevoked(certificate) }),
    audiences: options.tokenAudiences ?? ["istio-ca"],
    get trustDomain() {
      return options.trustDomain ?? mesh()?.trustDomain ?? "cluster.local";
    },
    get trustDomainAliases() {
      return mesh()?.trustDomainAliases ?? [];
    },
  };
}

async function startWebhooks(
  context: ControlPlaneContext,
  { snapshot }: ServedParts,
  serving: ServingCertificateKeeper,
  port: number,
): Promise<void> {
  const { host, addresses, log, metrics, lifecycle, namespace, revision } = context;
  const settings = new InjectionSettings({
    revision,
    findConfigMap: (name) => findConfigMap(context, namespace, name),
    log: log.scope("injection"),
    ...injectionDefaults(context),
  });
  context.injection.current = () => settings.current();
  const server = lifecycle.add(
    new WebhookServer({
      host,
      port,
      certificate: serving.current,
      inject: createInjectHandler({
        loadInjector: async () => (await import("#mesh/inject/inject-pod.ts")).injectPod,
        context: (): InjectionContext => ({
          ...settings.current(),
          proxyConfigs: (workload) => snapshot()?.proxyConfig(workload) ?? { below: [], above: {} },
        }),
        metrics,
      }),
      validate: createValidateHandler({
        loadValidator: async () => (await import("./webhooks/validate-object.ts")).validateObject,
        metrics,
      }),
      log: log.scope("webhook"),
    }),
  );
  serving.onChange((certificate) => {
    try {
      server.updateCertificate(certificate);
    } catch (error) {
      log.scope("webhook").error("the new certificate cannot be served", { error: describeError(error) });
    }
  });
  addresses.webhook = await server.listen();
}

/** Istio's charts tell the injector by `values.pilot.env` what istiod's environment says. */
function injectionDefaults({ options, revision }: ControlPlaneContext): { defaults?: InjectionContext } {
  if (options.injection !== undefined) return { defaults: options.injection };
  if (options.usesTrustBundle !== true) return {};
  return { defaults: { revision, values: { pilot: { env: { ENABLE_CLUSTER_TRUST_BUNDLE_API: true } } } } };
}

function findConfigMap(context: ControlPlaneContext, namespace: string, name: string): KubernetesObject | undefined {
  for (const source of context.options.sources) {
    for (const { object } of source.objects()) {
      if (object.kind === "ConfigMap" && object.metadata.name === name && object.metadata.namespace === namespace) {
        return object;
      }
    }
  }
  return undefined;
}
