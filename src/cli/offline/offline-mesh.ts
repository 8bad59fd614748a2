// A mesh from files alone: what they hold, completed by what a cluster would add, read by the same code as in the
// control plane. `compile` and `explain -f` ask it.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parse } from "yaml";
import { describeError } from "#base/error.ts";
import type { Issue } from "#base/issue.ts";
import { gatewayObjects } from "#control/gateway-deployment/gateway-objects.ts";
import { meshSettingsText, readMeshSettings } from "#control/push/build-snapshot.ts";
import { analyze } from "#mesh/analyze/analyze.ts";
import type { JsonRecord } from "#mesh/inject/pod.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { ParsedObject } from "#mesh/objects/yaml.ts";
import { type BuiltSnapshot, buildSnapshot } from "#mesh/snapshot/build.ts";
import { sortIssues } from "#mesh/snapshot/content.ts";
import type { SourceObject } from "#mesh/snapshot/read-object.ts";
import { withNamespace } from "../apply/default-namespace.ts";
import { loadConfiguration } from "../apply/load.ts";
import { type CliContext, UsageError } from "../context.ts";
import type { ChangeableMesh } from "../mesh/changeable-mesh.ts";
import { patchIssues } from "../mesh/patched-proxies.ts";
import type { Pod } from "../mesh/pods.ts";
import { readStdin } from "../read-stdin.ts";
import { type CompletedObjects, completeObjects, speakOfSidecars } from "./complete-objects.ts";
import { weighReferences } from "./partial-knowledge.ts";

export interface OfflineMesh extends ChangeableMesh {
  readonly snapshot: BuiltSnapshot;
  readonly pods: readonly Pod[];
  /** By file and line. */
  readonly issues: readonly Issue[];
  /** How many objects the files hold. */
  readonly objectCount: number;
  /** The files say nothing of sidecars, and every pod was given one. */
  readonly assumesSidecars: boolean;
}

export interface OfflineSources {
  /** Files, directories, `-` for standard input. */
  readonly paths: readonly string[];
  /** Mesh configuration, in place of a ConfigMap `istio` among the files. */
  readonly meshConfigFile?: string | undefined;
  /** Also what is in order and most likely not meant. */
  readonly advice?: boolean;
  /** Where the files say nothing of sidecars, every pod is taken to have one. */
  readonly mayAssumeSidecars?: boolean;
}

export async function readOfflineMesh(context: CliContext, sources: OfflineSources): Promise<OfflineMesh> {
  if (sources.paths.length === 0) throw new UsageError("name a file or directory with -f");
  const stdin = sources.paths.includes("-") ? await readStdin(context) : undefined;
  const loaded = loadConfiguration(sources.paths, context.cwd, stdin);
  const settings =
    sources.meshConfigFile === undefined
      ? undefined
      : readMeshConfigFile(resolve(context.cwd, sources.meshConfigFile), sources.meshConfigFile);
  const mesh = offlineMesh(loaded.objects, settings, sources);
  return { ...mesh, issues: sortIssues([...loaded.issues, ...mesh.issues]) };
}

/** `settings` is mesh configuration as YAML. */
export function offlineMesh(
  parsed: readonly ParsedObject[],
  settings?: string,
  { advice = false, mayAssumeSidecars = false }: Partial<OfflineSources> = {},
): OfflineMesh {
  const written = parsed.map(({ object }) => withNamespace(withName(object)));
  const assumesSidecars = mayAssumeSidecars && !speakOfSidecars(written);
  const inFiles = meshSettingsText(
    written.map((object) => ({ object })),
    { namespace: "istio-system", revision: "default" },
  );
  const text = settings ?? inFiles.mesh;
  const { meshConfig, issues } = readMeshSettings({ ...inFiles, mesh: text });
  const injection = { meshConfig: readMapping(text) };
  const build = (objects: readonly KubernetesObject[]): Built => {
    const completion = completeObjects(objects, {
      rootNamespace: meshConfig.rootNamespace,
      injection,
      assumesSidecars,
    });
    const sources = objects.map((object, index): SourceObject => {
      const place = parsed[index];
      const completed = completion.completed.get(object) ?? object;
      return place === undefined
        ? { object: completed }
        : { object: completed, position: (path) => place.position(path) };
    });
    const snapshot = buildSnapshot([...sources, ...completion.added.map((object) => ({ object }))], { meshConfig });
    return { snapshot, completion };
  };
  let built = build(written);
  const gateways = deployedGateways(built.snapshot, written);
  if (gateways.length > 0) built = build([...written, ...gateways]);
  const { snapshot, completion } = built;
  const found = weighReferences(advice ? analyze(snapshot) : snapshot.issues, written);
  return {
    snapshot,
    pods: completion.pods,
    issues: sortIssues([
      ...issues,
      ...unsaid(completion.issues, found).map((issue) => placed(issue, written, parsed)),
      ...patchIssues(snapshot, completion.pods),
      ...found,
    ]),
    objectCount: written.length,
    assumesSidecars,
    changed({ drops = () => false, edits = (object) => object, adds = [] }) {
      const kept = parsed
        .filter(({ object }) => !drops(object))
        .map((place) => ({ ...place, object: edits(place.object), position: (path: string) => place.position(path) }));
      const added = adds.map((object) => unplaced(object));
      return offlineMesh([...kept, ...added], settings, { advice, mayAssumeSidecars }).snapshot;
    },
  };
}

