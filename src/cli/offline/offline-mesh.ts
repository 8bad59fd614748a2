// A mesh from files alone: what they hold, completed by what a cluster would add, read by the same code as in the
// control plane. `compile` and `explain -f` ask it.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parse } from "yaml";
import { describeError } from "#base/error.ts";
import type { Issue } from "#base/issue.ts";
import { gatewayObjects } from "#control/gateway-deployment/gateway-objects.ts";
import { type MeshSettingsText, meshSettingsText, readMeshSettings } from "#control/push/build-snapshot.ts";
import { analyze } from "#mesh/analyze/analyze.ts";
import type { JsonRecord } from "#mesh/inject/pod.ts";
import type { PlaceOfField } from "#mesh/kinds/mesh-config/decode.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { type ParsedObject, parseYamlDocuments } from "#mesh/objects/yaml.ts";
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
import { nameIssues } from "./names.ts";
import { weighReferences } from "./partial-knowledge.ts";

/** Mesh configuration as YAML, and where its fields were written. */
interface SettingsSource {
  readonly text: string;
  readonly place: PlaceOfField;
}

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
  /** Objects of a running mesh, on which those of the files are laid. */
  readonly observed?: readonly KubernetesObject[];
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

/** `settings` is mesh configuration as YAML, in place of what the objects hold. */
export function offlineMesh(
  parsed: readonly ParsedObject[],
  settings?: SettingsSource,
  { advice = false, mayAssumeSidecars = false, observed = [] }: Partial<OfflineSources> = {},
): OfflineMesh {
  const written = parsed.map(({ object }) => withNamespace(withName(object)));
  const replaced = new Set(written.map(keyOf));
  const beside = observed.filter((object) => !replaced.has(keyOf(object)));
  const assumesSidecars = mayAssumeSidecars && !speakOfSidecars(written);
  const inFiles = writtenSettings(written, parsed, beside);
  const source = settings === undefined ? inFiles : { ...inFiles, mesh: settings.text, place: settings.place };
  const { meshConfig, issues } = readMeshSettings(source);
  const injection = { meshConfig: readMapping(source.mesh) };
  const build = (objects: readonly KubernetesObject[]): Built => {
    const completion = completeObjects(objects, {
      rootNamespace: meshConfig.rootNamespace,
      injection,
      assumesSidecars,
    });
    const sources = objects.map((object, index): SourceObject => {
      const completed = completion.completed.get(object) ?? object;
      return placedSource(completed, parsed[index]);
    });
    const added = [...completion.added, ...beside].map((object) => ({ object }));
    return { snapshot: buildSnapshot([...sources, ...added], { meshConfig }), completion };
  };
  let built = build(written);
  const gateways = deployedGateways(built.snapshot, written);
  if (gateways.length > 0) built = build([...written, ...gateways]);
  const { snapshot, completion } = built;
  const everything = [
    ...written.map((object, index) => placedSource(object, parsed[index])),
    ...beside.map((object) => ({ object })),
  ];
  const all = advice ? analyze({ snapshot, written: everything, now: Date.now() }) : snapshot.issues;
  // Beside a running mesh nothing is hidden: what is not there is missing.
  const found = observed.length > 0 ? all : weighReferences(all, written);
  return {
    snapshot,
    pods: completion.pods,
    issues: sortIssues([
      ...issues,
      ...unsaid([...completion.issues, ...written.flatMap(nameIssues)], found).map((issue) =>
        placed(issue, written, parsed),
      ),
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
  return { object, ...nowhere, position: () => nowhere, positionInText: () => nowhere, fields: () => [] };
}

/** Mesh configuration among the objects, and its place in their file. */
function writtenSettings(
  written: readonly KubernetesObject[],
  parsed: readonly ParsedObject[],
  beside: readonly KubernetesObject[],
): MeshSettingsText {
  const where = { namespace: "istio-system", revision: "default" };
  const settingsOf = (objects: readonly KubernetesObject[]): MeshSettingsText =>
    meshSettingsText(
      objects.map((object) => ({ object })),
      where,
    );
  const place = parsed[written.findIndex((object) => settingsOf([object]).mesh !== undefined)];
  const settings = settingsOf([...written, ...beside]);
  if (place === undefined) return settings;
  return { ...settings, place: (_path, line, column) => place.positionInText("data.mesh", line, column) };
}

function placedSource(object: KubernetesObject, place: ParsedObject | undefined): SourceObject {
  return place === undefined ? { object } : { object, position: (path) => place.position(path) };
}

function keyOf({ kind, metadata, apiVersion }: KubernetesObject): string {
  return `${apiVersion.split("/")[0]}/${kind}/${metadata.namespace}/${metadata.name}`;
}

/** What the snapshot has not said of the same field. */
function unsaid(issues: readonly Issue[], said: readonly Issue[]): Issue[] {
  const fieldOf = ({ object, path }: Issue): string =>
    `${object?.kind}/${object?.namespace}/${object?.name} ${path?.replaceAll('"', "")}`;
  const known = new Set(said.map(fieldOf));
  return issues.filter((issue) => !known.has(fieldOf(issue)));
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
function readMeshConfigFile(path: string, shown: string): SettingsSource {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`${shown}: ${describeError(error)}`);
  }
  const value = readMapping(text);
  const data = value["data"] as JsonRecord | undefined;
  const spec = value["spec"] as JsonRecord | undefined;
  const [object] = parseYamlDocuments(shown, text).objects;
  if (value["kind"] === "ConfigMap") {
    const place: PlaceOfField = (_path, line, column) => object?.positionInText("data.mesh", line, column);
    return { text: typeof data?.["mesh"] === "string" ? data["mesh"] : "", place };
  }
  if (value["kind"] === "IstioOperator") {
    const place: PlaceOfField = (field) => object?.position(`spec.meshConfig.${field}`);
    return { text: JSON.stringify(spec?.["meshConfig"] ?? {}), place };
  }
  return { text, place: (_path, line, column) => ({ file: shown, line, column }) };
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
