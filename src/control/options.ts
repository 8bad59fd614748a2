// What the control plane is started with, and what it gives back.
import type { Running } from "#base/lifecycle.ts";
import type { LogRegistry } from "#base/log/log.ts";
import type { MetricRegistry } from "#base/metrics/registry.ts";
import type { Clock } from "#base/time/clock.ts";
import type { InjectionContext } from "#mesh/inject/injection.ts";
import type { KeyFetching } from "#mesh/snapshot/key-plan.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { BoundAddress } from "./bind.ts";
import type { AuthorityLimits, CertificateAuthority } from "./ca/authority.ts";
import type { KubernetesSignerOptions } from "./ca/kubernetes-signer.ts";
import type { AuthorityMaterial } from "./ca/material.ts";
import type { RateLimitSettings } from "./ca/rate-limit.ts";
import type { RootRenewalSettings } from "./ca/root-renewal.ts";
import type { TokenVerifier } from "./ca/token-review.ts";
import type { DebugAccess } from "./debug/monitoring-server.ts";
import type { ResolveHost } from "./networks/resolve-host.ts";
import type { DebounceSettings } from "./push/debounce.ts";
import type { ConfigSource } from "./sources/config-source.ts";
import type { KubernetesClient } from "./sources/kubernetes/client.ts";

/** Ports to open; an absent one stays closed, 0 takes a free one. */
export interface ControlPlanePorts {
  /** xDS and certificates without TLS (15010). For trusted networks only. */
  readonly plaintext?: number;
  /** xDS and certificates over TLS, authenticated (15012). */
  readonly tls?: number;
  /** /metrics, /version, /debug (15014). */
  readonly monitoring?: number;
  /** Admission webhooks (15017). */
  readonly webhook?: number;
  /** /ready (8080). */
  readonly http?: number;
}

export interface ControlPlaneOptions {
  readonly sources: readonly ConfigSource[];
  /** The API server: verifies tokens, keeps the CA's Secret, carries the root. Absent when configuration is files only. */
  readonly client?: KubernetesClient;
  readonly ports: ControlPlanePorts;
  /** Default all IPv4 addresses. */
  readonly host?: string;
  /** Default `istio-system`. */
  readonly namespace?: string;
  /** Default `default`. */
  readonly revision?: string;
  /** This replica among several: the pod's name. Default a name that no other process has. */
  readonly replica?: string;
  /** Default `Kubernetes`. */
  readonly clusterId?: string;
  /** Default: as MeshConfig says, else `cluster.local`. */
  readonly trustDomain?: string;
  /** Default: from the cluster's Secrets; without an API server a new root that ends with the process. */
  readonly authorityMaterial?: AuthorityMaterial;
  /** Folder with plugged-in material by Istio's file names (`/etc/cacerts`); used when it holds any, and followed. */
  readonly authorityFolder?: string;
  readonly authorityLimits?: AuthorityLimits;
  /** Whether revocation lists beside plugged-in material are given out and heeded; default true (PILOT_ENABLE_CA_CRL). */
  readonly heedsRevocations?: boolean;
  /** Roots are given out as a ClusterTrustBundle, not as ConfigMaps (ENABLE_CLUSTER_TRUST_BUNDLE_API). */
  readonly usesTrustBundle?: boolean;
  /** How a self-signed root is renewed; default as istiod does. */
  readonly rootRenewal?: RootRenewalSettings;
  /** How long workloads may take to read new roots before certificates are signed under them; default two minutes. */
  readonly rootSettleMs?: number;
  /** Default 500 certificates at once and 50 per second for each identity: all pods of a service account share one. */
  readonly certificateRate?: RateLimitSettings;
  /** Workloads' certificates come from a signer of the Kubernetes CSR API; default from the CA. */
  readonly kubernetesSigner?: Pick<KubernetesSignerOptions, "signerName" | "signerDomain">;
  /** `namespace/name` of service accounts that may ask for certificates of what runs on their node. */
  readonly trustedNodeAccounts?: readonly string[];
  /** An issuer of tokens besides the API server. */
  readonly tokenIssuer?: TokenIssuer;
  /** Default TokenReview of the API server. */
  readonly tokens?: TokenVerifier;
  /** Audiences of tokens; default `istio-ca`. */
  readonly tokenAudiences?: readonly string[];
  /** Whether who comes without TLS has to prove its identity by a token. Default true where there are tokens to verify. */
  readonly authenticatePlaintext?: boolean;
  readonly debugAccess?: DebugAccess;
  /** Addresses and blocks that are never asked for keys of token issuers, besides those that never are. */
  readonly blockedKeyAddresses?: readonly string[];
  /** Resolves the host names of gateways to other networks; the system's resolver unless given. */
  readonly resolveHost?: ResolveHost;
  /** Who fetches keys that have a `jwksUri`; default `istiod`, the control plane (PILOT_JWT_ENABLE_REMOTE_JWKS). */
  readonly keyFetching?: KeyFetching;
  /** Gateways are for pods of their own namespace only (PILOT_SCOPE_GATEWAY_TO_NAMESPACE). */
  readonly scopesGateways?: boolean;
  /** Variables of this process, which headers of providers may name. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** A workload may have CUSTOM policies of several providers (PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS). */
  readonly severalProviders?: boolean;
  /** PEM bundle of authorities that servers of keys may have too (Istio's jwksResolverExtraRootCA). */
  readonly keyRootsFile?: string;
  /** For tests: in place of both. */
  readonly isKeyAddressAllowed?: (address: string) => boolean;
  /** Further DNS names of the serving certificate. */
  readonly servingNames?: readonly string[];
  /** What injection uses where the cluster has no ConfigMap that says otherwise. */
  readonly injection?: InjectionContext;
  /** Default 10,000. */
  readonly maxStreams?: number;
  /** Default 500; who comes above that waits. */
  readonly newStreamsPerSecond?: number;
  readonly maxConnectionAgeMs?: number;
  /** How long streams are handed over to other replicas when this one stops; default not at all. */
  readonly drainMs?: number;
  readonly debounce?: DebounceSettings;
  readonly log?: LogRegistry;
  readonly metrics?: MetricRegistry;
  readonly clock?: Clock;
}

/** Istio's JWT_RULE. */
export interface TokenIssuer {
  readonly issuer: string;
  /** Empty for those of the certificate service. */
  readonly audiences: readonly string[];
  /** Where the keys are; absent where the issuer's OpenID configuration says it. */
  readonly jwksUri?: string;
  /** The keys themselves. */
  readonly jwks?: string;
}

export interface ControlPlane extends Running {
  /** Where it listens, by the names of `ControlPlanePorts`. */
  readonly addresses: { readonly [P in keyof ControlPlanePorts]?: BoundAddress };
  /** PEM bundle of the CA's trust anchors. */
  readonly rootCertificates: string;
  readonly authority: CertificateAuthority;
  readonly metrics: MetricRegistry;
  snapshot(): MeshSnapshot | undefined;
}
