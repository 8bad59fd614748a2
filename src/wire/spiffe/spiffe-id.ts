// SPIFFE ids (SPIFFE-ID specification, sections 2.1 to 2.3) and Istio's use of them for workloads:
// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. Parsing is strict; nothing is normalised.

export interface SpiffeId {
  readonly trustDomain: string;
  /** Empty, or with a leading slash. */
  readonly path: string;
}

export interface WorkloadIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const scheme = "spiffe://";
const maxIdBytes = 2048;
const trustDomainPattern = /^[a-z0-9._-]{1,255}$/;
const pathSegmentPattern = /^[a-zA-Z0-9._-]+$/;
/** A DNS label or subdomain, as Kubernetes names namespaces and service accounts. */
const namePattern = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

export function parseSpiffeId(text: string): SpiffeId | undefined {
  return explainSpiffeId(text) === undefined ? split(text) : undefined;
}

/** Says why the text is not a SPIFFE id; undefined when it is one. */
export function explainSpiffeId(text: string): string | undefined {
  if (text.length > maxIdBytes) return `longer than ${maxIdBytes} bytes`;
  if (!text.startsWith(scheme)) return `does not start with ${scheme}`;
  const { trustDomain, path } = split(text);
  if (trustDomain === "") return "has no trust domain";
  if (!trustDomainPattern.test(trustDomain)) {
    return "has a trust domain with other characters than a-z, 0-9, dot, dash and underscore, or longer than 255";
  }
  if (path === "") return undefined;
  for (const segment of path.slice(1).split("/")) {
    if (segment === "") return "has an empty path segment or a trailing slash";
    if (segment === "." || segment === "..") return "has a relative path segment";
    if (!pathSegmentPattern.test(segment)) {
      return "has a path with other characters than letters, digits, dot, dash and underscore";
    }
  }
  return undefined;
}

function split(text: string): SpiffeId {
  const slash = text.indexOf("/", scheme.length);
  return slash === -1
    ? { trustDomain: text.slice(scheme.length), path: "" }
    : { trustDomain: text.slice(scheme.length, slash), path: text.slice(slash) };
}

/** Reads Istio's form of an id; undefined for any other SPIFFE id. */
export function parseWorkloadIdentity(text: string): WorkloadIdentity | undefined {
  const id = parseSpiffeId(text);
  if (id === undefined) return undefined;
  const [root, ns, namespace, sa, serviceAccount, ...rest] = id.path.split("/");
  if (root !== "" || ns !== "ns" || sa !== "sa" || rest.length > 0) return undefined;
  if (namespace === undefined || serviceAccount === undefined) return undefined;
  if (!namePattern.test(namespace) || !namePattern.test(serviceAccount)) return undefined;
  return { trustDomain: id.trustDomain, namespace, serviceAccount };
}

export function formatWorkloadIdentity(identity: WorkloadIdentity): string {
  return `${scheme}${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`;
}

/** Tells whether the text can be a trust domain of the mesh: DNS labels of at most 63, one trailing dot allowed. */
export function isTrustDomain(text: string): boolean {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  return (
    trustDomainPattern.test(text) &&
    name.split(".").every((label) => label.length <= 63 && /^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/.test(label))
  );
}
