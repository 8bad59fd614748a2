// HTTP RBAC: lets the one evaluator decide on each request head. Shadow rules are evaluated and only logged.
import { formatOrigin } from "#base/issue.ts";
import type { RbacSubject } from "../../../config/rbac.ts";
import { evaluateRbac, type RbacVerdict } from "../../../decide/rbac.ts";
import { pathWithoutQuery } from "../../../decide/route.ts";
import { newTrace } from "../../../decide/trace.ts";
import { CONTINUE, DONE, type HttpFilter, type HttpFilterType, sharedFilter, type Verdict } from "../../filter.ts";
import { rbacDenied } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";

export const rbac: HttpFilterType<"rbac"> = {
  type: "rbac",
  configure: (config, environment) => {
    const { rules, shadowRules } = config;
    const onRequestHeaders = (stream: Stream): Verdict => {
      const subject = new HttpSubject(stream);
      if (shadowRules !== null) {
        const shadow = evaluateRbac(shadowRules, subject, null);
        environment.log.debug(
          `rbac dry run: ${shadow.allowed ? "allowed" : "denied"} by ${shadow.policy?.name ?? "none"}`,
        );
      }
      const verdict = evaluateRbac(rules, subject, null);
      if (verdict.allowed) return CONTINUE;
      deny(stream, subject, verdict);
      return DONE;
    };
    // The nearest miss costs a second evaluation, which only a refused request pays.
    const deny = (stream: Stream, subject: HttpSubject, verdict: RbacVerdict): void => {
      const policy = verdict.policy;
      const caller = subject.peerId ?? "an unauthenticated client";
      if (policy !== null) {
        const cause = `${caller} is denied by ${policy.name}`;
        stream.sendLocalReply(rbacDenied(policy.name), cause, policy.origin === null ? [] : [policy.origin]);
        return;
      }
      const miss = evaluateRbac(rules, subject, newTrace()).nearestMiss;
      const nearest =
        miss === null
          ? ""
          : `; nearest is ${miss.policy.name}, which needs ${miss.failed.join(" and ")}${
              miss.policy.origin === null ? "" : ` (${formatOrigin(miss.policy.origin)})`
            }`;
      stream.sendLocalReply(rbacDenied("none"), `no policy allows ${caller}${nearest}`, []);
    };
    const filter: HttpFilter = { onRequestHeaders };
    return sharedFilter(filter);
  },
};

class HttpSubject implements RbacSubject {
  readonly peerId: string | undefined;
  readonly directRemoteIp: string;
  readonly remoteIp: string;
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly requestedServerName: string;
  readonly path: string | undefined;
  readonly metadata: undefined = undefined;
  readonly #stream: Stream;

  constructor(stream: Stream) {
    const { connection } = stream;
    this.#stream = stream;
    this.peerId = connection.peer?.uriSan;
    this.directRemoteIp = connection.sourceIp;
    this.remoteIp = stream.remoteIp;
    this.destinationIp = connection.destinationIp;
    this.destinationPort = connection.destinationPort;
    this.requestedServerName = connection.serverName;
    this.path = stream.path === "" ? undefined : pathWithoutQuery(stream.path);
  }

  header(name: string): string | undefined {
    return this.#stream.header(name);
  }
}
