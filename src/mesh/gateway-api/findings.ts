// What a user should hear about objects of the Gateway API, with the place of the field and what it costs.
import { Severity } from "#base/issue.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { Problem } from "../objects/report.ts";
import { nearest } from "../objects/suggest.ts";
import { isForUs, type ServedPolicy } from "./backend-policies.ts";
import { builtInClasses, controllerOf, gatewayController, unmanagedController } from "./controllers.ts";
import type { GatewayApi, ServedGateway, ServedRoute } from "./gateway-api.ts";
import { type AttachPoint, type ListenerSet, listenerFailure } from "./listeners.ts";
import { notAllowed, parentOf, programmedProblem, type StatusFacts } from "./status.ts";

export interface ApiFinding {
  readonly object: MeshObject<unknown>;
  readonly problem: Problem;
  /** Undefined when the object has its whole effect. */
  readonly effect?: "partly" | "nothing" | "not in force";
}

export function gatewayApiFindings(api: GatewayApi, facts: Pick<StatusFacts, "service">): ApiFinding[] {
  return [
    ...classFindings(api),
    ...api.gateways.flatMap((gateway) => gatewayFindings(gateway, facts)),
    ...api.input.listenerSets.flatMap((object) => listenerSetFindings(object, api)),
    ...api.routes.flatMap(routeFindings),
    ...api.policies.flatMap(policyFindings),
    ...[...api.input.backendTlsPolicies, ...api.input.backendTrafficPolicies].flatMap(ignoredPolicy),
  ];
}

const code = "OUT0011";

function classFindings({ input }: GatewayApi): ApiFinding[] {
  const withParameters = input.gatewayClasses.filter(
    ({ spec }) => spec.controllerName === gatewayController && spec.parametersRef !== undefined,
  );
  const unused = withParameters.map((object): ApiFinding => {
    const path = "spec.parametersRef";
    const message = "parameters of a class are accepted and not in force";
    const fix = `a ConfigMap of the root namespace with the label gateway.istio.io/defaults-for-class: ${object.name}`;
    return { object, problem: { code: "OUT0003", severity: Severity.Warning, path, message, fix }, effect: "partly" };
  });
  return [...unused, ...unservedGateways(input)];
}

function unservedGateways(input: GatewayApi["input"]): ApiFinding[] {
  return input.gateways.flatMap((object): ApiFinding[] => {
    const { gatewayClassName } = object.spec;
    const controller = controllerOf(gatewayClassName, input.gatewayClasses);
    if (controller === gatewayController || controller === unmanagedController) return [];
    const names = [...builtInClasses, ...input.gatewayClasses].map(({ name }) => name);
    const suggestion = nearest(gatewayClassName, names);
    const message =
      controller === undefined
        ? `there is no GatewayClass "${gatewayClassName}"`
        : `the class "${gatewayClassName}" belongs to the controller ${controller}, not to this mesh`;
    const isMisspelt = controller === undefined && suggestion !== undefined;
    const fix = isMisspelt ? { fix: `did you mean "${suggestion}"?` } : {};
    const problem = { code, severity: Severity.Warning, path: "spec.gatewayClassName", message, ...fix };
    return [{ object, problem, effect: "nothing" }];
  });
}

function gatewayFindings(gateway: ServedGateway, facts: Pick<StatusFacts, "service">): ApiFinding[] {
  const { object, points, services, infrastructure, backendCertificate } = gateway;
  const found = listenerFindings(object, points);
  if (infrastructure.problem !== undefined) {
    const message = `${infrastructure.problem.message}; what runs the Gateway stays as it is`;
    found.push(finding(object, "spec.infrastructure.parametersRef", message, "partly"));
  }
  if (typeof backendCertificate === "object") {
    const message = `${backendCertificate.message}; backends are shown no certificate`;
    found.push(finding(object, "spec.tls.backend.clientCertificateRef", message, "partly"));
  }
  if (services.problem !== undefined) found.push(finding(object, "spec.addresses", services.problem.message, "partly"));
  const unassigned = object.spec.addresses.length === 0 ? undefined : programmedProblem(gateway, facts);
  if (unassigned !== undefined) found.push(finding(object, "spec.addresses", unassigned.message, "nothing"));
  return found;
}

