// `outrigger x check-inject`.
import type { Command } from "commander";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { injectionWebhookConfiguration } from "#mesh/inject/webhook-configuration.ts";
import type { Labels } from "#mesh/objects/fields/selector.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { withNamespace } from "../../apply/default-namespace.ts";
import { loadConfiguration } from "../../apply/load.ts";
import { type CliContext, print, printError, UsageError } from "../../context.ts";
import { parseLabels } from "../../labels-argument.ts";
import { kind, withMesh } from "../../mesh/connection.ts";
import { findPod, parsePodArgument } from "../../mesh/pods.ts";
import { readStdin } from "../../read-stdin.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { collect } from "../../repeated-flag.ts";
import { problemOf, renderMatches, webhookMatches } from "./check-inject.ts";

interface Flags {
  readonly labels?: string;
  readonly namespace: string;
  readonly filename: readonly string[];
  readonly output: string;
}

/** What the webhooks look at. */
interface Subject {
  readonly configurations: readonly KubernetesObject[];
  readonly podLabels: Labels;
  readonly namespaceLabels: Labels;
}

export function registerCheckInject(parent: Command, context: CliContext, finish: (exitCode: number) => void): void {
  parent
    .command("check-inject [pod]")
    .description(
      "tell whether a pod, or one with some labels, is injected with a sidecar, and why; exit code 1 on an error",
    )
    .option("-l, --labels <labels>", "labels of a pod that is not there yet, as app=helloworld,version=v1")
    .option("-n, --namespace <namespace>", "namespace of the pod", "default")
    .option("-f, --filename <path>", "about files instead of the running mesh; may be repeated", collect, [])
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action(async (pod: string | undefined, flags: Flags) => {
      const format = parseOutputFormat(flags.output);
      if (pod === undefined && flags.labels === undefined) throw new UsageError("name a pod, or labels with -l");
      const subject =
        flags.filename.length > 0 ? await ofFiles(context, pod, flags) : await ofMesh(context, pod, flags);
      const matches = webhookMatches(subject.configurations, subject.podLabels, subject.namespaceLabels);
      print(
        context,
        renderOutput(format, matches, () => renderMatches(matches)),
      );
      const problem = problemOf(matches);
      if (problem !== undefined) printError(context, problem);
      finish(problem === undefined ? 0 : 1);
    });
}

function ofMesh(context: CliContext, argument: string | undefined, flags: Flags): Promise<Subject> {
  return withMesh(context, async (client) => {
    const { items } = await client.list(kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"));
    const pod = argument === undefined ? undefined : await findPod(client, argument, flags.namespace);
    const namespace = pod?.metadata.namespace ?? flags.namespace;
    return {
      configurations: items,
      podLabels: pod === undefined ? parseLabels(flags.labels ?? "") : (pod.metadata.labels ?? {}),
      namespaceLabels: await labelsOfNamespace(client, namespace),
    };
  });
}

async function labelsOfNamespace(client: KubernetesClient, name: string): Promise<Labels> {
  const found = await client.find(kind("v1", "Namespace"), { name });
  if (found === undefined) throw new UsageError(`there is no namespace ${name}`);
  return found.metadata.labels ?? {};
}

/** Without webhooks among the files those of an installation count. */
async function ofFiles(context: CliContext, argument: string | undefined, flags: Flags): Promise<Subject> {
  const stdin = flags.filename.includes("-") ? await readStdin(context) : undefined;
  const objects = loadConfiguration(flags.filename, context.cwd, stdin).objects.map(({ object }) =>
    withNamespace(object),
  );
  const written = objects.filter(({ kind: name }) => name === "MutatingWebhookConfiguration");
  const { name, namespace } =
    argument === undefined
      ? { name: undefined, namespace: flags.namespace }
      : parsePodArgument(argument, flags.namespace);
  const podLabels = name === undefined ? parseLabels(flags.labels ?? "") : labelsOfWorkload(objects, name, namespace);
  const own = objects.find(({ kind: it, metadata }) => it === "Namespace" && metadata.name === namespace);
  return {
    configurations: written.length > 0 ? written : [injectionWebhookConfiguration()],
    podLabels,
    namespaceLabels: own?.metadata.labels ?? {},
  };
}

function labelsOfWorkload(objects: readonly KubernetesObject[], name: string, namespace: string): Labels {
  const found = objects.find(
    ({ metadata, ...object }) =>
      metadata.name === name &&
      metadata.namespace === namespace &&
      (object.kind === "Pod" || templateOf(object) !== undefined),
  );
  if (found === undefined)
    throw new UsageError(`the files hold no pod or workload "${name}" in namespace ${namespace}`);
  return (found.kind === "Pod" ? found.metadata.labels : templateOf(found)?.metadata?.labels) ?? {};
}

interface Template {
  readonly metadata?: { readonly labels?: Labels };
}

function templateOf(object: Readonly<Record<string, unknown>>): Template | undefined {
  return (object["spec"] as { readonly template?: Template } | undefined)?.template;
}
