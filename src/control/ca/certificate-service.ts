// Istio's certificate service over gRPC: authenticates the caller, limits its rate, signs its request for the identity
// it proved, and writes an audit line. Names and extensions that the request asks for are ignored.
import { create } from "@bufbuild/protobuf";
import {
  type handleUnaryCall,
  type ServerUnaryCall,
  type ServiceDefinition,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import { OutriggerError } from "#base/error.ts";
import type { CounterSeries, MetricRegistry } from "#base/metrics/registry.ts";
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from "#wire/gen/istio/certificate-service_pb.ts";
import { createCertificateMethod } from "#wire/grpc/certificate-method.ts";
import { formatWorkloadIdentity, parseWorkloadIdentity, type WorkloadIdentity } from "#wire/spiffe/spiffe-id.ts";
import { type Authentication, type AuthenticatorOptions, authenticate, type Caller } from "./authenticate.ts";
import type { IssuedCertificate } from "./authority.ts";
import type { Audit, AuditSubject } from "./certificate-audit.ts";
import { type NodeAuthorization, refuseImpersonation } from "./node-authorization.ts";
import type { RateLimit } from "./rate-limit.ts";

export interface CertificateServiceOptions {
  /** Signs a request (PEM) for a SPIFFE id; a lifetime of 0 means the default, an empty signer too. */
  readonly sign: (
    csr: string,
    spiffeId: string,
    ttlMs: number,
    signer: string,
  ) => IssuedCertificate | Promise<IssuedCertificate>;
  readonly authentication: AuthenticatorOptions;
  /** For each identity. */
  readonly rateLimit: RateLimit;
  /** For each address whose requests are not authenticated. */
  readonly failureLimit: RateLimit;
  /** Who may ask for the certificates of others; absent where nobody may. */
  readonly nodeAuthorization?: NodeAuthorization;
  readonly audit: Audit;
  readonly metrics: MetricRegistry;
}

export const certificateService: ServiceDefinition = {
  CreateCertificate: createCertificateMethod,
};

const maxIdentityLength = 2048;
const badRequests: ReadonlySet<string> = new Set(["X509_INVALID", "CA_TTL_TOO_LONG", "CA_REQUEST_NAMES"]);

type Handler = handleUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
type Call = ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
type Outcome = { readonly response: IstioCertificateResponse } | { readonly failure: Partial<StatusObject> };

export function createCertificateHandlers(options: CertificateServiceOptions): { CreateCertificate: Handler } {
  const counters = createCounters(options.metrics);
  return {
    CreateCertificate: (call, callback) => {
      signFor(call, options, counters).then(
        (outcome) => ("response" in outcome ? callback(null, outcome.response) : callback(outcome.failure)),
        () => callback({ code: status.INTERNAL, details: "the certificate could not be issued" }),
      );
    },
  };
}

async function signFor(call: Call, options: CertificateServiceOptions, counters: Counters): Promise<Outcome> {
  const { authentication, audit, rateLimit, failureLimit } = options;
  counters.requests.increment();
  const peer = call.getPeer();
  const refuse = (subject: Partial<AuditSubject>, code: status, reason: string, details = reason): Outcome => {
    audit.refused({ peer, ...subject }, status[code] ?? String(code), reason);
    return { failure: { code, details } };
  };
  const address = peer.replace(/:\d+$/, "");
  const certificate = call.getAuthContext().sslPeerCertificate?.raw;
  // Only tokens cost a question to the API server.
  if (certificate === undefined && failureLimit.isExhausted(address)) {
    counters.unauthenticated.increment();
    return refuse({}, status.RESOURCE_EXHAUSTED, "too many requests of this address were not authenticated");
  }
  const result: Authentication = await authenticate({ metadata: call.metadata, certificate }, authentication);
  if ("refused" in result) {
    counters.unauthenticated.increment();
    if (result.namesNobody === true) counters.nobody.increment();
    failureLimit.allow(address);
    return refuse({}, status.UNAUTHENTICATED, result.refused);
  }
  const { caller } = result;
  const identity = formatWorkloadIdentity(caller.identity);
  let subject: AuditSubject = { peer, identity, by: caller.by };
  let named = caller.identity;
  const wanted = call.request.metadata?.["ImpersonatedIdentity"];
  if (wanted !== undefined && wanted !== "") {
    const impersonated = String(wanted).slice(0, maxIdentityLength);
    subject = { ...subject, impersonated };
    const allowed = impersonate(caller, impersonated, options);
    if (typeof allowed === "string") {
      counters.unauthenticated.increment();
      return refuse(subject, status.UNAUTHENTICATED, allowed, "the caller may not ask for this identity's certificate");
    }
    named = allowed;
  }
  const spiffeId = formatWorkloadIdentity(named);
  // A node's agent asks for many: each of them has its own measure.
  if (!rateLimit.allow(spiffeId)) {
    return refuse(subject, status.RESOURCE_EXHAUSTED, `too many certificate requests of ${spiffeId}`);
  }
  try {
    const seconds = Number(call.request.validityDuration);
    const signer = String(call.request.metadata?.["CertSigner"] ?? "");
    const issued = await options.sign(call.request.csr, spiffeId, Math.max(0, seconds) * 1000, signer);
    counters.issued.increment();
    audit.issued(subject, issued);
    return { response: create(IstioCertificateResponseSchema, { certChain: [...issued.chain] }) };
  } catch (error) {
    const reason = error instanceof OutriggerError ? error.message : "the certificate could not be signed";
    const isBadRequest = error instanceof OutriggerError && badRequests.has(error.code);
    (isBadRequest ? counters.badRequests : counters.signErrors).increment();
    return refuse(subject, isBadRequest ? status.INVALID_ARGUMENT : status.INTERNAL, reason);
  }
}

/** The identity that a node's agent may ask for, or why not. */
function impersonate(
  caller: Caller,
  wanted: string,
  { authentication, nodeAuthorization }: CertificateServiceOptions,
): WorkloadIdentity | string {
  if (nodeAuthorization === undefined) return "nobody may impersonate: CA_TRUSTED_NODE_ACCOUNTS is not set";
  const identity = parseWorkloadIdentity(wanted);
  if (identity === undefined) return "the impersonated identity is not one of a workload";
  const ours = [authentication.trustDomain, ...(authentication.trustDomainAliases ?? [])];
  if (!ours.includes(identity.trustDomain)) return `trust domain ${identity.trustDomain} is not ours`;
  return refuseImpersonation(caller, identity, nodeAuthorization) ?? identity;
}

interface Counters {
  readonly requests: CounterSeries;
  readonly issued: CounterSeries;
  readonly badRequests: CounterSeries;
  readonly signErrors: CounterSeries;
  readonly unauthenticated: CounterSeries;
  readonly nobody: CounterSeries;
}

function createCounters(metrics: MetricRegistry): Counters {
  return {
    requests: metrics.counter("citadel_server_csr_count", "Certificate requests received.").labels(),
    issued: metrics.counter("citadel_server_success_cert_issuance_count", "Certificates that were issued.").labels(),
    badRequests: metrics
      .counter("citadel_server_csr_parsing_err_count", "Requests that could not be read or were not allowed.")
      .labels(),
    signErrors: metrics.counter("citadel_server_csr_sign_err_count", "Requests that could not be signed.").labels(),
    unauthenticated: metrics
      .counter("citadel_server_authentication_failure_count", "Requests of callers without a valid identity.")
      .labels(),
    nobody: metrics
      .counter("citadel_server_id_extraction_err_count", "Certificates of callers that name no workload's identity.")
      .labels(),
  };
}
