// Retries: Istio's defaults, and what a VirtualService or the mesh puts over them.
import { create } from "@bufbuild/protobuf";
import { type RetryPolicy, RetryPolicySchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { PreviousHostsPredicateSchema } from "#wire/gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.ts";
import { PreviousPrioritiesConfigSchema } from "#wire/gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.ts";
import type { HttpRetry } from "../../objects/fields/http-retry.ts";
import { milliseconds, pack } from "../envoy-values.ts";

const defaultRetryOn = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const retriableStatusCodes = "retriable-status-codes";

/** Compiles a policy over the built-in one; undefined when retries are switched off. */
export function retryPolicy(policy: HttpRetry | undefined, consistentHash: boolean): RetryPolicy | undefined {
  if (policy !== undefined && policy.attempts <= 0) return undefined;
  const { on, codes } = retryConditions(policy?.retryOn ?? "");
  // With consistent hashing another host would be the wrong one.
  const avoidsPrevious = policy?.retryIgnorePreviousHosts ?? !consistentHash;
  return create(RetryPolicySchema, {
    retryOn: on,
    retriableStatusCodes: codes,
    numRetries: policy?.attempts ?? 2,
    hostSelectionRetryMaxAttempts: 5n,
    ...(avoidsPrevious && {
      retryHostPredicate: [
        {
          name: "envoy.retry_host_predicates.previous_hosts",
          configType: { case: "typedConfig", value: pack(PreviousHostsPredicateSchema, {}) },
        },
      ],
    }),
    ...(policy?.perTryTimeout !== undefined && { perTryTimeout: milliseconds(policy.perTryTimeout) }),
    ...(policy?.backoff !== undefined && { retryBackOff: { baseInterval: milliseconds(policy.backoff) } }),
    ...(policy?.retryRemoteLocalities && {
      retryPriority: {
        name: "envoy.retry_priorities.previous_priorities",
        configType: { case: "typedConfig", value: pack(PreviousPrioritiesConfigSchema, { updateFrequency: 2 }) },
      },
    }),
  });
}

/** Numbers among the conditions are status codes. */
function retryConditions(retryOn: string): { on: string; codes: number[] } {
  if (retryOn === "") return { on: defaultRetryOn, codes: [] };
  const names: string[] = [];
  const codes: number[] = [];
  for (const part of retryOn.split(",").map((item) => item.trim())) {
    if (/^[1-5]\d\d$/.test(part)) codes.push(Number(part));
    else if (part !== "") names.push(part);
  }
  if (codes.length > 0 && !names.includes(retriableStatusCodes)) names.push(retriableStatusCodes);
  return { on: names.join(), codes };
}

/** Of inbound routes: only requests that never reached the application. */
export const inboundRetryPolicy: RetryPolicy = create(RetryPolicySchema, {
  retryOn: "reset-before-request",
  numRetries: 2,
});
