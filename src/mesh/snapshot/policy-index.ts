// Security policies by workload.
import { type AuthorizationPolicies, applicablePolicies } from "../kinds/authorization-policy/resolve.ts";
import { type InboundMtls, inboundMtls } from "../kinds/peer-authentication/resolve.ts";
import { type ApplicableJwtRule, applicableJwtRules } from "../kinds/request-authentication/resolve.ts";
import type { Labels } from "../objects/fields/selector.ts";
import type { ObjectTable } from "./object-table.ts";

/** Who a policy is for. */
interface PolicySubject {
  readonly namespace: string;
  readonly labels: Labels;
}

export interface PolicyIndex {
  inboundMtls(subject: PolicySubject): InboundMtls;
  authorization(subject: PolicySubject): AuthorizationPolicies;
  jwtRules(subject: PolicySubject): readonly ApplicableJwtRule[];
}

export function indexPolicies(objects: ObjectTable, rootNamespace: string): PolicyIndex {
  const own = <K extends "PeerAuthentication" | "AuthorizationPolicy" | "RequestAuthentication">(
    kind: K,
    namespace: string,
  ): ReturnType<typeof objects.inNamespace<K>> =>
    namespace === rootNamespace ? [] : objects.inNamespace(kind, namespace);
  // Many workloads share labels (the pods of a Deployment), and are asked about once per endpoint.
  const memo = new WeakMap<Labels, Map<string, InboundMtls>>();
  return {
    inboundMtls({ namespace, labels }) {
      let byNamespace = memo.get(labels);
      if (byNamespace === undefined) {
        byNamespace = new Map();
        memo.set(labels, byNamespace);
      }
      let answer = byNamespace.get(namespace);
      if (answer === undefined) {
        const root = objects.inNamespace("PeerAuthentication", rootNamespace);
        answer = inboundMtls({ root, own: own("PeerAuthentication", namespace) }, labels);
        byNamespace.set(namespace, answer);
      }
      return answer;
    },
    authorization({ namespace, labels }) {
      const root = objects.inNamespace("AuthorizationPolicy", rootNamespace);
      return applicablePolicies(root, own("AuthorizationPolicy", namespace), { namespace, labels, rootNamespace });
    },
    jwtRules({ namespace, labels }) {
      const root = objects.inNamespace("RequestAuthentication", rootNamespace);
      const all = [...root, ...own("RequestAuthentication", namespace)];
      return applicableJwtRules(all, { namespace, labels, rootNamespace });
    },
  };
}
