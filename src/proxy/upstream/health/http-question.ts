// The question of an HTTP health check: the status, and where that is configured the body and the name of the service, say
// whether the endpoint is well.
import type { HttpHealthCheck } from "../../config/health-check.ts";
import type { ResponseHead } from "../exchange.ts";
import { containsInOrder, failure, type ProbeAnswer, passed } from "./probe.ts";
import type { Question } from "./request-probe.ts";

/** A body of which everything is looked at is kept up to here. */
const mostBodyBytes = 64 * 1024;

export function httpQuestion(check: HttpHealthCheck, authority: string): Question {
  const { receive } = check;
  return {
    method: check.method,
    authority,
    path: check.path,
    fill: (headers) => {
      headers.add("host", authority);
      headers.add("user-agent", "Envoy/HC");
      for (const [name, value] of check.headers) headers.add(name, value);
      for (const name of check.removedHeaders) headers.remove(name);
    },
    body: null,
    keptBytes: receive.length === 0 ? 0 : check.responseBufferBytes || mostBodyBytes,
    judge: ({ head, body }) => {
      const verdict = judgeHead(head, check);
      if (verdict.outcome !== "passed" || containsInOrder(body, receive)) return verdict;
      return failure("refused", "the body is not as expected");
    },
  };
}

function judgeHead({ status, headers }: ResponseHead, check: HttpHealthCheck): ProbeAnswer {
  const isExcluded = headers.get("x-envoy-immediate-health-check-fail") !== undefined;
  if (!check.expects(status)) {
    return { ...failure(check.retries(status) ? "failed" : "refused", `it answered ${status}`), isExcluded };
  }
  if (isExcluded) return { ...failure("refused", "it asked to be taken out of rotation"), isExcluded };
  const service = headers.get("x-envoy-upstream-healthchecked-cluster") ?? "";
  if (check.serviceName !== null && !check.serviceName.matches(service)) {
    const words = service === "" ? "it does not say which service it is" : `it is the service "${service}"`;
    return { ...failure("refused", words), isOtherService: true };
  }
  if (headers.get("x-envoy-degraded") !== undefined) return failure("degraded", "it says that it is degraded");
  return passed;
}