/** What is wrong with the listeners that an object wrote. */
function listenerFindings(object: MeshObject<unknown>, all: readonly AttachPoint[]): ApiFinding[] {
  const points = all.filter(({ owner }) => owner === object);
  const isServed = points.some((point) => listenerFailure(point) === undefined);
  return points.flatMap((point): ApiFinding[] => {
    const path = `spec.listeners[${point.index}]`;
    const { routeKinds } = point.problems;
    const failure = listenerFailure(point);
    return [
      ...(failure === undefined ? [] : [finding(object, path, failure.message, isServed ? "partly" : "nothing")]),
      ...(routeKinds === undefined
        ? []
        : [finding(object, `${path}.allowedRoutes.kinds`, routeKinds.message, "partly")]),
    ];
  });
}

function listenerSetFindings(object: ListenerSet, api: GatewayApi): ApiFinding[] {
  const gateway = parentOf(object, api);
  const { name, namespace } = object.spec.parentRef;
  const missing = `there is no Gateway ${namespace || object.namespace}/${name} of this mesh`;
  if (gateway === undefined) return [finding(object, "spec.parentRef", missing, "nothing")];
  if (gateway.listenerSets.includes(object)) return listenerFindings(object, gateway.points);
  return [finding(object, "spec.parentRef", notAllowed(gateway).message, "nothing")];
}

function routeFindings({ object, parents, gatewayProblems, meshProblems }: ServedRoute): ApiFinding[] {
  const failures = parents.flatMap(({ index, target, denied }) => {
    const path = `spec.parentRefs[${index}]`;
    if (denied !== undefined) return [{ path, message: denied.message }];
    if (target.kind === "none") return [{ path, message: target.message, ...(target.fix && { fix: target.fix }) }];
    if (target.kind === "mesh") return [];
    const broken = target.points.flatMap((point) => {
      const failure = listenerFailure(point);
      return failure === undefined ? [] : [`the listener ${point.listener.name} takes no requests: ${failure.message}`];
    });
    return broken.length === target.points.length ? [{ path, message: broken.join("; ") }] : [];
  });
  const effect = failures.length === parents.length ? "nothing" : "partly";
  const unattached = failures.map(
    (failure) =>
      ({
        object,
        problem: { code, severity: Severity.Error, ...failure },
        effect,
      }) satisfies ApiFinding,
  );
  const isInMesh = parents.some(({ target }) => target.kind === "mesh");
  const isAtGateway = parents.some(({ target }) => target.kind === "gateway");
  const rules = [...(isAtGateway ? gatewayProblems : []), ...(isInMesh ? meshProblems : [])];
  const once = new Map(rules.map((problem) => [`${problem.path} ${problem.message}`, problem]));
  return [
    ...(parents.length === 0 ? [finding(object, "spec.parentRefs", "the route attaches to nothing", "nothing")] : []),
    ...unattached,
    ...[...once.values()].map(({ path, message }) => finding(object, path, message, "partly")),
  ];
}

function policyFindings({ object, roots, targets, unused }: ServedPolicy): ApiFinding[] {
  const lost = targets.filter(({ problem }) => problem !== undefined);
  const effect = lost.length === targets.length ? "nothing" : "partly";
  return [
    ...lost.map(({ index, problem }) => finding(object, `spec.targetRefs[${index}]`, problem?.message ?? "", effect)),
    ...(roots === undefined
      ? []
      : [finding(object, "spec.validation", `${roots.message}; the backends are not reached`, "partly")]),
    ...unused.map(
      ({ path, message }): ApiFinding => ({
        object,
        problem: { code: "OUT0003", severity: Severity.Warning, path, message },
        effect: "partly",
      }),
    ),
  ];
}

function ignoredPolicy(object: MeshObject<unknown>): ApiFinding[] {
  if (isForUs(object)) return [];
  const message = "the annotation istio.io/ignore-policy-attachment leaves it to another controller";
  return [
    {
      object,
      problem: { code, severity: Severity.Info, path: "metadata.annotations", message },
      effect: "not in force",
    },
  ];
}

function finding(
  object: MeshObject<unknown>,
  path: string,
  message: string,
  effect: NonNullable<ApiFinding["effect"]>,
): ApiFinding {
  return { object, problem: { code, severity: Severity.Error, path, message }, effect };
}