/** An object that stands in no file. */
function unplaced(object: KubernetesObject): ParsedObject {
  const nowhere = { file: "proposed", line: 1, column: 1 };
  return { object, ...nowhere, position: () => nowhere, fields: () => [] };
}

/** What the snapshot has not said of the same field. */
function unsaid(issues: readonly Issue[], said: readonly Issue[]): Issue[] {
  const keyOf = ({ object, path }: Issue): string => `${object?.kind}/${object?.namespace}/${object?.name} ${path}`;
  const known = new Set(said.map(keyOf));
  return issues.filter((issue) => !known.has(keyOf(issue)));
}

/** With the place in the file, where the issue names a field. */
function placed(issue: Issue, written: readonly KubernetesObject[], parsed: readonly ParsedObject[]): Issue {
  const { object, path } = issue;
  if (object === undefined || path === undefined || issue.position !== undefined) return issue;
  const index = written.findIndex(
    ({ kind, metadata }) =>
      kind === object.kind && metadata.name === object.name && (metadata.namespace ?? "") === object.namespace,
  );
  const position = parsed[index]?.position(path);
  return position === undefined ? issue : { ...issue, position };
}

interface Built {
  readonly snapshot: BuiltSnapshot;
  readonly completion: CompletedObjects;
}

/** What the control plane would run for Gateways of the Gateway API, as far as the files do not hold it. */
function deployedGateways(snapshot: BuiltSnapshot, written: readonly KubernetesObject[]): KubernetesObject[] {
  const keyOf = ({ kind, metadata }: KubernetesObject): string => `${kind}/${metadata.namespace}/${metadata.name}`;
  const there = new Set(written.map(keyOf));
  return snapshot
    .gatewayDeployments()
    .gateways.flatMap((gateway) => gatewayObjects(gateway, "default"))
    .filter((object) => !there.has(keyOf(object)));
}

/** An API server would make a name of `generateName`. */
function withName(object: KubernetesObject): KubernetesObject {
  const { name, generateName = "" } = object.metadata as Partial<KubernetesObject["metadata"]>;
  return name === undefined ? { ...object, metadata: { ...object.metadata, name: `${generateName}0` } } : object;
}

/** The text of mesh configuration: alone, as ConfigMap `istio`, or within an IstioOperator. */
function readMeshConfigFile(path: string, shown: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`${shown}: ${describeError(error)}`);
  }
  const value = readMapping(text);
  const data = value["data"] as JsonRecord | undefined;
  const spec = value["spec"] as JsonRecord | undefined;
  if (value["kind"] === "ConfigMap") return typeof data?.["mesh"] === "string" ? data["mesh"] : "";
  if (value["kind"] === "IstioOperator") return JSON.stringify(spec?.["meshConfig"] ?? {});
  return text;
}

/** What is no mapping, or not YAML, is reported where mesh configuration is decoded. */
function readMapping(text: string | undefined): JsonRecord {
  try {
    const value: unknown = parse(text ?? "", { version: "1.1", maxAliasCount: 100 });
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonRecord) : {};
  } catch {
    return {};
  }
}
