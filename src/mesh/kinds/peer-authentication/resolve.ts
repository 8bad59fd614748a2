// Which mutual TLS mode a workload demands. The precedence table is in README.md.
import { type Labels, selects } from "../../objects/fields/selector.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { type EffectiveMtlsMode, MtlsMode, type PeerAuthenticationSpec } from "./spec.ts";

type Policy = MeshObject<PeerAuthenticationSpec>;

export interface MtlsDecision {
  readonly mode: EffectiveMtlsMode;
  /** The policy that decided; undefined for the default, PERMISSIVE. */
  readonly policy: Policy | undefined;
}

export interface InboundMtls extends MtlsDecision {
  /** Ports for which a policy says something of its own. */
  readonly ports: ReadonlyMap<number, MtlsDecision>;
}

export interface PoliciesInReach {
  /** Of the root namespace, oldest first. */
  readonly root: readonly Policy[];
  /** Of the workload's namespace, oldest first; empty when that is the root namespace. */
  readonly own: readonly Policy[];
}

/** The mode of a workload, and of its ports that differ. */
export function inboundMtls(policies: PoliciesInReach, labels: Labels): InboundMtls {
  let decision: MtlsDecision = { mode: MtlsMode.Permissive, policy: undefined };
  decision = narrow(decision, policies.root.find(isNamespaceWide));
  decision = narrow(decision, policies.own.find(isNamespaceWide));
  const workload = policies.own.find((policy) => !isNamespaceWide(policy) && selects(selectorOf(policy), labels));
  decision = narrow(decision, workload);
  return { ...decision, ports: portDecisions(decision, workload) };
}

/** The mode on one port of the workload. */
export function inboundMtlsMode(policies: PoliciesInReach, labels: Labels, targetPort?: number): MtlsDecision {
  const all = inboundMtls(policies, labels);
  return (targetPort === undefined ? undefined : all.ports.get(targetPort)) ?? { mode: all.mode, policy: all.policy };
}

/** Tells whether the policy is for its whole namespace (or, in the root namespace, for the mesh). */
function isNamespaceWide(policy: Policy): boolean {
  return Object.keys(selectorOf(policy)).length === 0;
}

function narrow(current: MtlsDecision, policy: Policy | undefined): MtlsDecision {
  const mode = policy?.spec.mtls.mode ?? MtlsMode.Unset;
  return mode === MtlsMode.Unset ? current : { mode, policy };
}

function portDecisions(whole: MtlsDecision, policy: Policy | undefined): Map<number, MtlsDecision> {
  const ports = new Map<number, MtlsDecision>();
  for (const [port, { mode }] of Object.entries(policy?.spec.portLevelMtls ?? {})) {
    ports.set(Number(port), mode === MtlsMode.Unset ? whole : { mode, policy });
  }
  return ports;
}

function selectorOf(policy: Policy): Labels {
  return policy.spec.selector?.matchLabels ?? {};
}
