// What a user should hear about objects of the Gateway API, with the place of the field and what it costs.
import { Severity } from "#base/issue.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { Problem } from "../objects/report.ts";
import { nearest } from "../objects/suggest.ts";
import { builtInClasses, controllerOf, gatewayController, unmanagedController } from "./controllers.ts";
import type { GatewayApi, ServedGateway, ServedRoute } from "./gateway-api.ts";
import { listenerFailure } from "./listeners.ts";
import { programmedProblem, type StatusFacts } from "./status.ts";

export interface ApiFinding {
  readonly object: MeshObject<unknown>;
  readonly problem: Problem;
  /** Undefined when the object has its whole effect. */
  readonly effect?: "partly" | "nothing";
}

export function gatewayApiFindings(api: GatewayApi, facts: Pick<StatusFacts, "service">): ApiFinding[] {
  return [
    ...classFindings(api),
    ...api.gateways.flatMap((gateway) => gatewayFindings(gateway, facts)),
    ...api.routes.flatMap(routeFindings),
  ];
}

const code = "OUT0011";

function classFindings({ input }: GatewayApi): ApiFinding[] {
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
  const { object, points, services } = gateway;
  const isServed = points.some((point) => listenerFailure(point) === undefined);
  const found = points.flatMap(({ index, problems }): ApiFinding[] => {
    const path = `spec.listeners[${index}]`;
    const { protocol, conflict, certificates, routeKinds } = problems;
    const failure = protocol ?? conflict ?? certificates;
    return [
      ...(failure === undefined ? [] : [finding(object, path, failure.message, isServed ? "partly" : "nothing")]),
      ...(routeKinds === undefined
        ? []
        : [finding(object, `${path}.allowedRoutes.kinds`, routeKinds.message, "partly")]),
    ];
  });
  if (services.problem !== undefined) found.push(finding(object, "spec.addresses", services.problem.message, "partly"));
  const unassigned = object.spec.addresses.length === 0 ? undefined : programmedProblem(gateway, facts);
  if (unassigned !== undefined) found.push(finding(object, "spec.addresses", unassigned.message, "nothing"));
  return found;
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

function finding(
  object: MeshObject<unknown>,
  path: string,
  message: string,
  effect: NonNullable<ApiFinding["effect"]>,
): ApiFinding {
  return { object, problem: { code, severity: Severity.Error, path, message }, effect };
}
