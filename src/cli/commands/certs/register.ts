// `outrigger certs`: every certificate of the mesh with the life that it has left: the mesh's roots, and what each proxy
// holds (its own, and those of Secrets and files).
import type { Command } from "commander";
import { describeError } from "#base/error.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { type CliContext, print, printError } from "../../context.ts";
import { kind, withMesh } from "../../mesh/connection.ts";
import { hasProxy, isReady, listPods, type Pod } from "../../mesh/pods.ts";
import { requestPodJson } from "../../mesh/port-forward.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { renderTable } from "../../render/table.ts";
import { inlineText, object, readConfigDump, text } from "../proxy-config/config-dump.ts";
import { type Lifetime, lifetimeOf } from "./lifetime.ts";

interface HeldCertificate {
  /** `pod.namespace`, or `mesh`. */
  readonly where: string;
  readonly name: string;
  readonly type: "chain" | "roots";
  readonly notAfter: string;
  readonly percentLeft: number;
  readonly state: Lifetime["state"] | "unreadable";
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
      const { held, problems } = await withMesh(context, (client) => readAll(client, Date.now()));
      print(
        context,
        renderOutput(parseOutputFormat(output), held, () => table(held)),
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
  const pods = (await listPods(client)).filter((pod) => hasProxy(pod) && isReady(pod));
  const all = await Promise.all([meshRoots(client, nowMs), ...pods.map((pod) => ofPod(client, pod, nowMs))]);
  return { held: all.flatMap(({ held }) => held), problems: all.flatMap(({ problems }) => problems) };
}

async function meshRoots(client: KubernetesClient, nowMs: number): Promise<Found> {
  const key = { namespace: "istio-system", name: "istio-ca-root-cert" };
  const data = object((await client.find(kind("v1", "ConfigMap"), key))?.["data"]);
  const pem = text(data["root-cert.pem"]);
  return { held: pem === "" ? [] : [describe("mesh", "root", "roots", pem, nowMs)], problems: [] };
}

async function ofPod(client: KubernetesClient, pod: Pod, nowMs: number): Promise<Found> {
  const where = `${pod.metadata.name}.${pod.metadata.namespace ?? "default"}`;
  try {
    const dump = readConfigDump(await requestPodJson(client, pod, { port: adminPort, path: "/config_dump" }));
    const held = dump.secrets.map(({ name, secret }) => {
      const chain = inlineText(object(secret["tlsCertificate"])["certificateChain"]);
      const roots = inlineText(object(secret["validationContext"])["trustedCa"]);
      return chain === "" ? describe(where, name, "roots", roots, nowMs) : describe(where, name, "chain", chain, nowMs);
    });
    return { held, problems: [] };
  } catch (error) {
    return { held: [], problems: [`${where} does not answer: ${describeError(error)}`] };
  }
}

function describe(
  where: string,
  name: string,
  type: HeldCertificate["type"],
  pem: string,
  nowMs: number,
): HeldCertificate {
  const life = lifetimeOf(pem, type, nowMs);
  if (life === undefined) return { where, name, type, notAfter: "-", percentLeft: 0, state: "unreadable" };
  const notAfter = `${new Date(life.notAfterMs).toISOString().slice(0, 19)}Z`;
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
