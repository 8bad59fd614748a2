// `outrigger certs`: every certificate of the mesh with the life that it has left: the mesh's roots and revocation lists,
// and what each proxy holds (its own, and those of Secrets and files).
import type { Command } from "commander";
import { describeError } from "#base/error.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { trustBundleName } from "#mesh/inject/trust-bundle-name.ts";
import { type CliContext, print, printError } from "../../context.ts";
import { kind, withMesh } from "../../mesh/connection.ts";
import { hasProxy, listPods, type Pod } from "../../mesh/pods.ts";
import { requestPodJson } from "../../mesh/port-forward.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { renderTable } from "../../render/table.ts";
import { inlineText, object, readConfigDump, text } from "../proxy-config/config-dump.ts";
import { type Lifetime, lifetimeOf, lifetimeOfLists } from "./lifetime.ts";

interface HeldCertificate {
  /** `pod.namespace`, or `mesh`. */
  readonly where: string;
  readonly name: string;
  readonly type: "chain" | "roots" | "lists";
  readonly notAfter: string;
  readonly percentLeft: number;
  readonly state: Lifetime["state"] | "unreadable" | "missing";
}

const adminPort = 15000;

export function registerCerts(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("certs")
    .description(
      "show every certificate of the mesh and the life it has left; exit code 1 when one has ended, or has 20 % left or less",
    )
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action(async ({ output }: { output: string }) => {
      const format = parseOutputFormat(output);
      const { held, problems } = await withMesh(context, (client) => readAll(client, Date.now()));
      print(
        context,
        renderOutput(format, held, () => table(held)),
      );
      for (const problem of problems) printError(context, problem);
      finish(problems.length === 0 && held.every(({ state }) => state === "valid") ? 0 : 1);
    });
}

interface Found {
  readonly held: readonly HeldCertificate[];
  /** Proxies that did not answer. */
  readonly problems: readonly string[];
}

async function readAll(client: KubernetesClient, nowMs: number): Promise<Found> {
  // One that is not ready is asked too: without a certificate it never gets ready.
  const pods = (await listPods(client)).filter((pod) => hasProxy(pod) && pod.status?.phase === "Running");
  const all = await Promise.all([ofMesh(client, nowMs), ...pods.map((pod) => ofPod(client, pod, nowMs))]);
  return { held: all.flatMap(({ held }) => held), problems: all.flatMap(({ problems }) => problems) };
}

async function ofMesh(client: KubernetesClient, nowMs: number): Promise<Found> {
  const inNamespace = async (name: string, key: string): Promise<string> => {
    const found = await client.find(kind("v1", "ConfigMap"), { namespace: "istio-system", name });
    return text(object(found?.["data"])[key]);
  };
  const [roots, lists] = await Promise.all([
    inNamespace("istio-ca-root-cert", "root-cert.pem").then((pem) => pem || trustBundle(client)),
    inNamespace("istio-ca-crl", "ca-crl.pem"),
  ]);
  const held = [
    ...(roots === "" ? [] : [describe("mesh", "root", "roots", roots, nowMs)]),
    ...(lists.trim() === "" ? [] : [describe("mesh", "crl", "lists", lists, nowMs)]),
  ];
  const none = "the mesh has given out no roots: is the control plane there? (outrigger status)";
  return { held, problems: roots === "" ? [none] : [] };
}

/** Where the roots are no ConfigMaps. */
async function trustBundle(client: KubernetesClient): Promise<string> {
  const bundle = kind("certificates.k8s.io/v1beta1", "ClusterTrustBundle");
  return text(object((await client.find(bundle, { name: trustBundleName }))?.["spec"])["trustBundle"]);
}

async function ofPod(client: KubernetesClient, pod: Pod, nowMs: number): Promise<Found> {
  const where = `${pod.metadata.name}.${pod.metadata.namespace ?? "default"}`;
  try {
    const dump = readConfigDump(await requestPodJson(client, pod, { port: adminPort, path: "/config_dump" }));
    const held = dump.secrets.flatMap(({ name, secret }) => {
      const context = object(secret["validationContext"]);
      const parts = [
        ["chain", inlineText(object(secret["tlsCertificate"])["certificateChain"])],
        ["roots", inlineText(context["trustedCa"])],
        ["lists", inlineText(context["crl"])],
      ] as const;
      const there = parts.filter(([, pem]) => pem !== "");
      if (there.length === 0) return [absent(where, name)];
      return there.map(([type, pem]) => describe(where, name, type, pem, nowMs));
    });
    const hasOwn = held.some(({ name, type }) => name === "default" && type === "chain");
    return {
      held,
      problems: hasOwn ? [] : [`${where} has no certificate of the mesh; see: outrigger logs ${where} -c istio-proxy`],
    };
  } catch (error) {
    return { held: [], problems: [`${where} does not answer: ${describeError(error)}`] };
  }
}

/** Named by the configuration, and not there. */
function absent(where: string, name: string): HeldCertificate {
  return { where, name, type: "chain", notAfter: "-", percentLeft: 0, state: "missing" };
}

function describe(
  where: string,
  name: string,
  type: HeldCertificate["type"],
  pem: string,
  nowMs: number,
): HeldCertificate {
  const life = type === "lists" ? lifetimeOfLists(pem, nowMs) : lifetimeOf(pem, type, nowMs);
  if (life === undefined) return { where, name, type, notAfter: "-", percentLeft: 0, state: "unreadable" };
  const isEndless = life.notAfterMs === Number.POSITIVE_INFINITY;
  const notAfter = isEndless ? "-" : `${new Date(life.notAfterMs).toISOString().slice(0, 19)}Z`;
  return { where, name, type, notAfter, percentLeft: Math.max(0, Math.floor(life.left * 100)), state: life.state };
}

function table(held: readonly HeldCertificate[]): string {
  return renderTable(
    ["WHERE", "NAME", "TYPE", "NOT AFTER", "LIFE LEFT", "STATE"],
    held.map(({ where, name, type, notAfter, percentLeft, state }) => [
      where,
      name,
      type,
      notAfter,
      `${percentLeft} %`,
      state,
    ]),
  );
}
