// For tests: tables of "configuration → request → outcome", asked as `outrigger explain -f` is. The tables stand beside
// the kinds that they are about. An answer is written in short:
//   api:80/v2 mtls     reaches port 80 of service api, subset v2, over mutual TLS (tls: simple; nothing: plaintext)
//   90% a:80; 10% b:80 the same by shares
//   403 deny[0]        refused by rule 0 of policy deny; 403 not allow[1] when that came nearest; closed: without a status
//   301, 200 itself    answered on the way
//   arrives:8080       straight into the workload, to its port
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Explanation, Outcome } from "../commands/explain/explain.ts";
import type { Authorization } from "../commands/explain/hop.ts";
import { judgeResources } from "./refused-resources.ts";
import { run } from "./run-cli.ts";

const pod = (
  name: string,
  settings: { namespace?: string; labels?: string; plain?: boolean; spec?: string; ip: string },
): string => `
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: ${settings.namespace ?? "default"}
  labels: {app: ${name.replace(/-.*/, "")}${settings.labels ?? ""}${settings.plain === true ? "" : ", security.istio.io/tlsMode: istio"}}
spec:
  serviceAccountName: ${name.replace(/-.*/, "")}
  containers: [{name: app, image: x}${settings.plain === true ? "" : `, {name: istio-proxy, image: x, args: [proxy, ${settings.spec ?? "sidecar"}]}`}]
status: {podIP: ${settings.ip}}
---`;

const service = (name: string, ip: string, ports: string, namespace = "default"): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {clusterIP: ${ip}, selector: {app: ${name}}, ports: [${ports}]}
---`;

/**
 * Clients `shop` (with a sidecar), `batch` in namespace `other`, and `plain` (without one); services `api` (80 → 8080,
 * HTTP, workloads v1 and v2, and 90 → 9090, HTTP), `db` (3306, TCP), `safe` (443, TLS), `cart` in namespace `other`
 * (80), `old` (80, a workload without a sidecar), and the ingress gateway (80 → 8080, 443 → 8443, 3306).
 */
export const world: string = [
  service(
    "api",
    "10.96.0.1",
    "{name: http, port: 80, targetPort: 8080}, {name: http-admin, port: 90, targetPort: 9090}",
  ),
  pod("api-v1", { ip: "10.244.0.11", labels: ", version: v1" }),
  pod("api-v2", { ip: "10.244.0.12", labels: ", version: v2" }),
  service("db", "10.96.0.2", "{name: tcp, port: 3306}"),
  pod("db-1", { ip: "10.244.0.21" }),
  service("safe", "10.96.0.3", "{name: https, port: 443, targetPort: 8443}"),
  pod("safe-1", { ip: "10.244.0.31" }),
  service("cart", "10.96.0.4", "{name: http, port: 80, targetPort: 8080}", "other"),
  pod("cart-1", { ip: "10.244.0.41", namespace: "other" }),
  service("old", "10.96.0.5", "{name: http, port: 80, targetPort: 8080}"),
  pod("old-1", { ip: "10.244.0.51", plain: true }),
  pod("shop", { ip: "10.244.0.61" }),
  pod("batch", { ip: "10.244.0.62", namespace: "other" }),
  pod("plain", { ip: "10.244.0.63", plain: true }),
  `
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  clusterIP: 10.96.0.9
  selector: {istio: ingressgateway}
  ports: [{name: http2, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}, {name: tcp, port: 3306}]
---`,
  pod("edge", { ip: "10.244.0.91", namespace: "istio-system", labels: ", istio: ingressgateway", spec: "router" }),
].join("");

/** `shop GET http://api/x` asks from a workload; `> api ...` goes straight into one; `@ ...` comes through the gateway. */
type Question = string;

/** One test: a configuration, and the answers to some questions. */
export function requestCases(name: string, yaml: string, rows: Readonly<Record<Question, string>>): void {
  test(name, async () => {
    const answers: Record<Question, string> = {};
    for (const question of Object.keys(rows)) answers[question] = await answerTo(question, yaml);
    assert.deepEqual(answers, rows);
    assert.deepEqual(
      judgeResources(`${world}${yaml}`, ["shop", "api-v1", "edge"]).refused,
      [],
      "every resource is accepted",
    );
  });
}

async function answerTo(question: Question, yaml: string): Promise<string> {
  const [who = "", ...words] = question.match(/'[^']*'|\S+/g) ?? [];
  const rest = words.map((word) => word.replaceAll("'", ""));
  const place =
    who === "@"
      ? ["--gateway", "istio=ingressgateway"]
      : who === ">"
        ? ["--to", rest.shift() ?? ""]
        : ["--from", who === "batch" ? "batch.other" : who];
  const { stdout, stderr } = await run(["explain", "-f", "-", "-o", "json", ...place, ...rest], {
    stdin: `${world}${yaml}`,
  });
  assert.equal(stderr, "", "the configuration is in order");
  return shortAnswer(JSON.parse(stdout) as Explanation);
}

function shortAnswer({ outcomes, tls, authorization, hops }: Explanation): string {
  const denial = authorization.find(({ allowed }) => !allowed);
  const isDirect = hops.length === 1 && hops[0]?.listener === "virtualInbound";
  return outcomes
    .map((outcome) => {
      const share = outcomes.length === 1 ? "" : `${Number((outcome.share * 100).toFixed(2))}% `;
      return `${share}${shortOutcome(outcome, isDirect ? "" : tls, denial)}`;
    })
    .join("; ");
}

function shortOutcome({ outcome, status, cluster }: Outcome, tls: string, denial: Authorization | undefined): string {
  if (outcome === "answered") return status === 200 ? "200 itself" : String(status);
  if (outcome === "refused") {
    const end = status === null ? "closed" : String(status);
    if (denial === undefined) return end;
    if (denial.policy !== null) return `${end} ${ruleText(denial.policy, denial.rule)}`;
    return denial.nearestMiss === null
      ? `${end} no policy`
      : `${end} not ${ruleText(denial.nearestMiss.policy, denial.nearestMiss.rule)}`;
  }
  const kind = tls === "mutual" ? " mtls" : tls === "simple" ? " tls" : "";
  return `${cluster === null ? "arrives" : shortCluster(cluster)}${kind}`;
}

function ruleText(policy: string, rule: number | null): string {
  return `${policy.replace(/^default\//, "")}${rule === null ? "" : `[${rule}]`}`;
}

/** `outbound|80|v1|api.default.svc.cluster.local` → `api:80/v1`; `inbound|8080||` → `arrives:8080`. */
function shortCluster(name: string): string {
  const [direction, port, subset, host] = name.split("|");
  if (direction === "inbound") return `arrives:${port}`;
  if (direction !== "outbound" || host === undefined) return name;
  const short = host.replace(/\.svc\.cluster\.local$/, "").replace(/\.default$/, "");
  return `${short}:${port}${subset === "" ? "" : `/${subset}`}`;
}
