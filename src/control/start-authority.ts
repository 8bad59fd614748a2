// Starts the certificate authority: where its material comes from, how it is followed and renewed, and who is told.
import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import { Backoff } from "#base/time/backoff.ts";
import { CertificateAuthority } from "./ca/authority.ts";
import { AuthorityEvents } from "./ca/authority-events.ts";
import { ExpiryWatch, exposeExpiry } from "./ca/authority-expiry.ts";
import {
  type ClusterMaterial,
  loadClusterMaterial,
  pluggedInSecretName,
  readSelfSigned,
  selfSignedSecretName,
  writeSelfSigned,
} from "./ca/cluster-material.ts";
import { type KnownRoot, SecretRootMemory } from "./ca/known-roots.ts";
import { type AuthorityMaterial, createSelfSignedMaterial, readMaterialFolder } from "./ca/material.ts";
import { MaterialSwitch } from "./ca/material-switch.ts";
import { type MaterialWatchOptions, watchMaterialFolder, watchMaterialSecrets } from "./ca/material-watch.ts";
import { RevocationLists } from "./ca/revocation-lists.ts";
import { RootDistribution } from "./ca/root-distribution.ts";
import { defaultRootRenewal, RootRenewal } from "./ca/root-renewal.ts";
import type { ControlPlaneContext } from "./context.ts";
import type { KubernetesClient } from "./sources/kubernetes/client.ts";

export interface StartedAuthority {
  readonly authority: CertificateAuthority;
  /** Of a plugged-in CA; absent where they are not to be heeded. */
  readonly revocations: RevocationLists | undefined;
  /** New material waits for this before it signs; to be called once. */
  distributeWith(distribution: Pick<RootDistribution, "settled">): void;
  /** Roots (PEM) of meshConfig.caCertificates. */
  trustAlso(roots: string): void;
}

export async function startAuthority(context: ControlPlaneContext): Promise<StartedAuthority> {
  const { options, clock, metrics, lifecycle } = context;
  const { client } = options;
  const log = context.log.scope("ca");
  const initial = await findMaterial(context);
  const authority = new CertificateAuthority(initial.material, clock, options.authorityLimits);
  exposeExpiry(metrics, authority, clock);
  const memory = client === undefined ? undefined : new SecretRootMemory(client, context.namespace);
  const distribution = Promise.withResolvers<Pick<RootDistribution, "settled">>();
  let secretName = (): string => initial.secretName;
  const events =
    client === undefined ? undefined : new AuthorityEvents({ client, namespace: context.namespace, clock, log });
  const tell: AuthorityEvents["record"] = (...event) => events?.record(...event);
  const materials = lifecycle.add(
    new MaterialSwitch({
      authority,
      clock,
      log,
      ...(client !== undefined && { distributed: () => distribution.promise.then((started) => started.settled()) }),
      ...(options.rootSettleMs !== undefined && { settleMs: options.rootSettleMs }),
      ...(memory !== undefined && { memory, known: await loadKnownRoots(memory, context) }),
      onSwitched: (place) => {
        const ends = new Date(authority.issuer.notAfterMs).toISOString();
        tell(secretName(), "CARotated", `the CA signs with new material of ${place}, which ends at ${ends}`);
      },
    }),
  );
  const revocations = createRevocations(context, authority, (reason, message) =>
    tell(pluggedInSecretName, reason, message),
  );
  const watch: MaterialWatchOptions = {
    clock,
    log,
    ...(revocations !== undefined && { offerRevocations: (lists, place) => revocations.offer(lists, place) }),
    offer: (material, place) => materials.offer(material, place),
    onInvalid: (place, reason) => tell(pluggedInSecretName, "CAInvalid", `${place} cannot be used: ${reason}`),
  };
  secretName = followMaterial(context, { initial, authority, materials, watch });
  const renewal = options.rootRenewal ?? defaultRootRenewal;
  lifecycle.add(
    new ExpiryWatch({
      authority,
      clock,
      log,
      // A self-signed root renews itself: only what is late is worth a warning.
      warnBelowPercent: () => (secretName() === pluggedInSecretName ? 20 : renewal.gracePercent / 2),
      onWarning: (reason, message) => tell(secretName(), reason, message),
    }),
  );
  return {
    authority,
    revocations,
    distributeWith: (started) => distribution.resolve(started),
    trustAlso: (roots) => materials.trustAlso(roots),
  };
}

function createRevocations(
  { options, lifecycle, clock, log }: ControlPlaneContext,
  authority: CertificateAuthority,
  tell: (reason: "CAInvalid" | "CAExpiring" | "CAExpired", message: string) => void,
): RevocationLists | undefined {
  if (options.heedsRevocations === false) return undefined;
  return lifecycle.add(new RevocationLists({ authority, clock, log: log.scope("ca"), tell }));
}

interface Followed {
  readonly initial: ClusterMaterial;
  readonly authority: CertificateAuthority;
  readonly materials: MaterialSwitch;
  readonly watch: MaterialWatchOptions;
}

