// Network RBAC: the one evaluator decides on a connection before its bytes reach the terminal filter.

import { formatOrigin } from "#base/issue.ts";
import type { Logger } from "#base/log/log.ts";
import type { NetworkRbacConfig } from "../config/listener.ts";
import type { RbacSubject } from "../config/rbac.ts";
import { newTrace } from "../config/trace.ts";
import { evaluateRbac } from "../decide/rbac.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";

export interface ConnectionRefusal {
  /** `%CONNECTION_TERMINATION_DETAILS%`. */
  readonly details: string;
  readonly cause: string;
}

/** Null when the connection may pass. */
export function refuseConnection(
  config: NetworkRbacConfig,
  info: ConnectionInfo,
  log: Logger,
): ConnectionRefusal | null {
  const subject = subjectOf(info);
  if (config.shadowRules !== null) {
    const shadow = evaluateRbac(config.shadowRules, subject, null);
    log.debug(`rbac dry run: ${shadow.allowed ? "allowed" : "denied"} by ${shadow.policy?.name ?? "none"}`);
  }
  const verdict = evaluateRbac(config.rules, subject, null);
  if (verdict.allowed) return null;
  const caller = info.peer?.uriSan ?? "an unauthenticated client";
  const policy = verdict.policy;
  if (policy !== null) {
    const origin = policy.origin === null ? "" : ` [${formatOrigin(policy.origin)}]`;
    return {
      details: `rbac_access_denied_matched_policy[${policy.name}]`,
      cause: `${caller} is denied by ${policy.name}${origin}`,
    };
  }
  const miss = evaluateRbac(config.rules, subject, newTrace()).nearestMiss;
  const nearest = miss === null ? "" : `; nearest is ${miss.policy.name}, which needs ${miss.failed.join(" and ")}`;
  return {
    details: "rbac_access_denied_matched_policy[none]",
    cause: `no policy allows ${caller}${nearest}`,
  };
}

function subjectOf(info: ConnectionInfo): RbacSubject {
  return {
    peerId: info.peer?.uriSan,
    directRemoteIp: info.sourceIp,
    remoteIp: info.sourceIp,
    destinationIp: info.destinationIp,
    destinationPort: info.destinationPort,
    requestedServerName: info.serverName,
    path: undefined,
    header: undefined,
    metadata: undefined,
  };
}
