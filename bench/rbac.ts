// CPU per decision of the RBAC evaluator with many policies, as Istio makes them, against asking the same policies one
// after another.
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { decodeRbac } from "../src/proxy/config/parse/rbac.ts";
import { Problems } from "../src/proxy/config/problems.ts";
import type { RbacRules, RbacSubject } from "../src/proxy/config/rbac.ts";
import { evaluateRbac } from "../src/proxy/decide/rbac.ts";
import { RBACSchema } from "../src/wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import { alternate, type Benchmark, type Figure, figure } from "./harness/benchmark.ts";

const id = (i: number): string => `spiffe://cluster.local/ns/team-${i % 40}/sa/app-${i}`;

/** One caller each, some methods and paths. */
const byPrincipal = (i: number): JsonValue => ({
  permissions: [
    {
      and_rules: {
        rules: [
          {
            or_rules: {
              rules: ["GET", "POST"].map((exact) => ({ header: { name: ":method", string_match: { exact } } })),
            },
          },
          { url_path: { path: { prefix: `/api/v${i % 3}` } } },
        ],
      },
    },
  ],
  principals: [{ and_ids: { ids: [{ or_ids: { ids: [{ authenticated: { principal_name: { exact: id(i) } } }] } }] } }],
});

/** A whole namespace each. */
const byNamespace = (i: number): JsonValue => ({
  permissions: [{ any: true }],
  principals: [{ authenticated: { principal_name: { safe_regex: { regex: `.*/ns/team-${i}/.*` } } } }],
});

function rules(policy: (i: number) => JsonValue, count: number, action: "ALLOW" | "DENY"): RbacRules {
  const policies = Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`ns[a]-policy[p${String(i).padStart(4, "0")}]-rule[0]`, policy(i)]),
  );
  const problems = new Problems("rbac", "bench");
  const message = fromJson(RBACSchema, { action, policies } as JsonValue);
  const decoded = problems.done(decodeRbac(message, new Map(), "rules", problems));
  if (decoded.value === null) throw new Error("the rules are not understood");
  return decoded.value;
}

const headers: Readonly<Record<string, string>> = { ":method": "GET", ":path": "/api/v0/x", ":authority": "shop" };

function subject(peer: string): RbacSubject {
  const read = (name: string): string | undefined => headers[name];
  return {
    peer: { uriSans: [peer], dnsSans: [], subject: "" },
    directRemoteIp: "10.0.0.1",
    sourceIp: "10.0.0.1",
    remoteIp: "10.0.0.1",
    sourcePort: 40_000,
    destinationIp: "10.0.0.2",
    destinationPort: 8080,
    requestedServerName: "",
    path: "/api/v0/x",
    header: read,
    headerValues: read,
    metadata: undefined,
  };
}

/** µs of CPU per decision, over callers that are spread over the policies. */
async function measure(of: RbacRules, callers: readonly RbacSubject[], decisions: number): Promise<number> {
  let allowed = 0;
  const start = process.cpuUsage();
  for (let i = 0; i < decisions; i++) {
    if (evaluateRbac(of, callers[i % callers.length] as RbacSubject, null).allowed) allowed++;
  }
  const { user, system } = process.cpuUsage(start);
  if (allowed > decisions) throw new Error("impossible");
  return (user + system) / decisions;
}

interface Case {
  readonly name: string;
  /** The caller that the policy is about. */
  readonly caller: (i: number) => string;
  readonly policy: (i: number) => JsonValue;
  readonly count: number;
  readonly action: "ALLOW" | "DENY";
}

const cases: readonly Case[] = [
  { name: "10 policies by principal", caller: id, policy: byPrincipal, count: 10, action: "ALLOW" },
  { name: "1000 policies by principal", caller: id, policy: byPrincipal, count: 1000, action: "ALLOW" },
  {
    name: "1000 policies by principal, DENY that nobody meets",
    caller: id,
    policy: byPrincipal,
    count: 1000,
    action: "DENY",
  },
  {
    name: "1000 policies by namespace",
    caller: (i) => `spiffe://cluster.local/ns/team-${i}/sa/app`,
    policy: byNamespace,
    count: 1000,
    action: "ALLOW",
  },
];

async function run(isQuick: boolean): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { name, caller, policy, count, action } of cases) {
    const indexed = rules(policy, count, action);
    const plain: RbacRules = { action: indexed.action, policies: indexed.policies };
    const callers =
      action === "DENY"
        ? [subject("spiffe://cluster.local/ns/other/sa/other")]
        : Array.from({ length: 32 }, (_, i) => subject(caller(Math.floor((i * count) / 32))));
    const decisions = isQuick ? 1000 : 200_000 / Math.max(1, count / 50);
    await measure(indexed, callers, 1000);
    await measure(plain, callers, 1000);
    const runs = await alternate(
      isQuick ? 1 : 5,
      () => measure(indexed, callers, decisions),
      () => measure(plain, callers, decisions),
    );
    figures.push(
      figure({ name: "rbac", case: name, unit: "µs CPU per decision", against: "the same list, unindexed" }, runs),
    );
  }
  return figures;
}

export const rbac: Benchmark = {
  notes: `One decision of the RBAC evaluator, which live filters and \`explain\` share: policies as Istio compiles them, each
for one caller with methods and a path prefix, or for one namespace. Callers are spread over the policies. Peer: the same
compiled policies asked one after another, as Envoy does. CPU is user and system time of the process.`,
  run,
};