/** Returns what says which Secret's material counts. */
function followMaterial(context: ControlPlaneContext, followed: Followed): () => string {
  const { options, lifecycle, namespace } = context;
  const { client, authorityFolder, authorityMaterial } = options;
  const { initial, materials, watch } = followed;
  let secretName = (): string => initial.secretName;
  if (authorityFolder !== undefined) lifecycle.add(watchMaterialFolder(authorityFolder, watch));
  if (authorityMaterial !== undefined) return secretName;
  if (client === undefined) {
    lifecycle.add(renewInMemory(context, initial.material, materials));
    return secretName;
  }
  if (authorityFolder === undefined) {
    const secrets = lifecycle.add(watchMaterialSecrets(client, namespace, initial.secretName, watch));
    secretName = () => secrets.secretName;
  }
  lifecycle.add(renewInCluster(context, client, followed));
  return secretName;
}

function renewInCluster(context: ControlPlaneContext, client: KubernetesClient, followed: Followed): Running {
  const { namespace, options, clock } = context;
  const { authority, materials, watch } = followed;
  const place = `Secret ${namespace}/${selfSignedSecretName}`;
  return new RootRenewal({
    settings: options.rootRenewal ?? defaultRootRenewal,
    clock,
    log: watch.log,
    read: async () => {
      const stored = await readSelfSigned(client, namespace);
      return stored?.caCertificate === authority.material.caCertificate ? stored : undefined;
    },
    write: (expected, renewed) => writeSelfSigned(client, namespace, expected, renewed),
    onRenewed: (material) => materials.offerRenewed(material, place),
  });
}

/** Without an API server there is nobody to keep the root for. */
function renewInMemory(context: ControlPlaneContext, first: AuthorityMaterial, materials: MaterialSwitch): Running {
  let material = first;
  return new RootRenewal({
    settings: context.options.rootRenewal ?? defaultRootRenewal,
    clock: context.clock,
    log: context.log.scope("ca"),
    read: async () => material,
    write: async (_, renewed) => {
      material = renewed;
    },
    onRenewed: (renewed) => materials.offerRenewed(renewed, "the process"),
  });
}

async function loadKnownRoots(memory: SecretRootMemory, context: ControlPlaneContext): Promise<readonly KnownRoot[]> {
  try {
    return await memory.load();
  } catch (error) {
    context.log.scope("ca").warn("the roots of earlier CAs cannot be read; only those of the CA are trusted", {
      error: describeError(error),
    });
    return [];
  }
}

async function findMaterial(context: ControlPlaneContext): Promise<ClusterMaterial> {
  const { options, clock, namespace } = context;
  const folder = options.authorityFolder === undefined ? undefined : readMaterialFolder(options.authorityFolder);
  const given = options.authorityMaterial ?? folder;
  if (given !== undefined) return { secretName: pluggedInSecretName, material: given };
  const trustDomain = options.trustDomain ?? "cluster.local";
  const rootTtlMs = (options.rootRenewal ?? defaultRootRenewal).ttlMs;
  if (options.client === undefined) {
    const material = createSelfSignedMaterial(trustDomain, clock.now(), rootTtlMs);
    return { secretName: selfSignedSecretName, material };
  }
  return loadMaterialPatiently(context, options.client, () =>
    loadClusterMaterial({
      client: options.client as KubernetesClient,
      namespace,
      trustDomain,
      rootTtlMs,
      now: () => clock.now(),
    }),
  );
}

/**
 * The API server may come up after us, and our permissions after it; and what an operator plugged in may have ended
 * while nobody ran: it is waited for until it can be used.
 */
async function loadMaterialPatiently(
  context: ControlPlaneContext,
  client: KubernetesClient,
  load: () => Promise<ClusterMaterial>,
): Promise<ClusterMaterial> {
  const backoff = new Backoff({ initialMs: 200, maxMs: 5000 });
  const log = context.log.scope("ca");
  const events = new AuthorityEvents({ client, namespace: context.namespace, clock: context.clock, log });
  let isStopped = false;
  context.lifecycle.onStop(() => {
    isStopped = true;
  });
  for (let said = ""; ; ) {
    try {
      return await load();
    } catch (error) {
      if (isStopped) throw error;
      const reason = describeError(error);
      if (reason !== said) {
        log.warn("the CA's Secret cannot be used; it is tried again", { error: reason });
        if (hasCode(error, "CA_MATERIAL_INVALID")) events.record(pluggedInSecretName, "CAInvalid", reason);
      }
      said = reason;
      await new Promise<void>((resolve) => {
        context.clock.after(backoff.next(), resolve);
      });
    }
  }
}

export function startRootDistribution(
  context: ControlPlaneContext,
  client: KubernetesClient,
  started: StartedAuthority,
  suffix: string,
): void {
  const log = context.log.scope("ca");
  const distribution = context.lifecycle.add(
    new RootDistribution({
      client,
      authority: started.authority,
      ...(started.revocations !== undefined && { revocations: started.revocations }),
      usesTrustBundle: context.options.usesTrustBundle ?? false,
      mutatingWebhooks: [`istio-sidecar-injector${suffix}`],
      validatingWebhooks: [`istio-validator${suffix}-${context.namespace}`, `istio-${context.namespace}`],
      log,
      clock: context.clock,
    }),
  );
  started.distributeWith(distribution);
  distribution.start().catch((error: unknown) => {
    log.error("the root certificate is not distributed", { error: describeError(error) });
  });
}
