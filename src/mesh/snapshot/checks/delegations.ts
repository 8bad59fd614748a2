// Delegation between VirtualServices: roots that name a delegate in vain, and delegates whose routes take no requests.
import { formatOrigin, Severity } from "#base/issue.ts";
import { type Delegation, maxMatchPairs } from "../../kinds/virtual-service/delegation.ts";
import { exportedTo, isDelegate } from "../../kinds/virtual-service/resolve.ts";
import { nearest } from "../../objects/suggest.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

export function checkDelegations(context: CheckContext): Finding[] {
  return [
    ...context.delegations.flatMap((delegation) => checkRoot(delegation, context)),
    ...unusedDelegates(context),
    ...excludedRoutes(context.delegations),
  ];
}

function checkRoot(delegation: Delegation, context: CheckContext): Finding[] {
  const { root, index, reference, delegate, hidden, tooMany } = delegation;
  const path = `spec.http[${index}].delegate`;
  const effect = root.spec.http.length + root.spec.tls.length + root.spec.tcp.length === 1 ? "nothing" : "partly";
  if (delegate === undefined) {
    const other = context.objects.find("VirtualService", reference.namespace, reference.name);
    const message =
      other === undefined
        ? `there is no VirtualService ${reference.namespace}/${reference.name} to delegate to`
        : `${formatOrigin(other.origin)} has hosts of its own, so nothing can be delegated to it`;
    const names = context.objects.inNamespace("VirtualService", reference.namespace).filter(isDelegate);
    const near = nearest(
      reference.name,
      names.map(({ name }) => name),
    );
    const fix = near === undefined ? {} : { fix: `did you mean "${near}"?` };
    return [finding(root, { code: "IST0101", path, message, ...fix }, effect)];
  }
  if (tooMany) {
    const message = `the matches here and those of ${formatOrigin(delegate.origin)} make more than ${maxMatchPairs} pairs in this VirtualService, so nothing is delegated`;
    const fix = "delegate with fewer matches, as one prefix";
    return [finding(root, { code: "OUT0016", path, message, fix }, effect)];
  }
  if (!hidden) return [];
  const exportTo = exportedTo(delegate, context.meshConfig.defaultVirtualServiceExportTo).join(", ");
  const message = `${formatOrigin(delegate.origin)} is not exported to namespace ${root.namespace} (exportTo: ${exportTo})`;
  const fix = `add ${root.namespace} to its exportTo`;
  return [finding(root, { code: "IST0101", path, message, fix }, effect)];
}

function unusedDelegates({ objects, delegations }: CheckContext): Finding[] {
  const used = new Set(
    delegations.filter(({ hidden, tooMany }) => !hidden && !tooMany).map(({ delegate }) => delegate),
  );
  return objects
    .all("VirtualService")
    .filter((object) => isDelegate(object) && !used.has(object))
    .map((object) => {
      const message = "a VirtualService without hosts takes no requests of its own, and none delegates to it";
      const fix = `set hosts, or delegate to it: delegate: { name: ${object.name}, namespace: ${object.namespace} }`;
      return finding(object, { code: "OUT0016", severity: Severity.Warning, path: "spec", message, fix }, "nothing");
    });
}

function excludedRoutes(delegations: readonly Delegation[]): Finding[] {
  return delegations.flatMap(({ root, index, delegate, conflicts }) => {
    if (delegate === undefined) return [];
    const effect = conflicts.length === delegate.spec.http.length ? "nothing" : "partly";
    const isOnlyRoot = delegations.filter((other) => other.delegate === delegate).length === 1;
    return conflicts.map((route) => {
      const message = `this route is left out where ${formatOrigin(root.origin)} delegates in http[${index}]: a match here does not fit into the matches there`;
      const fix = "let each match be a part of one of the root's: the same exact value, or a longer prefix";
      const problem = { code: "OUT0016", severity: Severity.Warning, path: `spec.http[${route}]`, message, fix };
      return finding(delegate, problem, isOnlyRoot ? effect : "partly");
    });
  });
}
