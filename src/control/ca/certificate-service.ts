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
import type { Logger } from "#base/log/log.ts";
import type { CounterSeries, MetricRegistry } from "#base/metrics/registry.ts";
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from "#wire/gen/istio/certificate-service_pb.ts";
import { createCertificateMethod } from "#wire/grpc/certificate-method.ts";
import { formatWorkloadIdentity } from "#wire/spiffe/spiffe-id.ts";
import { type Authentication, type AuthenticatorOptions, authenticate } from "./authenticate.ts";
import type { CertificateAuthority } from "./authority.ts";
import type { RateLimit } from "./rate-limit.ts";

export interface CertificateServiceOptions {
  readonly authority: CertificateAuthority;
  readonly authentication: AuthenticatorOptions;
  readonly rateLimit: RateLimit;
  readonly log: Logger;
  readonly metrics: MetricRegistry;
}

export const certificateService: ServiceDefinition = {
  CreateCertificate: createCertificateMethod,
};

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
  const { authority, authentication, log, rateLimit } = options;
  counters.requests.increment();
  const peer = call.getPeer();
  const result: Authentication = await authenticate(
    { metadata: call.metadata, certificate: call.getAuthContext().sslPeerCertificate?.raw },
    authentication,
  );
  if ("refused" in result) {
    counters.unauthenticated.increment();
    log.warn("certificate refused: the caller is not authenticated", { peer, reason: result.refused });
    return fail(status.UNAUTHENTICATED, result.refused);
  }
  const spiffeId = formatWorkloadIdentity(result.caller.identity);
  if (call.request.metadata?.["ImpersonatedIdentity"] !== undefined) {
    log.warn("certificate refused: impersonation", { identity: spiffeId, peer });
    return fail(status.PERMISSION_DENIED, `${spiffeId} may not ask for the certificate of another identity`);
  }
  if (!rateLimit.allow(spiffeId)) {
    log.warn("certificate refused: too many requests", { identity: spiffeId, peer });
    return fail(status.RESOURCE_EXHAUSTED, `too many certificate requests of ${spiffeId}`);
  }
  try {
    const seconds = Number(call.request.validityDuration);
    const issued = authority.signWorkload(call.request.csr, spiffeId, Math.max(0, seconds) * 1000);
    counters.issued.increment();
    log.info("certificate issued", {
      identity: spiffeId,
      serial: issued.serialNumber,
      notAfter: new Date(issued.notAfterMs).toISOString(),
      by: result.caller.by,
      peer,
    });
    return { response: create(IstioCertificateResponseSchema, { certChain: [...issued.chain] }) };
  } catch (error) {
    const reason = error instanceof OutriggerError ? error.message : "the certificate could not be signed";
    const isBadRequest = error instanceof OutriggerError && ["X509_INVALID", "CA_TTL_TOO_LONG"].includes(error.code);
    (isBadRequest ? counters.badRequests : counters.signErrors).increment();
    log.warn("certificate refused", { identity: spiffeId, peer, reason });
    return fail(isBadRequest ? status.INVALID_ARGUMENT : status.INTERNAL, reason);
  }
}

function fail(code: status, details: string): Outcome {
  return { failure: { code, details } };
}

interface Counters {
  readonly requests: CounterSeries;
  readonly issued: CounterSeries;
  readonly badRequests: CounterSeries;
  readonly signErrors: CounterSeries;
  readonly unauthenticated: CounterSeries;
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
  };
}
