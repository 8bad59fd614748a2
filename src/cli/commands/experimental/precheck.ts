// `outrigger x precheck`: whether a mesh can be taken over by this version: whether its control plane answers, what of its
// configuration would not do what it says, and what has changed since the version that it comes from.
import { type Issue, Severity } from "#base/issue.ts";
import { ForceState, type MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { type CliContext, UsageError } from "../../context.ts";
import { withMesh } from "../../mesh/connection.ts";
import { askIstiods } from "../../mesh/istiod.ts";
import { analyzeMesh, readMeshSnapshot } from "../../mesh/snapshot.ts";

export interface PrecheckQuestion {
  readonly filename: readonly string[];
  readonly meshConfig?: string | undefined;
  readonly skipControlplane: boolean;
  readonly fromVersion?: string | undefined;
}

export async function precheck(context: CliContext, question: PrecheckQuestion): Promise<readonly Issue[]> {
  const from = question.fromVersion === undefined ? undefined : minorOf(question.fromVersion);
  const found = question.filename.length > 0 ? await ofFiles(context, question) : await ofMesh(context, question);
  return [...weighed(found), ...(from === undefined ? [] : changesSince(found.snapshot, from))];
}

interface Found {
  readonly snapshot: MeshSnapshot;
  readonly issues: readonly Issue[];
}

async function ofFiles(context: CliContext, { filename, meshConfig }: PrecheckQuestion): Promise<Found> {
  const { readOfflineMesh } = await import("../../offline/offline-mesh.ts");
  return readOfflineMesh(context, { paths: filename, meshConfigFile: meshConfig, advice: true });
}

function ofMesh(context: CliContext, { skipControlplane }: PrecheckQuestion): Promise<Found> {
  return withMesh(context, async (client) => {
    // Throws a sentence when none is ready.
    if (!skipControlplane) await askIstiods(client, "/debug/syncz");
    const [snapshot, issues] = await Promise.all([readMeshSnapshot(client), analyzeMesh(client)]);
    return { snapshot, issues };
  });
}

/** What is taken without any effect counts as a warning here, whatever it counts as elsewhere. */
function weighed({ snapshot, issues }: Found): Issue[] {
  const silent = new Set(
    snapshot
      .resourceStates()
      .filter(({ state }) => state === ForceState.NotInForce)
      .map(({ origin }) => `${origin.kind}/${origin.namespace}/${origin.name}`),
  );
  return issues.map((issue) => {
    const { object, severity } = issue;
    const isSilent = object !== undefined && silent.has(`${object.kind}/${object.namespace}/${object.name}`);
    return isSilent && severity === Severity.Info ? { ...issue, severity: Severity.Warning } : issue;
  });
}

/** As Istio: the default tracer of 1.21 is the only default whose change is seen from the configuration. */
function changesSince(snapshot: MeshSnapshot, minor: number): Issue[] {
  const zipkin = snapshot
    .servicesIn(snapshot.meshConfig.rootNamespace)
    .find(({ name, source }) => name === "zipkin" && source === "kubernetes");
  if (minor > 21 || zipkin === undefined) return [];
  return [
    {
      code: "IST0168",
      severity: Severity.Warning,
      path: "meshConfig.defaultConfig.tracer",
      message: `the default has changed since version 1.21: traces are not sent to zipkin.${snapshot.meshConfig.rootNamespace} unless that is configured`,
      object: { kind: "Service", namespace: zipkin.namespace, name: zipkin.name },
    },
  ];
}

function minorOf(version: string): number {
  const match = /^1\.(\d+)(?:\.\d+)?$/.exec(version);
  if (match === null) throw new UsageError(`"${version}" is no version of Istio; write it as 1.21`);
  return Number(match[1]);
}
